//! The error message: one line, with a hint if the remedy is known.

use std::fmt;

use tokio_postgres::error::{DbError, SqlState};

use super::{Cause, Error, Side};
use crate::extensions::UnusablePowa;
use crate::one_line::on_one_line;

impl Error {
    /// What the user can do, if the cause is known.
    pub fn cure(&self) -> Option<&'static str> {
        let error = self.db_error()?;
        let message = error.message();
        let code = error.code();
        // Columns of pg_stat_statements and pg_stat_activity.
        if *code == SqlState::NOT_NULL_VIOLATION && matches!(error.column(), Some("queryid" | "backend_start")) {
            return Some(
                "the role used on the remote server cannot see the statistics of other roles: \
                grant pg_read_all_stats to it there",
            );
        }
        if message.contains("must be loaded via") {
            return Some("add the library to shared_preload_libraries of that server and restart it");
        }
        if *code == SqlState::QUERY_CANCELED && message.contains("statement timeout") {
            return Some(match self.side {
                Side::Remote => "if the query is expected to take this long, raise timeouts.query in the configuration",
                Side::Repository => "if it is expected to take this long, raise timeouts.snapshot in the configuration",
            });
        }
        if *code == SqlState::LOCK_NOT_AVAILABLE {
            return Some("another session holds a lock on it; see pg_locks");
        }
        if *code == SqlState::INSUFFICIENT_PRIVILEGE {
            return Some(match self.side {
                Side::Repository => "\"powa-collector check\" prints what to grant",
                Side::Remote => "the README's chapter on permissions lists what the role needs",
            });
        }
        None
    }
}

/// Shortens a server's message, so that it cannot fill the log.
fn shortened(mut text: String) -> String {
    const LONGEST: usize = 2000;
    if let Some((end, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(end);
        text.push_str("...");
    }
    text
}

/// One line: what failed, why, and the remedy if known.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Names and a server's messages may contain line breaks.
        let message = format!("could not {} ({}): {}", self.action, self.side, shortened(self.cause.to_string()));
        f.write_str(&on_one_line(&message))?;
        match self.cure() {
            Some(cure) => write!(f, "; {cure}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Postgres(error) => match error.as_db_error() {
                Some(error) => write_server_error(error, f),
                None => f.write_str(&chain(error)),
            },
            Self::Timeout(limit) => write!(f, "no answer within {} s", limit.as_secs()),
            Self::NoSession(reason)
            | Self::Refused(reason)
            | Self::BadParameters(reason)
            | Self::ParametersTimeout(reason)
            | Self::NameTimeout(reason)
            | Self::Unexpected(reason) => f.write_str(reason),
            Self::Tls(error) => error.fmt(f),
            Self::At(place, cause) => write!(f, "{place}: {cause}"),
            Self::WithNote(cause, note) | Self::WithHostHint(cause, note) => write!(f, "{cause}; {note}"),
            Self::All(causes) => {
                let each: Vec<_> = causes.iter().map(ToString::to_string).collect();
                f.write_str(&each.join("; "))
            }
            Self::LocalFile(error) | Self::Network(error) | Self::Socket(_, error) => error.fmt(f),
            Self::MissingPowa => UnusablePowa::Missing.fmt(f),
            Self::NotRegistered => f.write_str("the server has no row in powa_servers"),
            Self::UnknownName { name, known } => {
                write!(f, "PoWA does not know \"{name}\"; it knows {}", known.join(", "))
            }
        }
    }
}

/// PostgreSQL's own message. The detail of a constraint violation is omitted: it quotes the row.
fn write_server_error(error: &DbError, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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

/// The driver's error message, followed by those of its sources.
pub(crate) fn chain(error: &tokio_postgres::Error) -> String {
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
    fn all_causes_are_in_the_message() {
        let each =
            ["no", "never"].map(|message| Error::refused(Side::Remote, "connect", message).with_context("db1:5432"));
        let output = Error::all_of(Side::Remote, "connect", each.into()).with_note("ask again").to_string();
        assert_eq!(output, "could not connect (remote server): db1:5432: no; db1:5432: never; ask again");
    }

    #[test]
    fn the_message_is_one_line_of_bounded_length() {
        let error =
            |name: &str, message: &str| Error::unexpected(Side::Remote, format!("use {name}"), message).to_string();
        let output = error("a\nERROR b", "no\nINFO all is well\x1b[0m é");
        assert_eq!(output, "could not use a\\nERROR b (remote server): no\\nINFO all is well\\u{1b}[0m é");
        let long = error("it", &"é".repeat(100_000));
        assert!(long.chars().count() < 2100 && long.ends_with("..."));
    }
}
