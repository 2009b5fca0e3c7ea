//! The log of changes that were requested by the HTTP API.

use super::Repository;
use crate::server::ServerId;
use session::{Error, Side};

/// Rows that are kept at most, however many were written in 90 days.
const MAX_ROWS: i64 = 1_000_000;

/// A change that was requested.
#[derive(Clone, Debug)]
pub(crate) struct AuditEntry {
    pub role: String,
    /// The name of the token, if there was one.
    pub token: Option<String>,
    /// The client's address and port.
    pub client: String,
    pub action: &'static str,
    pub server: Option<ServerId>,
    /// What was to be changed, without secrets.
    pub details: serde_json::Value,
}

impl Repository {
    /// Writes an entry with an outcome, and returns its id.
    ///
    /// # Errors
    /// The repository cannot be reached, or has no table for it that the role may use.
    pub(crate) async fn begin_audit(&self, entry: &AuditEntry, error: Option<&str>) -> Result<i64, Error> {
        let action = "write to the audit log";
        let sql = include_str!("../../sql/repository/begin_audit.sql");
        let (server, details) = (entry.server.map(ServerId::get), entry.details.to_string());
        let rows = self
            .query(action, sql, &[&entry.role, &entry.token, &entry.client, &entry.action, &server, &details, &error])
            .await?;
        let id = rows.first().map(|row| row.try_get(0)).transpose();
        let id = id.map_err(|error| Error::new(Side::Repository, action, error))?;
        id.ok_or_else(|| Error::unexpected(Side::Repository, action, "no id was returned"))
    }

    /// Records the outcome of an entry: `None` if the change was carried out. `server` is one that the change has made.
    ///
    /// # Errors
    /// As for [`Self::begin_audit`].
    pub(crate) async fn end_audit(&self, id: i64, error: Option<&str>, server: Option<ServerId>) -> Result<(), Error> {
        let sql = include_str!("../../sql/repository/end_audit.sql");
        let server = server.map(ServerId::get);
        self.query("write to the audit log", sql, &[&id, &error, &server]).await.map(drop)
    }

    /// Deletes old entries.
    ///
    /// # Errors
    /// As for [`Self::begin_audit`].
    pub(crate) async fn delete_old_audit(&self) -> Result<(), Error> {
        let sql = include_str!("../../sql/repository/delete_old_audit.sql");
        self.query("delete old rows of the audit log", sql, &[&MAX_ROWS]).await.map(drop)
    }
}
