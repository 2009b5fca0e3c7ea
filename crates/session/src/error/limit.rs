//! Which connection limit was reached.

use tokio_postgres::error::SqlState;

use super::Error;

/// A limit on the number of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionLimit {
    /// `CONNECTION LIMIT` of the role.
    Role,
    /// `CONNECTION LIMIT` of the database.
    Database,
    /// `max_connections` without the reserved connections, or the limit of a pooler.
    Server,
}

impl Error {
    /// The limit that refused a session. All limits have one SQLSTATE, and the message may be in any language; the
    /// reporting routine tells them apart.
    pub fn connection_limit(&self) -> Option<ConnectionLimit> {
        let error = self.db_error().filter(|error| *error.code() == SqlState::TOO_MANY_CONNECTIONS)?;
        Some(match error.routine() {
            Some("InitializeSessionUserId") => ConnectionLimit::Role,
            Some("CheckMyDatabase") => ConnectionLimit::Database,
            _ => ConnectionLimit::Server,
        })
    }
}
