//! Estimates how many sessions a server allows the collector to open. Pure.
//!
//! A role, a database and a server each have a connection limit. The limits are not queried, because they do not show how many
//! connections others use: the estimate comes from the number of open sessions when the server refuses one.

use std::time::Duration;

use tokio::time::Instant;

/// How long an estimate is valid, as limits are raised and other sessions end. After that more sessions are tried; a server
/// that is still full refuses some, each with a line in its log.
const VALIDITY: Duration = Duration::from_secs(600);

/// The number of sessions that the server allows in addition to the main one, if known.
#[derive(Debug, Default)]
pub(super) struct SessionCapacity(Option<(usize, Instant)>);

impl SessionCapacity {
    /// Records that the server refused a session while this many were open.
    pub(super) fn set_limit(&mut self, limit: usize, now: Instant) {
        self.0 = Some((limit, now));
    }

    /// Discards the estimate.
    pub(super) fn reset(&mut self) {
        self.0 = None;
    }

    /// The number of sessions that the server allows; `None` if no limit is known.
    pub(super) fn limit(&self, now: Instant) -> Option<usize> {
        self.0.filter(|(_, set_limit)| now.duration_since(*set_limit) < VALIDITY).map(|(limit, _)| limit)
    }

    /// How many databases to read concurrently: at least one, as there may be capacity again.
    pub(super) fn concurrency(&self, wanted: usize, now: Instant) -> usize {
        self.limit(now).unwrap_or(usize::MAX).clamp(1, wanted.max(1))
    }

    /// How many of the `wanted` idle sessions to keep open for the next snapshot, in addition to `concurrency` active ones.
    pub(super) fn idle_limit(&self, wanted: usize, concurrency: usize, now: Instant) -> usize {
        self.limit(now).map_or(wanted, |limit| limit.saturating_sub(concurrency).min(wanted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_at_work_come_before_those_that_are_kept() {
        let now = Instant::now();
        let of = |limit| {
            let mut capacity = SessionCapacity::default();
            capacity.set_limit(limit, now);
            let concurrency = capacity.concurrency(4, now);
            (concurrency, capacity.idle_limit(20, concurrency, now))
        };
        assert_eq!([0, 1, 4, 5, 19, 24, 100].map(of), [(1, 0), (1, 0), (4, 0), (4, 1), (4, 15), (4, 20), (4, 20)]);
        assert_eq!(
            (SessionCapacity::default().concurrency(4, now), SessionCapacity::default().idle_limit(20, 4, now)),
            (4, 20)
        );
        assert_eq!(SessionCapacity::default().concurrency(0, now), 1);
    }

    #[test]
    fn more_is_tried_after_a_while() {
        let now = Instant::now();
        let mut capacity = SessionCapacity::default();
        capacity.set_limit(1, now);
        assert_eq!(capacity.limit(now + VALIDITY - Duration::from_secs(1)), Some(1));
        assert_eq!(capacity.limit(now + VALIDITY), None);
        capacity.reset();
        assert_eq!(capacity.limit(now), None);
    }
}
