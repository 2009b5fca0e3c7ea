//! The error state of a worker: the current failure, whether it is new, and when to retry. Pure.

use std::time::Duration;

use backon::ExponentialBackoff;
use tokio::time::Instant;

use crate::backoff;
use session::Side;

/// The longest pause between two attempts. For a connection to a server, its frequency is the limit if it is shorter.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The operation of a worker that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// Connecting and preparing for snapshots. Cheap for the servers, so it is retried soon.
    Prepare,
    /// Reading a snapshot. Expensive for the remote server, so the next regular snapshot is the retry.
    Collect,
    /// Writing a collected snapshot to the repository. Retried soon, with the same rows.
    Load,
}

/// The current failure of a worker.
pub(super) struct RetryState {
    operation: Operation,
    reason: String,
    unreachable: Option<Side>,
    /// Every side that was unreachable since the worker started to fail.
    unreachable_sides: Vec<Side>,
    /// Whether the reason is stored in the repository.
    pub(super) is_stored: bool,
    retry_at: Instant,
    delays: ExponentialBackoff,
}

impl RetryState {
    /// The state after a failure, given the state `before` it; and whether the reason is a new one.
    pub(super) fn after(
        before: Option<Self>,
        (operation, reason, unreachable): (Operation, String, Option<Side>),
        frequency: Duration,
        now: Instant,
    ) -> (Self, bool) {
        let longest = match operation {
            // The worker has nothing else to do, and is notified when the repository is reachable again.
            Operation::Load => LONGEST_PAUSE,
            Operation::Prepare | Operation::Collect => frequency.min(LONGEST_PAUSE),
        };
        let is_new = before.as_ref().is_none_or(|before| before.reason != reason);
        let mut unreachable_sides = before.as_ref().map_or_else(Vec::new, |before| before.unreachable_sides.clone());
        unreachable_sides.extend(unreachable.filter(|side| !unreachable_sides.contains(side)));
        let mut retry = match before {
            Some(before) if before.operation == operation => Self { reason, unreachable, unreachable_sides, ..before },
            _ => {
                let delays = backoff::growing_delays(longest);
                Self { operation, reason, unreachable, unreachable_sides, is_stored: false, retry_at: now, delays }
            }
        };
        retry.is_stored &= !is_new;
        retry.retry_at = match operation {
            Operation::Prepare | Operation::Load => now + retry.delays.next().unwrap_or(longest).min(longest),
            Operation::Collect => now,
        };
        (retry, is_new)
    }

    /// Whether this operation failed.
    pub(super) fn is_during(&self, operation: Operation) -> bool {
        self.operation == operation
    }

    /// The error message.
    pub(super) fn reason(&self) -> &str {
        &self.reason
    }

    /// Whether a successful connection to the remote server ends the failure. It does not if a connection broke while in use:
    /// it may break again.
    pub(super) fn ends_on_connect(&self) -> bool {
        (self.operation, self.unreachable) == (Operation::Prepare, Some(Side::Remote))
    }

    /// The unreachable side, if that is the reason.
    pub(super) fn unreachable(&self) -> Option<Side> {
        self.unreachable
    }

    /// Every side that was unreachable since the worker started to fail.
    pub(super) fn unreachable_sides(&self) -> &[Side] {
        &self.unreachable_sides
    }

    /// When to retry, if that is after `now`.
    pub(super) fn retry_at(&self, now: Instant) -> Option<Instant> {
        (self.retry_at > now).then_some(self.retry_at)
    }

    /// Ends the pause, so that the worker retries at once.
    pub(super) fn retry_now(&mut self, now: Instant) {
        self.retry_at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FREQUENCY: Duration = Duration::from_secs(300);

    fn fail(before: Option<RetryState>, operation: Operation, reason: &str, now: Instant) -> (RetryState, bool) {
        RetryState::after(before, (operation, reason.into(), None), FREQUENCY, now)
    }

    fn pause(retry: &RetryState, now: Instant) -> Duration {
        retry.retry_at(now).map_or(Duration::ZERO, |until| until - now)
    }

    #[test]
    fn pauses_grow_to_a_minute_for_as_long_as_it_lasts() {
        let now = Instant::now();
        for operation in [Operation::Prepare, Operation::Load] {
            let (mut retry, _) = fail(None, operation, "down", now);
            assert!((1..=2).contains(&pause(&retry, now).as_secs()), "{:?}", pause(&retry, now));
            for _ in 0..10 {
                (retry, _) = fail(Some(retry), operation, "down in another way", now);
            }
            assert_eq!(pause(&retry, now), LONGEST_PAUSE);
        }
    }

    #[test]
    fn no_pause_is_longer_than_the_frequency() {
        let now = Instant::now();
        let mut before = None;
        for _ in 0..10 {
            let failure = (Operation::Prepare, String::from("down"), None);
            let (retry, _) = RetryState::after(before, failure, Duration::from_secs(5), now);
            assert!(pause(&retry, now) <= Duration::from_secs(5));
            before = Some(retry);
        }
    }

    #[test]
    fn a_collect_that_broke_is_not_repeated_before_the_next_snapshot() {
        let now = Instant::now();
        let (retry, _) = fail(None, Operation::Collect, "cut", now);
        assert_eq!(retry.retry_at(now), None);
    }

    #[test]
    fn what_is_known_is_no_news_and_stays_stored() {
        let now = Instant::now();
        let (mut retry, is_new) = fail(None, Operation::Prepare, "down", now);
        assert!(is_new && !retry.is_stored);
        retry.is_stored = true;
        let (retry, is_new) = fail(Some(retry), Operation::Prepare, "down", now);
        assert!(!is_new && retry.is_stored);
        let (retry, is_new) = fail(Some(retry), Operation::Prepare, "refused", now);
        assert!(is_new && !retry.is_stored);
    }

    #[test]
    fn what_was_lost_is_known_whatever_comes_after_that() {
        let now = Instant::now();
        let mut before = None;
        for (operation, unreachable) in [
            (Operation::Prepare, Some(Side::Remote)),
            (Operation::Prepare, Some(Side::Remote)),
            (Operation::Collect, None),
            (Operation::Load, Some(Side::Repository)),
            (Operation::Load, None),
        ] {
            before = Some(RetryState::after(before, (operation, "x".into(), unreachable), FREQUENCY, now).0);
        }
        assert_eq!(before.unwrap().unreachable_sides(), [Side::Remote, Side::Repository]);
        assert!(fail(None, Operation::Collect, "x", now).0.unreachable_sides().is_empty());
    }

    #[test]
    fn a_connection_ends_only_what_kept_from_connecting() {
        let cases = [
            (Operation::Prepare, Some(Side::Remote), true),
            (Operation::Prepare, Some(Side::Repository), false),
            (Operation::Prepare, None, false),
            (Operation::Collect, Some(Side::Remote), false),
            (Operation::Load, Some(Side::Repository), false),
        ];
        for (operation, unreachable, ends) in cases {
            let (retry, _) = RetryState::after(None, (operation, "x".into(), unreachable), FREQUENCY, Instant::now());
            assert_eq!(retry.ends_on_connect(), ends, "{operation:?}, {unreachable:?}");
        }
    }

    #[test]
    fn a_change_ends_the_pause() {
        let now = Instant::now();
        let (mut retry, _) = fail(None, Operation::Prepare, "down", now);
        retry.retry_now(now);
        assert_eq!(retry.retry_at(now), None);
    }
}
