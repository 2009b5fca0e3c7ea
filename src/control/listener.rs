//! The task that listens on the command channel, for as long as the daemon runs: it survives the repository.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::Call;
use super::handler::Handler;
use crate::pauses;
use crate::postgres::{Channel, Control, Endpoint, Error, Heard};

const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How long the end of a listener may take.
const UNTIL_CLOSED: Duration = Duration::from_secs(2);

/// The running task.
pub struct Listener {
    task: JoinHandle<()>,
    cancel: CancellationToken,
}

impl Listener {
    /// Starts to listen, on a session that is open already if there is one; the next ones it opens by itself.
    pub fn start(endpoint: Endpoint, channel: Option<Channel>, calls: mpsc::Sender<Call>) -> Self {
        let cancel = CancellationToken::new();
        let task = tokio::spawn(
            listen(endpoint, channel, Handler::new(calls), cancel.clone()).instrument(tracing::info_span!("commands")),
        );
        Self { task, cancel }
    }

    /// Waits for an end that nobody asked for. Safe to drop.
    pub async fn failed(&mut self) {
        if let Err(error) = (&mut self.task).await {
            tracing::error!(%error, "the task of the command channel failed");
        }
    }

    /// Ends after the request at hand, and closes the channel.
    pub async fn stop(mut self) {
        self.cancel.cancel();
        match tokio::time::timeout(UNTIL_CLOSED, &mut self.task).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the task of the command channel failed"),
            Err(_) => self.task.abort(),
        }
    }
}

async fn listen(endpoint: Endpoint, channel: Option<Channel>, mut handler: Handler, cancel: CancellationToken) {
    let mut channel = match channel {
        Some(channel) => channel,
        None => tokio::select! {
            () = cancel.cancelled() => return,
            channel = reopen(&endpoint) => channel,
        },
    };
    loop {
        let (control, notifications) = &mut channel;
        match serve(control, notifications, &mut handler, &cancel).await {
            Ok(()) if cancel.is_cancelled() => break,
            Ok(()) => tracing::error!("connection to the repository server lost"),
            Err(error) => tracing::error!(error = error.in_full(), "connection to the repository server lost"),
        }
        tokio::select! {
            () = cancel.cancelled() => break,
            reopened = reopen(&endpoint) => channel = reopened,
        }
        tracing::info!("listening for commands again");
    }
    channel.0.close().await;
}

/// Serves until the connection is lost, or the token cancelled: never in the middle of a request.
async fn serve(
    control: &Control,
    notifications: &mut mpsc::Receiver<Heard>,
    handler: &mut Handler,
    cancel: &CancellationToken,
) -> Result<(), Error> {
    loop {
        let notification = tokio::select! {
            biased;
            () = cancel.cancelled() => return Ok(()),
            notification = notifications.recv() => notification,
        };
        match notification {
            Some(notification) => handler.handle(control, &notification?).await?,
            None => return Ok(()),
        }
    }
}

async fn reopen(endpoint: &Endpoint) -> Channel {
    let mut known = String::new();
    for pause in pauses::growing_to(LONGEST_PAUSE) {
        match Control::open(endpoint).await {
            Ok(channel) => return channel,
            Err(error) => {
                let reason = error.in_full();
                if reason != known {
                    tracing::error!("{reason}");
                    known = reason;
                }
            }
        }
        tokio::time::sleep(pause).await;
    }
    unreachable!("the pauses never end")
}
