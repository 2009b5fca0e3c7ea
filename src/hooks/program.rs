//! Runs a program for an event, with a time limit.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use session::BlockingPool;
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::event::Event;

/// The variables of the collector that a program gets too. Not the others, which may contain passwords.
const INHERITED: [&str; 5] = ["PATH", "HOME", "LANG", "TZ", "TMPDIR"];

/// Runs a program with its arguments. Its standard error is the collector's, its standard input is empty, and its standard output
/// is discarded.
///
/// # Errors
/// It could not be started, has failed, or was killed after the time limit, with the programs that it has started.
pub(super) async fn run(
    (name, arguments): (&str, &[String]),
    event: &Event,
    limit: Duration,
    blocking: &BlockingPool,
) -> Result<(), String> {
    let inherited = INHERITED.iter().filter_map(|name| Some((*name, std::env::var_os(name)?)));
    let mut command = Command::new(name);
    command.args(arguments).env_clear().envs(inherited).envs(event.variables());
    command.stdin(Stdio::null()).stdout(Stdio::null()).process_group(0);
    // Its file can be on a disk that hangs.
    let runtime = Handle::current();
    let start = blocking.run("hook", move || {
        let _context = runtime.enter();
        command.spawn().map(ProcessGroup)
    });
    let started = timeout(limit, start).await;
    let started = started.map_err(|_| format!("could not start {name:?} within {} s", limit.as_secs()))?;
    let mut group = started.flatten().map_err(|error| format!("could not start {name:?}: {error}"))?;
    match timeout(limit, group.0.wait()).await {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(format!("{name:?} ended with {}", describe(status))),
        Ok(Err(error)) => Err(format!("could not wait for {name:?}: {error}")),
        Err(_) => Err(format!("{name:?} was killed after {} s", limit.as_secs())),
    }
}

/// A program with all that it has started. Killed when dropped, if it still runs.
struct ProcessGroup(Child);

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        let group = self.0.id().and_then(|id| i32::try_from(id).ok());
        if let Some(group) = group {
            // The only error is that it has ended meanwhile.
            killpg(Pid::from_raw(group), Signal::SIGKILL).ok();
        }
    }
}

fn describe(status: ExitStatus) -> String {
    status.code().map_or_else(|| status.to_string(), |code| format!("exit code {code}"))
}
