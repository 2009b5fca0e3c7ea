//! What may happen once in a while only, however often it is asked for.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lets one through in `pause`, and counts the others.
#[derive(Debug)]
pub(super) struct Throttle {
    pause: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last: Option<Instant>,
    held_back: u64,
}

impl Throttle {
    pub(super) fn one_in(pause: Duration) -> Self {
        Self { pause, state: Mutex::default() }
    }

    /// The number held back since the last one that passed; `None` for one that is held back itself.
    pub(super) fn pass(&self) -> Option<u64> {
        self.pass_at(Instant::now())
    }

    fn pass_at(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.last.is_some_and(|last| now.duration_since(last) < self.pause) {
            state.held_back += 1;
            return None;
        }
        state.last = Some(now);
        Some(std::mem::take(&mut state.held_back))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_a_while_passes_and_tells_of_the_others() {
        let throttle = Throttle::one_in(Duration::from_secs(10));
        let start = Instant::now();
        let after = |seconds| throttle.pass_at(start + Duration::from_secs(seconds));
        assert_eq!([0, 1, 9, 10, 11, 25].map(after), [Some(0), None, None, Some(2), None, Some(1)]);
    }
}
