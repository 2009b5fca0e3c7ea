//! Reads datasources, all of one database in a single round trip.
//!
//! Each datasource is read between a savepoint and a rollback to it. The remote server has nothing to commit, so
//! success and failure are handled alike, and all requests can be sent without waiting for an answer.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;

use futures_util::{FutureExt, TryStreamExt};
use tokio_postgres::Statement;

use super::RemoteSession;
use crate::remote::IncomingRows;
use crate::spool::BLOCK;
use session::{Error, Side, in_order};

const ROLL_BACK: &str = "rollback to savepoint datasource";

pub(super) type Prepared = Result<Statement, tokio_postgres::Error>;

impl RemoteSession {
    /// Prepares new queries inside the transaction, and forgets unused ones. A query that cannot be prepared fails when
    /// it is copied, without affecting the others.
    pub(crate) async fn prepare(&self, queries: impl IntoIterator<Item = &Arc<str>>) {
        let wanted: HashSet<&Arc<str>> = queries.into_iter().collect();
        let missing: Vec<Arc<str>> = {
            let mut prepared = self.prepared.lock().expect("no panic while holding the lock");
            prepared.retain(|query, _| wanted.contains(query));
            wanted.into_iter().filter(|query| !prepared.contains_key(*query)).cloned().collect()
        };
        let preparing = missing.into_iter().map(|query| self.prepare_one(query).boxed());
        let statements = in_order(preparing.collect()).await;
        self.prepared.lock().expect("no panic while holding the lock").extend(statements);
    }

    fn copy_statement(&self, query: &str) -> String {
        // SQL_ASCII cannot be converted: with UTF-8 as encoding, the server would refuse invalid bytes.
        let options = if self.any_bytes { " (encoding 'SQL_ASCII')" } else { "" };
        format!("copy ({query}) to stdout{options}")
    }

    async fn prepare_one(&self, query: Arc<str>) -> (Arc<str>, Prepared) {
        let text = self.copy_statement(&query);
        let (statement, _) = tokio::join!(biased; self.client.prepare(&text), self.roll_back());
        self.activity.record();
        (query, statement)
    }

    /// Copies the result of a query, piece by piece, and rolls back to the savepoint.
    ///
    /// The request is sent when the future is first polled, so that several futures polled together cost one round
    /// trip. The query must have been passed to [`Self::prepare`].
    ///
    /// # Errors
    /// The query fails.
    pub(crate) async fn copy_out(&self, query: &str, rows: &mut IncomingRows) -> Result<(), Error> {
        let prepared = self.take_prepared(query);
        let (copied, _) = tokio::join!(biased; self.copy_all(prepared, rows), self.roll_back());
        self.activity.record();
        copied
    }

    /// The prepared statement. A failure to prepare is reported once; the next snapshot tries again.
    fn take_prepared(&self, query: &str) -> Result<Statement, Error> {
        let mut prepared = self.prepared.lock().expect("no panic while holding the lock");
        if let Some(Ok(statement)) = prepared.get(query) {
            return Ok(statement.clone());
        }
        match prepared.remove(query) {
            Some(Err(error)) => Err(self.failed("read it", error)),
            _ => Err(Error::unexpected(Side::Remote, "read it", "another datasource with the same query failed")),
        }
    }

    async fn copy_all(&self, prepared: Result<Statement, Error>, rows: &mut IncomingRows) -> Result<(), Error> {
        let failed = |error| self.failed("read it", error);
        let statement = prepared?;
        let mut stream = pin!(self.client.copy_out(&statement).await.map_err(failed)?);
        while let Some(piece) = self.activity.receive(stream.try_next()).await.map_err(failed)? {
            for part in piece.chunks(BLOCK) {
                rows.push(part);
                if rows.is_full() {
                    self.activity.pause_during(rows.flush()).await;
                }
            }
        }
        Ok(())
    }

    /// Runs a datasource's clean-up and rolls back to the savepoint. Sent when first polled, like [`Self::copy_out`].
    ///
    /// # Errors
    /// The statement fails.
    pub(crate) async fn clean_up(&self, statement: &str) -> Result<(), Error> {
        let (done, _) = tokio::join!(biased; self.client.batch_execute(statement), self.roll_back());
        self.activity.record();
        done.map_err(|error| self.failed("clean up after it", error))
    }

    async fn roll_back(&self) -> Result<(), tokio_postgres::Error> {
        self.client.batch_execute(ROLL_BACK).await
    }
}
