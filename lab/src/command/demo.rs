//! Runs a collector on a small fleet, for demonstrations.
//!
//! The collector runs in the foreground with its log on the terminal; when it ends, the content of the repository is
//! summed up.

use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use lab::{Generation, Result, Workload};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::fleet::Fleet;
use super::summary;
use crate::print::print_line;

const DATABASES: [&str; 3] = ["shop", "billing", "reports"];
const POLL: Duration = Duration::from_millis(50);
/// Longer than the collector's own grace time.
const LONGEST_STOP: Duration = Duration::from_secs(20);

pub(crate) fn demo(generation: &Generation, collector: &Path, seconds: Option<Duration>) -> Result<ExitCode> {
    let collector =
        collector.canonicalize().with_context(|| format!("looking for the collector {}", collector.display()))?;
    print_line!(
        "Starting a repository and two remote servers: PoWA {} on PostgreSQL {} ...",
        generation.powa_version(),
        generation.postgres_major(),
    );
    let fleet = Fleet::start(generation)?;
    let mut workloads = Vec::new();
    for remote in &fleet.remotes {
        Workload::create(&remote.cluster, &DATABASES)?;
        workloads.push(Workload::start(&remote.cluster, &DATABASES)?);
    }
    fleet.register()?;

    let configuration = fleet.repository.directory().join("powa-collector.conf");
    let content = serde_json::json!({
        "repository": { "dsn": fleet.repository_dsn() },
        "use_server_alias": true,
        // Any port that is free: the log says which.
        "http": { "listen": "127.0.0.1:0" },
    });
    std::fs::write(&configuration, format!("{content:#}\n")).context("writing the collector's configuration")?;

    print_line!();
    fleet.describe();
    print_line!("\nThe remote servers are busy, and registered with a snapshot every 5 s. To look for yourself:");
    print_line!("    psql {}", fleet.repository_dsn());
    print_line!("    {} -c {} status --watch", collector.display(), configuration.display());
    print_line!("    a browser, at the address that the log names as \"serving HTTP\"");
    print_line!("\n{} -c {}", collector.display(), configuration.display());
    match seconds {
        Some(seconds) => print_line!("ends in {} s, or with Ctrl-C:\n", seconds.as_secs()),
        None => print_line!("ends with Ctrl-C:\n"),
    }

    let status = run_in_foreground(&collector, &configuration, seconds)?;
    drop(workloads);
    print_line!();
    summary::print(&fleet)?;
    if !status.success() {
        print_line!("\nThe collector did not end well: {status}.");
    }
    Ok(exit_code(status))
}

/// Runs the collector to its end, which a signal to this process or the passing of `seconds` brings about.
fn run_in_foreground(collector: &Path, configuration: &Path, seconds: Option<Duration>) -> Result<ExitStatus> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).context("taking over the signals")?;
    // setpriv: the collector is to end, too, when this process is killed.
    let mut child = Command::new("setpriv")
        .args(["--pdeathsig=TERM", "--"])
        .arg(collector)
        .arg("-c")
        .arg(configuration)
        .stdin(Stdio::null())
        // Out of the terminal's reach: it gets each Ctrl-C once, from here, whoever else got it.
        .process_group(0)
        .spawn()
        .context("running the collector by setpriv (of util-linux)")?;
    let started = Instant::now();
    let mut interrupted_at: Option<Instant> = None;
    loop {
        if let Some(status) = child.try_wait().context("waiting for the collector")? {
            return Ok(status);
        }
        let interrupted = signals.pending().next().is_some();
        let time_is_up = interrupted_at.is_none() && seconds.is_some_and(|seconds| started.elapsed() >= seconds);
        if interrupted || time_is_up {
            interrupt(&child)?;
            interrupted_at.get_or_insert_with(Instant::now);
        }
        if interrupted_at.is_some_and(|at| at.elapsed() > LONGEST_STOP) {
            child.kill().context("killing the collector")?;
            child.wait().context("waiting for the collector")?;
            ensure!(false, "the collector did not stop within {} s and was killed", LONGEST_STOP.as_secs());
        }
        std::thread::sleep(POLL);
    }
}

fn interrupt(child: &Child) -> Result<()> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("a child has a process id")?;
    kill_process(pid, Signal::INT).context("interrupting the collector")
}

/// The collector's own exit code, or what a shell makes of a signal.
fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))
}
