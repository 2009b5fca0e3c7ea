//! Decides when the next snapshot of a server is due. Pure.
//!
//! Each server has its own grid of times: an offset (phase), and every `frequency` after it. The phases are multiples of the
//! golden ratio, which spreads any number of servers evenly without coordination: snapshots of a fleet do not start at the
//! same time, a restart does not shift them, and they do not drift.

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

/// What is known about the last snapshot.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LastSnapshot {
    /// There is none, or it is older than the frequency.
    Overdue { started: Option<SystemTime> },
    At {
        started: SystemTime,
        /// The next snapshot is due at the first point of the grid after this time.
        quiet_until: SystemTime,
    },
}

impl LastSnapshot {
    /// When it was begun, if known.
    pub fn started(self) -> Option<SystemTime> {
        match self {
            Self::Overdue { started } => started,
            Self::At { started, .. } => Some(started),
        }
    }
}

impl Schedule {
    /// The grid of a server with this id and frequency.
    pub fn new(server: ServerId, frequency: Duration) -> Self {
        let phase = frequency.mul_f64((f64::from(server.get()) * GOLDEN).fract());
        Self { phase, frequency }
    }

    /// The time from one point to the next.
    pub(crate) fn frequency(&self) -> Duration {
        self.frequency
    }

    /// The last snapshot from its age, for a worker that starts or gets another frequency. A snapshot older than the frequency
    /// is overdue.
    pub fn resume(&self, age: Option<Duration>, now: SystemTime) -> LastSnapshot {
        match age {
            Some(age) if age < self.frequency => {
                LastSnapshot::At { started: now - age, quiet_until: now - age + self.frequency / 2 }
            }
            age => LastSnapshot::Overdue { started: age.and_then(|age| now.checked_sub(age)) },
        }
    }

    /// Records a snapshot that was due, begun and ended at these times. Also returns how many points of the grid have passed
    /// meanwhile: these snapshots are skipped.
    ///
    /// A forced snapshot, or one that is late by half a frequency or more, is followed by a pause of at least half a
    /// frequency. A snapshot that is a little late does not shift the grid.
    pub fn after_snapshot(&self, due: SystemTime, started: SystemTime, ended: SystemTime) -> (LastSnapshot, u64) {
        let half = self.frequency / 2;
        let late = started.duration_since(due).unwrap_or_default();
        let from = if late < half { due } else { started } + half;
        let last = LastSnapshot::At { started, quiet_until: from.max(ended) };
        let first_missed = self.point_after(from);
        let skipped = match ended.duration_since(first_missed) {
            Ok(beyond) => 1 + beyond.as_nanos() / self.frequency.as_nanos().max(1),
            Err(_) => 0,
        };
        (last, u64::try_from(skipped).unwrap_or(u64::MAX))
    }

    /// When the next snapshot is due. A time that is not after `now` means immediately.
    pub fn due(&self, last: LastSnapshot, now: SystemTime) -> SystemTime {
        match last {
            // A snapshot in the future means that the clock was set back: take the next one now.
            LastSnapshot::At { started, quiet_until } if started <= now => self.point_after(quiet_until),
            _ => now,
        }
    }

    /// Whether the point of the grid after `due` has passed.
    pub fn has_passed(&self, due: SystemTime, now: SystemTime) -> bool {
        self.point_after(due) <= now
    }

    /// The first point of the grid strictly after `time`.
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
    fn after_a_snapshot_comes_the_next_point_that_is_not_at_its_heels() {
        let cases = [
            // (due, begun, ended, next, skipped)
            (0.0, 0.1, 0.2, 60.0, 0),
            (0.0, 0.1, 59.0, 60.0, 0),
            (0.0, 29.0, 31.0, 60.0, 0),
            (0.0, 31.0, 32.0, 120.0, 0),
            // Longer than the frequency.
            (0.0, 0.1, 72.0, 120.0, 1),
            (0.0, 0.1, 90.0, 120.0, 1),
            (0.0, 0.1, 121.0, 180.0, 2),
            (0.0, 0.1, 3600.5, 3660.0, 60),
            // Forced.
            (17.0, 17.0, 18.0, 60.0, 0),
            (47.0, 47.0, 48.0, 120.0, 0),
            // Due before an outage.
            (0.0, 500.0, 501.0, 540.0, 0),
            (0.0, 530.0, 531.0, 600.0, 0),
        ];
        for (due, started, ended, next, skipped) in cases {
            let (last, missed) = on_the_minute().after_snapshot(at(due), at(started), at(ended));
            let found = (on_the_minute().due(last, at(ended)), missed);
            assert_eq!(found, (at(next), skipped), "due {due}, begun {started}, ended {ended}");
        }
    }

    #[test]
    fn a_worker_that_starts_takes_what_is_overdue_at_once() {
        let grid = on_the_minute();
        for age in [None, Some(60), Some(61), Some(1_000_000)] {
            let last = grid.resume(age.map(Duration::from_secs), at(7.0));
            assert_eq!(grid.due(last, at(7.0)), at(7.0), "{age:?}");
            assert_eq!(last.started(), age.map(|age| at(7.0) - Duration::from_secs(age)));
        }
        for (age, next) in [(2, 60.0), (20, 60.0), (50, 60.0)] {
            let last = grid.resume(Some(Duration::from_secs(age)), at(27.0));
            assert_eq!(grid.due(last, at(27.0)), at(next), "{age}");
        }
    }

    #[test]
    fn a_worker_goes_on_at_once_when_the_clock_is_set_back() {
        let grid = on_the_minute();
        let (last, _) = grid.after_snapshot(at(3600.0), at(3600.0), at(3601.0));
        let mut now = at(10.0);
        assert_eq!(grid.due(last, now), now);
        let (last, _) = grid.after_snapshot(now, now, at(11.0));
        now = at(12.0);
        assert_eq!(grid.due(last, now), at(60.0));
    }

    #[test]
    fn a_steady_worker_never_drifts() {
        let grid = schedule(42, 300);
        let mut due = grid.due(grid.resume(Some(Duration::from_secs(1)), at(3.0)), at(3.0));
        for _ in 0..1000 {
            let started = due + Duration::from_millis(130);
            let (last, skipped) = grid.after_snapshot(due, started, started + Duration::from_millis(200));
            assert_eq!(skipped, 0);
            let next = grid.due(last, started);
            assert_eq!(next.duration_since(due).unwrap(), Duration::from_secs(300));
            due = next;
        }
    }

    #[test]
    fn a_slow_worker_stays_on_its_grid_and_counts_all_it_misses() {
        for takes in [72.0, 90.0, 114.0, 130.0] {
            let grid = on_the_minute();
            let (mut due, mut taken, mut missed) = (at(0.0), 0, 0);
            while due < at(36_000.0) {
                let (last, skipped) = grid.after_snapshot(due, due, due + Duration::from_secs_f64(takes));
                (taken, missed) = (taken + 1, missed + skipped);
                due = grid.due(last, due + Duration::from_secs_f64(takes));
            }
            let points = due.duration_since(at(0.0)).unwrap().as_secs() / 60;
            assert_eq!(taken + missed, points, "{takes}");
        }
    }

    #[test]
    fn a_fleet_is_spread_evenly() {
        let now = at(0.0);
        let mut waits: Vec<f64> =
            (1..=100).map(|id| schedule(id, 300).point_after(now).duration_since(now).unwrap().as_secs_f64()).collect();
        waits.sort_by(f64::total_cmp);
        let widest = waits.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max);
        assert!(widest < 3.0 * 300.0 / 100.0, "a gap of {widest} s in a fleet of 100 every 300 s");
    }

    #[test]
    fn the_longest_frequency_is_no_trouble() {
        let grid = schedule(i32::MAX, i32::MAX as u64);
        let (last, _) = grid.after_snapshot(at(0.0), at(0.0), at(1.0));
        assert!(grid.due(last, at(1.0)) > at(1.0));
    }
}
