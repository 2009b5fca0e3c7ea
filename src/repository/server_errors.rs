//! Errors of servers in the collector's own schema: each once, with its first and last time and its number.

use std::time::SystemTime;

use super::Repository;
use crate::server::ServerId;
use session::{Error, Side};

/// Different errors that are kept of a server; older ones are deleted.
const MAX_ERRORS: i64 = 100;

/// An error that occurred since the last time that errors were stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewError {
    pub server: ServerId,
    pub message: String,
    pub first: SystemTime,
    pub last: SystemTime,
    pub number: i64,
}

/// An error of a server.
#[derive(Clone, Debug)]
pub(crate) struct StoredError {
    pub id: i64,
    pub message: String,
    pub first: SystemTime,
    pub last: SystemTime,
    pub number: i64,
}

impl Repository {
    /// Whether the collector's own schema is there, and the role may write errors to it.
    ///
    /// # Errors
    /// The repository cannot be reached.
    pub(crate) async fn has_collector_schema(&self) -> Result<bool, Error> {
        let action = "look for the schema powa_collector";
        let rows = self.query(action, include_str!("../../sql/repository/has_collector_schema.sql"), &[]).await?;
        let found = rows.first().map(|row| row.try_get(0)).transpose();
        Ok(found.map_err(|error| Error::new(Side::Repository, action, error))?.unwrap_or(false))
    }

    /// Stores errors, in one statement. No two of them have the same server and message.
    ///
    /// # Errors
    /// The repository cannot be reached, or has no table for it that the role may use.
    pub(crate) async fn store_errors(&self, errors: &[NewError]) -> Result<(), Error> {
        let servers: Vec<i32> = errors.iter().map(|error| error.server.get()).collect();
        let messages: Vec<&str> = errors.iter().map(|error| error.message.as_str()).collect();
        let first: Vec<SystemTime> = errors.iter().map(|error| error.first).collect();
        let last: Vec<SystemTime> = errors.iter().map(|error| error.last).collect();
        let numbers: Vec<i64> = errors.iter().map(|error| error.number).collect();
        let sql = include_str!("../../sql/repository/store_errors.sql");
        self.query("store errors of servers", sql, &[&servers, &messages, &first, &last, &numbers]).await.map(drop)
    }

    /// The errors of a server, the latest first, after the one with the id `after`, at most `limit`.
    ///
    /// # Errors
    /// As for [`Self::store_errors`].
    pub(crate) async fn server_errors(
        &self,
        server: ServerId,
        after: Option<i64>,
        limit: i64,
    ) -> Result<Vec<StoredError>, Error> {
        let action = "read the errors of the server";
        let sql = include_str!("../../sql/repository/list_errors.sql");
        let rows = self.query(action, sql, &[&server.get(), &after, &limit]).await?;
        let read = |row: &tokio_postgres::Row| {
            Ok(StoredError {
                id: row.try_get("id")?,
                message: row.try_get("message")?,
                first: row.try_get("first_at")?,
                last: row.try_get("last_at")?,
                number: row.try_get("number")?,
            })
        };
        rows.iter().map(|row| read(row).map_err(|error| Error::new(Side::Repository, action, error))).collect()
    }

    /// Deletes old errors, and those of servers that are gone.
    ///
    /// # Errors
    /// As for [`Self::store_errors`].
    pub(crate) async fn delete_old_errors(&self) -> Result<(), Error> {
        let sql = include_str!("../../sql/repository/delete_old_errors.sql");
        self.query("delete old errors of servers", sql, &[&MAX_ERRORS]).await.map(drop)
    }
}
