//! An error of a PostgreSQL session: on which side, during which action, and why.

mod kind;
mod limit;
mod message;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::tls::TlsError;

pub use kind::{ErrorKind, Stage};
pub use limit::ConnectionLimit;
pub(crate) use message::chain;

/// The two kinds of servers; every message names one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Remote,
    Repository,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Remote => "remote server",
            Self::Repository => "repository server",
        })
    }
}

/// A failed action on one of the two sides.
#[derive(Debug)]
pub struct Error {
    side: Side,
    action: String,
    cause: Cause,
}

#[derive(Debug)]
enum Cause {
    Postgres(tokio_postgres::Error),
    Timeout(Duration),
    /// There is no session, or it was closed.
    NoSession(String),
    /// The server refuses sessions until somebody changes its configuration or ours.
    Refused(String),
    BadParameters(String),
    /// The files with the connection parameters were not read in time.
    ParametersTimeout(String),
    /// The name of the host was not resolved in time.
    NameTimeout(String),
    Network(std::io::Error),
    /// The Unix socket with this path could not be connected to.
    Socket(PathBuf, std::io::Error),
    Tls(TlsError),
    /// An error at this host or address.
    At(String, Box<Cause>),
    WithNote(Box<Cause>, String),
    /// An error explained by what the configured host name was probably meant to be.
    WithHostHint(Box<Cause>, String),
    /// Several attempts, all of which failed.
    All(Vec<Cause>),
    LocalFile(std::io::Error),
    Unexpected(String),
    MissingPowa,
    /// The server has no row in `powa_servers`.
    NotRegistered,
    /// PoWA has no extension or module of this name.
    UnknownName {
        name: String,
        known: Vec<String>,
    },
}

impl Error {
    /// `action` completes "could not ...".
    pub fn new(side: Side, action: impl Into<String>, source: tokio_postgres::Error) -> Self {
        Self { side, action: action.into(), cause: Cause::Postgres(source) }
    }

    /// There is no session.
    pub fn no_session(side: Side, action: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { side, action: action.into(), cause: Cause::NoSession(reason.into()) }
    }

    /// The server refuses sessions until somebody changes its configuration or ours.
    pub fn refused(side: Side, action: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { side, action: action.into(), cause: Cause::Refused(reason.into()) }
    }

    /// The connection parameters cannot be used.
    pub fn bad_parameters(side: Side, action: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { side, action: action.into(), cause: Cause::BadParameters(reason.into()) }
    }

    /// The connection parameters were not read in time.
    pub fn parameters_timeout(side: Side, action: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { side, action: action.into(), cause: Cause::ParametersTimeout(reason.into()) }
    }

    /// The name of the host was not resolved in time.
    pub fn name_timeout(side: Side, action: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { side, action: action.into(), cause: Cause::NameTimeout(reason.into()) }
    }

    /// The server could not be reached.
    pub fn network(side: Side, action: impl Into<String>, source: std::io::Error) -> Self {
        Self { side, action: action.into(), cause: Cause::Network(source) }
    }

    /// The server could not be reached by a Unix socket.
    pub fn socket(side: Side, action: impl Into<String>, path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self { side, action: action.into(), cause: Cause::Socket(path.into(), source) }
    }

    /// Adds the purpose of the failed action.
    pub fn while_doing(self, action: &str) -> Self {
        Self { action: format!("{action}: could not {}", self.action), ..self }
    }

    /// The TLS handshake failed.
    pub fn tls(side: Side, action: impl Into<String>, source: TlsError) -> Self {
        Self { side, action: action.into(), cause: Cause::Tls(source) }
    }

    /// Adds the host or address; an empty text adds nothing.
    pub fn with_context(self, place: &str) -> Self {
        if place.is_empty() {
            return self;
        }
        Self { cause: Cause::At(place.to_owned(), Box::new(self.cause)), ..self }
    }

    /// Adds a note that explains the error.
    pub fn with_note(self, note: &str) -> Self {
        Self { cause: Cause::WithNote(Box::new(self.cause), note.to_owned()), ..self }
    }

    /// Adds what the configured host name was probably meant to be.
    pub(crate) fn with_host_hint(self, meant: String) -> Self {
        Self { cause: Cause::WithHostHint(Box::new(self.cause), meant), ..self }
    }

    /// The failures of all attempts.
    pub fn all_of(side: Side, action: impl Into<String>, tried: Vec<Self>) -> Self {
        let mut causes: Vec<_> = tried.into_iter().map(|error| error.cause).collect();
        let cause = if causes.len() == 1 { causes.remove(0) } else { Cause::All(causes) };
        Self { side, action: action.into(), cause }
    }

    /// A local file, which rows were read from or written to, failed.
    pub fn local(side: Side, action: impl Into<String>, source: std::io::Error) -> Self {
        Self { side, action: action.into(), cause: Cause::LocalFile(source) }
    }

    /// No answer within `limit`.
    pub fn elapsed(side: Side, action: impl Into<String>, limit: Duration) -> Self {
        Self { side, action: action.into(), cause: Cause::Timeout(limit) }
    }

    /// PostgreSQL's answer cannot be used.
    pub fn unexpected(side: Side, action: impl Into<String>, what: impl Into<String>) -> Self {
        Self { side, action: action.into(), cause: Cause::Unexpected(what.into()) }
    }

    /// The database has no PoWA.
    pub fn missing_powa(side: Side, action: impl Into<String>) -> Self {
        Self { side, action: action.into(), cause: Cause::MissingPowa }
    }

    /// The server is not, or no longer, in the repository.
    pub fn not_registered(action: impl Into<String>) -> Self {
        Self { side: Side::Repository, action: action.into(), cause: Cause::NotRegistered }
    }

    /// PoWA has no extension or module of this name, and has those that are `known`.
    pub fn no_such_name(action: impl Into<String>, name: impl Into<String>, known: Vec<String>) -> Self {
        Self { side: Side::Repository, action: action.into(), cause: Cause::UnknownName { name: name.into(), known } }
    }

    pub fn side(&self) -> Side {
        self.side
    }
}

impl std::error::Error for Error {}
