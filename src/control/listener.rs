//! The task that listens on the command channel, for as long as the daemon runs: it survives the repository.

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
use super::handler::{Done, Handler, UnderWay};
use crate::metrics::Metrics;
use crate::pauses;
use crate::postgres::{Channel, Control, Endpoint, Error, Notifications, Side};

/// It is the one try to reach the repository that all workers wait for, so it is made often.
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// How long each step of a listener's end may take: the next one takes over, the last answers are sent, the session is
/// closed.
const UNTIL_CLOSED: Duration = Duration::from_secs(2);

/// How often it is made sure that the repository is there to be heard.
const BETWEEN_CHECKS: Duration = Duration::from_secs(10);

/// How long a collector whose place is taken may still be there: it is told to stop when this one is ready, and has some 10
/// seconds to do so.
const UNTIL_OTHERS_ARE_GONE: Duration = Duration::from_secs(15);

/// Requests that may be under way in the repository at once, one of each sender.
const MOST_AT_ONCE: usize = 32;

/// The running task.
pub struct Listener {
    endpoint: Endpoint,
    task: AbortOnDropHandle<()>,
    cancel: CancellationToken,
    successors: mpsc::Sender<Successor>,
    listens: Arc<AtomicBool>,
}

/// Gets the mark from which on all that is heard is another listener's. Dropped, if there is nobody who listens.
type Successor = oneshot::Sender<String>;

impl Listener {
    /// Starts to listen, on a session that is open already if there is one; the next ones it opens by itself.
    ///
    /// What the listener before still hears, it leaves to that one, which from now on is on its way out.
    pub fn start(
        endpoint: Endpoint,
        channel: Option<Channel>,
        calls: mpsc::Sender<Call>,
        metrics: Metrics,
        before: Option<&Self>,
    ) -> Self {
        let cancel = CancellationToken::new();
        let (successors, asked) = mpsc::channel(1);
        let listens = Arc::new(AtomicBool::new(channel.is_some()));
        let mark = before.and_then(|before| before.make_way_to(&endpoint));
        let is_new_here = channel.is_some() && mark.is_none();
        let look_for_others = is_new_here.then(|| Instant::now() + UNTIL_OTHERS_ARE_GONE);
        let task = Task {
            endpoint: endpoint.clone(),
            handler: Arc::new(Handler::new(calls.clone(), metrics.clone())),
            calls,
            metrics,
            listens: Arc::clone(&listens),
            cancel: cancel.clone(),
            successors: asked,
            under_way: FuturesUnordered::new(),
            until: None,
            look_for_others,
        };
        let task = tokio::spawn(task.run(channel, mark).instrument(tracing::info_span!("commands")));
        Self { endpoint, task: AbortOnDropHandle::new(task), cancel, successors, listens }
    }

    /// Whether there is a session in which commands are heard.
    pub fn listens(&self) -> bool {
        self.listens.load(Ordering::Relaxed)
    }

    /// Gives the way to the mark, if both listen in the same database.
    fn make_way_to(&self, next: &Endpoint) -> Option<oneshot::Receiver<String>> {
        if !self.endpoint.is_same_database(next) {
            self.cancel.cancel();
            return None;
        }
        let (successor, mark) = oneshot::channel();
        self.successors.try_send(successor).is_ok().then_some(mark)
    }

    /// Waits for an end that nobody asked for. Safe to drop.
    pub async fn failed(&mut self) {
        if let Err(error) = (&mut self.task).await {
            tracing::error!(%error, "the task of the command channel failed");
        }
    }

    /// Waits until the next listener has taken over, and everybody has an answer who was heard before. Dropped, it is cut
    /// off.
    pub async fn leave(self) {
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the task of the command channel failed");
        }
    }

    /// Ends after the requests at hand, and closes the channel. Dropped, it is cut off.
    pub async fn stop(self) {
        self.cancel.cancel();
        // What is left of it after that is aborted with its handle.
        drop(timeout(UNTIL_CLOSED, self.leave()).await);
    }
}

struct Task {
    endpoint: Endpoint,
    handler: Arc<Handler>,
    calls: mpsc::Sender<Call>,
    metrics: Metrics,
    listens: Arc<AtomicBool>,
    cancel: CancellationToken,
    successors: mpsc::Receiver<Successor>,
    /// Waited for across sessions: whoever asked may still be there.
    under_way: FuturesUnordered<BoxFuture<'static, Done>>,
    /// Set once there is a successor.
    until: Option<Instant>,
    /// When it is looked whether the repository has another collector, if that was not done.
    look_for_others: Option<Instant>,
}

/// What is being said to the repository.
type Talk<'a> = FuturesUnordered<BoxFuture<'a, Result<Option<UnderWay>, Error>>>;

impl Task {
    async fn run(mut self, channel: Option<Channel>, mark: Option<oneshot::Receiver<String>>) {
        let mut channel = match channel {
            Some(channel) => channel,
            None => match self.reopen().await {
                Some(channel) => channel,
                None => return,
            },
        };
        let mut taken_over = tokio::select! {
            // Which is the first thing that is looked at then.
            () = self.cancel.cancelled() => Ok(()),
            taken_over = take_over(&channel, mark) => taken_over,
        };
        loop {
            self.listens.store(true, Ordering::Relaxed);
            let (control, notifications) = &channel;
            let served = match taken_over {
                Ok(()) => self.serve(control, notifications).await,
                Err(error) => Err(Some(error)),
            };
            match served {
                Ok(()) => break,
                Err(None) => tracing::error!("connection to the repository server lost"),
                Err(Some(error)) => {
                    tracing::error!(error = error.in_full(), "connection to the repository server lost");
                }
            }
            self.listens.store(false, Ordering::Relaxed);
            // The session that was lost may still be there, and would be taken for another one's.
            self.look_for_others = None;
            self.metrics.unreachable(Side::Repository);
            match self.reopen().await {
                Some(reopened) => channel = reopened,
                None => break,
            }
            taken_over = Ok(());
            tracing::info!("listening for commands again");
            self.metrics.reconnected(Side::Repository);
            // Nobody to hear it: the daemon is about to end.
            drop(self.calls.send(Call::ListeningAgain).await);
        }
        // Whoever can still be answered was; a repository that does not even take a farewell is not waited for.
        let _ = timeout(UNTIL_CLOSED, channel.0.close()).await;
    }

    /// Serves until it is asked to end or another listener has taken over; what was begun is finished.
    async fn serve(&mut self, control: &Control, notifications: &Notifications) -> Result<(), Option<Error>> {
        let handler = &Arc::clone(&self.handler);
        let mut talk = Talk::new();
        let mut checks = interval_at(Instant::now() + BETWEEN_CHECKS, BETWEEN_CHECKS);
        loop {
            let has_room = talk.len() < MOST_AT_ONCE;
            let (until, look_for_others) = (self.until, self.look_for_others);
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => break,
                Some(successor) = self.successors.recv() => self.make_way(successor, notifications),
                () = sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => break,
                Some(said) = talk.next() => self.note(said?),
                Some(done) = self.under_way.next(), if has_room => talk.push(answer(handler, control, done)),
                () = sleep_until(look_for_others.unwrap_or_else(Instant::now)), if look_for_others.is_some() => {
                    self.look_for_others = None;
                    let looking = async move {
                        tell_of_others(control).await;
                        Ok(None)
                    };
                    talk.push(looking.boxed());
                }
                _ = checks.tick() => talk.push(async move { control.check().await.map(|()| None) }.boxed()),
                heard = notifications.next(), if has_room => match heard {
                    Some(notification) => {
                        let notification = notification?;
                        talk.push(async move { handler.handle(control, &notification).await }.boxed());
                    }
                    None if until.is_some() => break,
                    None => return Err(None),
                },
            }
        }
        let mut closing = Instant::now() + UNTIL_CLOSED;
        loop {
            tokio::select! {
                Some(said) = talk.next() => self.note(said?),
                // However long it takes: it is for the main task to say that it is over.
                Some(done) = self.under_way.next() => {
                    if talk.is_empty() {
                        closing = Instant::now() + UNTIL_CLOSED;
                    }
                    talk.push(answer(handler, control, done));
                }
                () = sleep_until(closing), if !talk.is_empty() => return Ok(()),
                else => return Ok(()),
            }
        }
    }

    fn note(&self, under_way: Option<UnderWay>) {
        if let Some(under_way) = under_way {
            self.under_way.push(under_way.done().boxed());
        }
    }

    /// From a message on that only the two of them know, all that is heard is the other's.
    fn make_way(&mut self, successor: Successor, notifications: &Notifications) {
        // To whoever else listens it is a request without an answer, about a server that cannot be.
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let mark = format!("WORKERS_STATUS - {}", now.as_nanos());
        notifications.end_at(mark.clone());
        self.until = Some(Instant::now() + UNTIL_CLOSED);
        // A successor that has gone will not be heard of.
        drop(successor.send(mark));
    }

    /// `None`: it is asked to end.
    async fn reopen(&mut self) -> Option<Channel> {
        if self.until.is_some() {
            return None;
        }
        tokio::select! {
            () = self.cancel.cancelled() => None,
            // It is told that nobody listens here by being dropped.
            Some(_) = self.successors.recv() => None,
            channel = reopen(&self.endpoint, &self.metrics) => Some(channel),
        }
    }
}

fn answer<'a>(
    handler: &'a Handler,
    control: &'a Control,
    done: Done,
) -> BoxFuture<'a, Result<Option<UnderWay>, Error>> {
    async move { handler.answer(control, done).await.map(|()| None) }.boxed()
}

/// Two collectors on one repository do no harm that would be noticed soon, so it is said. Nothing depends on it: not that
/// they may be looked for, either.
async fn tell_of_others(control: &Control) {
    match control.others().await {
        Ok(others) if others.is_empty() => tracing::debug!("no other collector is connected to this repository"),
        Ok(others) => {
            let others: Vec<_> = others.iter().map(ToString::to_string).collect();
            tracing::warn!(
                "another collector is connected to this repository, so that every server is collected from more than \
                 once: {}; let only one of them run",
                others.join("; ")
            );
        }
        Err(error) => tracing::debug!(error = error.in_full(), "other collectors could not be looked for"),
    }
}

/// Leaves to the listener before what that one still hears, if it does.
async fn take_over(channel: &Channel, mark: Option<oneshot::Receiver<String>>) -> Result<(), Error> {
    let Some(mark) = mark else { return Ok(()) };
    let Ok(mark) = mark.await else { return Ok(()) };
    let (control, notifications) = channel;
    notifications.begin_at(mark.clone());
    control.mark(&mark).await
}

async fn reopen(endpoint: &Endpoint, metrics: &Metrics) -> Channel {
    let attempt = || async {
        let opened = Control::open(endpoint).await;
        opened.map_err(|error| {
            metrics.unreachable(Side::Repository);
            error.in_full()
        })
    };
    pauses::until_it_works(LONGEST_PAUSE, attempt, |reason| tracing::error!("{reason}")).await
}
