//! Finds bloated `*_src_tmp` tables and truncates them if they are empty.
//!
//! A transaction that stays open in the repository's database prevents vacuum from removing dead rows, which every
//! snapshot then reads. `TRUNCATE` also removes rows that old snapshots could see; it is used only on tables without
//! live rows.

use std::time::Duration;

use deadpool_postgres::ClientWrapper;
use futures_util::FutureExt;
use tokio::time::timeout;
use tokio_postgres::types::Type;

use super::Repository;
use super::staging::{StagingTable, staging_tables};
use session::{Error, Side};

const DOING: &str = "look for tables that have bloated";

impl Repository {
    /// The tables larger than `bound` bytes, the largest first.
    ///
    /// # Errors
    /// The repository cannot be reached, or refuses.
    pub(crate) async fn bloated_tables(&self, bound: u64) -> Result<Vec<StagingTable>, Error> {
        let tables = self.run(DOING, (), |session, ()| staging_tables(session).boxed()).await?;
        Ok(tables.into_iter().filter(|table| table.size > bound).collect())
    }

    /// Truncates a table if it has no rows, and returns whether it did. No load of this collector runs meanwhile.
    ///
    /// It blocks loads for at most the time that one load may take: half of it to wait for running loads, and half to
    /// read the table, which a load does twice.
    ///
    /// # Errors
    /// The repository cannot be reached, or refuses; another session holds a lock on the table for too long; or reading
    /// the table takes too long.
    pub(crate) async fn empty(&self, table: &StagingTable) -> Result<bool, Error> {
        let half = self.timeouts.snapshot / 2;
        let action = format!("empty {}", table.name);
        let Ok(_all_permits) = timeout(half, self.all_load_permits()).await else {
            let reason = format!("snapshots were being loaded for {} s", half.as_secs());
            return Err(Error::unexpected(Side::Repository, action, reason));
        };
        let session = self.session("empty a table that has bloated").await?;
        // The server's own limit for each statement is shorter, and its error more specific.
        let limit = self.timeouts.snapshot + self.timeouts.connect;
        let emptying = async {
            let client = session.begin_work();
            let emptied = self.empty_in_transaction(client, table, (&action, half)).await;
            let end = if matches!(emptied, Ok(true)) { "commit" } else { "rollback" };
            match client.batch_execute(end).await {
                Ok(()) => {
                    session.end_work();
                    emptied
                }
                Err(error) => emptied.and(Err(Error::new(Side::Repository, &action, error))),
            }
        };
        match timeout(limit, emptying).await {
            Ok(emptied) => emptied,
            Err(_) => Err(Error::elapsed(Side::Repository, action, limit)),
        }
    }

    async fn empty_in_transaction(
        &self,
        client: &ClientWrapper,
        table: &StagingTable,
        (action, reading): (&str, Duration),
    ) -> Result<bool, Error> {
        let name = &table.name;
        let failed = |error| Error::new(Side::Repository, action, error);
        // The query must see rows committed before the lock was granted.
        let beginning = async { client.batch_execute("begin isolation level read committed").await.map_err(failed) };
        self.first_round_trip(action, beginning).await?;
        let statement = reading.as_millis().to_string();
        // If our connection breaks, the lock is released soon.
        let idle = self.timeouts.connect.as_millis().to_string();
        let bound = include_str!("../../sql/repository/bound_emptying.sql");
        client.query_typed(bound, &[(&statement, Type::TEXT), (&idle, Type::TEXT)]).await.map_err(failed)?;
        client.batch_execute(&format!("lock table only {name} in access exclusive mode")).await.map_err(failed)?;
        let query = format!("select exists (select from only {name})");
        let rows = client.query_typed(&query, &[]).await.map_err(failed)?;
        if rows.first().map_or(Ok(true), |row| row.try_get(0)).map_err(failed)? {
            return Ok(false);
        }
        client.batch_execute(&format!("truncate only {name}")).await.map_err(failed)?;
        Ok(true)
    }
}
