//! Deletes left-over rows from the `*_src_tmp` tables before a load, so that the snapshot does not include them.
//!
//! A snapshot function that fails leaves its rows there, and so does a program that commits between its copies and
//! `powa_take_snapshot()`. Beside the new rows, they make the function fail on duplicates again and again.

use deadpool_postgres::ClientWrapper;
use futures_util::FutureExt;
use tokio_postgres::types::{ToSql, Type};

use super::Sources;
use super::load::LoadMode;
use super::savepoint::attempt;
use crate::server::ServerId;
use session::{Error, Side, in_order};

const DELETING: &str = "delete left-over rows";

/// Which rows are deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clear {
    /// The server's, and in tables that PoWA reads as a whole those of all servers. Rows of running loads are not
    /// visible.
    IncludingShared,
    /// The server's only.
    Own,
}

/// Deletes the rows in the transaction of a load. In the last attempt to load, a table locked by another session is
/// skipped: it could not be loaded either.
///
/// # Errors
/// The repository refuses, or another session holds a lock on a table or on the rows.
pub(super) async fn clear(
    client: &ClientWrapper,
    server: ServerId,
    sources: &Sources,
    (clear, mode): (Clear, LoadMode),
) -> Result<(), Error> {
    let failed = |error| Error::new(Side::Repository, DELETING, error);
    let tables = include_str!("../../sql/repository/tables_to_clear.sql");
    // Ignores tables of unrelated extensions, whatever their names are.
    let external = sources.modules.iter().filter(|module| module.external).map(|module| module.name.as_str());
    let extensions: Vec<_> = ["powa", "pg_track_settings"].into_iter().chain(external).collect();
    let tables = client.query_typed(tables, &[(&extensions, Type::TEXT_ARRAY)]).await.map_err(failed)?;
    let mut names = Vec::new();
    for row in &tables {
        let (name, is_read_whole): (String, bool) = (row.try_get(0).map_err(failed)?, row.try_get(1).map_err(failed)?);
        names.push((name, is_read_whole));
    }
    let id = server.get();
    let statement = |(name, is_read_whole): &(String, bool)| match *is_read_whole && clear == Clear::IncludingShared {
        // Both statements take the same parameter.
        true => format!("delete from {name} where $1::integer is not null"),
        false => format!("delete from {name} where srvid = $1"),
    };
    let deleting = names.iter().map(statement).map(|sql| {
        async move {
            let values: &[(&(dyn ToSql + Sync), Type)] = &[(&id, Type::INT4)];
            if mode != LoadMode::SkipFailingRows {
                return client.execute_typed(&sql, values).await.map_err(failed);
            }
            match attempt(client, client.execute_typed(&sql, values)).await.map_err(failed)?.map_err(failed) {
                Err(error) if error.is_momentary() => Ok(0),
                deleted => deleted,
            }
        }
        .boxed()
    });
    let deleted = in_order(deleting.collect()).await;
    for ((table, _), rows) in names.iter().zip(deleted) {
        let rows = rows?;
        if rows > 0 && clear == Clear::IncludingShared {
            tracing::warn!(table, rows, "deleted left-over rows of an earlier snapshot");
        }
    }
    Ok(())
}
