//! When is the next snapshot? Pure.
//!
//! Each server has a grid of its own: its phase, and every `frequency` from there on. The phases are multiples of the
//! golden ratio, which spreads any number of servers evenly without any of them knowing of the others, so a fleet never
//! fires at once, a restart shifts nothing, and nothing drifts.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::server::ServerId;

/// The fractional part of the golden ratio.
const GOLDEN: f64 = 0.618_033_988_749_895;

/// The grid of one server.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    phase: Duration,
    frequency: Duration,
}

/// What is known of the snapshot before.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Last {
    /// There was none, or none that a worker since this one's start knows of and that is recent.
    Overdue,
    /// It began then.
    At(SystemTime),
}

impl Schedule {
    /// The grid of a server with that id and frequency.
    pub fn new(server: ServerId, frequency: Duration) -> Self {
        let phase = frequency.mul_f64((f64::from(server.get()) * GOLDEN).fract());
        Self { phase, frequency }
    }

    /// What a worker that starts makes of the age of the last snapshot: one older than the frequency is overdue.
    pub fn resume(&self, age: Option<Duration>, now: SystemTime) -> Last {
        match age {
            Some(age) if age < self.frequency => Last::At(now - age),
            _ => Last::Overdue,
        }
    }

    /// When the next snapshot is due; a time that is not after `now` means at once.
    ///
    /// It is the first point of the grid that is more than half a frequency after the last snapshot: a snapshot that was
    /// forced, or came late, does not shift the grid, and is not followed by another at its heels.
    pub fn due(&self, last: Last, now: SystemTime) -> SystemTime {
        match last {
            Last::Overdue => now,
            // The clock was set back: what happened in the future says nothing.
            Last::At(last) if last > now => self.point_after(now),
            Last::At(last) => self.point_after(last + self.frequency / 2),
        }
    }

    /// Points of the grid that passed without a snapshot, if it begins now and was due at `due`.
    pub fn skipped(&self, due: SystemTime, now: SystemTime) -> u64 {
        let late = now.duration_since(due).unwrap_or_default();
        late.as_secs() / self.frequency.as_secs().max(1)
    }

    fn point_after(&self, time: SystemTime) -> SystemTime {
        let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let into_grid = since_epoch.saturating_sub(self.phase).as_nanos() % self.frequency.as_nanos().max(1);
        let into_grid = Duration::from_nanos(u64::try_from(into_grid).expect("less than the frequency"));
        time + (self.frequency - into_grid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_800_000_000) + Duration::from_secs_f64(seconds)
    }

    fn schedule(id: i32, seconds: u64) -> Schedule {
        Schedule::new(ServerId::new(id).unwrap(), Duration::from_secs(seconds))
    }

    /// A grid whose points are at whole minutes.
    fn on_the_minute() -> Schedule {
        Schedule { phase: Duration::ZERO, frequency: Duration::from_secs(60) }
    }

    #[test]
    fn due_is_the_first_point_more_than_half_a_frequency_later() {
        let cases = [
            // (last, now, due)
            (0.1, 0.2, 60.0),
            (0.1, 59.0, 60.0),
            (0.1, 61.0, 60.0),
            (29.0, 29.5, 60.0),
            (31.0, 31.5, 120.0),
            (59.9, 60.0, 120.0),
            (0.1, 500.0, 60.0),
            // The clock was set back by an hour.
            (3600.0, 10.0, 60.0),
        ];
        for (last, now, due) in cases {
            assert_eq!(on_the_minute().due(Last::At(at(last)), at(now)), at(due), "last {last}, now {now}");
        }
        assert_eq!(on_the_minute().due(Last::Overdue, at(7.0)), at(7.0));
    }

    #[test]
    fn a_worker_that_starts_takes_what_is_overdue_at_once() {
        let grid = on_the_minute();
        for age in [None, Some(60), Some(61), Some(1_000_000)] {
            assert_eq!(grid.resume(age.map(Duration::from_secs), at(7.0)), Last::Overdue, "{age:?}");
        }
        assert_eq!(grid.resume(Some(Duration::from_secs(20)), at(27.0)), Last::At(at(7.0)));
    }

    #[test]
    fn a_steady_worker_never_drifts() {
        let grid = schedule(42, 300);
        let mut now = at(3.0);
        let mut due = grid.due(Last::At(now), now);
        for _ in 0..1000 {
            now = due + Duration::from_millis(130);
            let next = grid.due(Last::At(now), now);
            assert_eq!(next.duration_since(due).unwrap(), Duration::from_secs(300));
            due = next;
        }
    }

    #[test]
    fn a_fleet_is_spread_evenly() {
        let now = at(0.0);
        let mut waits: Vec<f64> = (1..=100)
            .map(|id| schedule(id, 300).due(Last::At(now - Duration::from_secs(150)), now))
            .map(|due| due.duration_since(now).unwrap().as_secs_f64())
            .collect();
        waits.sort_by(f64::total_cmp);
        let widest = waits.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max);
        assert!(widest < 3.0 * 300.0 / 100.0, "a gap of {widest} s in a fleet of 100 every 300 s");
    }

    #[test]
    fn ticks_that_passed_are_counted() {
        let cases = [(60.0, 60.1, 0), (60.0, 119.0, 0), (60.0, 121.0, 1), (60.0, 301.0, 4), (60.0, 10.0, 0)];
        for (due, now, skipped) in cases {
            assert_eq!(on_the_minute().skipped(at(due), at(now)), skipped, "due {due}, now {now}");
        }
    }

    #[test]
    fn the_longest_frequency_is_no_trouble() {
        let grid = schedule(i32::MAX, i32::MAX as u64);
        assert!(grid.due(Last::At(at(0.0)), at(1.0)) > at(1.0));
    }
}
