//! The real program, as a child process whose log can be read.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::{Stopwatch, assert_no_secret, wait_for, wait_with_pauses_up_to};

/// How exactly the time is known that a collector took to end.
const NOTICED_WITHIN: Duration = Duration::from_millis(10);

/// The variable by which a collector that was built for tests does more often what it does by itself.
pub(crate) const PACE: &str = "TEST_PACE";

/// The program under test, with nothing of the tester's own configuration in its environment.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_powa-collector"));
    command.stdin(Stdio::null());
    for name in [PACE, "RUST_LOG", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "JOURNAL_STREAM", "CLICOLOR_FORCE"]
    {
        command.env_remove(name);
    }
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PG") || name.starts_with("POWA_COLLECTOR")) {
        command.env_remove(name);
    }
    command
}

/// Runs a program that is to end by itself, and soon.
pub(crate) fn output(program: &Command) -> Output {
    let output = bounded(program, "timeout", &["60"]).stdin(Stdio::null()).output().unwrap();
    assert_ne!(output.status.code(), Some(124), "it goes on:\n{}", String::from_utf8_lossy(&output.stderr));
    output
}

/// The same program, started by another one that sees to its end.
pub(super) fn bounded(program: &Command, starter: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(starter);
    command.args(arguments).arg(program.get_program()).args(program.get_args());
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    if let Some(directory) = program.get_current_dir() {
        command.current_dir(directory);
    }
    command
}

/// A running collector. It is ended with the test.
pub(crate) struct Collector {
    child: Mutex<Child>,
    log: Mutex<Log>,
}

/// What the program has written to standard error. It is a file: what was written before somebody looks is there when
/// somebody looks, however busy the machine is.
struct Log {
    file: File,
    lines: Vec<String>,
    /// The beginning of a line whose end has not been read yet.
    rest: Vec<u8>,
}

impl Log {
    /// An empty one, and where to write it.
    fn new() -> (Self, File) {
        let file = tempfile::NamedTempFile::new().unwrap();
        // A position of its own for each.
        let written = File::options().append(true).open(file.path()).unwrap();
        (Self { file: file.into_file(), lines: Vec::new(), rest: Vec::new() }, written)
    }

    /// All lines that have been written so far.
    fn lines(&mut self) -> &[String] {
        self.file.read_to_end(&mut self.rest).unwrap();
        if let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') {
            let rest = self.rest.split_off(end + 1);
            let complete = String::from_utf8_lossy(&self.rest);
            self.lines.extend(complete.lines().map(String::from));
            self.rest = rest;
        }
        &self.lines
    }

    /// The first line that holds a text, from the line with that number on. Afterwards it is the number of the next line
    /// to come.
    fn find(&mut self, text: &str, from: &mut usize) -> Option<String> {
        let lines = self.lines();
        let found = lines[*from..].iter().find(|line| line.contains(text)).cloned();
        *from = lines.len();
        found
    }
}

impl Collector {
    pub(crate) fn start(config: &Path) -> Self {
        let mut command = program();
        command.arg("-c").arg(config);
        Self::run(command)
    }

    pub(crate) fn run(program: Command) -> Self {
        // It is ended with the tests too, however they end.
        let mut command = bounded(&program, "setpriv", &["--pdeathsig", "KILL"]);
        let (log, written) = Log::new();
        let child = command.stdin(Stdio::null()).stderr(written).spawn().unwrap();
        Self { child: Mutex::new(child), log: Mutex::new(log) }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.lock().unwrap().id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    }

    /// Memory in use, in kB.
    pub(crate) fn resident(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// The most memory that it has had so far, in kB.
    pub(crate) fn peak_memory(&self) -> u64 {
        self.status("VmHWM:")
    }

    /// Threads that it has now.
    pub(crate) fn threads(&self) -> u64 {
        self.status("Threads:")
    }

    fn status(&self, kind: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(kind)).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// All lines so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().lines().to_vec()
    }

    /// The lines so far that hold a text.
    pub(crate) fn logged(&self, text: &str) -> Vec<String> {
        self.log.lock().unwrap().lines().iter().filter(|line| line.contains(text)).cloned().collect()
    }

    pub(crate) fn wait_for_log(&self, text: &str) -> String {
        // Lines that have been searched need not be searched again.
        let mut searched = 0;
        wait_for(&format!("the collector to say {text:?}"), || {
            let has_ended = !self.is_running();
            let message = self.log.lock().unwrap().find(text, &mut searched);
            assert!(message.is_some() || !has_ended, "the collector ended:\n{}", self.log().join("\n"));
            message
        })
    }

    pub(crate) fn is_running(&self) -> bool {
        self.child.lock().unwrap().try_wait().unwrap().is_none()
    }

    /// Waits for the end, after which all of the log is there, and tells how long it took.
    pub(crate) fn wait(&self) -> (ExitStatus, Duration) {
        let stopwatch = Stopwatch::start();
        let status = wait_with_pauses_up_to(NOTICED_WITHIN, "the collector's end", || {
            self.child.lock().unwrap().try_wait().unwrap()
        });
        let took = stopwatch.elapsed();
        (status, took)
    }

    /// Asks it to stop, and makes sure that it does so in good order.
    pub(crate) fn stop(&self) {
        self.signal(Signal::TERM);
        let (status, _) = self.wait();
        assert!(status.success(), "{status}, after:\n{}", self.log().join("\n"));
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap();
        if child.try_wait().unwrap().is_none() {
            // Also one that is stopped by a signal.
            child.kill().unwrap();
            child.wait().unwrap();
        }
        let log = self.log.get_mut().unwrap_or_else(PoisonError::into_inner).lines();
        if std::thread::panicking() {
            eprintln!("the collector's log:\n{}", log.join("\n"));
        }
        assert_no_secret("the log", log.iter().map(String::as_str));
    }
}
