//! The main task: handles signals, calls of other tasks (command channel and HTTP), timers and the end of workers.

mod allocator;
pub(crate) mod reload;
pub(crate) mod service;
mod signals;
mod startup;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout_at};

use crate::app::allocator::release_free_memory;
use crate::app::reload::{Error, FileSettings, Origin, Reload, ReloadOutcome, Settings};
use crate::app::service::{Service, summary};
use crate::app::signals::{Request, Signals};
use crate::control::channel::Channel;
use crate::control::{Call, Listener, NotReady, Overview};
use crate::hooks::Hooks;
use crate::http;
use crate::metrics::Metrics;
use crate::repository::ServerList;
use crate::server::ServerId;
use crate::server::tags::Tags;
use crate::telemetry::Telemetry;
use crate::upkeep::Upkeep;
use crate::worker::Status;
use crate::worker::supervisor::Supervisor;
use session::{Endpoint, on_one_line};
use startup::Startup;

/// The part of `timeouts.stop` that is reserved for cancelling unfinished work.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(2);

/// The shortest time from the start of one reload to the start of the next.
const MIN_RELOAD_INTERVAL: Duration = Duration::from_secs(1);

/// How many calls may wait for the main task.
const CALL_QUEUE_SIZE: usize = 64;

/// Where to send the result of a reload.
type ReloadReply = oneshot::Sender<Result<(), String>>;

/// The running daemon.
struct Daemon {
    origin: Origin,
    telemetry: Telemetry,
    service: Service,
    supervisor: Supervisor,
    listener: Listener,
    /// Former listeners that have not ended yet.
    closing: JoinSet<()>,
    endpoint: Endpoint,
    calls_sender: mpsc::Sender<Call>,
    running_reload: Option<RunningReload>,
    upkeep: Upkeep,
    http: http::Server,
    hooks: Hooks,
    /// Set when a reload is requested and not started yet. Several requests are merged into one reload.
    reload: Option<Vec<ReloadReply>>,
    /// Whether the list of servers is to be read once more: the reload in progress may miss the latest change.
    reads_servers_again: bool,
    /// When the next reload may start, so that frequent requests do not keep the daemon busy with reloads.
    next_reload_at: Instant,
    invalid_rows: Vec<String>,
    /// Schedules that have no effect, so that each is logged once.
    schedule_problems: Vec<String>,
    /// Of the servers that have any.
    tags: BTreeMap<ServerId, Arc<Tags>>,
    /// Why some tags are missing, so that it is logged once.
    tags_problem: Option<String>,
    /// The error of the last reload, so that an outage is logged once.
    last_error: Option<String>,
}

/// A reload that is in progress.
struct RunningReload {
    reload: Reload,
    /// Whether it was requested, not periodic. Its result is always logged.
    is_requested: bool,
    waiting: Vec<ReloadReply>,
}

/// Runs the daemon until a signal stops it. `file_settings` is the configuration that was already read.
///
/// # Errors
/// The daemon could not start.
pub(crate) async fn run(
    origin: Origin,
    file_settings: FileSettings,
    telemetry: Telemetry,
    mut service: Service,
) -> Result<(), Error> {
    let mut signals = Signals::new().map_err(Error::Signals)?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "powa-collector starts");
    file_settings.0.log_ignored_variables();
    let (calls_sender, mut calls) = mpsc::channel(CALL_QUEUE_SIZE);
    let metrics = Metrics::new();
    let mut http = http::Server::new(calls_sender.clone(), metrics.clone());
    let startup = Startup {
        origin: &origin,
        telemetry: &telemetry,
        metrics: &metrics,
        service: &mut service,
        signals: &mut signals,
        http: &mut http,
        calls: &mut calls,
    };
    // Destructured, so that nothing of the first repository stays alive after a reload changes it.
    let Some(Settings { context, endpoint, channel, servers }) = startup.wait_for_repository(file_settings).await?
    else {
        service.stopping(Duration::ZERO);
        return Ok(());
    };
    let hooks = Hooks::new(context.config.hooks.clone());
    let upkeep = Upkeep::new(context.repository.clone(), &context.config, context.errors.clone());
    let mut daemon = Daemon {
        origin,
        telemetry,
        service,
        supervisor: Supervisor::new(context),
        listener: Listener::start(endpoint.clone(), Some(channel), calls_sender.clone(), metrics, None),
        closing: JoinSet::new(),
        endpoint,
        calls_sender,
        running_reload: None,
        upkeep,
        http,
        hooks,
        reload: None,
        reads_servers_again: false,
        next_reload_at: Instant::now(),
        invalid_rows: Vec::new(),
        schedule_problems: Vec::new(),
        tags: BTreeMap::new(),
        tags_problem: None,
        last_error: None,
    };
    daemon.warn_about_unmatched_overrides(&servers);
    daemon.apply_servers(servers);
    tracing::info!(servers = daemon.supervisor.statuses().len(), "ready");
    daemon.notify_ready();
    daemon.run(&mut signals, calls).await;
    daemon.stop().await;
    tracing::info!("powa-collector stopped");
    Ok(())
}

impl Daemon {
    /// The main loop. Every branch is cancel-safe.
    async fn run(&mut self, signals: &mut Signals, mut calls: mpsc::Receiver<Call>) {
        // A newly registered server needs no reload.
        let server_list_interval = self.supervisor.context().config.pace.server_list_interval;
        let mut server_list_ticks = interval_at(Instant::now() + server_list_interval, server_list_interval);
        server_list_ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                request = signals.next() => match request {
                    Request::Stop => break,
                    Request::Reload => self.request_reload(vec![]),
                },
                Some(call) = calls.recv() => self.answer(call),
                _ = server_list_ticks.tick() => {
                    self.start_server_list_reload();
                    drop(spawn_blocking(release_free_memory));
                }
                () = sleep_until(self.next_reload_at), if self.reload.is_some() && self.running_reload.is_none() => {
                    self.start_reload();
                }
                outcome = next_outcome(&mut self.running_reload) => self.apply(outcome),
                () = self.supervisor.next_event() => {}
                () = self.service.next_status() => self.notify_status(),
                () = self.listener.failed() => drop(self.replace_listener(None)),
                Some(_) = self.closing.join_next() => {}
                never = self.upkeep.run() => match never {},
                () = self.http.next_event() => {}
                () = self.hooks.next_observation() => self.hooks.observe(&self.supervisor.details()),
            }
        }
    }

    /// Handles a call. Replies at once, except to a reload.
    fn answer(&mut self, call: Call) {
        // A failed send means that the caller no longer waits.
        match call {
            Call::Reload(reply) => self.request_reload(vec![reply]),
            Call::Statuses(reply) => drop(reply.send(self.supervisor.statuses())),
            Call::WorkerDetails(reply) => drop(reply.send(self.supervisor.details())),
            Call::Overview(reply) => drop(reply.send(self.overview())),
            Call::ForceSnapshot(id, reply) => drop(reply.send(self.supervisor.force_snapshot(id))),
            Call::RefreshCatalogs(id, refresh, reply) => {
                drop(reply.send(self.supervisor.refresh_catalogs(id, refresh)));
            }
            Call::ReadServers(reply) => {
                self.reads_servers_again = self.running_reload.is_some();
                self.start_server_list_reload();
                let _ = reply.send(());
            }
            Call::ChannelReopened => {
                // Before the workers are notified: the pooled connections may be to a server that is gone.
                self.supervisor.context().repository.close_idle_sessions();
                self.restart_upkeep();
                self.supervisor.repository_reconnected();
                self.restart_reload();
            }
        }
    }

    fn overview(&self) -> Overview {
        Overview {
            workers: self.supervisor.details(),
            tags: self.tags.clone(),
            readiness: if self.listener.is_connected() { Ok(()) } else { Err(NotReady::Lost) },
            other_collectors: self.listener.other_collectors(),
            repository: Some(self.supervisor.context().repository.pool_usage()),
        }
    }

    /// Requests a reload. If one is in progress, which may miss the latest change, another one follows it.
    fn request_reload(&mut self, waiting: Vec<ReloadReply>) {
        self.reload.get_or_insert_default().extend(waiting);
    }

    fn start_reload(&mut self) {
        let Some(waiting) = self.reload.take() else { return };
        tracing::info!("reloading");
        self.service.reloading();
        self.next_reload_at = Instant::now() + MIN_RELOAD_INTERVAL;
        self.running_reload = Some(RunningReload { reload: self.full_reload(), is_requested: true, waiting });
    }

    fn start_server_list_reload(&mut self) {
        if self.running_reload.is_none() {
            self.running_reload =
                Some(RunningReload { reload: self.server_list_reload(), is_requested: false, waiting: vec![] });
        }
    }

    /// Restarts the reload in progress, or reads the list of servers, after the command channel was reopened: requests may
    /// have been missed, and a reload in progress may hang on a lost connection. Its callers keep waiting.
    fn restart_reload(&mut self) {
        match self.running_reload.take() {
            Some(RunningReload { is_requested: true, waiting, .. }) => {
                self.running_reload = Some(RunningReload { reload: self.full_reload(), is_requested: true, waiting });
            }
            _ => self.start_server_list_reload(),
        }
    }

    fn full_reload(&self) -> Reload {
        Reload::full(self.origin.clone(), self.supervisor.context().clone())
    }

    fn server_list_reload(&self) -> Reload {
        Reload::server_list_only(self.supervisor.context().repository.clone())
    }

    /// Applies the result of a reload.
    fn apply(&mut self, outcome: Result<ReloadOutcome, Error>) {
        let Some(RunningReload { is_requested, waiting, .. }) = self.running_reload.take() else { return };
        let result = match outcome {
            Ok(outcome) => {
                let reloaded = outcome.reloaded;
                if let Some(context) = outcome.context {
                    self.telemetry.set_debug(context.config.debug);
                    self.hooks.set_config(&context.config.hooks);
                    self.supervisor.set_context(context);
                    self.restart_upkeep();
                }
                if let Some(http) = outcome.http {
                    self.http.apply(http);
                }
                self.last_error = None;
                if reloaded {
                    self.supervisor.context().config.log_ignored_variables();
                    self.warn_about_unmatched_overrides(&outcome.servers);
                }
                self.apply_servers(outcome.servers);
                if reloaded {
                    // Settings of the role and the database take effect at login.
                    self.supervisor.context().repository.close_idle_sessions();
                    self.supervisor.check_versions();
                    tracing::info!("reloaded");
                    tracing::debug!(alive_tasks = Handle::current().metrics().num_alive_tasks(), "running tasks");
                }
                Ok(outcome.channel)
            }
            Err(error) => {
                let reason = error.to_string();
                if is_requested || self.last_error.as_ref() != Some(&reason) {
                    tracing::error!("{reason}; keeping the previous configuration");
                    self.last_error = Some(reason.clone());
                }
                Err(reason)
            }
        };
        for reply in waiting {
            // A failed send means that the caller no longer waits.
            drop(reply.send(result.as_ref().map(|_| ()).map_err(Clone::clone)));
        }
        if let Ok(Some((endpoint, channel))) = result {
            self.endpoint = endpoint;
            let previous = self.replace_listener(Some(channel));
            self.closing.spawn(previous.wait());
        }
        if is_requested {
            self.notify_ready();
        }
        if std::mem::take(&mut self.reads_servers_again) {
            self.start_server_list_reload();
        }
    }

    fn notify_ready(&mut self) {
        self.service.ready();
        self.notify_status();
    }

    fn notify_status(&mut self) {
        let statuses = self.supervisor.statuses();
        let running = statuses.values().filter(|status| **status == Status::Running).count();
        let last = self.supervisor.last_snapshot().and_then(|last| SystemTime::now().duration_since(last).ok());
        self.service.status(&summary(statuses.len(), running, last));
    }

    /// Restarts the upkeep of the repository. The previous run may hang on a lost connection and block loads.
    fn restart_upkeep(&mut self) {
        let context = self.supervisor.context();
        self.upkeep = Upkeep::new(context.repository.clone(), &context.config, context.errors.clone());
    }

    /// Starts a new listener, and returns the previous one.
    fn replace_listener(&mut self, channel: Option<Channel>) -> Listener {
        let metrics = self.supervisor.context().metrics.clone();
        let (endpoint, calls_sender) = (self.endpoint.clone(), self.calls_sender.clone());
        let listener = Listener::start(endpoint, channel, calls_sender, metrics, Some(&self.listener));
        std::mem::replace(&mut self.listener, listener)
    }

    /// Warns about overrides that match no server: a misspelt name silently drops settings such as certificate verification.
    fn warn_about_unmatched_overrides(&self, list: &ServerList) {
        let servers: Vec<_> = list.servers.iter().map(|server| (server.id, server.alias.as_deref())).collect();
        for (section, names) in self.supervisor.context().config.unmatched_names(&servers) {
            tracing::warn!("\"{section}\" has names that match no active server's id or alias: {names:?}");
        }
    }

    fn apply_servers(&mut self, list: ServerList) {
        let invalid_rows: Vec<String> = list.invalid.iter().map(ToString::to_string).collect();
        for row in invalid_rows.iter().filter(|row| !self.invalid_rows.contains(row)) {
            tracing::error!("{row}; the row is ignored");
        }
        self.invalid_rows = invalid_rows;
        let schedule_problems = schedule_problems(&list);
        for problem in schedule_problems.iter().filter(|problem| !self.schedule_problems.contains(problem)) {
            tracing::warn!("{problem}");
        }
        self.schedule_problems = schedule_problems;
        if let Some(problem) = &list.tags_problem
            && self.tags_problem.as_ref() != Some(problem)
        {
            tracing::warn!("some tags are left out: {}", on_one_line(problem));
        }
        (self.tags, self.tags_problem) = (list.tags, list.tags_problem);
        self.supervisor.reconcile(list.servers);
    }

    async fn stop(mut self) {
        tracing::info!("stopping");
        self.http.stop().await;
        self.hooks.stop().await;
        // Dropping the reply channels notifies the callers.
        (self.running_reload, self.reload) = (None, None);
        // Cancels its work, so that loads that wait for it can finish.
        drop(self.upkeep);
        let context = self.supervisor.context().clone();
        let stop = context.config.timeouts.stop;
        self.service.stopping(stop);
        // Leave some time to cancel what is not finished.
        let grace = stop - (stop / 4).min(CANCEL_TIMEOUT);
        let now = Instant::now();
        let close = async {
            let others = async { while self.closing.join_next().await.is_some() {} };
            tokio::join!(self.listener.stop(), others)
        };
        // Listeners that have not ended by then are aborted by the drop.
        drop(tokio::join!(self.supervisor.stop(grace), timeout_at(now + grace, close)));
        self.closing.abort_all();
        drop(timeout_at(now + stop, context.repository.close()).await);
    }
}

/// What is wrong with the schedules, and what follows from it.
fn schedule_problems(list: &ServerList) -> Vec<String> {
    let table = list.schedules_problem.iter();
    let table = table.map(|problem| format!("schedules and pauses have no effect: {}", on_one_line(problem)));
    let invalid = list.servers.iter().filter_map(|server| server.timing.as_ref()?.invalid.as_ref());
    table.chain(invalid.map(|invalid| format!("{invalid}; {}", invalid.effect()))).collect()
}

/// Waits for the reload in progress; forever if there is none. Cancel-safe.
async fn next_outcome(running_reload: &mut Option<RunningReload>) -> Result<ReloadOutcome, Error> {
    match running_reload {
        Some(running) => running.reload.done().await,
        None => std::future::pending().await,
    }
}
