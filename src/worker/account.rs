//! What a worker tells of itself to those who watch the fleet. The worker writes it, anybody reads it, nobody waits.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::Status;
use crate::snapshot::Report;

/// Snapshots do not come to the second; a server is not late for that.
const GRACE: Duration = Duration::from_secs(10);

/// What a worker is about just now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// It has nothing to do before it is time.
    #[default]
    Idle,
    /// It gets to where snapshots can be taken, or waits for its turn to.
    Connecting,
    /// It waits for its turn to read.
    WaitingToCollect,
    Collecting,
    /// What was read waits for its turn.
    WaitingToLoad,
    Loading,
}

impl Phase {
    /// All there are, in the order in which a snapshot goes through them.
    pub const ALL: [Self; 6] =
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

/// A worker at one moment.
#[derive(Clone, Debug)]
pub struct Account {
    /// What the server is called.
    pub name: String,
    /// Time from one snapshot to the next.
    pub frequency: Duration,
    pub status: Status,
    pub progress: Progress,
}

impl Account {
    /// Whether a snapshot is missing. Where there was none yet, the time counts from the start of the worker.
    pub fn is_overdue(&self, now: SystemTime) -> bool {
        let since = self.progress.last.or(self.progress.started);
        let age = since.and_then(|since| now.duration_since(since).ok());
        age.is_some_and(|age| is_overdue(age, self.frequency))
    }
}

/// Whether the last snapshot is older than two should be.
pub fn is_overdue(age: Duration, frequency: Duration) -> bool {
    age > frequency.saturating_mul(2).saturating_add(GRACE)
}

/// How far a worker has got.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    pub phase: Phase,
    /// When there came to be a worker. `None` if that says nothing.
    pub started: Option<SystemTime>,
    /// When it does something next: takes a snapshot, or tries again what failed. `None` before it knows.
    pub next: Option<SystemTime>,
    /// When the last snapshot that is in the repository was begun, as far as the worker knows.
    pub last: Option<SystemTime>,
    /// The last snapshot that this worker has stored.
    pub report: Option<Arc<Report>>,
    /// What is in the way, in words.
    pub trouble: Option<String>,
    /// Snapshots that this worker has stored.
    pub taken: u64,
    /// How often something was in the way.
    pub failures: u64,
}
