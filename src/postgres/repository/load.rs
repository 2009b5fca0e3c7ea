//! The load of a snapshot, in one transaction.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use deadpool_postgres::Transaction;
use futures_util::SinkExt;
use tokio::sync::OwnedSemaphorePermit;

use super::conversation::query;
use super::{Repository, Sources, within};
use crate::postgres::{Error, Side};
use crate::server::ServerId;
use crate::spool::SpooledRows;

/// All there is to load for one snapshot.
pub struct Load<'a> {
    pub server: ServerId,
    /// The `application_name` of the session is `PoWA collector - repo_conn for worker NAME` meanwhile.
    pub name: &'a str,
    pub sources: &'a Sources,
    pub pieces: &'a mut [SpooledRows],
    /// What has failed before the load.
    pub errors: &'a [String],
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

    /// Loads a snapshot in one transaction: all of it is there afterwards, or nothing.
    ///
    /// # Errors
    /// The repository cannot be reached, or `powa_take_snapshot()` fails. Rows that a table refuses are no error of the
    /// load: they cost their datasource only.
    pub async fn load(&self, load: Load<'_>, _turn: LoadTurn) -> Result<Loaded, Error> {
        let doing = "load the snapshot";
        within(self.timeouts.snapshot, doing, async {
            let mut conversation = self.converse(doing).await?;
            let (transaction, done) = conversation.transaction().await?;
            let loaded = load_into(&transaction, load).await;
            let ended = match &loaded {
                Ok(_) => transaction.commit().await,
                Err(_) => transaction.rollback().await,
            };
            done.store(0, Ordering::Relaxed);
            let loaded = loaded?;
            ended.map_err(|error| Error::new(Side::Repository, doing, error))?;
            Ok(loaded)
        })
        .await
    }
}

async fn load_into(transaction: &Transaction<'_>, load: Load<'_>) -> Result<Loaded, Error> {
    let session_name = format!("PoWA collector - repo_conn for worker {}", load.name);
    let extensions = &load.sources.extensions;
    let name_session = ("name the session", include_str!("../../../sql/repository/name_session.sql"));
    query(transaction, extensions, name_session, &[&session_name]).await?;

    let mut refused = Vec::new();
    for piece in load.pieces {
        if let Err(error) = load_piece(transaction, piece).await? {
            refused.push((piece.name().to_owned(), error));
        }
    }

    let id = load.server.get();
    let take_snapshot = ("run powa_take_snapshot()", include_str!("../../../sql/repository/take_snapshot.sql"));
    let taken = query(transaction, extensions, take_snapshot, &[&id]).await?;
    let failed: i32 = taken.first().map_or(0, |row| row.get(0));
    let failed_functions = if failed > 0 {
        let reasons = ("read powa_snapshot_metas", include_str!("../../../sql/repository/snapshot_errors.sql"));
        let rows = query(transaction, extensions, reasons, &[&id]).await?;
        rows.iter().flat_map(|row| row.get::<_, Vec<String>>(0)).collect()
    } else {
        vec![]
    };

    // It has reset the errors and changed the session's name, so both come after it.
    let mut errors = load.errors.to_vec();
    errors.extend(refused.iter().map(|(name, error)| format!("{name}: {}", error.in_full())));
    if !errors.is_empty() {
        let append = include_str!("../../../sql/repository/append_errors.sql");
        query(transaction, extensions, ("report errors in powa_snapshot_metas", append), &[&id, &errors]).await?;
    }
    query(transaction, extensions, name_session, &[&session_name]).await?;
    Ok(Loaded { refused, failed_functions })
}

/// The outer result is the transaction's, the inner one the datasource's.
async fn load_piece(transaction: &Transaction<'_>, piece: &mut SpooledRows) -> Result<Result<(), Error>, Error> {
    let failed = |error| Error::new(Side::Repository, "load the snapshot", error);
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
        let part = piece.next_part().map_err(|error| Error::local(Side::Repository, "read the spool", error))?;
        if part.is_empty() {
            break;
        }
        sink.send(part).await.map_err(failed)?;
    }
    sink.finish().await.map_err(failed)?;
    Ok(())
}
