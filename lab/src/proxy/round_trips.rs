//! Counts the round trips that follow each other.
//!
//! Each message from a client has a number: one more than the highest number of a response that the clients have
//! received. A response has the number of its message.

use std::sync::atomic::{AtomicU64, Ordering};

/// The count for all connections of a proxy together.
#[derive(Default)]
pub(super) struct RoundTrips {
    last_sent: AtomicU64,
    last_received: AtomicU64,
}

impl RoundTrips {
    /// A client sends a message. Returns its round trip.
    pub(super) fn sent(&self) -> u64 {
        let round_trip = self.last_received.load(Ordering::SeqCst) + 1;
        self.last_sent.fetch_max(round_trip, Ordering::SeqCst);
        round_trip
    }

    /// A client receives a response of this round trip.
    pub(super) fn received(&self, round_trip: u64) {
        self.last_received.fetch_max(round_trip, Ordering::SeqCst);
    }

    /// The number of round trips so far.
    pub(super) fn number(&self) -> u64 {
        self.last_sent.load(Ordering::SeqCst)
    }
}
