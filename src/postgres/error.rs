//! What went wrong with PostgreSQL: on which side, while doing what, what it said, and the cure where it is known.

use std::fmt;
use std::time::Duration;

use deadpool_postgres::{HookError, PoolError};
use tokio_postgres::error::{DbError, SqlState};

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
    Pool(String),
    Io(std::io::Error),
    Found(String),
}

impl Error {
    /// `doing` completes "could not ...".
    pub(super) fn new(side: Side, doing: impl Into<String>, source: tokio_postgres::Error) -> Self {
        Self { side, doing: doing.into(), cause: Cause::Postgres(source) }
    }

    pub(super) fn pool(doing: impl Into<String>, source: PoolError) -> Self {
        let cause = match source {
            PoolError::Backend(error) | PoolError::PostCreateHook(HookError::Backend(error)) => Cause::Postgres(error),
            PoolError::Timeout(_) => Cause::Pool("no connection could be had in time".into()),
            other => Cause::Pool(other.to_string()),
        };
        Self { side: Side::Repository, doing: doing.into(), cause }
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
        match &self.cause {
            Cause::Postgres(error) => error.as_db_error(),
            _ => None,
        }
    }

    /// There is no conversation to be had with that side, as opposed to one that went wrong.
    pub fn is_connection(&self) -> bool {
        match (&self.cause, self.db_error()) {
            (Cause::Io(_) | Cause::Found(_), _) => false,
            (_, None) => true,
            // Connection exceptions, refused authentication, too many connections, and a server that shuts down.
            (_, Some(error)) => {
                ["08", "28", "53300", "57P0", "3D000"].iter().any(|code| error.code().code().starts_with(code))
            }
        }
    }

    /// The database is not there, or not any more.
    pub fn is_missing_database(&self) -> bool {
        self.db_error().is_some_and(|error| *error.code() == SqlState::INVALID_CATALOG_NAME)
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
        let said = on_one_line(&self.cause.to_string());
        match self.cure() {
            Some(cure) => format!("{self}: {said}; {cure}"),
            None => format!("{self}: {said}"),
        }
    }
}

/// What a server says is not trusted: it must not write lines of its own into the log, nor fill it.
fn on_one_line(text: &str) -> String {
    const LONGEST: usize = 2000;
    let mut line: String = text
        .chars()
        .take(LONGEST)
        .flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] })
        .collect();
    if text.chars().nth(LONGEST).is_some() {
        line.push_str("...");
    }
    line
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

impl std::error::Error for Cause {}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Postgres(error) => match error.as_db_error() {
                Some(error) => said(error, f),
                None => write_chain(error, f),
            },
            Self::Elapsed(limit) => write!(f, "no answer within {} s", limit.as_secs()),
            Self::Pool(reason) | Self::Found(reason) => f.write_str(reason),
            Self::Io(error) => error.fmt(f),
        }
    }
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

/// The driver's errors say what they were about, and their sources why.
fn write_chain(error: &tokio_postgres::Error, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    f.write_str(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_is_one_line_of_bounded_length() {
        assert_eq!(on_one_line("no\nINFO all is well\x1b[0m é"), "no\\nINFO all is well\\u{1b}[0m é");
        let long = on_one_line(&"x".repeat(100_000));
        assert!(long.len() < 2010 && long.ends_with("..."));
    }
}
