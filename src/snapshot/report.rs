//! What came of a snapshot: counts, times, and what went wrong, in words for the log and for `powa_snapshot_metas`.

use std::fmt;
use std::time::Duration;

use crate::failures::Failures;
use crate::one_line::on_one_line;
use crate::postgres::Loaded;

/// A datasource that failed, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFailure {
    pub datasource: String,
    /// Names the side, and has the cure where it is known.
    pub reason: String,
    /// PostgreSQL's code of it, if it is an error of PostgreSQL's.
    pub sqlstate: Option<String>,
    /// The database, if nothing was to be collected in it.
    pub database: Option<String>,
}

impl SourceFailure {
    /// One of a datasource, that PostgreSQL has no code for.
    pub(super) fn new(datasource: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { datasource: datasource.into(), reason: reason.into(), sqlstate: None, database: None }
    }
}

impl fmt::Display for SourceFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // It may have the name of a database in it.
        write!(f, "{}: {}", on_one_line(&self.datasource), self.reason)
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
    /// What the repository refused comes first: of what fails on a remote server there may be more than is told.
    pub errors: Vec<String>,
}

impl Report {
    /// What collecting took, in milliseconds, as it is told to programs.
    pub fn collect_ms(&self) -> u64 {
        milliseconds(self.collecting)
    }

    /// What loading took, likewise.
    pub fn load_ms(&self) -> u64 {
        milliseconds(self.loading)
    }

    /// With what came of the load, and of all before.
    pub(super) fn add(&mut self, loaded: &Loaded, failures: &Failures) {
        self.datasources -= loaded.refused.len();
        let refused = loaded.refused.iter().map(ToString::to_string);
        let failed = loaded.failed_functions.iter().map(|reason| format!("{reason} (repository server)"));
        self.errors = refused.chain(failed).collect::<Failures>().before(failures).lines();
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
