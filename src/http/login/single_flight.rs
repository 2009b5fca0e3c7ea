//! One verification at a time of the same credentials: a client that sends many requests at once is verified once, and does not
//! count as many logins.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OwnedMutexGuard;

use super::proofs::ProofKey;

/// The verifications in progress. At most one for each connection.
#[derive(Default)]
pub(super) struct SingleFlight(Mutex<HashMap<ProofKey, Arc<tokio::sync::Mutex<()>>>>);

/// A verification in progress, or one that waits for another. It ends with this.
pub(super) struct Flight<'a> {
    flights: &'a SingleFlight,
    key: ProofKey,
    /// Released before the entry is removed.
    guard: Option<OwnedMutexGuard<()>>,
}

impl SingleFlight {
    fn flights(&self) -> MutexGuard<'_, HashMap<ProofKey, Arc<tokio::sync::Mutex<()>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nobody verifies these credentials. Cancel-safe.
    pub(super) async fn begin(&self, key: ProofKey) -> Flight<'_> {
        let lock = Arc::clone(self.flights().entry(key).or_default());
        // Made first, so that the entry is removed if the wait is cancelled.
        let mut flight = Flight { flights: self, key, guard: None };
        flight.guard = Some(lock.lock_owned().await);
        flight
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.guard = None;
        let mut flights = self.flights.flights();
        // Those who wait have one each.
        if flights.get(&self.key).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            flights.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_same_credentials_wait_for_each_other_and_others_do_not() {
        let flights = SingleFlight::default();
        let limited = |key| timeout(Duration::from_secs(1), flights.begin(key));
        let first = limited([1; 32]).await.ok().unwrap();
        assert!(limited([1; 32]).await.is_err());
        drop(limited([2; 32]).await.ok().unwrap());
        drop(first);
        drop(limited([1; 32]).await.ok().unwrap());
        assert!(flights.flights().is_empty(), "nothing is left behind");
    }
}
