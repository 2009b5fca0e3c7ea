//! Limits how many servers are collected at a time (`limits.collects`), without letting frozen servers delay the others.
//!
//! A server is collected while it holds a permit. A server that does not respond *lends* its permit: another server may start
//! meanwhile, so any number of frozen servers does not delay the rest. A server that responds again was slow, not frozen: it
//! *reclaims* its permit at once, even if none is free. Then more permits are in use than the limit allows (the semaphore is
//! *overdrawn*), and no other server starts until enough permits are returned. Without this, the limit would have no effect on
//! a busy machine, where every server is silent for a while.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// The shortest time without data from a server after which it lends its permit.
pub(super) const MIN_SILENCE: Duration = Duration::from_secs(1);

/// The longest time without data from a server before it lends its permit. A server that has lent its permit for this long
/// counts as frozen.
pub(super) const MAX_SILENCE: Duration = Duration::from_secs(8);

/// The silence timeout is halved each time this period passes without a slow server.
const HALF_LIFE: Duration = Duration::from_secs(10);

/// The permits to collect. Clones share them; waiting tasks get a permit in the order of their requests.
#[derive(Clone)]
pub(crate) struct CollectPermits {
    free: Arc<Semaphore>,
    /// Slots for servers that take long: half as many as there are permits.
    slow: Arc<Semaphore>,
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    /// Permits that were reclaimed while none was free. This many are not made available again when they are returned.
    overdrawn: usize,
    silence_timeout: SilenceTimeout,
}

/// How long a server may be silent before it lends its permit.
///
/// Doubled by each slow server, halved by each frozen one, and halved again over time. Starts at the maximum, because after a
/// start all servers are busy at once.
#[derive(Clone, Copy)]
struct SilenceTimeout {
    timeout: Duration,
    changed_at: Instant,
}

impl CollectPermits {
    /// Creates this many permits.
    pub(crate) fn new(number: usize) -> Self {
        let silence_timeout = SilenceTimeout { timeout: MAX_SILENCE, changed_at: Instant::now() };
        let (free, slow) = (Semaphore::new(number), Semaphore::new(number.div_ceil(2)));
        Self {
            free: free.into(),
            slow: slow.into(),
            shared: Arc::new(Mutex::new(Shared { overdrawn: 0, silence_timeout })),
        }
    }

    /// Waits for a permit.
    pub(super) async fn acquire(&self) -> CollectPermit {
        let permit = Arc::clone(&self.free).acquire_owned().await.expect("nobody closes the semaphore");
        CollectPermit { permits: self.clone(), state: State::Permit(permit) }
    }

    /// Waits for a slot in which a slow server continues after it has lent its permit until the end of its snapshot.
    pub(super) async fn acquire_slow_slot(&self) -> OwnedSemaphorePermit {
        Arc::clone(&self.slow).acquire_owned().await.expect("nobody closes the semaphore")
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The permit of one server. It is returned on drop.
pub(super) struct CollectPermit {
    permits: CollectPermits,
    state: State,
}

enum State {
    Permit(OwnedSemaphorePermit),
    /// Reclaimed while none was free.
    Overdrawn,
    /// Available to another server.
    Lent,
}

impl CollectPermit {
    /// How long the server may be silent before it has to lend its permit.
    pub(super) fn silence_timeout(&self) -> Duration {
        self.permits.lock().silence_timeout.current()
    }

    /// Makes the permit available to another server. The owner continues its work.
    pub(super) fn lend(&mut self) {
        self.release();
    }

    /// Takes a lent permit back without waiting, overdrawing if none is free.
    pub(super) fn reclaim(&mut self) {
        if !matches!(self.state, State::Lent) {
            return;
        }
        self.state = match Arc::clone(&self.permits.free).try_acquire_owned() {
            Ok(permit) => State::Permit(permit),
            Err(_) => {
                self.permits.lock().overdrawn += 1;
                State::Overdrawn
            }
        };
    }

    /// Records that a server which had lent its permit responded again, and increases the silence timeout.
    pub(super) fn record_slow(&self) {
        self.permits.lock().silence_timeout.increase();
    }

    /// Records that a server did not respond for [`MAX_SILENCE`], and decreases the silence timeout.
    pub(super) fn record_frozen(&self) {
        self.permits.lock().silence_timeout.decrease();
    }

    /// Waits for a permit, if this one was lent. For work that has not started yet.
    pub(super) async fn reacquire(&mut self) {
        if matches!(self.state, State::Lent) {
            *self = self.permits.acquire().await;
        }
    }

    fn release(&mut self) {
        match std::mem::replace(&mut self.state, State::Lent) {
            State::Permit(permit) => {
                let mut shared = self.permits.lock();
                if shared.overdrawn > 0 {
                    shared.overdrawn -= 1;
                    permit.forget();
                }
            }
            State::Overdrawn => {
                let mut shared = self.permits.lock();
                // The debt may have been settled by another permit meanwhile.
                match shared.overdrawn.checked_sub(1) {
                    Some(overdrawn) => shared.overdrawn = overdrawn,
                    None => self.permits.free.add_permits(1),
                }
            }
            State::Lent => {}
        }
    }
}

impl Drop for CollectPermit {
    fn drop(&mut self) {
        self.release();
    }
}

impl SilenceTimeout {
    fn current(&self) -> Duration {
        let halvings = self.changed_at.elapsed().as_secs() / HALF_LIFE.as_secs();
        let shift = u32::try_from(halvings).unwrap_or(u32::MAX).min(16);
        (self.timeout / (1 << shift)).max(MIN_SILENCE)
    }

    fn increase(&mut self) {
        *self = Self { timeout: (self.current() * 2).min(MAX_SILENCE), changed_at: Instant::now() };
    }

    fn decrease(&mut self) {
        *self = Self { timeout: self.current() / 2, changed_at: Instant::now() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use tokio::time::advance;

    fn free(permits: &CollectPermits) -> usize {
        permits.free.available_permits()
    }

    #[tokio::test]
    async fn no_more_are_taken_than_there_are() {
        let permits = CollectPermits::new(2);
        let (one, _two) = (permits.acquire().await, permits.acquire().await);
        assert!(permits.acquire().now_or_never().is_none());
        drop(one);
        assert!(permits.acquire().now_or_never().is_some());
    }

    #[tokio::test]
    async fn one_that_is_lent_is_anothers_and_comes_back_at_once() {
        let permits = CollectPermits::new(1);
        let mut slow = permits.acquire().await;
        slow.lend();
        let other = permits.acquire().now_or_never().expect("it was lent");
        slow.reclaim();
        slow.reclaim();
        // One permit is used twice: the next acquire waits until both are returned.
        drop(other);
        assert!(permits.acquire().now_or_never().is_none());
        drop(slow);
        assert_eq!(free(&permits), 1);
    }

    #[tokio::test]
    async fn in_whatever_order_they_end_there_are_as_many_turns_afterwards() {
        for order in 0..6 {
            let permits = CollectPermits::new(3);
            let mut taken = vec![permits.acquire().await, permits.acquire().await, permits.acquire().await];
            taken.iter_mut().for_each(CollectPermit::lend);
            taken.extend([permits.acquire().await, permits.acquire().await, permits.acquire().await]);
            taken[..2].iter_mut().for_each(CollectPermit::reclaim);
            while !taken.is_empty() {
                assert!(free(&permits) <= 3);
                let next = (order * 7) % taken.len();
                taken[next].lend();
                drop(taken.remove(next));
            }
            assert_eq!((free(&permits), permits.lock().overdrawn), (3, 0), "{order}");
        }
    }

    #[tokio::test]
    async fn what_has_not_begun_waits_for_its_turn_again() {
        let permits = CollectPermits::new(1);
        let mut first = permits.acquire().await;
        assert!(first.reacquire().now_or_never().is_some(), "it has its turn");
        first.lend();
        let other = permits.acquire().await;
        assert!(first.reacquire().now_or_never().is_none());
        drop(other);
        assert!(first.reacquire().now_or_never().is_some());
        assert_eq!(free(&permits), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn slow_servers_are_waited_for_longer_until_they_are_not_slow_any_more() {
        let permits = CollectPermits::new(1);
        let permit = permits.acquire().await;
        assert_eq!(permit.silence_timeout(), MAX_SILENCE, "everything happens at once after a start");
        advance(HALF_LIFE * 10).await;
        assert_eq!(permit.silence_timeout(), MIN_SILENCE);
        for expected in [2, 4, 8, 8] {
            permit.record_slow();
            assert_eq!(permit.silence_timeout(), Duration::from_secs(expected));
        }
        advance(HALF_LIFE).await;
        assert_eq!(permit.silence_timeout(), Duration::from_secs(4));
        for expected in [2, 1, 1] {
            permit.record_frozen();
            assert_eq!(permit.silence_timeout(), Duration::from_secs(expected));
        }
        permit.record_slow();
        assert_eq!(permit.silence_timeout(), MIN_SILENCE * 2, "one that is slow counts as much as one that is frozen");
        advance(HALF_LIFE * 100_000).await;
        assert_eq!(permit.silence_timeout(), MIN_SILENCE);
    }
}
