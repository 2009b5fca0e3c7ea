//! Which ports, frequencies and coalesces a server can have.

use super::{MIN_COALESCE, MIN_FREQUENCY};
use crate::repository::NewServer;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OutOfRange {
    #[error("a port must be an integer from 1 to 65535")]
    Port,
    #[error("a frequency must be an integer of at least {MIN_FREQUENCY} (seconds)")]
    Frequency,
    #[error("a coalesce must be an integer of at least {MIN_COALESCE} (snapshots)")]
    Coalesce,
}

/// Accepts a TCP port.
pub(crate) fn parse_port(text: &str) -> Result<u16, OutOfRange> {
    text.parse().ok().filter(|port| *port > 0).ok_or(OutOfRange::Port)
}

/// Accepts seconds between two snapshots.
pub(crate) fn parse_frequency(text: &str) -> Result<i32, OutOfRange> {
    text.parse().ok().filter(|seconds| *seconds >= MIN_FREQUENCY).ok_or(OutOfRange::Frequency)
}

/// Accepts a number of snapshots that are aggregated into one record.
pub(crate) fn parse_coalesce(text: &str) -> Result<i32, OutOfRange> {
    text.parse().ok().filter(|snapshots| *snapshots >= MIN_COALESCE).ok_or(OutOfRange::Coalesce)
}

/// Checks numbers that were not parsed here. `None` is one that does not change.
pub(super) fn check_numbers(
    port: Option<u16>,
    frequency: Option<i32>,
    coalesce: Option<i32>,
) -> Result<(), OutOfRange> {
    if port == Some(0) {
        return Err(OutOfRange::Port);
    }
    if frequency.is_some_and(|seconds| seconds < MIN_FREQUENCY) {
        return Err(OutOfRange::Frequency);
    }
    if coalesce.is_some_and(|snapshots| snapshots < MIN_COALESCE) {
        return Err(OutOfRange::Coalesce);
    }
    Ok(())
}

/// The same for a server that is to be registered.
pub(super) fn check_new_numbers(new: &NewServer) -> Result<(), OutOfRange> {
    check_numbers(Some(new.port), Some(new.frequency), Some(new.coalesce))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_accepted_from_their_minimum_on() {
        for (port, accepted) in
            [("0", false), ("1", true), ("65535", true), ("65536", false), ("-1", false), ("", false)]
        {
            assert_eq!(parse_port(port).is_ok(), accepted, "{port}");
        }
        for (number, accepted) in [("4", false), ("5", true), ("2147483647", true), ("2147483648", false), ("x", false)]
        {
            assert_eq!(parse_frequency(number).is_ok(), accepted, "{number}");
            assert_eq!(parse_coalesce(number).is_ok(), accepted, "{number}");
        }
        assert_eq!(
            parse_frequency("4").unwrap_err().to_string(),
            "a frequency must be an integer of at least 5 (seconds)"
        );
    }

    #[test]
    fn numbers_that_were_not_parsed_are_checked_alike() {
        assert_eq!(check_numbers(None, None, None), Ok(()));
        assert_eq!(check_numbers(Some(1), Some(5), Some(5)), Ok(()));
        assert_eq!(check_numbers(Some(0), None, None), Err(OutOfRange::Port));
        assert_eq!(check_numbers(None, Some(4), None), Err(OutOfRange::Frequency));
        assert_eq!(check_numbers(None, None, Some(4)), Err(OutOfRange::Coalesce));
    }
}
