//! The main task. It waits for signals, commands, the clock and the workers, and decides what happens next.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::config::Location;
use crate::control::{Call, Listener};
use crate::postgres::{Channel, Endpoint, ServerList};
use crate::settings::{Error, Look, Seen, Settings};
use crate::signals::{Request, Signals};
use crate::supervisor::Supervisor;
use crate::telemetry::Telemetry;

/// How often `powa_servers` is looked at, so that a newly registered server needs no reload.
const BETWEEN_LOOKS: Duration = Duration::from_secs(60);

/// Calls that may wait for the main task, which never makes them wait long.
const WAITING_CALLS: usize = 64;

/// Someone who wants to know how a reload went.
type Waiting = oneshot::Sender<Result<(), String>>;

/// The running daemon.
struct Daemon {
    location: Location,
    telemetry: Telemetry,
    supervisor: Supervisor,
    listener: Listener,
    /// Listeners of repositories that were left, on their way out.
    leaving: JoinSet<()>,
    endpoint: Endpoint,
    caller: mpsc::Sender<Call>,
    looking: Option<Looking>,
    /// Asked for while a look was under way, for which it may have come too late. Any number of them is one reload.
    asked_again: Option<Vec<Waiting>>,
    invalid: Vec<String>,
    /// Why the last look at the servers alone failed, so that an outage is said once.
    look_failed: Option<String>,
}

/// A look that is under way.
struct Looking {
    look: Look,
    /// By somebody who wants to read in the log what came of it.
    is_asked_for: bool,
    waiting: Vec<Waiting>,
}

/// Runs until it is told to stop.
///
/// # Errors
/// It could not start.
pub async fn run(location: Location, telemetry: Telemetry) -> Result<(), Error> {
    let mut signals = Signals::new().map_err(Error::Signals)?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "powa-collector starts");
    let mut reload_asked = false;
    // Taken apart, so that nothing of the first repository is kept when there is another one.
    let Settings { context, endpoint, channel, servers } = tokio::select! {
        settings = Settings::first(&location) => settings?,
        () = stop_asked(&mut signals, &mut reload_asked) => return Ok(()),
    };
    let (caller, calls) = mpsc::channel(WAITING_CALLS);
    telemetry.set_debug(context.config.debug);
    let mut daemon = Daemon {
        location,
        telemetry,
        supervisor: Supervisor::new(context),
        listener: Listener::start(endpoint.clone(), Some(channel), caller.clone()),
        leaving: JoinSet::new(),
        endpoint,
        caller,
        looking: None,
        asked_again: None,
        invalid: Vec::new(),
        look_failed: None,
    };
    daemon.serve_only(servers);
    tracing::info!(servers = daemon.supervisor.statuses().len(), "ready");
    if reload_asked {
        daemon.reload(vec![]);
    }
    daemon.turn(&mut signals, calls).await;
    daemon.stop().await;
    tracing::info!("powa-collector stopped");
    Ok(())
}

/// A reload that is asked for meanwhile may come too late for the file that is being read.
async fn stop_asked(signals: &mut Signals, reload_asked: &mut bool) {
    while signals.next().await != Request::Stop {
        *reload_asked = true;
    }
}

impl Daemon {
    /// Every branch is safe to be dropped: none takes anything from anywhere before it is dealt with.
    async fn turn(&mut self, signals: &mut Signals, mut calls: mpsc::Receiver<Call>) {
        let mut looks = interval_at(Instant::now() + BETWEEN_LOOKS, BETWEEN_LOOKS);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                request = signals.next() => match request {
                    Request::Stop => break,
                    Request::Reload => self.reload(vec![]),
                },
                Some(call) = calls.recv() => self.answer(call),
                _ = looks.tick() => self.look_for_servers(),
                seen = seen(&mut self.looking) => self.take_up(seen),
                () = self.supervisor.tend() => {}
                () = self.listener.failed() => drop(self.listen_to(None)),
                Some(_) = self.leaving.join_next() => {}
            }
        }
    }

    /// Answers at once, but for a reload.
    fn answer(&mut self, call: Call) {
        // Whoever does not wait for the answer any more has no need of it.
        match call {
            Call::Reload(reply) => self.reload(vec![reply]),
            Call::Statuses(reply) => drop(reply.send(self.supervisor.statuses())),
            Call::ForceSnapshot(id, reply) => drop(reply.send(self.supervisor.force_snapshot(id))),
            Call::RefreshCatalogs(id, refresh, reply) => {
                drop(reply.send(self.supervisor.refresh_catalogs(id, refresh)));
            }
        }
    }

    fn reload(&mut self, waiting: Vec<Waiting>) {
        if self.looking.is_some() {
            self.asked_again.get_or_insert_default().extend(waiting);
            return;
        }
        tracing::info!("reloading");
        let look = Look::at_everything(self.location.clone(), self.supervisor.context().clone());
        self.looking = Some(Looking { look, is_asked_for: true, waiting });
    }

    fn look_for_servers(&mut self) {
        if self.looking.is_none() {
            let look = Look::at_servers(self.supervisor.context().repository.clone());
            self.looking = Some(Looking { look, is_asked_for: false, waiting: vec![] });
        }
    }

    /// Makes what was seen the case.
    fn take_up(&mut self, seen: Result<Seen, Error>) {
        let Some(Looking { is_asked_for, waiting, .. }) = self.looking.take() else { return };
        let outcome = match seen {
            Ok(seen) => {
                let reloaded = seen.reloaded;
                if let Some(context) = seen.context {
                    self.telemetry.set_debug(context.config.debug);
                    self.supervisor.share(context);
                }
                self.look_failed = None;
                self.serve_only(seen.servers);
                if reloaded {
                    self.supervisor.check_versions();
                    tracing::info!("reloaded");
                }
                Ok(seen.channel)
            }
            Err(error) => {
                let reason = error.to_string();
                if is_asked_for || self.look_failed.as_ref() != Some(&reason) {
                    tracing::error!("{reason}; what was there before stays");
                    self.look_failed = Some(reason.clone());
                }
                Err(reason)
            }
        };
        for reply in waiting {
            // Whoever does not wait for the answer any more has no need of it.
            drop(reply.send(outcome.as_ref().map(|_| ()).map_err(Clone::clone)));
        }
        if let Ok(Some((endpoint, channel))) = outcome {
            self.endpoint = endpoint;
            let before = self.listen_to(Some(channel));
            self.leaving.spawn(before.stop());
        }
        if let Some(waiting) = self.asked_again.take() {
            self.reload(waiting);
        }
    }

    /// Gives the listener that was there before.
    fn listen_to(&mut self, channel: Option<Channel>) -> Listener {
        let listener = Listener::start(self.endpoint.clone(), channel, self.caller.clone());
        std::mem::replace(&mut self.listener, listener)
    }

    fn serve_only(&mut self, list: ServerList) {
        let invalid: Vec<String> = list.invalid.iter().map(ToString::to_string).collect();
        for row in invalid.iter().filter(|row| !self.invalid.contains(row)) {
            tracing::error!("{row}; the row is ignored");
        }
        self.invalid = invalid;
        self.supervisor.reconcile(list.servers);
    }

    async fn stop(mut self) {
        tracing::info!("stopping");
        // Whoever waits for them is told so by their end.
        (self.looking, self.asked_again) = (None, None);
        let grace = self.supervisor.context().config.timeouts.stop;
        self.supervisor.stop(grace).await;
        self.listener.stop().await;
        while self.leaving.join_next().await.is_some() {}
    }
}

/// Waits for the look under way, if there is one. It stays where it is, so this is safe to drop.
async fn seen(looking: &mut Option<Looking>) -> Result<Seen, Error> {
    match looking {
        Some(under_way) => under_way.look.done().await,
        None => std::future::pending().await,
    }
}
