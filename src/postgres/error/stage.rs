//! How far did a connection get that did not come about?

use tokio_postgres::error::{DbError, SqlState};

use super::meaning::{io_error, tls_error};
use super::{Cause, Error, TlsError};

/// Where the opening of a session ended, in the order in which it takes place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// What says how to connect could not be read, or cannot be used.
    Parameters,
    /// The name of the host was not resolved.
    Name,
    /// Nobody takes the connection there, or nobody who takes part in a conversation.
    Reach,
    /// There is no TLS, or none with the server that was meant.
    Tls,
    /// The server does not let us in, or asks for what there is not.
    Login,
    /// The database is not there, or not open to us.
    Database,
    /// There was a session, and what was said in it went wrong.
    Session,
}

impl Error {
    /// Where it ended, of an error that a session could not be opened for.
    pub fn stage(&self) -> Stage {
        let heart = self.cause.at_heart();
        match (heart, self.sqlstate()) {
            (Cause::Unreadable(_) | Cause::Unread(_), _) => Stage::Parameters,
            (Cause::Network(error), _) if error.to_string().contains("failed to lookup address") => Stage::Name,
            (Cause::Unresolved(_), _) => Stage::Name,
            (Cause::Network(_) | Cause::Elapsed(_) | Cause::NoSession(_), _) => Stage::Reach,
            (Cause::Tls(_), _) => Stage::Tls,
            (Cause::Barred(_), _) => Stage::Login,
            (Cause::Postgres(_), Some(code)) if code.starts_with("28") => Stage::Login,
            (Cause::Postgres(_), Some("3D000" | "42501" | "55000")) => Stage::Database,
            (Cause::Postgres(_), Some(code)) if ["08", "53", "57P"].iter().any(|class| code.starts_with(class)) => {
                Stage::Reach
            }
            (Cause::Postgres(error), None) if io_error(error).and_then(tls_error).is_some() => Stage::Tls,
            (Cause::Postgres(error), None) if error.is_closed() || io_error(error).is_some() => Stage::Reach,
            _ => Stage::Session,
        }
    }

    /// The code of what PostgreSQL says of it, if it does.
    pub fn sqlstate(&self) -> Option<&str> {
        self.db_error().map(|error| error.code().code())
    }

    /// What PostgreSQL says of it, if it does, in its own words. No one line, and not to be trusted.
    pub fn said(&self) -> Option<&str> {
        self.db_error().map(tokio_postgres::error::DbError::message)
    }

    /// The server does not offer TLS, as opposed to TLS that did not come about.
    pub fn is_without_tls(&self) -> bool {
        matches!(self.cause.at_heart(), Cause::Tls(TlsError::NotOffered))
    }

    /// The server has no such role, or it is none to log in with. The code is that of whatever is refused, and the message
    /// may be of any language; where it is said from does not change with it.
    pub fn is_about_role(&self) -> bool {
        let is_about_role = |error: &DbError| {
            error.routine() == Some("InitializeSessionUserId") || error.message().ends_with("does not exist")
        };
        let is_login = |code: &SqlState| *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION;
        self.db_error().is_some_and(|error| is_login(error.code()) && is_about_role(error))
    }
}
