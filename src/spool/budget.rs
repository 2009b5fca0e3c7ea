//! The limit on the memory of all spools together (`spool.total_memory`).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A limit in bytes, and how much of it is reserved. Clones share it. It only counts; it holds no memory.
#[derive(Clone)]
pub(super) struct Budget(Arc<Counters>);

struct Counters {
    limit: AtomicUsize,
    used: AtomicUsize,
}

impl Budget {
    pub(super) fn new(limit: usize) -> Self {
        Self(Arc::new(Counters { limit: AtomicUsize::new(limit), used: AtomicUsize::new(0) }))
    }

    /// Changes the limit. Reservations beyond a lower limit stay valid.
    pub(super) fn set_limit(&self, limit: usize) {
        self.0.limit.store(limit, Ordering::Relaxed);
    }

    /// The number of bytes that are reserved.
    #[cfg(test)]
    pub(super) fn used(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }

    /// An empty reservation.
    pub(super) fn reservation(&self) -> Reservation {
        Reservation { budget: self.clone(), bytes: 0 }
    }
}

/// A number of bytes that are reserved in a budget until this is dropped.
pub(super) struct Reservation {
    budget: Budget,
    bytes: usize,
}

impl Reservation {
    /// Its size in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Reserves this many more bytes if the budget allows. Returns whether it did.
    pub(super) fn try_grow(&mut self, more: usize) -> bool {
        let counters = &self.budget.0;
        let limit = counters.limit.load(Ordering::Relaxed);
        let within = |used: usize| used.checked_add(more).filter(|sum| *sum <= limit);
        let grown = counters.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, within).is_ok();
        self.bytes += if grown { more } else { 0 };
        grown
    }

    /// Reserves this many more bytes even beyond the limit, for memory that is needed in any case.
    pub(super) fn grow(&mut self, more: usize) {
        if more > 0 {
            self.budget.0.used.fetch_add(more, Ordering::Relaxed);
        }
        self.bytes += more;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.0.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_reserved_than_the_limit_and_all_is_given_back() {
        let budget = Budget::new(100);
        let (mut one, mut other) = (budget.reservation(), budget.reservation());
        assert!(one.try_grow(60) && other.try_grow(40));
        assert!(!other.try_grow(1));
        assert_eq!((one.bytes(), other.bytes(), budget.used()), (60, 40, 100));
        drop(one);
        assert!(other.try_grow(60));
        assert!(!other.try_grow(usize::MAX));
        drop(other);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn what_is_needed_anyway_leaves_less_for_the_others() {
        let budget = Budget::new(100);
        let (mut needed, mut other) = (budget.reservation(), budget.reservation());
        needed.grow(150);
        assert!(!other.try_grow(1));
        drop(needed);
        assert!(other.try_grow(100));
    }

    #[test]
    fn a_lower_limit_is_kept_when_enough_was_given_back() {
        let budget = Budget::new(100);
        let (mut before, mut after) = (budget.reservation(), budget.reservation());
        assert!(before.try_grow(100));
        budget.set_limit(50);
        assert!(!after.try_grow(1));
        drop(before);
        assert!(after.try_grow(50) && !after.try_grow(1));
    }

    #[test]
    fn threads_that_reserve_at_once_stay_within_the_limit() {
        let budget = Budget::new(1_000);
        let taken: usize = std::thread::scope(|scope| {
            let all: Vec<_> = (0..8).map(|_| scope.spawn(|| grow_by_ones(&budget))).collect();
            let all: Vec<_> = all.into_iter().map(|thread| thread.join().unwrap()).collect();
            assert_eq!(budget.used(), 1_000);
            all.iter().map(Reservation::bytes).sum()
        });
        assert_eq!((taken, budget.used()), (1_000, 0));
    }

    fn grow_by_ones(budget: &Budget) -> Reservation {
        let mut own = budget.reservation();
        while own.try_grow(1) {}
        own
    }
}
