//! What does the collector's log tell? It is kept in a file; what is judged later is picked out as it is written.

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
    output: Arc<Mutex<Told>>,
    reader: JoinHandle<()>,
}

/// What was picked out.
#[derive(Clone, Default)]
pub(super) struct Told {
    /// Lines that say that a snapshot is in the repository, by server.
    pub taken: BTreeMap<i32, i64>,
    /// Lines that say that what was collected is lost, by server.
    pub lost: BTreeMap<i32, i64>,
    /// Warnings, errors, and what is no line of a log at all.
    pub loud: Vec<Loud>,
    /// How many tasks there were, each time that it was said.
    pub tasks: Vec<u64>,
}

#[derive(Clone)]
pub(super) struct Loud {
    pub at: Instant,
    pub server: Option<i32>,
    pub line: String,
}

impl Log {
    /// Reads to the end, which is the collector's.
    pub(super) fn read(stream: impl Read + Send + 'static, file: &Path) -> Result<Log> {
        let mut file = File::create(file).with_context(|| format!("making {}", file.display()))?;
        let output = Arc::<Mutex<Told>>::default();
        let telling = Arc::clone(&output);
        let reader = thread::Builder::new()
            .name("log".into())
            .spawn(move || {
                let mut stream = BufReader::new(stream);
                let mut line = Vec::new();
                while stream.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
                    // A full disk must not look like a collector that hangs.
                    let _ = file.write_all(&line);
                    lock(&telling).hear(String::from_utf8_lossy(&line).trim_end());
                    line.clear();
                }
            })
            .context("starting the thread that reads the log")?;
        Ok(Log { output, reader })
    }

    pub(super) fn so_far(&self) -> Told {
        lock(&self.output).clone()
    }

    /// All of it, once the collector has ended.
    pub(super) fn into_all(self) -> Told {
        // A reader that panicked has said so; what it has told counts.
        let _ = self.reader.join();
        lock(&self.output).clone()
    }
}

fn lock(output: &Mutex<Told>) -> MutexGuard<'_, Told> {
    output.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Told {
    fn hear(&mut self, line: &str) {
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

/// Whom it is about: the span begins with it, or it is a field of a line about a worker.
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
    fn what_counts_is_picked_out() {
        let mut output = Told::default();
        for line in [
            "2026-11-21T08:00:04.128Z  INFO server{id=7 name=\"s07\"}: snapshot taken datasources=4 rows=1 errors=0",
            "2026-11-21T08:00:04.128Z  INFO server changed id=8 name=\"snapshot taken \"",
            "2026-11-21T08:00:05.128Z  WARN server{id=7 name=\"s07\"}: the 1 rows of 2 datasources are lost",
            "2026-11-21T08:00:05.128Z  WARN worker did not end in time id=12 name=\"s12\"",
            "2026-11-21T08:00:05.128Z ERROR commands: connection to the repository server lost id=3",
            "2026-11-21T08:00:05.128Z DEBUG reloaded alive_tasks=61",
            "thread 'main' panicked",
        ] {
            output.hear(line);
        }
        assert_eq!(output.taken, BTreeMap::from([(7, 1)]));
        assert_eq!(output.lost, BTreeMap::from([(7, 1)]));
        assert_eq!(output.tasks, [61]);
        let servers: Vec<_> = output.loud.iter().map(|loud| loud.server).collect();
        assert_eq!(servers, [Some(7), Some(12), None, None]);
    }
}
