//! The state of one client connection, shared by the connection's task, its request handlers and the eviction of connections.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// Time limit for the first event of a stream, which contains the whole fleet, to be read by the client.
const FIRST_EVENT_TIMEOUT: Duration = Duration::from_secs(60);

/// Whether a connection is authenticated, whether it has an open event stream, and by when the client must have read.
#[derive(Default)]
pub(super) struct ConnectionState {
    is_authenticated: AtomicBool,
    is_streaming: AtomicBool,
    /// A request is being answered.
    is_busy: AtomicBool,
    /// The address of the client.
    client: Option<SocketAddr>,
    deadline: watch::Sender<Option<Instant>>,
}

impl ConnectionState {
    /// The state of a new connection.
    pub(super) fn of(client: SocketAddr) -> Self {
        Self { client: Some(client), ..Self::default() }
    }

    /// The address of the client, which may be a proxy.
    pub(super) fn client(&self) -> SocketAddr {
        self.client.unwrap_or((Ipv4Addr::UNSPECIFIED, 0).into())
    }

    /// Records that a request had a valid token.
    pub(super) fn set_authenticated(&self) {
        self.is_authenticated.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_authenticated(&self) -> bool {
        self.is_authenticated.load(Ordering::Relaxed)
    }

    pub(super) fn is_streaming(&self) -> bool {
        self.is_streaming.load(Ordering::Relaxed)
    }

    /// Whether it can be closed for another one: it has no event stream, and no request is being answered.
    pub(super) fn is_idle(&self) -> bool {
        !self.is_streaming() && !self.is_busy.load(Ordering::Relaxed)
    }

    /// Records that a request is being answered, until the guard is dropped.
    pub(super) fn begin_request(self: &Arc<Self>) -> RequestGuard {
        self.is_busy.store(true, Ordering::Relaxed);
        RequestGuard(Arc::clone(self))
    }

    /// Marks the connection as an event stream until the guard is dropped, and starts the time limit for the first event.
    pub(super) fn open_stream(self: &Arc<Self>) -> StreamGuard {
        self.is_streaming.store(true, Ordering::Relaxed);
        self.deadline.send_replace(Some(Instant::now() + FIRST_EVENT_TIMEOUT));
        StreamGuard(Arc::clone(self))
    }

    /// Returns when the client has missed its deadline. Pending while there is none.
    pub(super) async fn deadline_missed(&self) {
        let mut deadline = self.deadline.subscribe();
        loop {
            let time = *deadline.borrow_and_update();
            tokio::select! {
                () = sleep_until(time.unwrap_or_else(Instant::now)), if time.is_some() => return,
                Ok(()) = deadline.changed() => {}
            }
        }
    }
}

/// A request is being answered for as long as it exists.
pub(super) struct RequestGuard(Arc<ConnectionState>);

impl Drop for RequestGuard {
    fn drop(&mut self) {
        self.0.is_busy.store(false, Ordering::Relaxed);
    }
}

/// Marks a connection as an event stream for as long as it exists.
pub(super) struct StreamGuard(Arc<ConnectionState>);

impl StreamGuard {
    /// The client has read the first event.
    pub(super) fn first_event_sent(&self) {
        self.0.deadline.send_replace(None);
    }
}

impl Drop for StreamGuard {
    fn drop(&mut self) {
        self.0.is_streaming.store(false, Ordering::Relaxed);
        self.0.deadline.send_replace(None);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_stream_whose_first_event_is_not_read_misses_the_deadline() {
        let connection = Arc::new(ConnectionState::default());
        let deadline_missed = || timeout(2 * FIRST_EVENT_TIMEOUT, connection.deadline_missed());
        assert!(deadline_missed().await.is_err());
        let stream = connection.open_stream();
        assert!(deadline_missed().await.is_ok());
        stream.first_event_sent();
        assert!(deadline_missed().await.is_err());
        assert!(connection.is_streaming());
        drop(stream);
        assert!(!connection.is_streaming());
        drop(connection.open_stream());
        assert!(deadline_missed().await.is_err());
    }
}
