//! Findings about clocks and network latency. Pure.

use super::finding::{CheckItem, CureKind, Finding, Verdict};
use crate::server::ClockReading;

/// In seconds. Snapshots are minutes apart.
const MAX_DIFFERENCE: f64 = 2.0;

/// Compares a server's clock with the repository's.
pub(super) fn clock(server: &ClockReading, repository: &ClockReading) -> Finding {
    compare(server, repository, "the repository's")
}

/// Compares the repository's clock with this machine's.
pub(super) fn clock_of_repository(reading: &ClockReading) -> Finding {
    let here = ClockReading { ahead: 0.0, round_trip: std::time::Duration::ZERO };
    compare(reading, &here, "this machine's")
}

fn compare(clock: &ClockReading, reference: &ClockReading, reference_name: &str) -> Finding {
    let surely = clock.surely_ahead_of(reference);
    let direction = if surely < 0.0 { "behind" } else { "ahead of" };
    if !clock.ahead.is_finite() || surely.abs() > MAX_DIFFERENCE {
        let message = format!(
            "the clock is {:.1} s {direction} {reference_name}; times in the history and in logs do not match",
            surely.abs()
        );
        return Finding::new(CheckItem::Clock, Verdict::Warning, message)
            .cured_by(CureKind::Advice, "synchronize the clocks of both machines, for example with NTP");
    }
    Finding::new(CheckItem::Clock, Verdict::Well, format!("less than {MAX_DIFFERENCE} s from {reference_name}"))
}

/// The time of one query.
pub(super) fn round_trip(reading: &ClockReading) -> Finding {
    Finding::new(CheckItem::RoundTrip, Verdict::Well, format!("{:.1} ms", reading.round_trip.as_secs_f64() * 1000.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn clocks_that_surely_differ_are_a_warning() {
        let reading = |ahead, round_trip| ClockReading { ahead, round_trip: Duration::from_millis(round_trip) };
        let found = |server, repository| clock(&server, &repository);
        assert_eq!(found(reading(1.5, 1), reading(0.0, 1)).verdict, Verdict::Well);
        assert_eq!(found(reading(3.0, 3000), reading(0.0, 3000)).verdict, Verdict::Well);
        let slow = found(reading(-3600.0, 1), reading(10.0, 1));
        assert_eq!(slow.verdict, Verdict::Warning);
        assert!(slow.message.starts_with("the clock is 3610.0 s behind the repository's"), "{}", slow.message);
        assert_eq!(found(reading(f64::NAN, 1), reading(0.0, 1)).verdict, Verdict::Warning);
        assert!(clock_of_repository(&reading(9.0, 1)).message.contains("9.0 s ahead of this machine's"));
    }
}
