//! How long a history is kept, as somebody types it.

use super::super::one_shot::Installation;
use super::Failure;
use crate::postgres::RegisteredServer;

/// A retention is this many seconds at least, whatever the frequency.
const HOUR: i32 = 3600;

/// What PostgreSQL is asked to read as an interval.
///
/// # Errors
/// It is empty, or a number without a unit, which PostgreSQL takes for seconds.
pub(super) fn retention(text: &str) -> Result<String, String> {
    let number = text.trim();
    if number.is_empty() {
        return Err("a retention is not empty".into());
    }
    if number.trim_start_matches(['-', '+']).bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return Err(format!("a number needs its unit: say \"{number} days\", \"{number} hours\" or the like"));
    }
    Ok(text.into())
}

/// Makes sure that the retention that a server has is enough for another frequency.
///
/// # Errors
/// There would be no history.
pub(super) async fn check_frequency(
    installation: &Installation,
    server: &RegisteredServer,
    frequency: i32,
) -> Result<(), Failure> {
    // What somebody has registered elsewhere is left alone, as long as it makes no difference.
    if frequency > HOUR && frequency != server.frequency {
        installation.repository.check_retention(&server.retention, frequency).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_alone_is_no_retention() {
        assert_eq!(retention(" 3 "), Err("a number needs its unit: say \"3 days\", \"3 hours\" or the like".into()));
        for wrong in ["", " ", "-3", "+3", "1.5", "0"] {
            assert!(retention(wrong).is_err(), "{wrong}");
        }
        for right in ["3 days", "3d", "1 month", "P1Y", "12:00", "-1 day"] {
            assert_eq!(retention(right).as_deref(), Ok(right));
        }
    }
}
