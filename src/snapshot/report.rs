//! The result of a snapshot: counts, times, and error messages for the log and for `powa_snapshot_metas`.

use std::fmt;
use std::time::Duration;

use crate::repository::failures::Failures;
use crate::repository::{FoundFault, Loaded};
use session::on_one_line;

/// A datasource that failed, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SourceFailure {
    pub datasource: String,
    /// The error message. It names the side.
    pub reason: String,
    /// The SQLSTATE, if PostgreSQL reported the error.
    pub sqlstate: Option<String>,
    /// The database, if nothing could be collected in it.
    pub database: Option<String>,
    /// SQL statements that fix it, if known, to run in the database with PoWA on the remote server.
    pub cures: Vec<String>,
}

impl SourceFailure {
    /// A failure without a SQLSTATE.
    pub(super) fn new(datasource: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { datasource: datasource.into(), reason: reason.into(), sqlstate: None, database: None, cures: vec![] }
    }
}

impl fmt::Display for SourceFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // It may contain the name of a database.
        write!(f, "{}: {}", on_one_line(&self.datasource), self.reason)?;
        if !self.cures.is_empty() {
            write!(f, "; run in the database with PoWA there: {}", on_one_line(&self.cures.join("; ")))?;
        }
        Ok(())
    }
}

/// The counts, times and errors of a snapshot.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    /// Datasources whose rows were collected and accepted by the repository.
    pub datasources: usize,
    pub rows: u64,
    /// Bytes of these rows, in the text format of COPY.
    pub bytes: u64,
    pub collecting: Duration,
    /// Includes the wait for a permit to load.
    pub loading: Duration,
    /// PoWA's count of the server's snapshots (`coalesce_seq`), including this one.
    pub count: Option<i64>,
    /// Errors of the repository come first, as lists that are truncated must not hide them behind errors of the remote server.
    pub errors: Vec<String>,
    /// Known bugs of PoWA that occurred.
    pub faults: Vec<FoundFault>,
}

impl Report {
    /// The time to collect, in milliseconds.
    pub(crate) fn collect_ms(&self) -> u64 {
        milliseconds(self.collecting)
    }

    /// The time to load, in milliseconds.
    pub(crate) fn load_ms(&self) -> u64 {
        milliseconds(self.loading)
    }

    /// Adds the result of the load, and the failures while collecting.
    pub(super) fn add(&mut self, loaded: &Loaded, failures: &Failures) {
        self.count = Some(loaded.coalesce_seq);
        self.datasources -= loaded.refused.len();
        self.faults.clone_from(&loaded.faults);
        let refused = loaded.refused.iter().map(ToString::to_string);
        let failed = loaded.failed_functions.iter().map(|reason| format!("{reason} (repository server)"));
        self.errors = refused.chain(failed).collect::<Failures>().before(failures).lines();
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
