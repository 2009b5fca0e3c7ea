//! What is known of somebody who is connected, for as long as they are.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// For the first event of a page, which tells everything: by then it has been taken.
const UNTIL_ALL_TAKEN: Duration = Duration::from_secs(60);

/// Somebody at the other end of a connection.
#[derive(Default)]
pub(super) struct Visitor {
    /// A token was shown.
    is_admitted: AtomicBool,
    /// It is an open page.
    streams: AtomicBool,
    /// When something has to be taken.
    until: watch::Sender<Option<Instant>>,
}

impl Visitor {
    /// They have shown a token.
    pub(super) fn admit(&self) {
        self.is_admitted.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_admitted(&self) -> bool {
        self.is_admitted.load(Ordering::Relaxed)
    }

    pub(super) fn streams(&self) -> bool {
        self.streams.load(Ordering::Relaxed)
    }

    /// From now on it is an open page.
    pub(super) fn open_page(self: &Arc<Self>) -> OpenPage {
        self.streams.store(true, Ordering::Relaxed);
        self.until.send_replace(Some(Instant::now() + UNTIL_ALL_TAKEN));
        OpenPage(Arc::clone(self))
    }

    /// Waits until something should have been taken, and was not.
    pub(super) async fn is_too_slow(&self) {
        let mut until = self.until.subscribe();
        loop {
            let time = *until.borrow_and_update();
            tokio::select! {
                () = sleep_until(time.unwrap_or_else(Instant::now)), if time.is_some() => return,
                Ok(()) = until.changed() => {}
            }
        }
    }
}

/// A page is open for as long as this is there.
pub(super) struct OpenPage(Arc<Visitor>);

impl OpenPage {
    /// Everything that was told first is on its way.
    pub(super) fn goes_on(&self) {
        self.0.until.send_replace(None);
    }
}

impl Drop for OpenPage {
    fn drop(&mut self) {
        self.0.streams.store(false, Ordering::Relaxed);
        self.0.until.send_replace(None);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_page_that_does_not_take_the_first_event_is_too_slow() {
        let visitor = Arc::new(Visitor::default());
        let is_too_slow = || timeout(2 * UNTIL_ALL_TAKEN, visitor.is_too_slow());
        assert!(is_too_slow().await.is_err());
        let page = visitor.open_page();
        assert!(is_too_slow().await.is_ok());
        page.goes_on();
        assert!(is_too_slow().await.is_err());
        assert!(visitor.streams());
        drop(page);
        assert!(!visitor.streams());
        drop(visitor.open_page());
        assert!(is_too_slow().await.is_err());
    }
}
