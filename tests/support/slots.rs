//! Limits how many tests run at the same time.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// What the machine has to offer: most tests take one slot of it, one that measures time takes several, so that few others
/// run meanwhile.
pub(super) struct Slots {
    free: Mutex<usize>,
    given_back: Condvar,
}

impl Slots {
    pub(super) fn new(number: usize) -> Self {
        Self { free: Mutex::new(number), given_back: Condvar::new() }
    }

    /// Runs a test when there is room for it, and frees its slots, also if it fails.
    pub(super) fn run(&self, wanted: usize, test: impl FnOnce()) {
        let taken = self.take(wanted);
        test();
        drop(taken);
    }

    fn take(&self, wanted: usize) -> Taken<'_> {
        let free = self.free();
        let mut free = self.given_back.wait_while(free, |free| *free < wanted).unwrap_or_else(PoisonError::into_inner);
        *free -= wanted;
        Taken { slots: self, number: wanted }
    }

    /// A test that fails does not hold the lock.
    fn free(&self) -> MutexGuard<'_, usize> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Taken<'a> {
    slots: &'a Slots,
    number: usize,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        *self.slots.free() += self.number;
        self.slots.given_back.notify_all();
    }
}
