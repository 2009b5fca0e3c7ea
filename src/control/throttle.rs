//! Limits how often something happens.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Allows one event in each interval, and counts those that are suppressed.
#[derive(Debug)]
pub(crate) struct Throttle {
    interval: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last: Option<Instant>,
    suppressed: u64,
}

impl Throttle {
    pub(crate) fn once_per(interval: Duration) -> Self {
        Self { interval, state: Mutex::default() }
    }

    /// Whether an event is allowed now. If so, returns how many were suppressed since the last one.
    pub(crate) fn allow(&self) -> Option<u64> {
        self.allow_at(Instant::now())
    }

    fn allow_at(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.last.is_some_and(|last| now.duration_since(last) < self.interval) {
            state.suppressed += 1;
            return None;
        }
        state.last = Some(now);
        Some(std::mem::take(&mut state.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_a_while_passes_and_tells_of_the_others() {
        let throttle = Throttle::once_per(Duration::from_secs(10));
        let start = Instant::now();
        let after = |seconds| throttle.allow_at(start + Duration::from_secs(seconds));
        assert_eq!([0, 1, 9, 10, 11, 25].map(after), [Some(0), None, None, Some(2), None, Some(1)]);
    }
}
