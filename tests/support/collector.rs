//! The real program, as a child process whose log can be read.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::wait_for;

/// The program under test, with nothing of the tester's own configuration in its environment.
pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_powa-collector"));
    command.env_remove("RUST_LOG").stdin(Stdio::null());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PG") || name.starts_with("POWA_COLLECTOR")) {
        command.env_remove(name);
    }
    command
}

/// A running collector. It is ended with the test.
pub struct Collector {
    child: Mutex<Child>,
    log: Arc<Mutex<Vec<String>>>,
}

impl Collector {
    pub fn start(config: &Path) -> Self {
        let mut command = program();
        command.arg("-c").arg(config);
        Self::run(command)
    }

    pub fn run(program: Command) -> Self {
        // It is ended with the tests too, however they end.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(program.get_program()).args(program.get_args());
        for (name, value) in program.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let log = Arc::<Mutex<Vec<String>>>::default();
        let written = Arc::clone(&log);
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| written.lock().unwrap().push(line)));
        Self { child: Mutex::new(child), log }
    }

    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.lock().unwrap().id()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
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
            assert!(self.is_running(), "the collector ended:\n{}", self.log().join("\n"));
            self.said(text).into_iter().next()
        })
    }

    pub fn is_running(&self) -> bool {
        self.child.lock().unwrap().try_wait().unwrap().is_none()
    }

    /// Waits for the end, and tells how long it took.
    pub fn wait(&self) -> (ExitStatus, Duration) {
        let started = Instant::now();
        let status = wait_for("the collector's end", || self.child.lock().unwrap().try_wait().unwrap());
        (status, started.elapsed())
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
        if std::thread::panicking() {
            eprintln!("the collector's log:\n{}", self.log.lock().unwrap().join("\n"));
        }
    }
}
