//! The queue of received notifications: fair to all senders, and bounded in memory. Pure.

use std::collections::{HashMap, VecDeque};

/// The most bytes of all queued messages.
const MAX_WEIGHT: usize = 1024 * 1024;

/// The most bytes of the queued messages of one sender: about 450 commands, or seven of the longest payloads.
const MAX_SENDER_WEIGHT: usize = 64 * 1024;

/// The bytes that a message counts in addition to its text.
const OVERHEAD: usize = 128;

/// The backend process of a sender.
type Process = i32;

/// The queued messages by sender. Senders are served round-robin, so a sender that floods the channel delays only itself.
#[derive(Debug, Default)]
pub(super) struct NotificationQueue {
    senders: HashMap<Process, SenderQueue>,
    /// The senders with a message that may be taken next, in this order.
    order: VecDeque<Process>,
    weight: usize,
}

#[derive(Debug, Default)]
struct SenderQueue {
    messages: VecDeque<String>,
    weight: usize,
    /// Whether a message of this sender is being handled, so that the next one has to wait.
    in_progress: bool,
}

fn weight(message: &str) -> usize {
    message.len() + OVERHEAD
}

impl NotificationQueue {
    /// Adds a message. Returns how many messages were dropped: the new one if the sender's limit is reached, or messages of the
    /// sender with the most queued bytes if the total limit is reached.
    pub(super) fn push(&mut self, sender: Process, message: String) -> u64 {
        let own = self.senders.get(&sender).map_or(0, |sender_queue| sender_queue.weight) + weight(&message);
        if own > MAX_SENDER_WEIGHT {
            return 1;
        }
        let mut dropped = 0;
        while self.weight + weight(&message) > MAX_WEIGHT {
            match self.senders.iter().max_by_key(|(_, sender_queue)| sender_queue.weight) {
                Some((&heaviest, sender_queue)) if sender_queue.weight > own => self.drop_last_of(heaviest),
                _ => return dropped + 1,
            }
            dropped += 1;
        }
        self.weight += weight(&message);
        let sender_queue = self.senders.entry(sender).or_default();
        if sender_queue.messages.is_empty() && !sender_queue.in_progress {
            self.order.push_back(sender);
        }
        sender_queue.weight += weight(&message);
        sender_queue.messages.push_back(message);
        dropped
    }

    fn drop_last_of(&mut self, sender: Process) {
        let Some(sender_queue) = self.senders.get_mut(&sender) else { return };
        let Some(message) = sender_queue.messages.pop_back() else { return };
        sender_queue.weight -= weight(&message);
        self.weight -= weight(&message);
        if sender_queue.messages.is_empty() && !sender_queue.in_progress {
            self.senders.remove(&sender);
            self.order.retain(|waiting| *waiting != sender);
        }
    }

    /// Takes the next message. No other message of its sender is returned before [`Self::finish`].
    pub(super) fn next(&mut self) -> Option<(Process, String)> {
        let sender = self.order.pop_front()?;
        let sender_queue = self.senders.get_mut(&sender).expect("a sender in the order has a message");
        let message = sender_queue.messages.pop_front().expect("a sender in the order has a message");
        sender_queue.in_progress = true;
        sender_queue.weight -= weight(&message);
        self.weight -= weight(&message);
        Some((sender, message))
    }

    /// Records that the message of this sender was handled.
    pub(super) fn finish(&mut self, sender: Process) {
        let Some(sender_queue) = self.senders.get_mut(&sender) else { return };
        sender_queue.in_progress = false;
        if sender_queue.messages.is_empty() {
            self.senders.remove(&sender);
        } else {
            self.order.push_back(sender);
        }
    }

    /// Whether no message is queued.
    pub(super) fn is_empty(&self) -> bool {
        self.weight == 0
    }

    /// Drops all queued messages.
    pub(super) fn clear(&mut self) {
        self.order.clear();
        self.weight = 0;
        self.senders.retain(|_, sender_queue| {
            sender_queue.messages.clear();
            sender_queue.weight = 0;
            sender_queue.in_progress
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes all messages one after the other, and returns their senders.
    fn finish_all(queue: &mut NotificationQueue) -> Vec<Process> {
        let mut senders = vec![];
        while let Some((sender, _)) = queue.next() {
            queue.finish(sender);
            senders.push(sender);
        }
        senders
    }

    fn flood(queue: &mut NotificationQueue, sender: Process, length: usize) -> u64 {
        (0..10_000).map(|_| queue.push(sender, "x".repeat(length))).sum()
    }

    #[test]
    fn senders_take_turns_and_each_keeps_its_order() {
        let mut queue = NotificationQueue::default();
        for (sender, message) in [(1, "a"), (1, "b"), (1, "c"), (2, "d"), (3, "e"), (2, "f")] {
            assert_eq!(queue.push(sender, message.into()), 0);
        }
        let mut finish = vec![];
        while let Some((sender, message)) = queue.next() {
            queue.finish(sender);
            finish.push(message);
        }
        assert_eq!(finish, ["a", "d", "e", "b", "f", "c"]);
        assert!(queue.is_empty() && queue.senders.is_empty());
    }

    #[test]
    fn a_sender_who_is_served_waits_and_the_others_do_not() {
        let mut queue = NotificationQueue::default();
        for (sender, message) in [(1, "a"), (1, "b"), (2, "c")] {
            queue.push(sender, message.into());
        }
        assert_eq!(queue.next(), Some((1, "a".into())));
        assert_eq!(queue.next(), Some((2, "c".into())));
        assert_eq!(queue.next(), None);
        // A message that arrives now waits too.
        queue.push(2, "d".into());
        assert_eq!(queue.next(), None);
        queue.finish(1);
        assert_eq!(queue.next(), Some((1, "b".into())));
        queue.finish(2);
        assert_eq!(queue.next(), Some((2, "d".into())));
    }

    #[test]
    fn a_flood_is_bounded_and_delays_nobody_else() {
        for length in [0, 20, 7_999] {
            let mut queue = NotificationQueue::default();
            let dropped = flood(&mut queue, 1, length);
            assert!(dropped > 9_000 && queue.weight <= MAX_SENDER_WEIGHT, "{length}: {dropped}");
            assert_eq!(queue.push(2, "WORKERS_STATUS r".into()), 0);
            assert_eq!(finish_all(&mut queue)[..2], [1, 2]);
        }
    }

    #[test]
    fn where_many_flood_the_one_who_has_most_gives_way_to_the_one_who_has_least() {
        let mut queue = NotificationQueue::default();
        for sender in 1..=100 {
            for _ in 0..100 {
                queue.push(sender, "x".repeat(7_999));
            }
            assert!(queue.weight <= MAX_WEIGHT, "{}", queue.weight);
        }
        assert!(queue.weight > MAX_WEIGHT - 10_000);
        assert_eq!(queue.push(1000, "x".repeat(7_999)), 1, "a message of another sender was dropped");
        assert!(queue.weight <= MAX_WEIGHT);
        let mut finish = finish_all(&mut queue);
        assert_eq!(finish.iter().filter(|sender| **sender == 1000).count(), 1);
        assert!(finish.iter().position(|sender| *sender == 1000) <= Some(100));
        finish.sort_unstable();
        finish.dedup();
        assert_eq!(finish.len(), 101, "everybody is served");
        assert!(queue.is_empty() && queue.senders.is_empty());
    }

    #[test]
    fn whoever_is_sent_away_leaves_nothing_behind() {
        let mut queue = NotificationQueue::default();
        flood(&mut queue, 1, 10);
        flood(&mut queue, 2, 10);
        let (sender, _) = queue.next().unwrap();
        queue.clear();
        assert!(queue.is_empty());
        assert_eq!(queue.next(), None);
        queue.push(sender, "later".into());
        assert_eq!(queue.next(), None, "the one before is still being dealt with");
        queue.finish(sender);
        assert_eq!(queue.next(), Some((sender, "later".into())));
        queue.finish(sender);
        assert!(queue.senders.is_empty() && queue.order.is_empty());
    }
}
