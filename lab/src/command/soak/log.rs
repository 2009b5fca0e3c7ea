//! Follows the collector's log: keeps it in a file, and counts what the judgement needs.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use anyhow::Context;
use lab::Result;

/// The log of a running collector.
pub(super) struct Log {
    summary: Arc<Mutex<LogSummary>>,
    reader: JoinHandle<()>,
}

/// What the judgement needs of the log.
#[derive(Clone, Default)]
pub(super) struct LogSummary {
    /// The number of snapshots that were stored, by server.
    pub taken: BTreeMap<i32, i64>,
    /// The number of snapshots that were collected and lost, by server.
    pub lost: BTreeMap<i32, i64>,
    /// Warnings, errors, and lines that do not have the log's format.
    pub loud: Vec<Loud>,
    /// The number of tasks, each time that it was logged.
    pub tasks: Vec<u64>,
}

#[derive(Clone)]
pub(super) struct Loud {
    pub at: Instant,
    pub server: Option<i32>,
    pub line: String,
}

impl Log {
    /// Reads until the collector ends.
    pub(super) fn read(stream: impl Read + Send + 'static, file: &Path) -> Result<Log> {
        let mut file = File::create(file).with_context(|| format!("making {}", file.display()))?;
        let summary = Arc::<Mutex<LogSummary>>::default();
        let updated = Arc::clone(&summary);
        let reader = thread::Builder::new()
            .name("log".into())
            .spawn(move || {
                let mut stream = BufReader::new(stream);
                let mut line = Vec::new();
                while stream.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
                    // A full disk must not look like a collector that hangs.
                    let _ = file.write_all(&line);
                    lock(&updated).add(String::from_utf8_lossy(&line).trim_end());
                    line.clear();
                }
            })
            .context("starting the thread that reads the log")?;
        Ok(Log { summary, reader })
    }

    pub(super) fn so_far(&self) -> LogSummary {
        lock(&self.summary).clone()
    }

    /// The whole log, after the collector has ended.
    pub(super) fn into_all(self) -> LogSummary {
        // A panic of the reader has been printed; what it has read counts.
        let _ = self.reader.join();
        lock(&self.summary).clone()
    }
}

fn lock(summary: &Mutex<LogSummary>) -> MutexGuard<'_, LogSummary> {
    summary.lock().unwrap_or_else(PoisonError::into_inner)
}

impl LogSummary {
    fn add(&mut self, line: &str) {
        let (level, rest) = parts(line).unwrap_or(("", line));
        let server = server_of(rest);
        if let (Some(server), true) = (server, rest.contains("}: snapshot taken ")) {
            *self.taken.entry(server).or_default() += 1;
        }
        if let (Some(server), true) = (server, level != "DEBUG" && rest.contains(" are lost")) {
            *self.lost.entry(server).or_default() += 1;
        }
        if let Some((_, tasks)) = rest.split_once("alive_tasks=") {
            let digits = tasks.split(|c: char| !c.is_ascii_digit()).next();
            self.tasks.extend(digits.and_then(|digits| digits.parse::<u64>().ok()));
        }
        if !["INFO", "DEBUG"].contains(&level) {
            self.loud.push(Loud { at: Instant::now(), server, line: line.to_owned() });
        }
    }
}

/// The level, and what comes after it.
fn parts(line: &str) -> Option<(&str, &str)> {
    let (time, rest) = line.split_once(' ')?;
    let (level, rest) = rest.trim_start().split_once(' ')?;
    let is_one = ["ERROR", "WARN", "INFO", "DEBUG"].contains(&level);
    (is_one && time.ends_with('Z')).then_some((level, rest))
}

/// The server of a line: the span begins with its id, or the id is a field of a line about a worker.
fn server_of(rest: &str) -> Option<i32> {
    let after = match rest.strip_prefix("server{id=") {
        Some(after) => after,
        None if rest.starts_with("server ") || rest.starts_with("worker ") => rest.split_once(" id=")?.1,
        None => return None,
    };
    after.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_has_the_relevant_lines() {
        let mut summary = LogSummary::default();
        for line in [
            "2026-11-21T08:00:04.128Z  INFO server{id=7 name=\"s07\"}: snapshot taken datasources=4 rows=1 errors=0",
            "2026-11-21T08:00:04.128Z  INFO server changed id=8 name=\"snapshot taken \"",
            "2026-11-21T08:00:05.128Z  WARN server{id=7 name=\"s07\"}: the 1 rows of 2 datasources are lost",
            "2026-11-21T08:00:05.128Z  WARN worker did not end in time id=12 name=\"s12\"",
            "2026-11-21T08:00:05.128Z ERROR commands: connection to the repository server lost id=3",
            "2026-11-21T08:00:05.128Z DEBUG reloaded alive_tasks=61",
            "thread 'main' panicked",
        ] {
            summary.add(line);
        }
        assert_eq!(summary.taken, BTreeMap::from([(7, 1)]));
        assert_eq!(summary.lost, BTreeMap::from([(7, 1)]));
        assert_eq!(summary.tasks, [61]);
        let servers: Vec<_> = summary.loud.iter().map(|loud| loud.server).collect();
        assert_eq!(servers, [Some(7), Some(12), None, None]);
    }
}
