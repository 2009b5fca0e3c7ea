//! The queue of a server's databases that are still to be read in a snapshot. Pure.
//!
//! Several readers take databases from it concurrently. If the server refuses a session because of a connection limit, the
//! reader hands its database over to the other readers and ends, down to one reader: each of the others frees a connection
//! when it is done.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use super::plan::DatabasePlan;

/// How long, in one snapshot, the last reader waits in total for other clients to free a connection. Waiting for the
/// collector's own sessions to end does not count.
const MAX_WAIT: Duration = Duration::from_secs(5);

const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// The databases that are still to be read.
pub(super) struct DatabaseQueue<'a> {
    plans: &'a [DatabasePlan<'a>],
    state: Mutex<State>,
}

struct State {
    /// The index of the first database that was not tried yet.
    next: usize,
    /// Databases to try again.
    retries: VecDeque<QueuedDatabase>,
    readers: usize,
    waited: Duration,
}

/// A database that was taken from the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct QueuedDatabase {
    index: usize,
    /// Whether it was tried before.
    pub(super) is_retry: bool,
}

impl<'a> DatabaseQueue<'a> {
    /// A queue for this many readers.
    pub(super) fn new(plans: &'a [DatabasePlan<'a>], readers: usize) -> Self {
        let state = State { next: 0, retries: VecDeque::new(), readers, waited: Duration::ZERO };
        Self { plans, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while holding the lock")
    }

    /// The next database. `None` if nothing is left; the reader ends then.
    pub(super) fn next(&self) -> Option<(QueuedDatabase, &'a DatabasePlan<'a>)> {
        let mut state = self.state();
        let queued = if state.next < self.plans.len() {
            state.next += 1;
            Some(QueuedDatabase { index: state.next - 1, is_retry: false })
        } else {
            state.retries.pop_front()
        };
        if queued.is_none() {
            state.readers -= 1;
        }
        queued.map(|queued| (queued, &self.plans[queued.index]))
    }

    /// Puts a database at the end of the queue.
    pub(super) fn requeue(&self, queued: QueuedDatabase) {
        self.state().retries.push_back(QueuedDatabase { is_retry: true, ..queued });
    }

    /// Puts a database at the end of the queue for the other readers, after which this reader must end. Returns false, and
    /// does nothing, if there are no other readers.
    pub(super) fn hand_over(&self, queued: QueuedDatabase) -> bool {
        let mut state = self.state();
        let has_other_readers = state.readers > 1;
        if has_other_readers {
            state.readers -= 1;
            state.retries.push_back(QueuedDatabase { is_retry: true, ..queued });
        }
        has_other_readers
    }

    /// How long to wait before the next attempt. `None` if the total limit is used up.
    pub(super) fn pause(&self) -> Option<Duration> {
        let mut state = self.state();
        let left = MAX_WAIT.saturating_sub(state.waited);
        let pause = (state.waited + SHORTEST_PAUSE).min(LONGEST_PAUSE).min(left);
        state.waited += pause;
        (!pause.is_zero()).then_some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plans(number: usize) -> Vec<DatabasePlan<'static>> {
        let plan = |at: usize| DatabasePlan { database: at.to_string(), may_stay_open: true, datasources: vec![] };
        (0..number).map(plan).collect()
    }

    fn name(queue: &DatabaseQueue<'_>) -> Option<String> {
        queue.next().map(|(_, plan)| plan.database.clone())
    }

    #[test]
    fn a_deferred_database_comes_after_the_others() {
        let plans = plans(3);
        let queue = DatabaseQueue::new(&plans, 1);
        let (first, plan) = queue.next().unwrap();
        assert_eq!((plan.database.as_str(), first.is_retry), ("0", false));
        queue.requeue(first);
        assert_eq!([name(&queue), name(&queue)], ["1", "2"].map(|name| Some(name.to_owned())));
        let (again, plan) = queue.next().unwrap();
        assert_eq!((plan.database.as_str(), again.is_retry), ("0", true));
        assert_eq!(queue.next().map(|(queued, _)| queued), None);
    }

    #[test]
    fn the_last_reader_stays_until_all_databases_are_read() {
        let plans = plans(4);
        let queue = DatabaseQueue::new(&plans, 3);
        let three = [(); 3].map(|()| queue.next().unwrap().0);
        assert!(queue.hand_over(three[1]) && queue.hand_over(three[2]));
        assert!(!queue.hand_over(three[0]));
        assert_eq!([name(&queue), name(&queue)], ["3", "1"].map(|name| Some(name.to_owned())));
        assert_eq!([name(&queue), name(&queue)], [Some("2".to_owned()), None]);
    }

    #[test]
    fn a_reader_that_ended_does_not_count() {
        let plans = plans(1);
        let queue = DatabaseQueue::new(&plans, 2);
        let (only, _) = queue.next().unwrap();
        assert!(queue.next().is_none());
        assert!(!queue.hand_over(only));
    }

    #[test]
    fn waiting_for_closed_sessions_has_a_limit() {
        let plans = plans(1);
        let queue = DatabaseQueue::new(&plans, 1);
        let pauses: Vec<_> = std::iter::from_fn(|| queue.pause()).collect();
        assert_eq!(pauses.iter().sum::<Duration>(), MAX_WAIT);
        assert!((5..20).contains(&pauses.len()), "{pauses:?}");
    }
}
