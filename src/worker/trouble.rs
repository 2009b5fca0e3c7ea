//! What if something is in the way? What is said, stored and shown of it, and when the next try is. Pure.

use std::time::Duration;

use backon::ExponentialBackoff;
use tokio::time::Instant;

use crate::pauses;
use crate::postgres::Side;

/// The longest pause between two tries; to connect to a server, unless its frequency is shorter.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What a worker was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Getting to where a snapshot can be taken. It is tried again soon, and costs the servers little.
    Prepare,
    /// Reading. It has cost the remote server something, so the next try is the next snapshot.
    Collect,
    /// Storing. It is tried again soon, with what was read.
    Load,
}

/// Something that is in the way.
pub(super) struct Trouble {
    step: Step,
    reason: String,
    unreachable: Option<Side>,
    /// What could not be reached at some time since it is in the way, whatever came after that.
    lost: Vec<Side>,
    /// The reason has been stored in the repository.
    pub(super) is_stored: bool,
    retry_at: Instant,
    delays: ExponentialBackoff,
}

impl Trouble {
    /// What comes of a failure, given what was in the way before; and whether it is news.
    pub(super) fn after(
        before: Option<Self>,
        (step, reason, unreachable): (Step, String, Option<Side>),
        frequency: Duration,
        now: Instant,
    ) -> (Self, bool) {
        let longest = match step {
            // Nothing else can be done meanwhile, and someone tells when the repository is back.
            Step::Load => LONGEST_PAUSE,
            Step::Prepare | Step::Collect => frequency.min(LONGEST_PAUSE),
        };
        let is_news = before.as_ref().is_none_or(|before| before.reason != reason);
        let mut lost = before.as_ref().map_or_else(Vec::new, |before| before.lost.clone());
        lost.extend(unreachable.filter(|side| !lost.contains(side)));
        let mut trouble = match before {
            Some(before) if before.step == step => Self { reason, unreachable, lost, ..before },
            _ => {
                let delays = pauses::growing_to(longest);
                Self { step, reason, unreachable, lost, is_stored: false, retry_at: now, delays }
            }
        };
        trouble.is_stored &= !is_news;
        trouble.retry_at = match step {
            Step::Prepare | Step::Load => now + trouble.delays.next().unwrap_or(longest).min(longest),
            Step::Collect => now,
        };
        (trouble, is_news)
    }

    /// What the worker was about.
    pub(super) fn is_about(&self, step: Step) -> bool {
        self.step == step
    }

    /// In words.
    pub(super) fn reason(&self) -> &str {
        &self.reason
    }

    /// Whether a connection to the remote server ends it. One that broke while it was used says nothing of the next use.
    pub(super) fn ends_with_connection(&self) -> bool {
        (self.step, self.unreachable) == (Step::Prepare, Some(Side::Remote))
    }

    /// The side that cannot be talked to at all, if that is it.
    pub(super) fn unreachable(&self) -> Option<Side> {
        self.unreachable
    }

    /// The sides that could not be reached meanwhile.
    pub(super) fn lost(&self) -> &[Side] {
        &self.lost
    }

    /// When to try again, if that is after `now`.
    pub(super) fn pause(&self, now: Instant) -> Option<Instant> {
        (self.retry_at > now).then_some(self.retry_at)
    }

    /// Ends the pause: something has changed.
    pub(super) fn retry(&mut self, now: Instant) {
        self.retry_at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FREQUENCY: Duration = Duration::from_secs(300);

    fn fail(before: Option<Trouble>, step: Step, reason: &str, now: Instant) -> (Trouble, bool) {
        Trouble::after(before, (step, reason.into(), None), FREQUENCY, now)
    }

    fn pause(trouble: &Trouble, now: Instant) -> Duration {
        trouble.pause(now).map_or(Duration::ZERO, |until| until - now)
    }

    #[test]
    fn pauses_grow_to_a_minute_for_as_long_as_it_lasts() {
        let now = Instant::now();
        for step in [Step::Prepare, Step::Load] {
            let (mut trouble, _) = fail(None, step, "down", now);
            assert!((1..=2).contains(&pause(&trouble, now).as_secs()), "{:?}", pause(&trouble, now));
            for _ in 0..10 {
                (trouble, _) = fail(Some(trouble), step, "down in another way", now);
            }
            assert_eq!(pause(&trouble, now), LONGEST_PAUSE);
        }
    }

    #[test]
    fn no_pause_is_longer_than_the_frequency() {
        let now = Instant::now();
        let mut before = None;
        for _ in 0..10 {
            let failure = (Step::Prepare, String::from("down"), None);
            let (trouble, _) = Trouble::after(before, failure, Duration::from_secs(5), now);
            assert!(pause(&trouble, now) <= Duration::from_secs(5));
            before = Some(trouble);
        }
    }

    #[test]
    fn a_collect_that_broke_is_not_repeated_before_the_next_snapshot() {
        let now = Instant::now();
        let (trouble, _) = fail(None, Step::Collect, "cut", now);
        assert_eq!(trouble.pause(now), None);
    }

    #[test]
    fn what_is_known_is_no_news_and_stays_stored() {
        let now = Instant::now();
        let (mut trouble, is_news) = fail(None, Step::Prepare, "down", now);
        assert!(is_news && !trouble.is_stored);
        trouble.is_stored = true;
        let (trouble, is_news) = fail(Some(trouble), Step::Prepare, "down", now);
        assert!(!is_news && trouble.is_stored);
        let (trouble, is_news) = fail(Some(trouble), Step::Prepare, "refused", now);
        assert!(is_news && !trouble.is_stored);
    }

    #[test]
    fn what_was_lost_is_known_whatever_comes_after_that() {
        let now = Instant::now();
        let mut before = None;
        for (step, unreachable) in [
            (Step::Prepare, Some(Side::Remote)),
            (Step::Prepare, Some(Side::Remote)),
            (Step::Collect, None),
            (Step::Load, Some(Side::Repository)),
            (Step::Load, None),
        ] {
            before = Some(Trouble::after(before, (step, "x".into(), unreachable), FREQUENCY, now).0);
        }
        assert_eq!(before.unwrap().lost(), [Side::Remote, Side::Repository]);
        assert!(fail(None, Step::Collect, "x", now).0.lost().is_empty());
    }

    #[test]
    fn a_connection_ends_only_what_kept_from_connecting() {
        let cases = [
            (Step::Prepare, Some(Side::Remote), true),
            (Step::Prepare, Some(Side::Repository), false),
            (Step::Prepare, None, false),
            (Step::Collect, Some(Side::Remote), false),
            (Step::Load, Some(Side::Repository), false),
        ];
        for (step, unreachable, ends) in cases {
            let (trouble, _) = Trouble::after(None, (step, "x".into(), unreachable), FREQUENCY, Instant::now());
            assert_eq!(trouble.ends_with_connection(), ends, "{step:?}, {unreachable:?}");
        }
    }

    #[test]
    fn a_change_ends_the_pause() {
        let now = Instant::now();
        let (mut trouble, _) = fail(None, Step::Prepare, "down", now);
        trouble.retry(now);
        assert_eq!(trouble.pause(now), None);
    }
}
