//! A socket that receives what a service sends to systemd.

use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::PATIENCE;

/// Hears what one collector says.
pub(crate) struct ServiceManager {
    socket: UnixDatagram,
    directory: TempDir,
}

impl ServiceManager {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(directory.path().join("notify")).unwrap();
        Self { socket, directory }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("notify")
    }

    /// The program as this manager would start it. It expects a sign of life in each such time.
    pub(crate) fn starts(&self, program: &mut Command, watchdog: Duration) {
        program.env("NOTIFY_SOCKET", self.path()).env("WATCHDOG_USEC", watchdog.as_micros().to_string());
    }

    /// What is said next, within a time.
    pub(crate) fn hear_within(&self, patience: Duration) -> Option<String> {
        self.socket.set_read_timeout(Some(patience)).unwrap();
        let mut room = [0; 4096];
        match self.socket.recv(&mut room) {
            Ok(length) => Some(String::from_utf8(room[..length].into()).unwrap()),
            Err(error) if [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()) => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// What is said next, but for signs of life.
    pub(crate) fn hear(&self) -> String {
        let since = Instant::now();
        loop {
            let message = self.hear_within(PATIENCE).expect("something is said");
            if message != "WATCHDOG=1\n" {
                return message;
            }
            assert!(since.elapsed() < PATIENCE, "nothing is said but signs of life");
        }
    }

    /// Waits for something that is said; whatever comes before is of no interest.
    pub(crate) fn wait_for(&self, beginning: &str) -> String {
        let since = Instant::now();
        let mut all = vec![];
        while since.elapsed() < PATIENCE {
            let message = self.hear_within(PATIENCE).unwrap_or_else(|| panic!("no {beginning:?} after {all:?}"));
            if message.starts_with(beginning) {
                return message;
            }
            all.push(message);
        }
        panic!("no {beginning:?} among {all:?}");
    }

    /// Takes what has been said so far, and how many signs of life were among it.
    pub(crate) fn signs_of_life_so_far(&self) -> usize {
        let message = std::iter::from_fn(|| self.hear_within(Duration::from_millis(1)));
        message.filter(|message| message == "WATCHDOG=1\n").count()
    }
}
