//! Ends a server and removes its directory when the process that started it has ended, even by SIGKILL.
//!
//! A shell process (`guard.sh`) reads from a pipe that this process holds open. The kernel closes the pipe whichever
//! way this process ends; the guard reads the end of its input and cleans up.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, ensure};

/// The owner of one server process and of the directory with its data. Dropping it ends both.
#[derive(Debug)]
pub(crate) struct Guard {
    process: Child,
    /// The only write end: Rust opens its pipes so that no other child inherits them.
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Guard {
    /// Watches over `directory` from now on; `server` is what [`start`](Guard::start) will run.
    pub(crate) fn over(directory: &Path, log: &Path, server: &Command) -> Result<Guard> {
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", include_str!("guard.sh"), "guard"])
            .arg(directory)
            .arg(log)
            .arg(server.get_program())
            .args(server.get_args())
            .env_clear()
            .envs(server.get_envs().filter_map(|(name, value)| Some((name, value?))))
            .current_dir("/")
            // The terminal's Ctrl-C and the killing of a test's process group must reach neither guard nor server.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Whoever reads this process's output must not have to wait for the guard's end.
            .stderr(Stdio::null());
        let mut process = command.spawn().context("starting a server's guard with /bin/sh")?;
        let requests = process.stdin.take();
        let answers = process.stdout.take().expect("the guard's standard output is piped");
        Ok(Guard { process, requests, answers: BufReader::new(answers) })
    }

    /// Starts the server and returns its process id at once; whether it comes up is another question.
    pub(crate) fn start(&mut self, port: u16) -> Result<u32> {
        let answer = self.ask(&format!("start {port}"))?;
        answer.parse().with_context(|| format!("the guard answered {answer:?} instead of a process id"))
    }

    /// Sends `signal` to the server and waits for its end. The data stay, for another start.
    pub(crate) fn stop(&mut self, signal: &str) -> Result<()> {
        let answer = self.ask(&format!("stop {signal}"))?;
        ensure!(answer == "stopped", "the guard answered {answer:?} instead of stopping");
        Ok(())
    }

    fn ask(&mut self, request: &str) -> Result<String> {
        let requests = self.requests.as_mut().expect("requests are open until the guard is dropped");
        writeln!(requests, "{request}").context("asking a server's guard")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer).context("hearing from a server's guard")?;
        Ok(answer.trim_end().to_owned())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.requests.take());
        // Nothing to be done about a guard that can't be waited for; it cleans up all the same.
        let _ = self.process.wait();
    }
}
