//! Decides when open sessions are replaced by new ones. Pure.
//!
//! `ALTER ROLE ... SET` and `ALTER DATABASE ... SET` take effect at login: a setting that breaks a datasource
//! (`temp_file_limit`, `role`, `session_preload_libraries`, ...) keeps breaking it in open sessions after it is reverted. Error
//! codes hardly distinguish such settings from other causes, so any error that PostgreSQL reports for a datasource triggers a
//! renewal. Most lasting errors have other causes, such as a missing privilege, so the pauses between two renewals grow.

use std::time::Duration;

use backon::ExponentialBackoff;
use tokio::time::Instant;

use crate::backoff;

/// The longest pause. After a setting is corrected, a datasource keeps failing for about as long as it failed before, and at
/// most for this long.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// Whether sessions have to be replaced.
pub(super) struct SessionRenewal {
    is_due: bool,
    /// Errors do not cause a renewal before this time.
    not_before: Option<Instant>,
    pauses: ExponentialBackoff,
}

impl Default for SessionRenewal {
    fn default() -> Self {
        Self { is_due: false, not_before: None, pauses: backoff::growing_delays(LONGEST_PAUSE) }
    }
}

impl SessionRenewal {
    /// Requires a renewal before the next snapshot.
    pub(super) fn require(&mut self) {
        self.is_due = true;
    }

    /// Records the end of a snapshot, and whether a datasource failed in an open session.
    pub(super) fn snapshot_ended(&mut self, have_failed: bool, now: Instant) {
        if !have_failed {
            *self = Self { is_due: self.is_due, ..Self::default() };
        } else if self.not_before.is_none_or(|not_before| not_before <= now) {
            self.is_due = true;
            self.not_before = Some(now + self.pauses.next().unwrap_or(LONGEST_PAUSE).min(LONGEST_PAUSE));
        }
    }

    /// Whether a renewal is due. Resets it: the caller has to renew the sessions.
    pub(super) fn take(&mut self) -> bool {
        std::mem::take(&mut self.is_due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_renews_the_sessions_at_once_and_one_that_lasts_does_so_rarely() {
        let (mut renewal, started_at) = (SessionRenewal::default(), Instant::now());
        renewal.snapshot_ended(true, started_at);
        assert!(renewal.take() && !renewal.take());
        // Every five seconds, for a day.
        let mut renewed = Vec::new();
        for second in (5..86_400).step_by(5) {
            renewal.snapshot_ended(true, started_at + Duration::from_secs(second));
            if renewal.take() {
                renewed.push(second);
            }
        }
        assert!(renewed[0] <= 10 && renewed[1] <= 20 && renewed.len() < 200, "{renewed:?}");
        let longest = renewed.windows(2).map(|two| two[1] - two[0]).max();
        assert!(longest <= Some(LONGEST_PAUSE.as_secs() + 5), "{longest:?}");
    }

    #[test]
    fn the_pauses_are_short_again_after_a_snapshot_without_failure() {
        let (mut renewal, started_at) = (SessionRenewal::default(), Instant::now());
        for second in 0..1000 {
            renewal.snapshot_ended(true, started_at + Duration::from_secs(second));
            renewal.take();
        }
        renewal.snapshot_ended(false, started_at + Duration::from_secs(1000));
        assert!(!renewal.take());
        renewal.snapshot_ended(true, started_at + Duration::from_secs(1001));
        assert!(renewal.take());
    }

    #[test]
    fn what_is_required_is_due_whatever_the_snapshot_was_like() {
        let mut renewal = SessionRenewal::default();
        renewal.require();
        renewal.snapshot_ended(false, Instant::now());
        assert!(renewal.take());
    }
}
