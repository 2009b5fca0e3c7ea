//! The main task. It waits for signals, commands, the clock and the workers, and decides what happens next.

mod beginning;

use std::time::{Duration, SystemTime};

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout_at};

use crate::control::{Call, Listener, NotReady, Overview};
use crate::http;
use crate::metrics::Metrics;
use crate::postgres::{Channel, Endpoint, ServerList};
use crate::service::{Service, summary};
use crate::settings::{Error, InFiles, Look, Origin, Seen, Settings};
use crate::signals::{Request, Signals};
use crate::supervisor::Supervisor;
use crate::telemetry::Telemetry;
use crate::upkeep::Upkeep;
use crate::worker::Status;
use beginning::Beginning;

/// How often `powa_servers` is looked at, so that a newly registered server needs no reload.
const BETWEEN_LOOKS: Duration = Duration::from_secs(60);

/// How long it may take to cancel what could not be finished.
const UNTIL_CANCELLED: Duration = Duration::from_secs(2);

/// From the beginning of one reload to the beginning of the next, at least.
const BETWEEN_RELOADS: Duration = Duration::from_secs(1);

/// Calls that may wait for the main task, which never makes them wait long.
const WAITING_CALLS: usize = 64;

/// Someone who wants to know how a reload went.
type Waiting = oneshot::Sender<Result<(), String>>;

/// The running daemon.
struct Daemon {
    origin: Origin,
    telemetry: Telemetry,
    service: Service,
    supervisor: Supervisor,
    listener: Listener,
    /// Listeners of repositories that were left, on their way out.
    leaving: JoinSet<()>,
    endpoint: Endpoint,
    caller: mpsc::Sender<Call>,
    looking: Option<Looking>,
    upkeep: Upkeep,
    http: http::Server,
    /// A reload that is to begin, and who waits for it. However often it is asked for, it is one.
    reload: Option<Vec<Waiting>>,
    /// When it may begin: never so soon after the one before that all there is to do is to reload.
    next_reload: Instant,
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

/// Runs until it is told to stop, with what was read at first.
///
/// # Errors
/// It could not start.
pub async fn run(origin: Origin, in_files: InFiles, telemetry: Telemetry, mut service: Service) -> Result<(), Error> {
    let mut signals = Signals::new().map_err(Error::Signals)?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "powa-collector starts");
    let (caller, mut calls) = mpsc::channel(WAITING_CALLS);
    let metrics = Metrics::new();
    let mut http = http::Server::new(caller.clone(), metrics.clone());
    let beginning = Beginning {
        origin: &origin,
        telemetry: &telemetry,
        metrics: &metrics,
        service: &mut service,
        signals: &mut signals,
        http: &mut http,
        calls: &mut calls,
    };
    // Taken apart, so that nothing of the first repository is kept when there is another one.
    let Some(Settings { context, endpoint, channel, servers }) = beginning.settings(in_files).await? else {
        service.stopping(Duration::ZERO);
        return Ok(());
    };
    let upkeep = Upkeep::of(context.repository.clone(), &context.config);
    let mut daemon = Daemon {
        origin,
        telemetry,
        service,
        supervisor: Supervisor::new(context),
        listener: Listener::start(endpoint.clone(), Some(channel), caller.clone(), metrics, None),
        leaving: JoinSet::new(),
        endpoint,
        caller,
        looking: None,
        upkeep,
        http,
        reload: None,
        next_reload: Instant::now(),
        invalid: Vec::new(),
        look_failed: None,
    };
    daemon.name_overrides_of_nobody(&servers);
    daemon.serve_only(servers);
    tracing::info!(servers = daemon.supervisor.statuses().len(), "ready");
    daemon.say_ready();
    daemon.turn(&mut signals, calls).await;
    daemon.stop().await;
    tracing::info!("powa-collector stopped");
    Ok(())
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
                () = sleep_until(self.next_reload), if self.reload.is_some() && self.looking.is_none() => {
                    self.begin_reload();
                }
                seen = seen(&mut self.looking) => self.take_up(seen),
                () = self.supervisor.tend() => {}
                () = self.service.turn() => self.say_status(),
                () = self.listener.failed() => drop(self.listen_to(None)),
                Some(_) = self.leaving.join_next() => {}
                never = self.upkeep.go_on() => match never {},
                () = self.http.tend() => {}
            }
        }
    }

    /// Answers at once, but for a reload.
    fn answer(&mut self, call: Call) {
        // Whoever does not wait for the answer any more has no need of it.
        match call {
            Call::Reload(reply) => self.reload(vec![reply]),
            Call::Statuses(reply) => drop(reply.send(self.supervisor.statuses())),
            Call::Accounts(reply) => drop(reply.send(self.supervisor.accounts())),
            Call::Overview(reply) => drop(reply.send(self.overview())),
            Call::ForceSnapshot(id, reply) => drop(reply.send(self.supervisor.force_snapshot(id))),
            Call::RefreshCatalogs(id, refresh, reply) => {
                drop(reply.send(self.supervisor.refresh_catalogs(id, refresh)));
            }
            Call::ListeningAgain => {
                // Before anybody is told to go on: with what is open from before, they would wait for a server that
                // has gone.
                self.supervisor.context().repository.forget_sessions();
                self.keep_up();
                self.supervisor.repository_is_back();
                self.look_again();
            }
        }
    }

    fn overview(&self) -> Overview {
        Overview {
            accounts: self.supervisor.accounts(),
            readiness: if self.listener.listens() { Ok(()) } else { Err(NotReady::Lost) },
            repository: Some(self.supervisor.context().repository.occupancy()),
        }
    }

    /// One that is under way may have come too late for what was changed since: it begins after that.
    fn reload(&mut self, waiting: Vec<Waiting>) {
        self.reload.get_or_insert_default().extend(waiting);
    }

    fn begin_reload(&mut self) {
        let Some(waiting) = self.reload.take() else { return };
        tracing::info!("reloading");
        self.service.reloading();
        self.next_reload = Instant::now() + BETWEEN_RELOADS;
        self.looking = Some(Looking { look: self.look_at_everything(), is_asked_for: true, waiting });
    }

    fn look_for_servers(&mut self) {
        if self.looking.is_none() {
            self.looking = Some(Looking { look: self.look_at_servers(), is_asked_for: false, waiting: vec![] });
        }
    }

    /// Whoever asked for a reload while nobody listened was not heard; and a look that is under way may wait for an answer
    /// that does not come any more. Who waits for it goes on waiting.
    fn look_again(&mut self) {
        match self.looking.take() {
            Some(Looking { is_asked_for: true, waiting, .. }) => {
                self.looking = Some(Looking { look: self.look_at_everything(), is_asked_for: true, waiting });
            }
            _ => self.look_for_servers(),
        }
    }

    fn look_at_everything(&self) -> Look {
        Look::at_everything(self.origin.clone(), self.supervisor.context().clone())
    }

    fn look_at_servers(&self) -> Look {
        Look::at_servers(self.supervisor.context().repository.clone())
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
                    self.keep_up();
                }
                if let Some(http) = seen.http {
                    self.http.take_up(http);
                }
                self.look_failed = None;
                if reloaded {
                    self.name_overrides_of_nobody(&seen.servers);
                }
                self.serve_only(seen.servers);
                if reloaded {
                    self.supervisor.check_versions();
                    tracing::info!("reloaded");
                    tracing::debug!(alive_tasks = Handle::current().metrics().num_alive_tasks(), "tasks at work");
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
            self.leaving.spawn(before.leave());
        }
        if is_asked_for {
            self.say_ready();
        }
    }

    fn say_ready(&mut self) {
        self.service.ready();
        self.say_status();
    }

    fn say_status(&mut self) {
        let statuses = self.supervisor.statuses();
        let running = statuses.values().filter(|status| **status == Status::Running).count();
        let last = self.supervisor.last_snapshot().and_then(|last| SystemTime::now().duration_since(last).ok());
        self.service.status(&summary(statuses.len(), running, last));
    }

    /// Begins anew with the care for the repository. What was under way may wait for an answer that does not come any
    /// more, and keeps loads waiting.
    fn keep_up(&mut self) {
        let context = self.supervisor.context();
        self.upkeep = Upkeep::of(context.repository.clone(), &context.config);
    }

    /// Gives the listener that was there before.
    fn listen_to(&mut self, channel: Option<Channel>) -> Listener {
        let metrics = self.supervisor.context().metrics.clone();
        let (endpoint, caller) = (self.endpoint.clone(), self.caller.clone());
        let listener = Listener::start(endpoint, channel, caller, metrics, Some(&self.listener));
        std::mem::replace(&mut self.listener, listener)
    }

    /// A slip in a name leaves its server without what was meant for it, be it that its certificate is looked at.
    fn name_overrides_of_nobody(&self, list: &ServerList) {
        let servers: Vec<_> = list.servers.iter().map(|server| (server.id, server.alias.as_deref())).collect();
        let names = self.supervisor.context().config.remote.names_of_nobody(&servers);
        if !names.is_empty() {
            tracing::warn!("\"remote.servers\" has names that are no active server's id or alias: {names:?}");
        }
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
        self.http.stop().await;
        // Whoever waits for them is told so by their end.
        (self.looking, self.reload) = (None, None);
        // What it has under way is cancelled, and loads that waited for it can be finished.
        drop(self.upkeep);
        let context = self.supervisor.context().clone();
        let stop = context.config.timeouts.stop;
        self.service.stopping(stop);
        // What is cut off at the end of its time has some left to be cancelled in.
        let grace = stop - (stop / 4).min(UNTIL_CANCELLED);
        let now = Instant::now();
        let leave = async {
            let others = async { while self.leaving.join_next().await.is_some() {} };
            tokio::join!(self.listener.stop(), others)
        };
        // Listeners that are not done by then are dropped, which ends them.
        drop(tokio::join!(self.supervisor.stop(grace), timeout_at(now + grace, leave)));
        self.leaving.abort_all();
        drop(timeout_at(now + stop, context.repository.close()).await);
    }
}

/// Waits for the look under way, if there is one. It stays where it is, so this is safe to drop.
async fn seen(looking: &mut Option<Looking>) -> Result<Seen, Error> {
    match looking {
        Some(under_way) => under_way.look.done().await,
        None => std::future::pending().await,
    }
}
