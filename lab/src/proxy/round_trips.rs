//! How many round trips have followed each other?
//!
//! Everything that is said has a number: one more than the highest that the clients have heard an answer of. What answers
//! it has the same.

use std::sync::atomic::{AtomicU64, Ordering};

/// Of all connections of a proxy together.
#[derive(Default)]
pub(super) struct RoundTrips {
    message: AtomicU64,
    heard: AtomicU64,
}

impl RoundTrips {
    /// A client says something, which is of this round trip.
    pub(super) fn say(&self) -> u64 {
        let round_trip = self.heard.load(Ordering::SeqCst) + 1;
        self.message.fetch_max(round_trip, Ordering::SeqCst);
        round_trip
    }

    /// A client hears something that was said in this round trip.
    pub(super) fn hear(&self, round_trip: u64) {
        self.heard.fetch_max(round_trip, Ordering::SeqCst);
    }

    pub(super) fn number(&self) -> u64 {
        self.message.load(Ordering::SeqCst)
    }
}
