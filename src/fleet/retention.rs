//! Which retentions a server can have.

use crate::repository::{RegisteredServer, Repository};
use session::Error;

/// The shortest retention, in seconds. A frequency up to this fits any retention.
const MIN_RETENTION: i32 = 3600;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidRetention {
    #[error("a retention must not be empty")]
    Empty,
    #[error("a retention needs a unit, for example \"{number} days\" or \"{number} hours\"")]
    NoUnit { number: String },
}

/// Accepts what can be an `interval` with a unit: PostgreSQL reads a number alone as seconds, which is never meant.
/// [`check_new`](super::check_new) has the repository parse it.
pub(crate) fn parse_retention(text: &str) -> Result<String, InvalidRetention> {
    let number = text.trim();
    if number.is_empty() {
        return Err(InvalidRetention::Empty);
    }
    if number.trim_start_matches(['-', '+']).bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return Err(InvalidRetention::NoUnit { number: number.into() });
    }
    Ok(text.into())
}

/// Checks that a server's retention is not shorter than a new frequency.
pub(crate) async fn check_frequency(
    repository: &Repository,
    server: &RegisteredServer,
    frequency: i32,
) -> Result<(), Error> {
    // A retention that was registered by other means is accepted, as long as the frequency stays.
    if frequency > MIN_RETENTION && frequency != server.frequency {
        repository.check_retention(&server.retention, frequency).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_alone_is_no_retention() {
        let error = parse_retention(" 3 ").unwrap_err();
        assert_eq!(error.to_string(), "a retention needs a unit, for example \"3 days\" or \"3 hours\"");
        for wrong in ["", " ", "-3", "+3", "1.5", "0"] {
            assert!(parse_retention(wrong).is_err(), "{wrong}");
        }
        for right in ["3 days", "3d", "1 month", "P1Y", "12:00", "-1 day"] {
            assert_eq!(parse_retention(right).as_deref(), Ok(right));
        }
    }
}
