//! Signals that request to stop or to reload.

use std::io;

use futures_util::StreamExt;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook_tokio::SignalsInfo;

/// What a signal requests: SIGTERM and SIGINT to stop, SIGHUP to reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    Stop,
    Reload,
}

/// Receives the signals that are sent to the process after its creation.
pub(super) struct Signals(SignalsInfo);

impl Signals {
    /// Installs the signal handlers, which replace the default action of ending the process.
    ///
    /// # Errors
    /// The operating system refuses.
    pub(super) fn new() -> io::Result<Self> {
        SignalsInfo::new([SIGHUP, SIGINT, SIGTERM]).map(Self)
    }

    /// Waits for the next signal. Several pending signals of a kind count as one. Cancel-safe.
    pub(super) async fn next(&mut self) -> Request {
        match self.0.next().await {
            Some(SIGHUP) => Request::Reload,
            // The stream ends only when its handle is closed, which never happens.
            _ => Request::Stop,
        }
    }
}
