//! The state of a worker, as status commands, metrics and the page show it.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::Status;
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
    /// Time from one snapshot to the next.
    pub frequency: Duration,
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
        let age = since.and_then(|since| now.duration_since(since).ok());
        age.is_some_and(|age| is_overdue(age, self.frequency))
    }
}

/// Whether a last snapshot of this age is overdue: older than two frequencies and 10 s.
pub(crate) fn is_overdue(age: Duration, frequency: Duration) -> bool {
    age > frequency.saturating_mul(2).saturating_add(GRACE)
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
