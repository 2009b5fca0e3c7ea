//! The state of a worker as a JSON object, for the command `WORKERS_DETAIL` and for HTTP. Pure.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::control::timestamp;
use crate::snapshot::Report;
use crate::worker::WorkerDetail;
use session::on_one_line;

/// The longest texts in bytes: the object of one server has to fit into a notification, however its quotes are escaped.
const MAX_NAME_BYTES: usize = 300;
const MAX_TROUBLE_BYTES: usize = 1000;
const MAX_ERROR_BYTES: usize = 500;

/// The most errors of a snapshot in the object. The others are counted.
const MAX_ERRORS: usize = 3;

/// The state of one worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Detail {
    /// The name of the server.
    pub name: String,
    /// The status, as in `WORKERS_STATUS`.
    pub status: String,
    /// What the worker is doing.
    pub phase: String,
    /// Seconds from one snapshot to the next.
    pub frequency: u64,
    /// The fields of the schedule that takes the place of the frequency, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// The time zone of the schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// Until when nothing is collected, because of a pause or the start of the schedule.
    #[serde(default, with = "timestamp", skip_serializing_if = "Option::is_none")]
    pub paused_until: Option<SystemTime>,
    /// Why the schedule or the pause has no effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invalid_schedule: Option<String>,
    /// When the worker takes the next snapshot, or retries after a failure.
    #[serde(with = "timestamp")]
    pub next: Option<SystemTime>,
    /// When the last snapshot in the repository was begun.
    #[serde(with = "timestamp")]
    pub last: Option<SystemTime>,
    /// The last snapshot that this run of the daemon has stored.
    pub snapshot: Option<SnapshotFigures>,
    /// The error that prevents snapshots.
    pub trouble: Option<String>,
    /// Why the server is excluded: `standby`. Missing in older daemons.
    #[serde(default)]
    pub left_out: Option<String>,
    /// Snapshots that were not taken because the server was excluded, since the worker was started.
    #[serde(default)]
    pub times_left_out: u64,
    /// Snapshots stored since the worker was started.
    pub taken: u64,
    /// Failures since the worker was started.
    pub failures: u64,
}

/// The counts, times and errors of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SnapshotFigures {
    /// Datasources whose rows were stored.
    pub datasources: usize,
    pub rows: u64,
    /// Bytes of the rows, in the text format of COPY.
    pub bytes: u64,
    pub collect_ms: u64,
    pub load_ms: u64,
    /// The first errors of datasources that failed.
    pub errors: Vec<String>,
    /// The number of further errors.
    pub more_errors: usize,
}

impl Detail {
    /// The JSON object of a worker.
    pub(crate) fn of(worker: &WorkerDetail) -> Self {
        let progress = &worker.progress;
        let timing = worker.timing.as_deref();
        let cron = timing.and_then(|timing| timing.cron.as_ref());
        Self {
            name: shorten(&worker.name, MAX_NAME_BYTES),
            status: worker.status.to_string(),
            phase: progress.phase.to_string(),
            frequency: worker.frequency.as_secs(),
            schedule: cron.map(|cron| cron.text().to_owned()),
            time_zone: cron.map(|cron| cron.zone_name().to_owned()),
            paused_until: worker.quiet_until(SystemTime::now()),
            invalid_schedule: timing
                .and_then(|timing| timing.invalid.as_ref())
                .map(|invalid| shorten(&invalid.to_string(), MAX_ERROR_BYTES)),
            next: progress.next,
            last: progress.last,
            snapshot: progress.report.as_deref().map(SnapshotFigures::of),
            trouble: progress.error.as_deref().map(|trouble| shorten(trouble, MAX_TROUBLE_BYTES)),
            left_out: progress.excluded.map(|left_out| left_out.to_string()),
            times_left_out: progress.times_excluded,
            taken: progress.taken,
            failures: progress.failures,
        }
    }

    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("its keys are texts")
    }
}

impl SnapshotFigures {
    fn of(report: &Report) -> Self {
        let errors: Vec<_> =
            report.errors.iter().take(MAX_ERRORS).map(|error| shorten(error, MAX_ERROR_BYTES)).collect();
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

fn shorten(text: &str, max_bytes: usize) -> String {
    let line = on_one_line(text);
    match line.floor_char_boundary(max_bytes) {
        end if end < line.len() => format!("{}...", &line[..end]),
        _ => line.into_owned(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::schedule::{InvalidRow, Timing};
    use crate::worker::detail::Progress;
    use crate::worker::{Phase, Status};

    pub(crate) fn worker(name: &str, error: &str) -> WorkerDetail {
        let report = Report { datasources: 9, rows: 100, errors: vec![error.into(); 200], ..Report::default() };
        let progress = Progress {
            phase: Phase::Collecting,
            next: Some(SystemTime::UNIX_EPOCH + Duration::from_millis(1_800_000_000_123)),
            report: Some(Arc::new(report)),
            error: Some(error.into()),
            taken: 7,
            ..Progress::default()
        };
        WorkerDetail {
            name: name.into(),
            alias: None,
            address: format!("{name}:5432"),
            frequency: Duration::from_secs(300),
            timing: None,
            status: Status::Running,
            progress,
        }
    }

    #[test]
    fn what_is_told_is_read_as_it_was() {
        let detail = Detail::of(&worker("db1:5432", "it \"failed\""));
        let json = detail.to_json();
        assert!(json.contains(r#""next":"2027-01-15T08:00:00.123Z","last":null"#), "{json}");
        assert_eq!(serde_json::from_str::<Detail>(&json).unwrap(), detail);
        let snapshot = detail.snapshot.unwrap();
        assert_eq!((snapshot.errors.len(), snapshot.more_errors), (MAX_ERRORS, 197));
    }

    #[test]
    fn whatever_others_say_one_server_fits_into_a_notification() {
        for c in ["\"", "\\", "é", "\u{1}", "\n", "\u{10ffff}"] {
            let invalid = InvalidRow::new(1, "cron", c.repeat(5000));
            let timing = Some(Arc::new(Timing::unreadable(invalid)));
            let worker = WorkerDetail { timing, ..worker(&c.repeat(5000), &c.repeat(5000)) };
            let json = Detail::of(&worker).to_json();
            assert!(json.len() < 7_800, "{}: {c:?}", json.len());
        }
    }
}
