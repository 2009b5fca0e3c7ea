//! Runs either collector, and measures what it uses.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use lab::Result;
use lab::log::end_of;
use rustix::process::{Pid, Signal, kill_process};

use super::machine::said_by;
use crate::command::usage::{self, Usage};

/// The first configuration file that the Python collector reads, which no other file can override.
const SYSTEM_CONFIGURATION: &str = "/etc/powa-collector.conf";
/// The Python collector ends at once only when nothing is under way.
const LONGEST_STOP: Duration = Duration::from_secs(120);

/// Both collectors.
pub(super) struct Contenders {
    pub ours: Candidate,
    pub python: Candidate,
}

/// A collector that can be run.
pub(super) struct Candidate {
    kind: Kind,
    program: PathBuf,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Ours,
    Python,
}

/// A collector that runs. It is killed with this process.
pub(super) struct Running {
    child: Child,
    log: PathBuf,
}

impl Candidate {
    pub(super) fn ours(program: &Path) -> Result<Self> {
        Self::new(Kind::Ours, program)
    }

    pub(super) fn python(program: &Path) -> Result<Self> {
        ensure!(!Path::new(SYSTEM_CONFIGURATION).exists(), "the Python collector would read {SYSTEM_CONFIGURATION}");
        Self::new(Kind::Python, program)
    }

    fn new(kind: Kind, program: &Path) -> Result<Self> {
        let program = program.canonicalize().with_context(|| format!("looking for {}", program.display()))?;
        Ok(Self { kind, program })
    }

    /// A name for directories, databases and messages.
    pub(super) fn name(&self) -> &'static str {
        match self.kind {
            Kind::Ours => "ours",
            Kind::Python => "python",
        }
    }

    /// Its version: the last word that both print with `--version`.
    pub(super) fn version(&self) -> Result<String> {
        let message = said_by(Command::new(&self.program).arg("--version"))?;
        Ok(message.rsplit(' ').next().unwrap_or_default().to_owned())
    }

    /// Starts it on a repository, with its default settings. Its configuration and its log are in `directory`.
    pub(super) fn start(&self, dsn: &str, directory: &Path) -> Result<Running> {
        let directory = directory.join(self.name());
        fs::create_dir_all(&directory).context("making a directory for a collector")?;
        let content = serde_json::json!({ "repository": { "dsn": dsn }, "debug": false });
        let configuration = directory.join("powa-collector.conf");
        fs::write(&configuration, format!("{content:#}\n")).context("writing a collector's configuration")?;
        let log = directory.join("collector.log");
        let writer = File::create(&log).context("making a collector's log")?;
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig=KILL", "--"]).arg(&self.program);
        if self.kind == Kind::Ours {
            command.arg("-c").arg(&configuration);
        }
        let child = command
            // The Python one looks there.
            .current_dir(&directory)
            .env("HOME", &directory)
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(writer.try_clone().context("sharing a log")?)
            .stderr(writer)
            .process_group(0)
            .spawn()
            .with_context(|| format!("running {} by setpriv (of util-linux)", self.program.display()))?;
        Ok(Running { child, log })
    }
}

impl Running {
    /// Its current usage.
    ///
    /// # Errors
    /// It has ended.
    pub(super) fn usage(&mut self) -> Result<Usage> {
        self.ensure_running()?;
        usage::of_process(self.child.id())
    }

    /// # Errors
    /// It has ended; the message has the reason.
    pub(super) fn ensure_running(&mut self) -> Result<()> {
        let ended = self.child.try_wait().context("looking after a collector")?;
        ensure!(ended.is_none(), "the collector ended by itself ({ended:?}); {}", self.last_words());
        Ok(())
    }

    /// Stops it, and returns how long that took.
    pub(super) fn stop(mut self) -> Result<Duration> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("a child has a process id")?;
        let asked = Instant::now();
        kill_process(pid, Signal::TERM).context("asking a collector to stop")?;
        while self.child.try_wait().context("waiting for a collector")?.is_none() {
            ensure!(asked.elapsed() < LONGEST_STOP, "the collector does not stop; {}", self.last_words());
            thread::sleep(Duration::from_millis(2));
        }
        Ok(asked.elapsed())
    }

    /// The end of its log, and where all of it is kept: for errors.
    pub(super) fn last_words(&self) -> String {
        let log = self.kept_log();
        format!("the end of {}:\n{}", log.display(), end_of(&log))
    }

    /// The log's name: where it is copied to, as the directory goes with the run.
    fn kept_log(&self) -> PathBuf {
        let kept = std::env::temp_dir().join("lab-bench-collector.log");
        match fs::copy(&self.log, &kept) {
            Ok(_) => kept,
            Err(_) => self.log.clone(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // If it was stopped before, it has ended, and both calls return an error.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
