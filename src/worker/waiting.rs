//! A snapshot between its two halves: collected, and not loaded yet. Is it worth another try? Pure.

use std::fmt;
use std::time::SystemTime;

use crate::snapshot::{CatalogRefresh, Collected};

/// How often a repository that can be talked to may refuse a snapshot before it is given up.
const TRIES: u32 = 10;

/// What waits to be loaded.
pub(super) struct Waiting {
    pub(super) collected: Collected,
    /// What it has of catalogs that were asked for.
    pub(super) refresh: CatalogRefresh,
    pub(super) due: SystemTime,
    pub(super) begun: SystemTime,
    pub(super) tries: Tries,
}

/// Loads that failed so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tries {
    failed: u32,
    refused: u32,
}

impl Tries {
    /// Counts one that failed. While the repository cannot be talked to, what waits is kept: the next snapshot could
    /// not be loaded either.
    pub(super) fn fail(&mut self, is_unreachable: bool) {
        self.failed += 1;
        self.refused += u32::from(!is_unreachable);
    }

    pub(super) fn is_first(self) -> bool {
        self.failed == 0
    }

    /// The next one is the last: it has to take what it can get.
    pub(super) fn are_almost_used_up(self) -> bool {
        self.refused + 1 >= TRIES
    }

    pub(super) fn are_used_up(self) -> bool {
        self.refused >= TRIES
    }
}

impl fmt::Display for Tries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tries", self.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_that_is_away_uses_up_no_tries() {
        let mut tries = Tries::default();
        assert!(tries.is_first());
        (0..1000).for_each(|_| tries.fail(true));
        assert!(!tries.is_first() && !tries.are_used_up());
    }

    #[test]
    fn one_that_refuses_is_asked_ten_times() {
        let mut tries = Tries::default();
        let asked = (1..).find(|_| {
            let is_last = tries.are_almost_used_up();
            tries.fail(false);
            assert_eq!(is_last, tries.are_used_up());
            tries.are_used_up()
        });
        assert_eq!(asked, Some(10));
    }
}
