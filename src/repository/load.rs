//! Loads a snapshot in one transaction: begin, end and retry. `writing` does the writing.

use std::fmt;
use std::sync::Arc;

use deadpool_postgres::ClientWrapper;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tokio_postgres::types::{ToSql, Type};

use super::committed::Attempt;
use super::tables::{Failed, Retry};
use super::writing::{Try, Written};
use super::{Repository, Sources};

use crate::repository::FoundFault;
use crate::repository::failures::Failures;
use crate::server::ServerId;
use crate::spool::SpooledRows;
use session::{Error, Side};

pub(super) const DOING: &str = "load the snapshot";

/// For errors of the `powa_snapshot_metas` update.
pub(super) const APPENDING: &str = "report errors in powa_snapshot_metas";

/// A collected snapshot to be loaded.
pub(crate) struct Load<'a> {
    pub server: ServerId,
    /// The server's name; the session's `application_name` is `PoWA collector - repo_conn for worker NAME` during the
    /// load.
    pub name: &'a str,
    pub sources: &'a Sources,
    pub pieces: &'a mut [SpooledRows],
    /// What failed before the load.
    pub failures: &'a Failures,
    /// When it was collected, by the remote server's clock: the `ts` of its rows.
    pub taken_at: &'a str,
    /// Databases, by OID, with an incomplete copy of their catalogs.
    pub incomplete_catalogs: &'a [String],
    /// The [`Loaded::coalesce_seq`] of the server's last load, if that load left no rows behind.
    pub last_count: Option<i64>,
    pub mode: LoadMode,
}

/// How a load handles a table that refuses its rows.
///
/// A savepoint for each table costs a transaction id and three more answers, but is rarely needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LoadMode {
    /// No savepoints. If a table refuses its rows, the load is repeated with `Savepoints`.
    NoSavepoints,
    /// A savepoint for each table. A temporary error of the repository fails the load: a later attempt may succeed, and
    /// the rows cannot be collected again.
    Savepoints,
    /// As `Savepoints`, but also skips rows that fail with a temporary error, because there will be no other attempt.
    SkipFailingRows,
}

impl LoadMode {
    fn with_savepoints(self) -> Self {
        if self == Self::NoSavepoints { Self::Savepoints } else { self }
    }
}

/// Which columns of the tables are assumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Columns {
    /// Those read when the snapshot was planned.
    AsPlanned,
    /// Those read again, after a mismatch.
    Reread,
}

/// A permit to load, or all permits.
pub(crate) struct LoadPermit(#[expect(dead_code, reason = "it is locked, not used")] OwnedSemaphorePermit);

/// The result of a committed load.
#[derive(Clone, Debug, Default)]
pub(crate) struct Loaded {
    /// PoWA's count of the server's snapshots, this one included.
    pub coalesce_seq: i64,
    /// Datasources whose rows the repository refused.
    pub refused: Vec<Refused>,
    /// Errors of functions that failed inside `powa_take_snapshot()`, which also stored them in
    /// `powa_snapshot_metas.errors`.
    pub failed_functions: Vec<String>,
    /// Known faults of PoWA that occurred. They do not count as failures of this snapshot.
    pub faults: Vec<FoundFault>,
}

/// A datasource whose rows the repository refused.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    pub datasource: String,
    pub table: String,
    pub reason: String,
}

impl Refused {
    pub(super) fn of(piece: &SpooledRows, reason: String) -> Self {
        Self { datasource: piece.name().to_owned(), table: piece.target().to_owned(), reason }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.datasource, self.reason)
    }
}

impl Repository {
    /// Waits for a permit to load.
    pub(crate) async fn load_permit(&self) -> LoadPermit {
        LoadPermit(Arc::clone(&self.loads).acquire_owned().await.expect("the semaphore is never closed"))
    }

    /// Waits for all permits: until the result is dropped, no load runs.
    pub(super) async fn all_load_permits(&self) -> LoadPermit {
        let all = Arc::clone(&self.loads).acquire_many_owned(self.most_loads);
        LoadPermit(all.await.expect("the semaphore is never closed"))
    }

    /// Loads a snapshot in one transaction: completely or not at all, and never twice. `attempt` is the previous
    /// attempt if its outcome is unknown, and is set to this one if its outcome becomes unknown.
    ///
    /// # Errors
    /// The repository cannot be reached, or `powa_take_snapshot()` fails. Refused rows are not an error: they cost only
    /// their datasource. If the server was removed: [`session::ErrorKind::NotRegistered`].
    pub(crate) async fn load(
        &self,
        load: Load<'_>,
        attempt: &mut Option<Attempt>,
        _permit: LoadPermit,
    ) -> Result<Loaded, Error> {
        // The server's own limit for each statement is shorter, and its error more specific.
        let limit = self.timeouts.snapshot + self.timeouts.connect;
        let loading = async {
            let (mut mode, mut columns) = (load.mode, Columns::AsPlanned);
            loop {
                let again = Load { pieces: &mut *load.pieces, mode, ..load };
                match self.try_to_load(again, columns, attempt).await {
                    Err(Failed { retry: Some(Retry::WithSavepoints), .. }) if columns == Columns::AsPlanned => {
                        (mode, columns) = (mode.with_savepoints(), Columns::Reread);
                    }
                    Err(Failed { retry: Some(Retry::WithoutServerLock), .. }) => {}
                    tried => return tried,
                }
            }
        };
        match timeout(limit, loading).await {
            Ok(loaded) => loaded.map_err(|failed| failed.error),
            // Not a connection error: a retry would take as long again.
            Err(_) => {
                let reason =
                    format!("it took longer than {} s; if that is expected, raise timeouts.snapshot", limit.as_secs());
                Err(Error::unexpected(Side::Repository, DOING, reason))
            }
        }
    }

    async fn try_to_load(
        &self,
        load: Load<'_>,
        columns: Columns,
        attempt: &mut Option<Attempt>,
    ) -> Result<Loaded, Failed> {
        let session = self.session(DOING).await?;
        let client = session.begin_work();
        let (failures, frame) = (load.failures, Frame::of(&load));
        let this = Try { columns, frame: &frame, before: attempt.as_ref() };
        let loaded = match self.write(&session, client, load, this).await {
            Ok(Written::Before) => {
                // This transaction has written nothing.
                let ended = client.batch_execute("rollback").await;
                ended.map_err(|error| Error::new(Side::Repository, DOING, error))?;
                Ok(attempt.take().expect("it was found to be stored").into_loaded())
            }
            Ok(Written::Now { written, append_errors }) => {
                let written = attempt.insert(written);
                let errors = written.loaded().refused.iter().collect::<Failures>().before(failures).lines();
                match frame.commit(client, &append_errors, &errors).await {
                    // Connection lost during the commit: the next attempt finds out whether it was committed.
                    Err(error) if error.is_connection() => return Err(error.into()),
                    ended => ended.and(Ok(attempt.take().expect("it was written").into_loaded())).map_err(Failed::from),
                }
            }
            Err(failed @ Failed { can_be_rolled_back: false, .. }) => return Err(failed),
            Err(failed) => {
                // The original error is reported instead.
                drop(client.batch_execute("rollback").await);
                Err(failed)
            }
        };
        session.end_work();
        if loaded.is_err() {
            session.retire();
        }
        loaded
    }
}

/// The statements around a load in its transaction. They are sent without being prepared, which would cost a round
/// trip.
pub(super) struct Frame {
    server: ServerId,
    session_name: String,
}

impl Frame {
    fn of(load: &Load<'_>) -> Self {
        Self { server: load.server, session_name: format!("PoWA collector - repo_conn for worker {}", load.name) }
    }

    pub(super) async fn name_session(&self, client: &ClientWrapper) -> Result<(), Error> {
        let sql = include_str!("../../sql/repository/name_session.sql");
        let named = client.query_typed(sql, &[(&self.session_name, Type::TEXT)]).await;
        named.map(drop).map_err(|error| Error::new(Side::Repository, "name the session", error))
    }

    /// Commits. If an earlier statement failed, PostgreSQL rolls back instead, and the error is returned.
    async fn commit(&self, client: &ClientWrapper, append_errors: &str, errors: &[String]) -> Result<(), Error> {
        let appending = async {
            if errors.is_empty() {
                return Ok(());
            }
            let values: [(&(dyn ToSql + Sync), Type); 2] =
                [(&self.server.get(), Type::INT4), (&errors, Type::TEXT_ARRAY)];
            let appended = client.query_typed(append_errors, &values).await;
            appended.map(drop).map_err(|error| Error::new(Side::Repository, APPENDING, error))
        };
        // powa_take_snapshot() resets the errors and the application_name, so both are set after it.
        let (appended, named, committed) =
            tokio::join!(biased; appending, self.name_session(client), client.batch_execute("commit"));
        let committed = committed.map_err(|error| Error::new(Side::Repository, DOING, error));
        appended.and(named).and(committed)
    }
}
