//! Where notifications wait for their turn: fair to all who send them, and bounded in memory whatever they send. Pure.

use std::collections::{HashMap, VecDeque};

/// What all messages that wait may weigh together.
const LARGEST: usize = 1024 * 1024;

/// What those of one sender may weigh: some 450 commands, or seven payloads of the longest kind.
const LARGEST_SHARE: usize = 64 * 1024;

/// What a message weighs beyond its text.
const OVERHEAD: usize = 128;

/// The process of the backend that sent a message.
type Process = i32;

/// Messages by their senders, who take turns. Whoever floods the channel only delays himself.
#[derive(Debug, Default)]
pub(super) struct WaitingRoom {
    senders: HashMap<Process, Queue>,
    /// Senders who have a message that may be taken next, in the order of their turns.
    turns: VecDeque<Process>,
    weight: usize,
}

#[derive(Debug, Default)]
struct Queue {
    messages: VecDeque<String>,
    weight: usize,
    /// The message before is being dealt with, so that the next one has to wait.
    is_served: bool,
}

fn weight(message: &str) -> usize {
    message.len() + OVERHEAD
}

impl WaitingRoom {
    /// Takes a message in, and tells how many there was no room for: the sender's share is used up, or the whole room.
    /// Then whoever uses most of it has to give.
    pub(super) fn enter(&mut self, sender: Process, message: String) -> u64 {
        let own = self.senders.get(&sender).map_or(0, |queue| queue.weight) + weight(&message);
        if own > LARGEST_SHARE {
            return 1;
        }
        let mut dropped = 0;
        while self.weight + weight(&message) > LARGEST {
            match self.senders.iter().max_by_key(|(_, queue)| queue.weight) {
                Some((&heaviest, queue)) if queue.weight > own => self.drop_last_of(heaviest),
                _ => return dropped + 1,
            }
            dropped += 1;
        }
        self.weight += weight(&message);
        let queue = self.senders.entry(sender).or_default();
        if queue.messages.is_empty() && !queue.is_served {
            self.turns.push_back(sender);
        }
        queue.weight += weight(&message);
        queue.messages.push_back(message);
        dropped
    }

    fn drop_last_of(&mut self, sender: Process) {
        let Some(queue) = self.senders.get_mut(&sender) else { return };
        let Some(message) = queue.messages.pop_back() else { return };
        queue.weight -= weight(&message);
        self.weight -= weight(&message);
        if queue.messages.is_empty() && !queue.is_served {
            self.senders.remove(&sender);
            self.turns.retain(|waiting| *waiting != sender);
        }
    }

    /// The next message, of the next sender. No other of the same sender comes before [`Self::served`].
    pub(super) fn next(&mut self) -> Option<(Process, String)> {
        let sender = self.turns.pop_front()?;
        let queue = self.senders.get_mut(&sender).expect("who has a turn has a message");
        let message = queue.messages.pop_front().expect("who has a turn has a message");
        queue.is_served = true;
        queue.weight -= weight(&message);
        self.weight -= weight(&message);
        Some((sender, message))
    }

    /// The message of this sender is dealt with.
    pub(super) fn served(&mut self, sender: Process) {
        let Some(queue) = self.senders.get_mut(&sender) else { return };
        queue.is_served = false;
        if queue.messages.is_empty() {
            self.senders.remove(&sender);
        } else {
            self.turns.push_back(sender);
        }
    }

    /// Nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.weight == 0
    }

    /// Sends everybody away who waits.
    pub(super) fn clear(&mut self) {
        self.turns.clear();
        self.weight = 0;
        self.senders.retain(|_, queue| {
            queue.messages.clear();
            queue.weight = 0;
            queue.is_served
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Serves one message after the other, and gives their senders.
    fn serve_all(room: &mut WaitingRoom) -> Vec<Process> {
        let mut senders = vec![];
        while let Some((sender, _)) = room.next() {
            room.served(sender);
            senders.push(sender);
        }
        senders
    }

    fn flood(room: &mut WaitingRoom, sender: Process, length: usize) -> u64 {
        (0..10_000).map(|_| room.enter(sender, "x".repeat(length))).sum()
    }

    #[test]
    fn senders_take_turns_and_each_keeps_its_order() {
        let mut room = WaitingRoom::default();
        for (sender, message) in [(1, "a"), (1, "b"), (1, "c"), (2, "d"), (3, "e"), (2, "f")] {
            assert_eq!(room.enter(sender, message.into()), 0);
        }
        let mut served = vec![];
        while let Some((sender, message)) = room.next() {
            room.served(sender);
            served.push(message);
        }
        assert_eq!(served, ["a", "d", "e", "b", "f", "c"]);
        assert!(room.is_empty() && room.senders.is_empty());
    }

    #[test]
    fn a_sender_who_is_served_waits_and_the_others_do_not() {
        let mut room = WaitingRoom::default();
        for (sender, message) in [(1, "a"), (1, "b"), (2, "c")] {
            room.enter(sender, message.into());
        }
        assert_eq!(room.next(), Some((1, "a".into())));
        assert_eq!(room.next(), Some((2, "c".into())));
        assert_eq!(room.next(), None);
        // Also what comes only now.
        room.enter(2, "d".into());
        assert_eq!(room.next(), None);
        room.served(1);
        assert_eq!(room.next(), Some((1, "b".into())));
        room.served(2);
        assert_eq!(room.next(), Some((2, "d".into())));
    }

    #[test]
    fn a_flood_is_bounded_and_delays_nobody_else() {
        for length in [0, 20, 7_999] {
            let mut room = WaitingRoom::default();
            let dropped = flood(&mut room, 1, length);
            assert!(dropped > 9_000 && room.weight <= LARGEST_SHARE, "{length}: {dropped}");
            assert_eq!(room.enter(2, "WORKERS_STATUS r".into()), 0);
            assert_eq!(serve_all(&mut room)[..2], [1, 2]);
        }
    }

    #[test]
    fn where_many_flood_the_one_who_has_most_gives_way_to_the_one_who_has_least() {
        let mut room = WaitingRoom::default();
        for sender in 1..=100 {
            for _ in 0..100 {
                room.enter(sender, "x".repeat(7_999));
            }
            assert!(room.weight <= LARGEST, "{}", room.weight);
        }
        assert!(room.weight > LARGEST - 10_000);
        assert_eq!(room.enter(1000, "x".repeat(7_999)), 1, "somebody else had to give");
        assert!(room.weight <= LARGEST);
        let mut served = serve_all(&mut room);
        assert_eq!(served.iter().filter(|sender| **sender == 1000).count(), 1);
        assert!(served.iter().position(|sender| *sender == 1000) <= Some(100));
        served.sort_unstable();
        served.dedup();
        assert_eq!(served.len(), 101, "everybody is served");
        assert!(room.is_empty() && room.senders.is_empty());
    }

    #[test]
    fn whoever_is_sent_away_leaves_nothing_behind() {
        let mut room = WaitingRoom::default();
        flood(&mut room, 1, 10);
        flood(&mut room, 2, 10);
        let (sender, _) = room.next().unwrap();
        room.clear();
        assert!(room.is_empty());
        assert_eq!(room.next(), None);
        room.enter(sender, "later".into());
        assert_eq!(room.next(), None, "the one before is still being dealt with");
        room.served(sender);
        assert_eq!(room.next(), Some((sender, "later".into())));
        room.served(sender);
        assert!(room.senders.is_empty() && room.turns.is_empty());
    }
}
