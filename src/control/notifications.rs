//! Passes notifications from the task that drives the connection to the task that handles them.

use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::Notify;

use super::notification_queue::NotificationQueue;
use session::Error;

/// A received notification. Until it is dropped, no other notification of its sender is returned.
pub(crate) struct Notification {
    /// The backend process that sent it.
    pub sender: i32,
    pub payload: String,
    notifications: Notifications,
}

/// A notification, or the error that ended the connection.
pub(crate) type Received = Result<Notification, Error>;

/// The receiving end: notifications that are not handled yet.
#[derive(Clone, Default)]
pub(crate) struct Notifications {
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
}

#[derive(Default)]
struct State {
    queue: NotificationQueue,
    /// Messages that were dropped since the queue was last empty.
    dropped: u64,
    /// Messages before this one are for the previous listener.
    begin_mark: Option<String>,
    /// Messages after this one are for the next listener.
    end_mark: Option<String>,
    end: Option<End>,
}

enum End {
    /// The next listener has taken over. Queued messages are still handled.
    HandedOver,
    /// The connection was lost, with this error if it was not returned yet.
    Lost(Option<Error>),
}

impl Notifications {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while holding the lock")
    }

    /// Leaves all messages before this one to the previous listener.
    pub(crate) fn begin_at(&self, mark: String) {
        self.state().begin_mark = Some(mark);
    }

    /// Leaves all messages after this one to the next listener.
    pub(crate) fn end_at(&self, mark: String) {
        self.state().end_mark = Some(mark);
    }

    /// Waits for the next message. `None` at the end. Cancel-safe; for one task at a time.
    pub(crate) async fn next(&self) -> Option<Received> {
        loop {
            if let Some(received) = self.take() {
                return received;
            }
            self.changed.notified().await;
        }
    }

    fn take(&self) -> Option<Option<Received>> {
        let mut state = self.state();
        if let Some(End::Lost(error)) = &mut state.end {
            // Queued messages are dropped: their senders cannot be answered on a lost connection.
            return Some(error.take().map(Err));
        }
        match state.queue.next() {
            Some((sender, payload)) => Some(Some(Ok(Notification { sender, payload, notifications: self.clone() }))),
            None => (state.end.is_some() && state.queue.is_empty()).then_some(None),
        }
    }
}

impl Drop for Notification {
    fn drop(&mut self) {
        self.notifications.state().queue.finish(self.sender);
        self.notifications.changed.notify_one();
    }
}

/// The sending end. When it is dropped, the stream of notifications ends.
pub(super) struct NotificationSender(Notifications);

impl NotificationSender {
    pub(super) fn of(notifications: &Notifications) -> Self {
        Self(notifications.clone())
    }

    /// Queues a message. Never blocks: messages beyond the limits of the queue are dropped and counted.
    pub(super) fn push(&self, sender: i32, payload: &str) {
        let dropped_to_log = self.0.state().accept(sender, payload);
        if let Some(dropped) = dropped_to_log {
            tracing::warn!(dropped, "commands arrive faster than they can be handled; dropping some");
        }
        self.0.changed.notify_one();
    }

    /// Ends the stream with the error that ended the connection.
    pub(super) fn fail(self, error: Error) {
        self.0.state().end = Some(End::Lost(Some(error)));
    }
}

impl Drop for NotificationSender {
    fn drop(&mut self) {
        let mut state = self.0.state();
        if !matches!(state.end, Some(End::Lost(_))) {
            state.end = Some(End::Lost(None));
        }
        drop(state);
        self.0.changed.notify_one();
    }
}

impl State {
    /// Queues a message. Returns the number of dropped messages if it is to be logged: each time it doubles.
    fn accept(&mut self, sender: i32, payload: &str) -> Option<u64> {
        if self.end.is_some() {
            return None;
        }
        if self.begin_mark.as_deref() == Some(payload) {
            self.begin_mark = None;
            self.queue.clear();
        } else if self.end_mark.as_deref() == Some(payload) {
            self.end = Some(End::HandedOver);
        } else {
            if self.queue.is_empty() {
                self.dropped = 0;
            }
            let before = self.dropped;
            self.dropped += self.queue.push(sender, payload.to_owned());
            return (self.dropped.checked_ilog2() > before.checked_ilog2()).then_some(self.dropped);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    /// The payloads that are available now.
    fn taken(notifications: &Notifications) -> Vec<String> {
        let mut payloads = vec![];
        while let Some(Some(Ok(notification))) = notifications.next().now_or_never() {
            payloads.push(notification.payload.clone());
        }
        payloads
    }

    #[test]
    fn every_message_is_either_of_the_one_before_or_of_the_one_after() {
        let (before, after) = (Notifications::default(), Notifications::default());
        let (first, second) = (NotificationSender::of(&before), NotificationSender::of(&after));
        let both = |payload: &str| {
            first.push(1, payload);
            second.push(1, payload);
        };
        first.push(1, "a");
        both("b");
        before.end_at("mark".into());
        after.begin_at("mark".into());
        both("c");
        both("mark");
        both("d");
        assert_eq!(taken(&before), ["a", "b", "c"]);
        assert!(before.next().now_or_never().unwrap().is_none(), "there is no more");
        assert_eq!(taken(&after), ["d"]);
        assert!(after.next().now_or_never().is_none(), "there may be more");
    }

    #[test]
    fn what_is_heard_last_waits_for_the_one_before_of_its_sender() {
        let notifications = Notifications::default();
        let sender = NotificationSender::of(&notifications);
        sender.push(1, "a");
        sender.push(1, "b");
        notifications.end_at("mark".into());
        sender.push(2, "mark");
        let first = notifications.next().now_or_never().unwrap();
        assert!(notifications.next().now_or_never().is_none());
        drop(first);
        assert_eq!(taken(&notifications), ["b"]);
        assert!(notifications.next().now_or_never().unwrap().is_none());
    }

    #[test]
    fn a_lost_connection_is_told_at_once() {
        let notifications = Notifications::default();
        let sender = NotificationSender::of(&notifications);
        sender.push(1, "a");
        drop(sender);
        assert!(notifications.next().now_or_never().unwrap().is_none());
    }
}
