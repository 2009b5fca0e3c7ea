//! A snapshot that is collected and not loaded yet, and the limit on attempts to load it. Pure.

use std::fmt;
use std::time::SystemTime;

use crate::snapshot::{CatalogRefresh, CollectedSnapshot};

/// How often a reachable repository may refuse a snapshot before it is discarded.
const MAX_REFUSED: u32 = 10;

/// A snapshot that waits to be loaded.
pub(super) struct PendingLoad {
    pub(super) collected: CollectedSnapshot,
    /// The requested catalogs that it contains.
    pub(super) refresh: CatalogRefresh,
    pub(super) due: SystemTime,
    pub(super) started: SystemTime,
    pub(super) attempts: LoadAttempts,
}

/// Counts the failed attempts to load a snapshot.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LoadAttempts {
    failed: u32,
    /// Those that failed although the repository was reachable.
    refused: u32,
}

impl LoadAttempts {
    /// Counts a failed attempt. Attempts while the repository is unreachable do not count against the limit: discarding the
    /// snapshot would not help, as the next one could not be loaded either.
    pub(super) fn fail(&mut self, is_unreachable: bool) {
        self.failed += 1;
        self.refused += u32::from(!is_unreachable);
    }

    pub(super) fn is_first(self) -> bool {
        self.failed == 0
    }

    /// Whether the next attempt is the last one.
    pub(super) fn are_almost_used_up(self) -> bool {
        self.refused + 1 >= MAX_REFUSED
    }

    pub(super) fn are_used_up(self) -> bool {
        self.refused >= MAX_REFUSED
    }
}

impl fmt::Display for LoadAttempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} attempts", self.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_that_is_away_uses_up_no_tries() {
        let mut attempts = LoadAttempts::default();
        assert!(attempts.is_first());
        (0..1000).for_each(|_| attempts.fail(true));
        assert!(!attempts.is_first() && !attempts.are_used_up());
    }

    #[test]
    fn one_that_refuses_is_asked_ten_times() {
        let mut attempts = LoadAttempts::default();
        let attempt = (1..).find(|_| {
            let is_last = attempts.are_almost_used_up();
            attempts.fail(false);
            assert_eq!(is_last, attempts.are_used_up());
            attempts.are_used_up()
        });
        assert_eq!(attempt, Some(10));
    }
}
