//! What do a server's clock and the time that its answers take mean? Pure.

use super::finding::{Finding, Mark, Place, What};
use crate::postgres::ClockReading;

/// So many seconds between two clocks are no matter: snapshots are minutes apart.
const BEARABLE: f64 = 2.0;

/// A server's clock against the repository's.
pub(super) fn clock(of_server: &ClockReading, of_repository: &ClockReading) -> Finding {
    against(of_server, of_repository, "the repository's")
}

/// The repository's clock against this machine's.
pub(super) fn clock_of_repository(reading: &ClockReading) -> Finding {
    let here = ClockReading { ahead: 0.0, round_trip: std::time::Duration::ZERO };
    against(reading, &here, "this machine's")
}

fn against(one: &ClockReading, other: &ClockReading, whose: &str) -> Finding {
    let surely = one.surely_ahead_of(other);
    let direction = if surely < 0.0 { "behind" } else { "ahead of" };
    if !one.ahead.is_finite() || surely.abs() > BEARABLE {
        let said =
            format!("it is {:.1} s {direction} {whose}: what is seen at one time happened at another", surely.abs());
        return Finding::new(What::Clock, Mark::Warning, said)
            .cured_by(Place::Elsewhere, "let both machines take the time from the network (NTP)");
    }
    Finding::new(What::Clock, Mark::Well, format!("less than {BEARABLE} s from {whose}"))
}

/// How long an answer takes.
pub(super) fn round_trip(reading: &ClockReading) -> Finding {
    Finding::new(What::RoundTrip, Mark::Well, format!("{:.1} ms", reading.round_trip.as_secs_f64() * 1000.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn clocks_are_complained_of_when_they_are_surely_apart() {
        let reading = |ahead, round_trip| ClockReading { ahead, round_trip: Duration::from_millis(round_trip) };
        let found = |server, repository| clock(&server, &repository);
        assert_eq!(found(reading(1.5, 1), reading(0.0, 1)).mark, Mark::Well);
        assert_eq!(found(reading(3.0, 3000), reading(0.0, 3000)).mark, Mark::Well);
        let slow = found(reading(-3600.0, 1), reading(10.0, 1));
        assert_eq!(slow.mark, Mark::Warning);
        assert!(slow.said.starts_with("it is 3610.0 s behind the repository's"), "{}", slow.said);
        assert_eq!(found(reading(f64::NAN, 1), reading(0.0, 1)).mark, Mark::Warning);
        assert!(clock_of_repository(&reading(9.0, 1)).said.contains("9.0 s ahead of this machine's"));
    }
}
