//! Decides what a worker does next. Pure.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// The longest sleep of a worker. It then reads the wall clock again, which may have been set meanwhile.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// What a worker does next.
#[derive(Debug, PartialEq)]
pub(super) enum Next {
    /// Wait until then.
    Wait(Instant),
    /// Connect and prepare for snapshots.
    Connect,
    /// Load the pending snapshot.
    Load,
    /// Take a snapshot.
    Snapshot { due: SystemTime },
}

/// The state of a worker that decides what it does next.
#[derive(Clone, Copy, Debug)]
pub(super) struct State {
    /// When to retry after a failure.
    pub(super) pause: Option<Instant>,
    /// There is no pending snapshot.
    pub(super) is_loaded: bool,
    /// Connected and prepared for snapshots.
    pub(super) is_ready: bool,
    /// A snapshot was requested.
    pub(super) is_forced: bool,
    /// Nothing is collected now, because of a start or a pause. `due` is when that ends, or later.
    pub(super) is_quiet: bool,
    /// When the next regular snapshot is due.
    pub(super) due: SystemTime,
}

impl State {
    /// The next step. The wall clock (`now`) decides what is due, the monotonic `clock` how long to sleep.
    pub(super) fn next(self, now: SystemTime, clock: Instant) -> Next {
        if let Some(pause) = self.pause {
            return Next::Wait(pause);
        }
        // Before anything new is read: reading resets pg_qualstats, so the pending snapshot has the only copy of its data.
        if !self.is_loaded {
            return Next::Load;
        }
        // A server that is not collected may be down.
        if !self.is_ready && (self.is_forced || !self.is_quiet) {
            return Next::Connect;
        }
        if self.is_forced {
            return Next::Snapshot { due: now };
        }
        match self.due.duration_since(now) {
            Ok(left) if !left.is_zero() => Next::Wait(clock + left.min(LONGEST_SLEEP)),
            _ => Next::Snapshot { due: self.due },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thing_in_its_turn() {
        let (now, clock) = (SystemTime::now(), Instant::now());
        let soon = clock + Duration::from_secs(3);
        let idle = State {
            pause: None,
            is_loaded: true,
            is_ready: true,
            is_forced: false,
            is_quiet: false,
            due: now + Duration::from_secs(20),
        };
        let cases = [
            (idle, Next::Wait(clock + Duration::from_secs(20))),
            (State { due: now + Duration::from_secs(900), ..idle }, Next::Wait(clock + LONGEST_SLEEP)),
            (State { due: now, ..idle }, Next::Snapshot { due: now }),
            (State { due: SystemTime::UNIX_EPOCH, ..idle }, Next::Snapshot { due: SystemTime::UNIX_EPOCH }),
            (State { is_forced: true, ..idle }, Next::Snapshot { due: now }),
            (State { is_ready: false, is_forced: true, due: now, ..idle }, Next::Connect),
            (State { is_loaded: false, is_ready: false, is_forced: true, due: now, ..idle }, Next::Load),
            (State { is_ready: false, is_quiet: true, ..idle }, Next::Wait(clock + Duration::from_secs(20))),
            (State { is_ready: false, is_quiet: true, is_forced: true, ..idle }, Next::Connect),
            (State { is_quiet: true, is_forced: true, ..idle }, Next::Snapshot { due: now }),
            (State { is_loaded: false, is_quiet: true, ..idle }, Next::Load),
            (State { pause: Some(soon), is_loaded: false, is_forced: true, due: now, ..idle }, Next::Wait(soon)),
        ];
        for (state, next) in cases {
            assert_eq!(state.next(now, clock), next, "{state:?}");
        }
    }
}
