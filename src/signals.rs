//! What the operating system asks for: to stop, or to reload.

use std::io;

use futures_util::StreamExt;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook_tokio::SignalsInfo;

/// SIGTERM and SIGINT ask to stop, SIGHUP asks to reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    Stop,
    Reload,
}

/// The signals that were sent to the process, from the making of this on.
pub struct Signals(SignalsInfo);

impl Signals {
    /// Takes the signals over from their default action, which would end the process.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn new() -> io::Result<Self> {
        SignalsInfo::new([SIGHUP, SIGINT, SIGTERM]).map(Self)
    }

    /// Waits for the next one. Several of a kind that nobody waited for count as one.
    pub async fn next(&mut self) -> Request {
        match self.0.next().await {
            Some(SIGHUP) => Request::Reload,
            // The stream ends only when its handle is closed, which nobody does.
            _ => Request::Stop,
        }
    }
}
