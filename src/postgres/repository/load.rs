//! The load of a snapshot, in one transaction.

use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use deadpool_postgres::Transaction;
use futures_util::SinkExt;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::committed::was_committed;
use super::conversation::query;
use super::{Repository, Sources};

use crate::failures::Failures;
use crate::postgres::{Error, Side};
use crate::server::ServerId;
use crate::spool::SpooledRows;

const DOING: &str = "load the snapshot";

/// All there is to load for one snapshot.
pub struct Load<'a> {
    pub server: ServerId,
    /// The `application_name` of the session is `PoWA collector - repo_conn for worker NAME` meanwhile.
    pub name: &'a str,
    pub sources: &'a Sources,
    pub pieces: &'a mut [SpooledRows],
    /// What has failed before the load.
    pub failures: &'a Failures,
    /// There will be no other: what the repository cannot take just now is left out.
    pub is_last_try: bool,
}

/// A load whose commit was asked for: whether it is there, only the repository can tell.
#[derive(Debug)]
pub struct Attempt {
    transaction: i64,
    loaded: Loaded,
}

/// Only so many loads run at once: this is one of them.
pub struct LoadTurn(#[expect(dead_code, reason = "it is held, not used")] OwnedSemaphorePermit);

/// What became of a load that was committed.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Datasources whose rows the repository refused, with the reason.
    pub refused: Vec<(String, Error)>,
    /// What `powa_take_snapshot()` says of functions that failed inside it. It has put that into
    /// `powa_snapshot_metas.errors` itself.
    pub failed_functions: Vec<String>,
}

impl Repository {
    /// Waits until one more load may run.
    pub async fn turn_to_load(&self) -> LoadTurn {
        LoadTurn(Arc::clone(&self.loads).acquire_owned().await.expect("nobody closes the semaphore"))
    }

    /// Loads a snapshot in one transaction: all of it is there afterwards, or nothing, and never twice. `attempt` is the
    /// try before, if nobody knows how it ended, and becomes this one if nobody will.
    ///
    /// # Errors
    /// The repository cannot be reached, or `powa_take_snapshot()` fails. Rows that a table refuses are no error of the
    /// load: they cost their datasource only.
    pub async fn load(&self, load: Load<'_>, attempt: &mut Option<Attempt>, _turn: LoadTurn) -> Result<Loaded, Error> {
        let mut conversation = self.converse(DOING).await?;
        // The server's own limit, for each statement, comes first, and tells more.
        let limit = self.timeouts.snapshot + self.timeouts.connect;
        let loading = async {
            if let Some(before) = attempt {
                let is_there = was_committed(&conversation, before.transaction).await?;
                if let Some(before) = attempt.take().filter(|_| is_there) {
                    return Ok(before.loaded);
                }
            }
            let transaction = conversation.transaction().await?;
            let loaded = match load_into(&transaction, load).await {
                Ok(written) => {
                    *attempt = Some(written);
                    match transaction.commit().await.map_err(|error| Error::new(Side::Repository, DOING, error)) {
                        // Lost on the way: the attempt stays, to be asked about.
                        Err(error) if error.is_connection() => return Err(error),
                        ended => ended.and(Ok(attempt.take().expect("it was written").loaded)),
                    }
                }
                Err(error) => {
                    // That it failed is said already.
                    drop(transaction.rollback().await);
                    Err(error)
                }
            };
            conversation.settled();
            loaded
        };
        match timeout(limit, loading).await {
            Ok(loaded) => loaded,
            // Not a repository that is away: it was there, and would take as long again.
            Err(_) => {
                let reason = format!("it took longer than {} s; raise timeouts.snapshot if it has to", limit.as_secs());
                Err(Error::found(Side::Repository, DOING, reason))
            }
        }
    }
}

/// What was written is not there before it is committed.
async fn load_into(transaction: &Transaction<'_>, load: Load<'_>) -> Result<Attempt, Error> {
    let session_name = format!("PoWA collector - repo_conn for worker {}", load.name);
    let extensions = &load.sources.extensions;
    let name_session = ("name the session", include_str!("../../../sql/repository/name_session.sql"));
    query(transaction, extensions, name_session, &[&session_name]).await?;

    let mut refused = Vec::new();
    for piece in load.pieces {
        match load_piece(transaction, piece).await? {
            Ok(()) => {}
            // It may be taken the next time, and is not to be had again from the remote server.
            Err(error) if error.is_of_the_moment() && !load.is_last_try => return Err(error),
            Err(error) => refused.push((piece.name().to_owned(), error)),
        }
    }

    let id = load.server.get();
    let take_snapshot = ("run powa_take_snapshot()", include_str!("../../../sql/repository/take_snapshot.sql"));
    let taken = query(transaction, extensions, take_snapshot, &[&id]).await?;
    let unreadable = |error| Error::new(Side::Repository, DOING, error);
    let (failed, id_of_transaction): (i32, i64) = match taken.first() {
        Some(row) => (row.try_get(0).map_err(unreadable)?, row.try_get(1).map_err(unreadable)?),
        None => return Err(Error::found(Side::Repository, DOING, "powa_take_snapshot() gave no row")),
    };
    let failed_functions = if failed > 0 {
        let reasons = ("read powa_snapshot_metas", include_str!("../../../sql/repository/snapshot_errors.sql"));
        let rows = query(transaction, extensions, reasons, &[&id]).await?;
        rows.iter().flat_map(|row| row.try_get::<_, Vec<String>>(0).unwrap_or_default()).collect()
    } else {
        vec![]
    };

    // It has reset the errors and changed the session's name, so both come after it.
    let failures: Failures = refused.iter().map(|(name, error)| format!("{name}: {}", error.in_full())).collect();
    let errors = failures.before(load.failures).lines();
    if !errors.is_empty() {
        let append = include_str!("../../../sql/repository/append_errors.sql");
        query(transaction, extensions, ("report errors in powa_snapshot_metas", append), &[&id, &errors]).await?;
    }
    query(transaction, extensions, name_session, &[&session_name]).await?;
    Ok(Attempt { transaction: id_of_transaction, loaded: Loaded { refused, failed_functions } })
}

/// The outer result is the transaction's, the inner one the datasource's.
async fn load_piece(transaction: &Transaction<'_>, piece: &mut SpooledRows) -> Result<Result<(), Error>, Error> {
    let failed = |error| Error::new(Side::Repository, DOING, error);
    transaction.batch_execute("savepoint datasource").await.map_err(failed)?;
    let copied = copy_in(transaction, piece).await;
    let after = if copied.is_ok() {
        "release savepoint datasource"
    } else {
        "rollback to savepoint datasource; release savepoint datasource"
    };
    transaction.batch_execute(after).await.map_err(failed)?;
    Ok(copied)
}

async fn copy_in(transaction: &Transaction<'_>, piece: &mut SpooledRows) -> Result<(), Error> {
    let target = piece.target().to_owned();
    let failed = |error| Error::new(Side::Repository, format!("load it into {target}"), error);
    let statement = transaction.prepare_cached(&format!("copy {target} from stdin")).await.map_err(failed)?;
    piece.rewind();
    let mut sink = pin!(transaction.copy_in::<_, Bytes>(&statement).await.map_err(failed)?);
    loop {
        let part = piece.next_part().await.map_err(|error| Error::local(Side::Repository, "read the spool", error))?;
        if part.is_empty() {
            break;
        }
        sink.send(part).await.map_err(failed)?;
    }
    sink.finish().await.map_err(failed)?;
    Ok(())
}
