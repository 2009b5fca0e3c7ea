//! What is said of it: the whole of it, in one line, and the cure where it is known.

use std::fmt;

use tokio_postgres::error::{DbError, SqlState};

use super::{Cause, Error, Side};
use crate::one_line::on_one_line;

impl Error {
    /// What the one who reads the message can do about it, where the cause is known.
    pub fn cure(&self) -> Option<&'static str> {
        let error = self.db_error()?;
        let said = error.message();
        let code = error.code();
        // Of statements, and of sessions.
        if *code == SqlState::NOT_NULL_VIOLATION && matches!(error.column(), Some("queryid" | "backend_start")) {
            return Some(
                "the role used on the remote server does not see what other roles do: \
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
pub(in crate::postgres) fn chain(error: &tokio_postgres::Error) -> String {
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
