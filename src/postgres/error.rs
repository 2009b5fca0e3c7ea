//! What went wrong with PostgreSQL: on which side, while doing what, and why.

mod meaning;
mod stage;
mod words;

use std::fmt;
use std::time::Duration;

use super::tls::TlsError;

pub use stage::Stage;
pub(super) use words::chain;

/// Two sides talk PostgreSQL; a message always tells which.
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

/// A failed conversation with one of the two sides.
#[derive(Debug)]
pub struct Error {
    side: Side,
    doing: String,
    cause: Cause,
}

#[derive(Debug)]
enum Cause {
    Postgres(tokio_postgres::Error),
    Elapsed(Duration),
    /// There is no session, or none any more.
    NoSession(String),
    /// No session is to be had until somebody mends something.
    Barred(String),
    /// What says how to connect cannot be used until somebody mends it.
    Unreadable(String),
    /// What says how to connect was not to be had in time.
    Unread(String),
    /// The name of the host was not resolved in time.
    Unresolved(String),
    /// The server was not reached.
    Network(std::io::Error),
    /// There is no TLS, or none with the server that was meant.
    Tls(TlsError),
    /// Something, at a place: which host, which address, how.
    At(String, Box<Cause>),
    /// Something, and what else is good to know.
    Remarked(Box<Cause>, String),
    /// One thing after the other was tried, and nothing was of use.
    All(Vec<Cause>),
    Io(std::io::Error),
    Found(String),
}

impl Error {
    /// `doing` completes "could not ...".
    pub(super) fn new(side: Side, doing: impl Into<String>, source: tokio_postgres::Error) -> Self {
        Self { side, doing: doing.into(), cause: Cause::Postgres(source) }
    }

    /// There is no session to be had.
    pub(super) fn no_session(side: Side, doing: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { side, doing: doing.into(), cause: Cause::NoSession(reason.into()) }
    }

    /// There is no session to be had until somebody mends something.
    pub(super) fn barred(side: Side, doing: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { side, doing: doing.into(), cause: Cause::Barred(reason.into()) }
    }

    /// What says how to connect cannot be used until somebody mends it.
    pub(super) fn unreadable(side: Side, doing: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { side, doing: doing.into(), cause: Cause::Unreadable(reason.into()) }
    }

    /// What says how to connect was not to be had in time.
    pub(super) fn unread(side: Side, doing: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { side, doing: doing.into(), cause: Cause::Unread(reason.into()) }
    }

    /// The name of the host was not resolved in time.
    pub(super) fn unresolved(side: Side, doing: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { side, doing: doing.into(), cause: Cause::Unresolved(reason.into()) }
    }

    /// The server could not be reached.
    pub(super) fn network(side: Side, doing: impl Into<String>, source: std::io::Error) -> Self {
        Self { side, doing: doing.into(), cause: Cause::Network(source) }
    }

    /// What it was wanted for.
    pub(super) fn in_order_to(self, doing: &str) -> Self {
        Self { doing: format!("{doing}: could not {}", self.doing), ..self }
    }

    /// TLS could not be agreed on.
    pub(super) fn tls(side: Side, doing: impl Into<String>, source: TlsError) -> Self {
        Self { side, doing: doing.into(), cause: Cause::Tls(source) }
    }

    /// At which place.
    pub(super) fn at(self, place: &str) -> Self {
        if place.is_empty() {
            return self;
        }
        Self { cause: Cause::At(place.to_owned(), Box::new(self.cause)), ..self }
    }

    /// With something that helps to understand it.
    pub(super) fn remarked(self, remark: &str) -> Self {
        Self { cause: Cause::Remarked(Box::new(self.cause), remark.to_owned()), ..self }
    }

    /// What became of each thing that was tried.
    pub(super) fn all_of(side: Side, doing: impl Into<String>, tried: Vec<Self>) -> Self {
        let mut causes: Vec<_> = tried.into_iter().map(|error| error.cause).collect();
        let cause = if causes.len() == 1 { causes.remove(0) } else { Cause::All(causes) };
        Self { side, doing: doing.into(), cause }
    }

    /// The local half of the conversation failed: the file that rows were read from or written to.
    pub fn local(side: Side, doing: impl Into<String>, source: std::io::Error) -> Self {
        Self { side, doing: doing.into(), cause: Cause::Io(source) }
    }

    /// No answer within `limit`.
    pub fn elapsed(side: Side, doing: impl Into<String>, limit: Duration) -> Self {
        Self { side, doing: doing.into(), cause: Cause::Elapsed(limit) }
    }

    /// PostgreSQL answered, and what it answered cannot be worked with.
    pub fn found(side: Side, doing: impl Into<String>, what: impl Into<String>) -> Self {
        Self { side, doing: doing.into(), cause: Cause::Found(what.into()) }
    }

    /// Which side it happened on.
    pub fn side(&self) -> Side {
        self.side
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}

impl std::error::Error for Cause {}
