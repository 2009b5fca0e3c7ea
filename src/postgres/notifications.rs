//! What is heard on the command channel, from the connection that hears it to the task that takes it.

use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::Notify;

use super::Error;
use super::waiting_room::WaitingRoom;

/// A message on the channel. While it is there, no other of its sender is handed out.
pub struct Notification {
    /// The process of the backend that sent it.
    pub sender: i32,
    pub payload: String,
    notifications: Notifications,
}

/// A message, or the end of the connection.
pub type Heard = Result<Notification, Error>;

/// What was heard and not taken yet.
#[derive(Clone, Default)]
pub struct Notifications {
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
}

#[derive(Default)]
struct State {
    room: WaitingRoom,
    /// Messages that there was no room for since nobody waited.
    dropped: u64,
    /// What came before this message is somebody else's.
    from: Option<String>,
    /// What comes after this message is somebody else's.
    until: Option<String>,
    end: Option<End>,
}

enum End {
    /// There is no more, but what waits is still good.
    HandedOver,
    Lost(Option<Error>),
}

impl Notifications {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while holding the lock")
    }

    /// Leaves everything before this message, once it is heard, to the one who listened before.
    pub fn begin_at(&self, mark: String) {
        self.state().from = Some(mark);
    }

    /// Leaves everything from this message on, once it is heard, to the one who listens next.
    pub fn end_at(&self, mark: String) {
        self.state().until = Some(mark);
    }

    /// Waits for the next message. `None`: there will be no more. Safe to drop; for one task at a time.
    pub async fn next(&self) -> Option<Heard> {
        loop {
            if let Some(heard) = self.take() {
                return heard;
            }
            self.changed.notified().await;
        }
    }

    fn take(&self) -> Option<Option<Heard>> {
        let mut state = self.state();
        if let Some(End::Lost(error)) = &mut state.end {
            // Nobody could be answered any more.
            return Some(error.take().map(Err));
        }
        match state.room.next() {
            Some((sender, payload)) => Some(Some(Ok(Notification { sender, payload, notifications: self.clone() }))),
            None => (state.end.is_some() && state.room.is_empty()).then_some(None),
        }
    }
}

impl Drop for Notification {
    fn drop(&mut self) {
        self.notifications.state().room.served(self.sender);
        self.notifications.changed.notify_one();
    }
}

/// The end that hears. When it is gone, there will be no more.
pub(super) struct Ear(Notifications);

impl Ear {
    pub(super) fn of(notifications: &Notifications) -> Self {
        Self(notifications.clone())
    }

    /// Never waits: what there is no room for is dropped, and counted.
    pub(super) fn hear(&self, sender: i32, payload: &str) {
        let news = self.0.state().take_in(sender, payload);
        if let Some(dropped) = news {
            tracing::warn!(dropped, "more commands arrive than can be answered: some are dropped");
        }
        self.0.changed.notify_one();
    }

    /// The connection was lost.
    pub(super) fn lose(self, error: Error) {
        self.0.state().end = Some(End::Lost(Some(error)));
    }
}

impl Drop for Ear {
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
    /// Gives the number of messages dropped, if it is time to tell it.
    fn take_in(&mut self, sender: i32, payload: &str) -> Option<u64> {
        if self.end.is_some() {
            return None;
        }
        if self.from.as_deref() == Some(payload) {
            self.from = None;
            self.room.clear();
        } else if self.until.as_deref() == Some(payload) {
            self.end = Some(End::HandedOver);
        } else {
            if self.room.is_empty() {
                self.dropped = 0;
            }
            let before = self.dropped;
            self.dropped += self.room.enter(sender, payload.to_owned());
            return (self.dropped.checked_ilog2() > before.checked_ilog2()).then_some(self.dropped);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    /// The payloads that can be had now.
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
        let (first, second) = (Ear::of(&before), Ear::of(&after));
        let both = |payload: &str| {
            first.hear(1, payload);
            second.hear(1, payload);
        };
        first.hear(1, "a");
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
        let ear = Ear::of(&notifications);
        ear.hear(1, "a");
        ear.hear(1, "b");
        notifications.end_at("mark".into());
        ear.hear(2, "mark");
        let first = notifications.next().now_or_never().unwrap();
        assert!(notifications.next().now_or_never().is_none());
        drop(first);
        assert_eq!(taken(&notifications), ["b"]);
        assert!(notifications.next().now_or_never().unwrap().is_none());
    }

    #[test]
    fn a_lost_connection_is_told_at_once() {
        let notifications = Notifications::default();
        let ear = Ear::of(&notifications);
        ear.hear(1, "a");
        drop(ear);
        assert!(notifications.next().now_or_never().unwrap().is_none());
    }
}
