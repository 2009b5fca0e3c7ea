//! What came of a snapshot: counts, times, and what went wrong, in words for the log and for `powa_snapshot_metas`.

use std::fmt;
use std::time::Duration;

use crate::postgres::Loaded;

/// A datasource that failed, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFailure {
    pub(super) datasource: String,
    /// Names the side, and has the cure where it is known.
    pub(super) reason: String,
}

impl fmt::Display for SourceFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.datasource, self.reason)
    }
}

/// The figures of a snapshot.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Datasources whose rows were collected and not refused.
    pub datasources: usize,
    pub rows: u64,
    /// Bytes of these rows, in the text format of COPY.
    pub bytes: u64,
    pub collecting: Duration,
    /// Waiting for its turn included.
    pub loading: Duration,
    pub errors: Vec<String>,
}

impl Report {
    pub(super) fn add(&mut self, loaded: Loaded) {
        self.datasources -= loaded.refused.len();
        self.errors.extend(loaded.refused.iter().map(|(name, error)| format!("{name}: {}", error.in_full())));
        self.errors.extend(loaded.failed_functions.iter().map(|reason| format!("{reason} (repository server)")));
    }
}
