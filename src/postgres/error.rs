//! What went wrong with PostgreSQL: on which side, while doing what, what it said, and the cure where it is known.

mod stage;

use std::fmt;
use std::time::Duration;

use tokio_postgres::error::{DbError, SqlState};
use tokio_postgres::types::{WasNull, WrongType};

use super::tls::TlsError;
use crate::one_line::on_one_line;

pub use stage::Stage;

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

    fn db_error(&self) -> Option<&DbError> {
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
    pub(super) fn is_refused_login(&self) -> bool {
        self.db_error().is_some_and(|error| error.code().code().starts_with("28"))
    }

    /// The database is not there, or takes no connections, any more.
    pub fn is_missing_database(&self) -> bool {
        let gone = [SqlState::INVALID_CATALOG_NAME, SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE];
        self.db_error().is_some_and(|error| gone.contains(error.code()))
    }

    /// What was said was in order, and the server could not do it just then: it ran into a lock or a deadlock, out of
    /// room, or was told to stop. The classes are those of PostgreSQL's appendix on error codes.
    pub(super) fn is_of_the_moment(&self) -> bool {
        let classes = ["40", "53", "55", "57"];
        self.db_error().is_some_and(|error| classes.iter().any(|class| error.code().code().starts_with(class)))
    }

    /// A function got a value that it cannot work with.
    pub(super) fn is_invalid_parameter(&self) -> bool {
        self.db_error().is_some_and(|error| *error.code() == SqlState::INVALID_PARAMETER_VALUE)
    }

    /// The role may not do that, or not with that.
    pub fn is_denied(&self) -> bool {
        self.db_error().is_some_and(|error| *error.code() == SqlState::INSUFFICIENT_PRIVILEGE)
    }

    /// What the one who reads the message can do about it, where the cause is known.
    pub fn cure(&self) -> Option<&'static str> {
        let error = self.db_error()?;
        let said = error.message();
        let code = error.code();
        if *code == SqlState::NOT_NULL_VIOLATION && error.column() == Some("queryid") {
            return Some(
                "the role used on the remote server does not see the statements of other roles: \
                 grant pg_read_all_stats to it there",
            );
        }
        if said.contains("must be loaded via") {
            return Some("add the library to shared_preload_libraries of that server and restart it");
        }
        if *code == SqlState::QUERY_CANCELED && said.contains("statement timeout") {
            return Some(match self.side {
                Side::Remote => "raise timeouts.query in the configuration if it has to take this long",
                Side::Repository => "raise timeouts.snapshot in the configuration if it has to take this long",
            });
        }
        if *code == SqlState::LOCK_NOT_AVAILABLE {
            return Some("another session holds a lock on it: pg_locks tells which");
        }
        if *code == SqlState::INSUFFICIENT_PRIVILEGE {
            return Some("the README's chapter on permissions lists what the role needs");
        }
        None
    }

    /// The whole of it in one line, for a log or a table: what was done, what was said, and the cure.
    pub fn in_full(&self) -> String {
        let said = shortened(self.cause.to_string());
        // Names are no more to be trusted than what a server says: none may write lines of its own into the log.
        let line = on_one_line(&format!("{self}: {said}")).into_owned();
        match self.cure() {
            Some(cure) => format!("{line}; {cure}"),
            None => line,
        }
    }
}

/// As much of what a server says is passed on: it must not fill a log either.
fn shortened(mut text: String) -> String {
    const LONGEST: usize = 2000;
    if let Some((end, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(end);
        text.push_str("...");
    }
    text
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "could not {} ({})", self.doing, self.side)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}

impl Cause {
    /// Without what was said about it. Of several things, the last that tells more than that one is not let in: with
    /// `sslmode=prefer`, the reason is followed by `pg_hba.conf` having no line for a connection in plain.
    fn at_heart(&self) -> &Self {
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

impl std::error::Error for Cause {}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Postgres(error) => match error.as_db_error() {
                Some(error) => said(error, f),
                None => f.write_str(&chain(error)),
            },
            Self::Elapsed(limit) => write!(f, "no answer within {} s", limit.as_secs()),
            Self::NoSession(reason)
            | Self::Barred(reason)
            | Self::Unreadable(reason)
            | Self::Unread(reason)
            | Self::Unresolved(reason)
            | Self::Found(reason) => f.write_str(reason),
            Self::Tls(error) => error.fmt(f),
            Self::At(place, cause) => write!(f, "{place}: {cause}"),
            Self::Remarked(cause, remark) => write!(f, "{cause}; {remark}"),
            Self::All(causes) => {
                let each: Vec<_> = causes.iter().map(ToString::to_string).collect();
                f.write_str(&each.join("; "))
            }
            Self::Io(error) | Self::Network(error) => error.fmt(f),
        }
    }
}

/// An answer arrived, and holds something else than what was asked for.
fn is_about_a_value(error: &tokio_postgres::Error) -> bool {
    std::error::Error::source(error).is_some_and(|cause| cause.is::<WasNull>() || cause.is::<WrongType>())
}

/// PostgreSQL's own message. The detail of a constraint violation is left out: it quotes the row.
fn said(error: &DbError, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "{}: {} (SQLSTATE {})", error.severity(), error.message(), error.code().code())?;
    let quotes_a_row = error.code().code().starts_with("23");
    if let Some(detail) = error.detail().filter(|_| !quotes_a_row) {
        write!(f, ", detail: {detail}")?;
    }
    if let Some(hint) = error.hint() {
        write!(f, ", hint: {hint}")?;
    }
    Ok(())
}

fn io_error(error: &tokio_postgres::Error) -> Option<&std::io::Error> {
    std::error::Error::source(error)?.downcast_ref()
}

fn tls_error(error: &std::io::Error) -> Option<&TlsError> {
    error.get_ref()?.downcast_ref()
}

/// The name is not known, as opposed to nobody there to ask. The standard library keeps the difference in words only,
/// which are those of `getaddrinfo`.
fn is_unknown_name(error: &std::io::Error) -> bool {
    let said = error.to_string();
    said.contains("failed to lookup address") && !said.contains("Temporary failure")
}

/// The driver's errors say what they were about, and their sources why.
pub(super) fn chain(error: &tokio_postgres::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_things_it_is_all_that_is_told() {
        let each = ["no", "never"].map(|said| Error::barred(Side::Remote, "connect", said).at("db1:5432"));
        let told = Error::all_of(Side::Remote, "connect", each.into()).remarked("ask again").in_full();
        assert_eq!(told, "could not connect (remote server): db1:5432: no; db1:5432: never; ask again");
    }

    #[test]
    fn what_is_said_of_it_is_one_line_of_bounded_length() {
        let error = |name: &str, said: &str| Error::found(Side::Remote, format!("use {name}"), said).in_full();
        let told = error("a\nERROR b", "no\nINFO all is well\x1b[0m é");
        assert_eq!(told, "could not use a\\nERROR b (remote server): no\\nINFO all is well\\u{1b}[0m é");
        let long = error("it", &"é".repeat(100_000));
        assert!(long.chars().count() < 2100 && long.ends_with("..."));
    }
}
