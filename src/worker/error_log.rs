//! The errors of servers that are not stored yet. Workers add to it and go on; upkeep takes from it. Bounded.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::sync::Notify;

use crate::repository::NewError;
use crate::server::ServerId;
use session::on_one_line;

/// Errors that wait at once. Further ones are dropped: the log has them.
const MAX_ERRORS: usize = 1000;

/// Bytes of a message that are kept.
const MAX_MESSAGE: usize = 2000;

/// Errors by server and message. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct ErrorLog(Arc<Shared>);

#[derive(Default)]
struct Shared {
    waiting: Mutex<BTreeMap<(ServerId, String), Times>>,
    added: Notify,
}

/// The first and the last time of an error, and its number.
struct Times {
    first: SystemTime,
    last: SystemTime,
    number: i64,
}

impl ErrorLog {
    fn waiting(&self) -> MutexGuard<'_, BTreeMap<(ServerId, String), Times>> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records an error that has occurred now.
    pub(super) fn record(&self, server: ServerId, message: &str) {
        let now = SystemTime::now();
        let line = on_one_line(message);
        let message = line[..line.floor_char_boundary(MAX_MESSAGE)].to_owned();
        self.add(NewError { server, message, first: now, last: now, number: 1 });
        self.0.added.notify_one();
    }

    fn add(&self, error: NewError) {
        let mut waiting = self.waiting();
        let key = (error.server, error.message);
        if waiting.len() >= MAX_ERRORS && !waiting.contains_key(&key) {
            return;
        }
        let times = waiting.entry(key).or_insert(Times { first: error.first, last: error.last, number: 0 });
        times.first = times.first.min(error.first);
        times.last = times.last.max(error.last);
        times.number += error.number;
    }

    /// Waits until something was added. Cancel-safe.
    pub(crate) async fn added(&self) {
        self.0.added.notified().await;
    }

    /// Takes at most `limit` errors.
    pub(crate) fn take(&self, limit: usize) -> Vec<NewError> {
        let mut waiting = self.waiting();
        let mut taken = Vec::new();
        while taken.len() < limit
            && let Some(((server, message), Times { first, last, number })) = waiting.pop_first()
        {
            taken.push(NewError { server, message, first, last, number });
        }
        taken
    }

    /// Puts errors back that could not be stored.
    pub(crate) fn put_back(&self, errors: Vec<NewError>) {
        errors.into_iter().for_each(|error| self.add(error));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(id: i32) -> ServerId {
        ServerId::new(id).unwrap()
    }

    #[test]
    fn an_error_that_comes_again_is_counted() {
        let log = ErrorLog::default();
        log.record(id(1), "a\nb");
        log.record(id(1), "a\nb");
        log.record(id(2), "a\nb");
        let taken = log.take(10);
        assert_eq!(taken.iter().map(|error| error.number).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(taken[0].message, "a\\nb");
        assert!(taken[0].first <= taken[0].last && log.take(10).is_empty());
        log.put_back(taken);
        log.record(id(1), "a\nb");
        assert_eq!(log.take(1)[0].number, 3);
        assert_eq!(log.take(1).len(), 1);
    }

    #[test]
    fn any_number_of_errors_takes_a_bounded_amount_of_memory() {
        let log = ErrorLog::default();
        for number in 0..5000 {
            log.record(id(1), &format!("{number} {}", "é".repeat(5000)));
        }
        log.record(id(1), &format!("0 {}", "é".repeat(5000)));
        let taken = log.take(usize::MAX);
        assert_eq!(taken.len(), MAX_ERRORS);
        assert!(taken.iter().all(|error| error.message.len() <= MAX_MESSAGE));
        assert!(taken.iter().any(|error| error.number == 2), "one that waits already is still counted");
    }
}
