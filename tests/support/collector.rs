//! The real program, as a child process whose log can be read.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::{Stopwatch, assert_no_secret, wait_for};

/// The program under test, with nothing of the tester's own configuration in its environment.
pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_powa-collector"));
    command.stdin(Stdio::null());
    for name in ["RUST_LOG", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "JOURNAL_STREAM", "CLICOLOR_FORCE"] {
        command.env_remove(name);
    }
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PG") || name.starts_with("POWA_COLLECTOR")) {
        command.env_remove(name);
    }
    command
}

/// Runs a program that is to end by itself, and soon.
pub fn output(program: &Command) -> Output {
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
    if let Some(folder) = program.get_current_dir() {
        command.current_dir(folder);
    }
    command
}

/// A running collector. It is ended with the test.
pub struct Collector {
    child: Mutex<Child>,
    log: Arc<Mutex<Vec<String>>>,
    /// Ends with the log.
    reader: Mutex<Option<JoinHandle<()>>>,
}

impl Collector {
    pub fn start(config: &Path) -> Self {
        let mut command = program();
        command.arg("-c").arg(config);
        Self::run(command)
    }

    pub fn run(program: Command) -> Self {
        // It is ended with the tests too, however they end.
        let mut command = bounded(&program, "setpriv", &["--pdeathsig", "KILL"]);
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let log = Arc::<Mutex<Vec<String>>>::default();
        let written = Arc::clone(&log);
        let read = move || lines.map_while(Result::ok).for_each(|line| written.lock().unwrap().push(line));
        let reader = Mutex::new(Some(std::thread::spawn(read)));
        Self { child: Mutex::new(child), log, reader }
    }

    pub fn pid(&self) -> u32 {
        self.child.lock().unwrap().id()
    }

    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    }

    /// Memory in use, in kB.
    pub fn resident(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The most memory that it has had so far, in kB.
    pub fn peak_memory(&self) -> u64 {
        self.memory("VmHWM:")
    }

    fn memory(&self, kind: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(kind)).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// All lines so far.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// The lines so far that hold a text.
    pub fn said(&self, text: &str) -> Vec<String> {
        self.log().into_iter().filter(|line| line.contains(text)).collect()
    }

    pub fn wait_to_say(&self, text: &str) -> String {
        wait_for(&format!("the collector to say {text:?}"), || {
            let has_ended = !self.is_running();
            if has_ended {
                self.read_to_the_end();
            }
            let said = self.said(text).into_iter().next();
            assert!(said.is_some() || !has_ended, "the collector ended:\n{}", self.log().join("\n"));
            said
        })
    }

    pub fn is_running(&self) -> bool {
        self.child.lock().unwrap().try_wait().unwrap().is_none()
    }

    /// Waits for the end, after which all of the log is there, and tells how long it took.
    pub fn wait(&self) -> (ExitStatus, Duration) {
        let stopwatch = Stopwatch::start();
        let status = wait_for("the collector's end", || self.child.lock().unwrap().try_wait().unwrap());
        let took = stopwatch.elapsed();
        self.read_to_the_end();
        (status, took)
    }

    /// What was written last may still be on its way when the process has gone.
    fn read_to_the_end(&self) {
        if let Some(reader) = self.reader.lock().unwrap().take() {
            reader.join().unwrap();
        }
    }

    /// Asks it to stop, and makes sure that it does so in good order.
    pub fn stop(&self) {
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
        self.read_to_the_end();
        let log = self.log.lock().unwrap();
        if std::thread::panicking() {
            eprintln!("the collector's log:\n{}", log.join("\n"));
        }
        assert_no_secret("the log", log.iter().map(String::as_str));
    }
}
