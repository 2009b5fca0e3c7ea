//! What follows from it: is it worth to wait, to connect anew, to leave a database out?

use tokio_postgres::error::{DbError, SqlState};
use tokio_postgres::types::{WasNull, WrongType};

use super::{Cause, Error, TlsError};
use crate::postgres::extensions::UnusablePowa;

impl Error {
    pub(super) fn db_error(&self) -> Option<&DbError> {
        self.cause.db_error()
    }

    /// There is no conversation to be had with that side, as opposed to one that went wrong.
    pub fn is_connection(&self) -> bool {
        match (self.cause.at_heart(), self.db_error()) {
            (Cause::Io(_) | Cause::Found(_), _) => false,
            (Cause::Postgres(error), None) if is_about_a_value(error) => false,
            (_, None) => true,
            // Connection exceptions, refused authentication, too many connections, and a server that shuts down.
            (_, Some(error)) => {
                ["08", "28", "53300", "57P0", "3D000"].iter().any(|code| error.code().code().starts_with(code))
            }
        }
    }

    /// Waiting may help: the server is not there, or not ready yet. What it refuses for good, like a name or a password
    /// that is wrong, is no such thing.
    pub fn may_pass(&self) -> bool {
        self.cause.may_pass()
    }

    /// The server does not let us in.
    pub(in crate::postgres) fn is_refused_login(&self) -> bool {
        self.db_error().is_some_and(|error| error.code().code().starts_with("28"))
    }

    /// The database is not there, or takes no connections, any more.
    pub fn is_missing_database(&self) -> bool {
        let gone = [SqlState::INVALID_CATALOG_NAME, SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE];
        self.db_error().is_some_and(|error| gone.contains(error.code()))
    }

    /// What was said was in order, and the server could not do it just then: it ran into a lock or a deadlock, out of
    /// room, or was told to stop. The classes are those of PostgreSQL's appendix on error codes.
    pub(in crate::postgres) fn is_of_the_moment(&self) -> bool {
        let classes = ["40", "53", "55", "57"];
        self.db_error().is_some_and(|error| classes.iter().any(|class| error.code().code().starts_with(class)))
    }

    /// A function got a value that it cannot work with.
    pub(in crate::postgres) fn is_invalid_parameter(&self) -> bool {
        self.db_error().is_some_and(|error| *error.code() == SqlState::INVALID_PARAMETER_VALUE)
    }

    /// The database is there, and is none with PoWA.
    pub fn is_missing_powa(&self) -> bool {
        matches!(self.cause.at_heart(), Cause::Found(found) if *found == UnusablePowa::Missing.to_string())
    }

    /// The role may not do that, or not with that.
    pub fn is_denied(&self) -> bool {
        self.db_error().is_some_and(|error| *error.code() == SqlState::INSUFFICIENT_PRIVILEGE)
    }
}

impl Cause {
    /// Without what was said about it. Of several things, the last that tells more than that one is not let in: with
    /// `sslmode=prefer`, the reason is followed by `pg_hba.conf` having no line for a connection in plain.
    pub(super) fn at_heart(&self) -> &Self {
        match self {
            Self::At(_, cause) | Self::Remarked(cause, _) => cause.at_heart(),
            Self::All(causes) => {
                let tells_more = |cause: &&Self| {
                    cause.db_error().is_none_or(|error| *error.code() != SqlState::INVALID_AUTHORIZATION_SPECIFICATION)
                };
                causes.iter().rev().find(tells_more).or(causes.last()).map_or(self, Self::at_heart)
            }
            _ => self,
        }
    }

    fn db_error(&self) -> Option<&DbError> {
        match self.at_heart() {
            Self::Postgres(error) => error.as_db_error(),
            _ => None,
        }
    }

    fn may_pass(&self) -> bool {
        match self {
            Self::Elapsed(_) | Self::NoSession(_) | Self::Unread(_) | Self::Unresolved(_) => true,
            Self::Io(_) | Self::Found(_) | Self::Barred(_) | Self::Unreadable(_) => false,
            Self::Network(error) => !is_unknown_name(error),
            Self::Tls(error) => error.is_lost(),
            Self::At(_, cause) | Self::Remarked(cause, _) => cause.may_pass(),
            Self::All(causes) => causes.iter().any(Self::may_pass),
            Self::Postgres(error) => match error.as_db_error() {
                Some(error) => {
                    let code = error.code().code();
                    ["08", "53", "57P"].iter().any(|class| code.starts_with(class)) && code != "08P01"
                }
                // With TLS 1.3, what the server has against our certificate comes when the handshake is over.
                None => {
                    error.is_closed()
                        || io_error(error).is_some_and(|error| tls_error(error).is_none_or(TlsError::is_lost))
                }
            },
        }
    }
}

/// An answer arrived, and holds something else than what was asked for.
fn is_about_a_value(error: &tokio_postgres::Error) -> bool {
    std::error::Error::source(error).is_some_and(|cause| cause.is::<WasNull>() || cause.is::<WrongType>())
}

pub(super) fn io_error(error: &tokio_postgres::Error) -> Option<&std::io::Error> {
    std::error::Error::source(error)?.downcast_ref()
}

pub(super) fn tls_error(error: &std::io::Error) -> Option<&TlsError> {
    error.get_ref()?.downcast_ref()
}

/// The name is not known, as opposed to nobody there to ask. The standard library keeps the difference in words only,
/// which are those of `getaddrinfo`.
fn is_unknown_name(error: &std::io::Error) -> bool {
    let said = error.to_string();
    said.contains("failed to lookup address") && !said.contains("Temporary failure")
}
