//! Runs the collector of a soak test, and measures what it uses.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use std::{fmt, fs};

use anyhow::{Context, ensure};
use lab::Result;
use rustix::process::{Pid, Signal, kill_process};

use super::fixture::Fixture;
use super::log::{Log, LogSummary};
use crate::command::usage::{self, Usage};

/// Long enough for a slow machine, and short enough that the consequences of a fault are soon over.
const TIMEOUTS: [(&str, u64); 4] =
    [("connect", 5), ("query", 5), ("snapshot", LONGEST_STEP.as_secs()), ("stop", GRACE.as_secs())];
/// The time limit of collecting, and of loading.
pub(super) const LONGEST_STEP: Duration = Duration::from_secs(20);
/// The time limit for stopping.
pub(super) const GRACE: Duration = Duration::from_secs(10);
/// The collector's limit of connections to the repository: `limits.loads` + 2.
pub(super) const REPOSITORY_SESSIONS: usize = 6;

const BETWEEN_SAMPLES: Duration = Duration::from_millis(500);
const SAMPLES: usize = 20;

/// A running collector. It is killed with this process.
pub(super) struct Collector {
    child: Child,
    log: Log,
    log_file: PathBuf,
}

/// The usage of the collector: medians over some seconds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Use {
    pub resident_kb: u64,
    pub descriptors: u64,
    pub threads: u64,
    /// From its log.
    pub tasks: u64,
}

impl fmt::Display for Use {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Use { resident_kb, descriptors, threads, .. } = self;
        write!(f, "the collector has {resident_kb} kB, {descriptors} file descriptors, {threads} threads")
    }
}

impl Collector {
    pub(super) fn start(program: &Path, fixture: &Fixture, directory: &Path) -> Result<Collector> {
        let timeouts: serde_json::Map<_, _> =
            TIMEOUTS.iter().map(|(name, seconds)| ((*name).to_owned(), (*seconds).into())).collect();
        let content = serde_json::json!({
            "repository": { "dsn": fixture.dsn() },
            "debug": true,
            "use_server_alias": true,
            "timeouts": timeouts,
        });
        let configuration = directory.join("powa-collector.conf");
        fs::write(&configuration, format!("{content:#}\n")).context("writing the collector's configuration")?;
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig=KILL", "--"])
            .arg(program)
            .arg("-c")
            .arg(&configuration)
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .context("running the collector by setpriv (of util-linux)")?;
        let log_file = directory.join("collector.log");
        let stream = child.stderr.take().context("the collector's standard error is piped")?;
        Ok(Collector { child, log: Log::read(stream, &log_file)?, log_file })
    }

    pub(super) fn summary(&self) -> LogSummary {
        self.log.so_far()
    }

    pub(super) fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("a child has a process id")?;
        kill_process(pid, signal).context("sending the collector a signal")
    }

    /// # Errors
    /// It has ended.
    pub(super) fn ensure_running(&mut self) -> Result<()> {
        let ended = self.child.try_wait().context("looking after the collector")?;
        ensure!(ended.is_none(), "the collector ended by itself ({ended:?}); its log: {}", self.log_file.display());
        Ok(())
    }

    /// Measures for some seconds, and reloads several times, which makes it log the number of its tasks.
    pub(super) fn measure(&mut self) -> Result<Use> {
        let logged_before = self.summary().tasks.len();
        let mut samples = Vec::new();
        for number in 0..SAMPLES {
            self.ensure_running()?;
            if number % 4 == 0 {
                self.signal(Signal::HUP)?;
            }
            thread::sleep(BETWEEN_SAMPLES);
            samples.push(self.look()?);
        }
        Ok(Use {
            resident_kb: median(samples.iter().map(|sample| sample.resident_kb)),
            descriptors: median(samples.iter().map(|sample| sample.descriptors)),
            threads: median(samples.iter().map(|sample| sample.threads)),
            tasks: median(self.summary().tasks.into_iter().skip(logged_before)),
        })
    }

    /// Its current usage, without the number of tasks.
    pub(super) fn look(&self) -> Result<Use> {
        let Usage { resident_kb, descriptors, threads, .. } = usage::of_process(self.child.id())?;
        Ok(Use { resident_kb, descriptors, threads, tasks: 0 })
    }

    /// Stops it. Returns its exit status, the time that took, and the summary of its log.
    pub(super) fn stop(mut self) -> Result<(ExitStatus, Duration, LogSummary)> {
        self.signal(Signal::TERM)?;
        let asked = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().context("waiting for the collector")? {
                break status;
            }
            if asked.elapsed() > 2 * GRACE {
                self.child.kill().context("killing the collector")?;
            }
            thread::sleep(Duration::from_millis(5));
        };
        Ok((status, asked.elapsed(), self.log.into_all()))
    }
}

fn median(numbers: impl Iterator<Item = u64>) -> u64 {
    let mut numbers: Vec<_> = numbers.collect();
    numbers.sort_unstable();
    numbers.get(numbers.len() / 2).copied().unwrap_or(0)
}
