//! Tracks when a server was last active. While received rows are written to the spool, nothing is read from the
//! connection, so this time does not count as wait_for_silence of the server.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use futures_util::poll;
use tokio::time::{Instant, sleep_until};

/// The activity in one session, which may have several concurrent readers.
pub(super) struct ActivityMonitor {
    opened: Instant,
    /// Time of the last activity, in milliseconds since the opening.
    last_activity: AtomicU64,
    /// Number of readers that are writing to the spool.
    paused: AtomicUsize,
}

/// Ends the pause when dropped, even if the future was cancelled.
struct PauseGuard<'a>(&'a ActivityMonitor);

impl ActivityMonitor {
    /// For a session that was just opened.
    pub(super) fn new() -> Self {
        Self { opened: Instant::now(), last_activity: AtomicU64::new(0), paused: AtomicUsize::new(0) }
    }

    /// Records that the server has sent something.
    pub(super) fn record(&self) {
        let now = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_activity.store(now, Ordering::Relaxed);
    }

    /// Awaits data from the server. If it is already buffered, it does not count as new activity.
    pub(super) async fn receive<T>(&self, receiving: impl Future<Output = T>) -> T {
        let mut receiving = pin!(receiving);
        match poll!(&mut receiving) {
            Poll::Ready(received) => received,
            Poll::Pending => {
                let received = receiving.await;
                self.record();
                received
            }
        }
    }

    /// Runs `work`, such as writing to the spool, during which wait_for_silence does not count.
    pub(super) async fn pause_during<T>(&self, paused: impl Future<Output = T>) -> T {
        self.paused.fetch_add(1, Ordering::Relaxed);
        let _until_kept = PauseGuard(self);
        paused.await
    }

    /// The time of the last activity; now, if a reader is paused.
    pub(super) fn last(&self) -> Instant {
        if self.paused.load(Ordering::Relaxed) > 0 {
            return Instant::now();
        }
        self.opened + Duration::from_millis(self.last_activity.load(Ordering::Relaxed))
    }

    /// Waits until the server was silent for longer than `limit`.
    pub(super) async fn wait_for_silence(&self, limit: Duration) {
        loop {
            let last_activity = self.last();
            if last_activity.elapsed() > limit {
                return;
            }
            sleep_until(last_activity + limit + Duration::from_millis(1)).await;
        }
    }
}

impl Drop for PauseGuard<'_> {
    fn drop(&mut self) {
        self.0.record();
        self.0.paused.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::{sleep, timeout};

    const LIMIT: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn silence_is_measured_from_the_last_data() {
        let activity = ActivityMonitor::new();
        for _ in 0..5 {
            assert!(timeout(LIMIT * 9 / 10, activity.wait_for_silence(LIMIT)).await.is_err());
            activity.record();
        }
        let started = Instant::now();
        activity.wait_for_silence(LIMIT).await;
        assert!(started.elapsed() < LIMIT * 2);
    }

    #[tokio::test(start_paused = true)]
    async fn data_that_arrives_late_counts_when_it_arrives() {
        let activity = ActivityMonitor::new();
        let listening = async {
            for _ in 0..5 {
                activity.receive(sleep(LIMIT * 9 / 10)).await;
            }
        };
        tokio::select! {
            () = listening => {}
            () = activity.wait_for_silence(LIMIT) => panic!("it spoke"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_is_not_silent_while_its_data_waits() {
        let activity = ActivityMonitor::new();
        let slow_disk = activity.pause_during(sleep(LIMIT * 10));
        tokio::select! {
            () = slow_disk => {}
            () = activity.wait_for_silence(LIMIT) => panic!("nobody listened"),
        }
        let started = Instant::now();
        assert!(activity.last() + Duration::from_millis(1) >= started);
        activity.wait_for_silence(LIMIT).await;
        assert!(started.elapsed() < LIMIT * 2, "from then on it is");
        // Given up half-way.
        assert!(timeout(LIMIT, activity.pause_during(sleep(LIMIT * 10))).await.is_err());
        activity.wait_for_silence(LIMIT).await;
    }
}
