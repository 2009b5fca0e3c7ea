//! When was a server last heard of? The time that it takes to keep what it has said is not the server's silence: until
//! that is done, nobody listens.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use futures_util::poll;
use tokio::time::{Instant, sleep_until};

/// Heard in one session, of which several parts may listen at once.
pub(super) struct Hearing {
    opened: Instant,
    /// In milliseconds after the opening.
    heard: AtomicU64,
    /// Parts that are not listening, as they keep what was said.
    keeping: AtomicUsize,
}

/// Ends with the keeping, also where nobody waits for it any more.
struct Keeping<'a>(&'a Hearing);

impl Hearing {
    /// Of a session that was just opened.
    pub(super) fn new() -> Self {
        Self { opened: Instant::now(), heard: AtomicU64::new(0), keeping: AtomicUsize::new(0) }
    }

    /// The server has said something.
    pub(super) fn hear(&self) {
        let now = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.heard.store(now, Ordering::Relaxed);
    }

    /// Waits for what it says next. What is here already, like most rows, was heard with those before.
    pub(super) async fn listen_to<T>(&self, saying: impl Future<Output = T>) -> T {
        let mut saying = pin!(saying);
        match poll!(&mut saying) {
            Poll::Ready(said) => said,
            Poll::Pending => {
                let said = saying.await;
                self.hear();
                said
            }
        }
    }

    /// Keeps something that it has said.
    pub(super) async fn while_keeping<T>(&self, keeping: impl Future<Output = T>) -> T {
        self.keeping.fetch_add(1, Ordering::Relaxed);
        let _until_kept = Keeping(self);
        keeping.await
    }

    /// When that was.
    pub(super) fn last(&self) -> Instant {
        if self.keeping.load(Ordering::Relaxed) > 0 {
            return Instant::now();
        }
        self.opened + Duration::from_millis(self.heard.load(Ordering::Relaxed))
    }

    /// Waits until the server was silent for longer than this.
    pub(super) async fn silence(&self, limit: Duration) {
        loop {
            let heard = self.last();
            if heard.elapsed() > limit {
                return;
            }
            sleep_until(heard + limit + Duration::from_millis(1)).await;
        }
    }
}

impl Drop for Keeping<'_> {
    fn drop(&mut self) {
        self.0.hear();
        self.0.keeping.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::{sleep, timeout};

    const LIMIT: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn silence_is_counted_from_the_last_word() {
        let hearing = Hearing::new();
        for _ in 0..5 {
            assert!(timeout(LIMIT * 9 / 10, hearing.silence(LIMIT)).await.is_err());
            hearing.hear();
        }
        let begun = Instant::now();
        hearing.silence(LIMIT).await;
        assert!(begun.elapsed() < LIMIT * 2);
    }

    #[tokio::test(start_paused = true)]
    async fn what_had_to_be_waited_for_is_heard_when_it_comes() {
        let hearing = Hearing::new();
        let listening = async {
            for _ in 0..5 {
                hearing.listen_to(sleep(LIMIT * 9 / 10)).await;
            }
        };
        tokio::select! {
            () = listening => {}
            () = hearing.silence(LIMIT) => panic!("it spoke"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_is_not_silent_while_what_it_said_is_kept() {
        let hearing = Hearing::new();
        let slow_disk = hearing.while_keeping(sleep(LIMIT * 10));
        tokio::select! {
            () = slow_disk => {}
            () = hearing.silence(LIMIT) => panic!("nobody listened"),
        }
        let begun = Instant::now();
        assert!(hearing.last() + Duration::from_millis(1) >= begun);
        hearing.silence(LIMIT).await;
        assert!(begun.elapsed() < LIMIT * 2, "from then on it is");
        // Given up half-way.
        assert!(timeout(LIMIT, hearing.while_keeping(sleep(LIMIT * 10))).await.is_err());
        hearing.silence(LIMIT).await;
    }
}
