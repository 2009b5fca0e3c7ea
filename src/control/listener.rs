//! The task that listens on the command channel, and reconnects when the connection to the repository is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, interval_at, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use super::Call;
use super::handler::{FinishedRequest, Handler, PendingRequest};
use super::other_collectors::{Change, GRACE_PERIOD, OtherCollectors};
use crate::backoff;
use crate::control::channel::{Channel, CommandSession};
use crate::control::notifications::Notifications;
use crate::metrics::Metrics;
use session::{Endpoint, Error, Side};

/// The longest pause between two attempts to reconnect. Short, because all workers wait for this one connection.
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// How long to wait for the mark at which the next listener takes over. Longer than a busy repository needs to deliver a
/// notification: requests before the mark are answered by this listener only.
const HAND_OVER_TIMEOUT: Duration = Duration::from_secs(10);

/// The timeout of each step when a listener ends: sending the last answers, closing the session.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// How often the connection to the repository is checked.
const CHECK_INTERVAL: Duration = Duration::from_secs(10);

/// How often to look for other collectors.
const OTHER_COLLECTORS_INTERVAL: Duration = Duration::from_secs(30);

/// The most requests that are handled at a time, one for each sender.
const MAX_CONCURRENT_REQUESTS: usize = 32;

/// The handle of the running task.
pub(crate) struct Listener {
    endpoint: Endpoint,
    task: AbortOnDropHandle<()>,
    cancel: CancellationToken,
    hand_overs: mpsc::Sender<HandOver>,
    is_connected: Arc<AtomicBool>,
    other_collectors: Arc<OtherCollectors>,
}

/// A request of the next listener to take over. The reply is the mark in the stream of notifications at which it does; the
/// sender is dropped if the previous listener is not connected.
type HandOver = oneshot::Sender<String>;

impl Listener {
    /// Starts a listener, on `channel` if it is open already. Opens later sessions by itself.
    ///
    /// If there is a listener `before` on the same database, takes over from it at a mark, so that each notification is handled
    /// once. That listener then ends.
    pub(crate) fn start(
        endpoint: Endpoint,
        channel: Option<Channel>,
        calls: mpsc::Sender<Call>,
        metrics: Metrics,
        before: Option<&Self>,
    ) -> Self {
        let cancel = CancellationToken::new();
        let (hand_overs, hand_over_receiver) = mpsc::channel(1);
        let is_connected = Arc::new(AtomicBool::new(channel.is_some()));
        let mark = before.and_then(|before| before.request_hand_over(&endpoint));
        let here = before.filter(|before| before.endpoint.is_same_database(&endpoint));
        let other_collectors = here.map_or_else(Arc::default, |before| Arc::clone(&before.other_collectors));
        let task = Task {
            endpoint: endpoint.clone(),
            handler: Arc::new(Handler::new(calls.clone(), metrics.clone())),
            calls,
            metrics,
            is_connected: Arc::clone(&is_connected),
            cancel: cancel.clone(),
            hand_overs: hand_over_receiver,
            pending: FuturesUnordered::new(),
            hand_over_deadline: None,
            other_collectors: Arc::clone(&other_collectors),
        };
        let task = tokio::spawn(task.run(channel, mark).instrument(tracing::info_span!("commands")));
        Self { endpoint, task: AbortOnDropHandle::new(task), cancel, hand_overs, is_connected, other_collectors }
    }

    /// Whether the session is open, so that commands are received.
    pub(crate) fn is_connected(&self) -> bool {
        self.is_connected.load(Ordering::Relaxed)
    }

    /// Descriptions of other collectors that are connected to the repository.
    pub(crate) fn other_collectors(&self) -> Vec<String> {
        self.other_collectors.descriptions()
    }

    /// Requests the mark for the next listener, if both listen in the same database; otherwise stops this one.
    fn request_hand_over(&self, next: &Endpoint) -> Option<oneshot::Receiver<String>> {
        if !self.endpoint.is_same_database(next) {
            self.cancel.cancel();
            return None;
        }
        let (hand_over, mark) = oneshot::channel();
        self.hand_overs.try_send(hand_over).is_ok().then_some(mark)
    }

    /// Waits until the task ends unexpectedly. Cancel-safe.
    pub(crate) async fn failed(&mut self) {
        if let Err(error) = (&mut self.task).await {
            tracing::error!(%error, "the task of the command channel failed");
        }
    }

    /// Waits until the next listener has taken over and all earlier requests are answered. Dropping it aborts the task.
    pub(crate) async fn wait(self) {
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the task of the command channel failed");
        }
    }

    /// Finishes the current requests and closes the session. Dropping it aborts the task.
    pub(crate) async fn stop(self) {
        self.cancel.cancel();
        // After the timeout, the task is aborted with its handle.
        drop(timeout(CLOSE_TIMEOUT, self.wait()).await);
    }
}

/// The state of the running task.
struct Task {
    endpoint: Endpoint,
    handler: Arc<Handler>,
    calls: mpsc::Sender<Call>,
    metrics: Metrics,
    is_connected: Arc<AtomicBool>,
    cancel: CancellationToken,
    hand_overs: mpsc::Receiver<HandOver>,
    /// Kept when the session is reopened: the senders may still be waiting.
    pending: FuturesUnordered<BoxFuture<'static, FinishedRequest>>,
    /// When to stop waiting for the mark. Set once the next listener takes over.
    hand_over_deadline: Option<Instant>,
    other_collectors: Arc<OtherCollectors>,
}

/// The operations in progress on the session.
type Operations<'a> = FuturesUnordered<BoxFuture<'a, Result<Option<PendingRequest>, Error>>>;

impl Task {
    async fn run(mut self, channel: Option<Channel>, mark: Option<oneshot::Receiver<String>>) {
        let mut channel = match channel {
            Some(channel) => channel,
            None => match self.reopen().await {
                Some(channel) => channel,
                None => return,
            },
        };
        let mut takeover = tokio::select! {
            // `serve` checks for it first.
            () = self.cancel.cancelled() => Ok(()),
            takeover = take_over(&channel, mark) => takeover,
        };
        loop {
            self.is_connected.store(true, Ordering::Relaxed);
            let (session, notifications) = &channel;
            let ended = match takeover {
                Ok(()) => self.serve(session, notifications).await,
                Err(error) => Err(Some(error)),
            };
            match ended {
                Ok(()) => break,
                Err(None) => tracing::error!("connection to the repository server lost"),
                Err(Some(error)) => {
                    tracing::error!(error = %error, "connection to the repository server lost");
                }
            }
            self.is_connected.store(false, Ordering::Relaxed);
            self.metrics.count_unreachable(Side::Repository);
            match self.reopen().await {
                Some(reopened) => channel = reopened,
                None => break,
            }
            takeover = Ok(());
            tracing::info!("listening for commands again");
            self.metrics.count_reconnection(Side::Repository);
            // A failed send means that the daemon is stopping.
            drop(self.calls.send(Call::ChannelReopened).await);
        }
        // All answers are sent; do not wait for a repository that does not respond.
        let _ = timeout(CLOSE_TIMEOUT, channel.0.close()).await;
    }

    /// Handles requests until the task is cancelled or another listener has taken over, then finishes those in progress.
    /// Fails if the connection is lost.
    async fn serve(&mut self, session: &CommandSession, notifications: &Notifications) -> Result<(), Option<Error>> {
        let handler = &Arc::clone(&self.handler);
        let mut operations = Operations::new();
        let mut checks = interval_at(Instant::now() + CHECK_INTERVAL, CHECK_INTERVAL);
        let mut other_collectors_ticks = interval_at(Instant::now() + GRACE_PERIOD, OTHER_COLLECTORS_INTERVAL);
        self.other_collectors.add_own(session.process());
        loop {
            let has_room = operations.len() < MAX_CONCURRENT_REQUESTS;
            let hand_over_deadline = self.hand_over_deadline;
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => break,
                Some(hand_over) = self.hand_overs.recv() => self.hand_over_to(hand_over, notifications),
                () = sleep_until(hand_over_deadline.unwrap_or_else(Instant::now)), if hand_over_deadline.is_some() => break,
                Some(result) = operations.next() => self.track(result?),
                Some(done) = self.pending.next(), if has_room => operations.push(answer(handler, session, done)),
                _ = other_collectors_ticks.tick(), if hand_over_deadline.is_none() => {
                    let other_collectors = Arc::clone(&self.other_collectors);
                    let check = async move {
                        log_other_collectors(session, &other_collectors).await;
                        Ok(None)
                    };
                    operations.push(check.boxed());
                }
                _ = checks.tick() => operations.push(async move { session.check().await.map(|()| None) }.boxed()),
                received = notifications.next(), if has_room => match received {
                    Some(notification) => {
                        let notification = notification?;
                        operations.push(async move { handler.handle(session, &notification).await }.boxed());
                    }
                    None if hand_over_deadline.is_some() => break,
                    None => return Err(None),
                },
            }
        }
        let mut deadline = Instant::now() + CLOSE_TIMEOUT;
        loop {
            tokio::select! {
                Some(result) = operations.next() => self.track(result?),
                // Without a timeout: the main task always replies, or ends.
                Some(done) = self.pending.next() => {
                    if operations.is_empty() {
                        deadline = Instant::now() + CLOSE_TIMEOUT;
                    }
                    operations.push(answer(handler, session, done));
                }
                () = sleep_until(deadline), if !operations.is_empty() => return Ok(()),
                else => return Ok(()),
            }
        }
    }

    fn track(&self, pending: Option<PendingRequest>) {
        if let Some(pending) = pending {
            self.pending.push(pending.done().boxed());
        }
    }

    /// Hands over to the next listener at a mark that only the two know.
    fn hand_over_to(&mut self, hand_over: HandOver, notifications: &Notifications) {
        // To other collectors the mark is a request without an answer, for a server that cannot exist.
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let mark = format!("WORKERS_STATUS - {}", now.as_nanos());
        notifications.end_at(mark.clone());
        self.hand_over_deadline = Some(Instant::now() + HAND_OVER_TIMEOUT);
        // A failed send means that the next listener has ended.
        drop(hand_over.send(mark));
    }

    /// Reconnects. `None` if the task has to end.
    async fn reopen(&mut self) -> Option<Channel> {
        if self.hand_over_deadline.is_some() {
            return None;
        }
        tokio::select! {
            () = self.cancel.cancelled() => None,
            // Dropping the request shows that this listener is not connected.
            Some(_) = self.hand_overs.recv() => None,
            channel = reopen(&self.endpoint, &self.metrics) => Some(channel),
        }
    }
}

fn answer<'a>(
    handler: &'a Handler,
    session: &'a CommandSession,
    done: FinishedRequest,
) -> BoxFuture<'a, Result<Option<PendingRequest>, Error>> {
    async move { handler.answer(session, done).await.map(|()| None) }.boxed()
}

/// Looks for other collectors, and logs when one appears and when all are gone. Errors are ignored: nothing depends on it.
async fn log_other_collectors(session: &CommandSession, other_collectors: &OtherCollectors) {
    let collectors = match session.other_collectors().await {
        Ok(collectors) => collectors,
        Err(error) => return tracing::debug!(error = %error, "could not look for other collectors"),
    };
    match other_collectors.update(collectors) {
        Change::None if other_collectors.descriptions().is_empty() => {
            tracing::debug!("no other collector is connected to this repository");
        }
        Change::None => {}
        Change::AllGone => tracing::info!("no other collector is connected to this repository any more"),
        Change::Appeared(other_collectors) => tracing::warn!(
            "another collector is connected to this repository, so every server is collected more than once: {}; \
             stop all but one",
            other_collectors.join("; ")
        ),
    }
}

/// Takes over from the previous listener at its mark, if it is connected.
async fn take_over(channel: &Channel, mark: Option<oneshot::Receiver<String>>) -> Result<(), Error> {
    let Some(mark) = mark else { return Ok(()) };
    let Ok(mark) = mark.await else { return Ok(()) };
    let (session, notifications) = channel;
    notifications.begin_at(mark.clone());
    session.mark(&mark).await
}

async fn reopen(endpoint: &Endpoint, metrics: &Metrics) -> Channel {
    let attempt = || async {
        let opened = CommandSession::open(endpoint).await;
        opened.map_err(|error| {
            metrics.count_unreachable(Side::Repository);
            error.to_string()
        })
    };
    backoff::retry_until_ok(LONGEST_PAUSE, attempt, |reason| tracing::error!("{reason}")).await
}
