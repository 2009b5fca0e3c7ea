//! The state of a worker, as status commands, metrics and the page show it.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::Status;
use crate::schedule::Timing;
use crate::snapshot::Report;

/// How late a snapshot may be before it counts as overdue.
const GRACE: Duration = Duration::from_secs(10);

/// What a worker is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Waiting until a snapshot is due.
    #[default]
    Idle,
    /// Connecting and preparing for snapshots, or waiting for a permit to do so.
    Connecting,
    /// Waiting for a collect permit.
    WaitingToCollect,
    /// Reading a snapshot from the server.
    Collecting,
    /// Waiting for a permit to load a collected snapshot.
    WaitingToLoad,
    /// Writing a collected snapshot to the repository.
    Loading,
}

impl Phase {
    /// All phases, in the order in which a snapshot goes through them.
    pub(crate) const ALL: [Self; 6] =
        [Self::Idle, Self::Connecting, Self::WaitingToCollect, Self::Collecting, Self::WaitingToLoad, Self::Loading];
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Idle => "idle",
            Self::Connecting => "connecting",
            Self::WaitingToCollect => "waiting to collect",
            Self::Collecting => "collecting",
            Self::WaitingToLoad => "waiting to load",
            Self::Loading => "loading",
        })
    }
}

/// Why a server is deliberately not collected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExclusionReason {
    /// It is a standby, and `collect.standby` is `false`.
    Standby,
}

impl fmt::Display for ExclusionReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Standby => f.write_str("standby"),
        }
    }
}

/// The state of a worker at one moment.
#[derive(Clone, Debug)]
pub(crate) struct WorkerDetail {
    /// The name of the server in logs and on the page.
    pub name: String,
    pub alias: Option<String>,
    /// `host:port`.
    pub address: String,
    /// Time from one snapshot to the next.
    pub frequency: Duration,
    /// Its schedule and pause, if it has any.
    pub timing: Option<Arc<Timing>>,
    pub status: Status,
    pub progress: Progress,
}

impl WorkerDetail {
    /// Whether a snapshot is overdue. Counts from the start of the worker if there is no snapshot yet; never true for a server
    /// that is excluded.
    pub(crate) fn is_overdue(&self, now: SystemTime) -> bool {
        if self.progress.excluded.is_some() {
            return false;
        }
        let since = self.progress.last.or(self.progress.started);
        since.is_some_and(|since| is_overdue(since, now, self.frequency, self.timing.as_deref()))
    }

    /// Whether a snapshot is stored that was started at or after a time. False as long as this worker has stored none: of a
    /// snapshot from before, only the time of its load is known, which is later than its start.
    pub(crate) fn has_snapshot_since(&self, time: SystemTime) -> bool {
        self.progress.taken > 0 && self.progress.last.is_some_and(|last| last >= time)
    }

    /// Until when nothing is collected, because of a start or a pause; `None` if there is none.
    pub(crate) fn quiet_until(&self, now: SystemTime) -> Option<SystemTime> {
        self.timing.as_ref()?.quiet_until(now)
    }
}

/// Whether a snapshot is overdue, given the time of the last one: more than two frequencies and 10 s have passed since, or
/// with a schedule, the second due time and 10 s. The time until a start or the end of a pause does not count.
pub(crate) fn is_overdue(last: SystemTime, now: SystemTime, frequency: Duration, timing: Option<&Timing>) -> bool {
    let second = match timing {
        None => last.checked_add(frequency.saturating_mul(2)),
        Some(timing) => match timing.next_after(Some(last)) {
            Some(next) => timing.next_after(Some(next)),
            None => last.max(timing.not_before().unwrap_or(last)).checked_add(frequency.saturating_mul(2)),
        },
    };
    second.and_then(|second| second.checked_add(GRACE)).is_some_and(|latest| now > latest)
}

/// The part of a worker's state that the worker itself updates.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    pub phase: Phase,
    /// When the worker was created.
    pub started: Option<SystemTime>,
    /// When the worker takes the next snapshot, or retries after a failure. `None` if not known yet.
    pub next: Option<SystemTime>,
    /// When the last snapshot in the repository was begun, if known.
    pub last: Option<SystemTime>,
    /// The last snapshot that this worker has stored.
    pub report: Option<Arc<Report>>,
    /// The error that prevents snapshots, if any.
    pub error: Option<String>,
    /// Why the server was excluded when its last snapshot was due, if it was.
    pub excluded: Option<ExclusionReason>,
    /// How many snapshots were not taken because the server was excluded.
    pub times_excluded: u64,
    /// Snapshots that this worker has stored.
    pub taken: u64,
    /// Failures since the worker was created.
    pub failures: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::TimingRow;

    #[test]
    fn overdue_is_judged_by_frequency_schedule_and_pause() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(1_799_971_200 + seconds);
        let (hour, day) = (3600, 86_400);
        let minute = Duration::from_secs(60);
        let row = |cron: Option<&str>, paused_until: Option<u64>| TimingRow {
            cron: cron.map(Into::into),
            time_zone: cron.map(|_| "UTC".into()),
            paused_until: paused_until.map(|until| (1_799_971_200 + until) as f64),
            ..TimingRow::default()
        };
        for (cron, paused_until, age, expected) in [
            (None, None, 130, false),
            (None, None, 131, true),
            (None, Some(hour), hour + 130, false),
            (None, Some(hour), hour + 131, true),
            // Due at 3:00 of each day.
            (Some("0 3 * * *"), None, day + 3 * hour + 10, false),
            (Some("0 3 * * *"), None, day + 3 * hour + 11, true),
            (Some("0 3 * * *"), Some(2 * day), 3 * day + 3 * hour, false),
        ] {
            let timing =
                (cron.is_some() || paused_until.is_some()).then(|| Timing::of_row(1, &row(cron, paused_until)));
            let found = is_overdue(at(0), at(age), minute, timing.as_ref());
            assert_eq!(found, expected, "{cron:?}, {paused_until:?}, {age}");
        }
    }
}
