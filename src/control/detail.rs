//! What the daemon tells of a worker to those who want more than its status: a JSON object, on the command channel and
//! wherever else it is shown. Pure.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::one_line::on_one_line;
use crate::snapshot::Report;
use crate::timestamp;
use crate::worker::Account;

/// Bytes of texts that others have a say in: one server has to fit into a notification, however its quotes are escaped.
const LONGEST_NAME: usize = 300;
const LONGEST_TROUBLE: usize = 1000;
const LONGEST_ERROR: usize = 500;

/// As many errors of the last snapshot are told; the others are counted.
const MOST_ERRORS: usize = 3;

/// One worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detail {
    /// What the server is called.
    pub name: String,
    /// As `WORKERS_STATUS` tells it.
    pub status: String,
    /// What the worker is about just now.
    pub phase: String,
    /// Seconds from one snapshot to the next.
    pub frequency: u64,
    /// When it does something next: takes a snapshot, or tries again what failed.
    #[serde(with = "timestamp")]
    pub next: Option<SystemTime>,
    /// When the last snapshot that is in the repository was begun.
    #[serde(with = "timestamp")]
    pub last: Option<SystemTime>,
    /// The last one that this run of the daemon has stored.
    pub snapshot: Option<Taken>,
    /// What is in the way.
    pub trouble: Option<String>,
    /// Snapshots stored since the worker was started.
    pub taken: u64,
    /// How often something was in the way since then.
    pub failures: u64,
}

/// The figures of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// That gave rows which were not refused.
    pub datasources: usize,
    pub rows: u64,
    /// In the text format of COPY.
    pub bytes: u64,
    pub collect_ms: u64,
    pub load_ms: u64,
    /// The first of what failed, the snapshot notwithstanding.
    pub errors: Vec<String>,
    /// How many more failed.
    pub more_errors: usize,
}

impl Detail {
    /// What is told of an account.
    pub fn of(account: &Account) -> Self {
        let progress = &account.progress;
        Self {
            name: told(&account.name, LONGEST_NAME),
            status: account.status.to_string(),
            phase: progress.phase.to_string(),
            frequency: account.frequency.as_secs(),
            next: progress.next,
            last: progress.last,
            snapshot: progress.report.as_deref().map(Taken::of),
            trouble: progress.trouble.as_deref().map(|trouble| told(trouble, LONGEST_TROUBLE)),
            taken: progress.taken,
            failures: progress.failures,
        }
    }

    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("its keys are texts")
    }
}

impl Taken {
    fn of(report: &Report) -> Self {
        let errors: Vec<_> = report.errors.iter().take(MOST_ERRORS).map(|error| told(error, LONGEST_ERROR)).collect();
        Self {
            datasources: report.datasources,
            rows: report.rows,
            bytes: report.bytes,
            collect_ms: report.collect_ms(),
            load_ms: report.load_ms(),
            more_errors: report.errors.len() - errors.len(),
            errors,
        }
    }
}

fn told(text: &str, longest: usize) -> String {
    let line = on_one_line(text);
    match line.floor_char_boundary(longest) {
        end if end < line.len() => format!("{}...", &line[..end]),
        _ => line.into_owned(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::worker::{Phase, Progress, Status};

    pub fn account(name: &str, error: &str) -> Account {
        let report = Report { datasources: 9, rows: 100, errors: vec![error.into(); 200], ..Report::default() };
        let progress = Progress {
            phase: Phase::Collecting,
            next: Some(SystemTime::UNIX_EPOCH + Duration::from_millis(1_800_000_000_123)),
            report: Some(Arc::new(report)),
            trouble: Some(error.into()),
            taken: 7,
            ..Progress::default()
        };
        Account { name: name.into(), frequency: Duration::from_secs(300), status: Status::Running, progress }
    }

    #[test]
    fn what_is_told_is_read_as_it_was() {
        let detail = Detail::of(&account("db1:5432", "it \"failed\""));
        let json = detail.to_json();
        assert!(json.contains(r#""next":"2027-01-15T08:00:00.123Z","last":null"#), "{json}");
        assert_eq!(serde_json::from_str::<Detail>(&json).unwrap(), detail);
        let snapshot = detail.snapshot.unwrap();
        assert_eq!((snapshot.errors.len(), snapshot.more_errors), (MOST_ERRORS, 197));
    }

    #[test]
    fn whatever_others_say_one_server_fits_into_a_notification() {
        for c in ["\"", "\\", "é", "\u{1}", "\n", "\u{10ffff}"] {
            let json = Detail::of(&account(&c.repeat(5000), &c.repeat(5000))).to_json();
            assert!(json.len() < 7_800, "{}: {c:?}", json.len());
        }
    }
}
