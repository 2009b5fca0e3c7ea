//! How is a datasource read, with all others of its database, without a round trip of its own?
//!
//! Every datasource is collected between a savepoint and a roll-back to it. There is nothing to keep on the remote server,
//! so success and failure take the same way, and all of it can be sent without waiting for an answer.

use std::collections::HashSet;
use std::pin::pin;

use futures_util::{FutureExt, TryStreamExt};
use tokio_postgres::Statement;

use super::RemoteSession;
use crate::postgres::in_order::in_order;
use crate::postgres::{Error, IncomingRows, Side};
use crate::spool::BLOCK;

const ROLL_BACK: &str = "rollback to savepoint datasource";

pub(super) type Prepared = Result<Statement, tokio_postgres::Error>;

impl RemoteSession {
    /// Prepares what is not prepared yet, inside the transaction, and forgets what is no longer asked for. What cannot
    /// be prepared fails when it is copied, and fails alone.
    pub async fn prepare(&self, queries: impl IntoIterator<Item = &str>) {
        let wanted: HashSet<String> = queries.into_iter().map(|query| self.copy_statement(query)).collect();
        let missing: Vec<String> = {
            let mut prepared = self.prepared.lock().expect("no panic while holding the lock");
            prepared.retain(|text, _| wanted.contains(text));
            wanted.into_iter().filter(|text| !prepared.contains_key(text)).collect()
        };
        let preparing = missing.into_iter().map(|text| self.prepare_one(text).boxed());
        let statements = in_order(preparing.collect()).await;
        self.prepared.lock().expect("no panic while holding the lock").extend(statements);
    }

    fn copy_statement(&self, query: &str) -> String {
        // What has no encoding cannot be converted: told to write UTF-8, the server would refuse what is not.
        let options = if self.any_bytes { " (encoding 'SQL_ASCII')" } else { "" };
        format!("copy ({query}) to stdout{options}")
    }

    async fn prepare_one(&self, text: String) -> (String, Prepared) {
        let (statement, _) = tokio::join!(biased; self.client.prepare(&text), self.roll_back());
        self.hearing.hear();
        (text, statement)
    }

    /// Copies the result of a query out, a piece at a time, and rolls back to the savepoint.
    ///
    /// The request is sent when the future is first polled, so that several of them polled together cost one round
    /// trip. The query has to be one that was given to [`Self::prepare`].
    ///
    /// # Errors
    /// The query fails.
    pub async fn copy_out(&self, query: &str, rows: &mut IncomingRows) -> Result<(), Error> {
        let prepared = self.take_prepared(&self.copy_statement(query));
        let (copied, _) = tokio::join!(biased; self.copy_all(prepared, rows), self.roll_back());
        self.hearing.hear();
        copied
    }

    /// A failure to prepare is handed out once; the next snapshot tries again.
    fn take_prepared(&self, text: &str) -> Result<Statement, Error> {
        let mut prepared = self.prepared.lock().expect("no panic while holding the lock");
        if let Some(Ok(statement)) = prepared.get(text) {
            return Ok(statement.clone());
        }
        match prepared.remove(text) {
            Some(Err(error)) => Err(self.failed("read it", error)),
            _ => Err(Error::found(Side::Remote, "read it", "another datasource with the same query failed")),
        }
    }

    async fn copy_all(&self, prepared: Result<Statement, Error>, rows: &mut IncomingRows) -> Result<(), Error> {
        let failed = |error| self.failed("read it", error);
        let statement = prepared?;
        let mut stream = pin!(self.client.copy_out(&statement).await.map_err(failed)?);
        while let Some(piece) = self.hearing.listen_to(stream.try_next()).await.map_err(failed)? {
            for part in piece.chunks(BLOCK) {
                rows.push(part);
                if rows.is_full() {
                    self.hearing.while_keeping(rows.make_room()).await;
                }
            }
        }
        Ok(())
    }

    /// Runs a datasource's clean-up and rolls back to the savepoint. Sent when first polled, as [`Self::copy_out`] is.
    ///
    /// # Errors
    /// The statement fails.
    pub async fn clean_up(&self, statement: &str) -> Result<(), Error> {
        let (done, _) = tokio::join!(biased; self.client.batch_execute(statement), self.roll_back());
        self.hearing.hear();
        done.map_err(|error| self.failed("clean up after it", error))
    }

    async fn roll_back(&self) -> Result<(), tokio_postgres::Error> {
        self.client.batch_execute(ROLL_BACK).await
    }
}
