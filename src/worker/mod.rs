//! The task that owns one remote server: it waits, takes a snapshot, and tells how it went.

mod handle;
mod schedule;
mod status;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use backon::{BackoffBuilder, ExponentialBuilder};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

pub use handle::{ForceRefused, Forced, Handle};
pub use status::Status;

use crate::config::Config;
use crate::postgres::{self, Endpoint, Registration, Repository, Side, Sources};
use crate::server::Server;
use crate::snapshot::{self, CatalogRefresh, Collected, Report, Sessions, Snapshot};
use handle::Shared;
use schedule::{Last, Schedule};

/// The longest a worker sleeps without looking at the clock: it may have been set meanwhile.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// The longest pause between two tries to connect, unless the frequency is shorter.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What all workers share.
#[derive(Clone)]
pub struct Context {
    pub config: Arc<Config>,
    pub repository: Repository,
    /// One permit a server that is being collected; whoever waits is served in the order of asking.
    pub collects: Arc<Semaphore>,
}

impl Context {
    /// What a server is called.
    pub fn name_of(&self, server: &Server) -> String {
        server.name(self.config.use_server_alias)
    }
}

/// The worker of one server, before it runs.
pub struct Worker {
    server: Server,
    context: Context,
    shared: Arc<Shared>,
    cancel: CancellationToken,
    name: String,
    schedule: Schedule,
    sessions: Sessions,
    /// What the repository wanted the last time it could be asked.
    known: Option<Sources>,
    last: Option<Last>,
    versions_are_saved: bool,
    /// Set while something keeps the worker from its work.
    trouble: Option<Trouble>,
    errors: Vec<String>,
}

/// What is in the way, and when to try again.
struct Trouble {
    reason: String,
    /// The side that cannot be talked to at all, if that is it.
    unreachable: Option<Side>,
    /// The reason has been stored in the repository.
    is_stored: bool,
    retry_at: Instant,
    delays: <ExponentialBuilder as BackoffBuilder>::Backoff,
}

/// What a worker does next.
enum Next {
    /// Nothing, until then.
    Wait(Instant),
    /// Get to where snapshots can be taken.
    Connect,
    Snapshot {
        due: SystemTime,
    },
}

impl Worker {
    /// A worker, and the handle to it. It does nothing until it runs.
    pub fn new(server: Server, context: Context, cancel: CancellationToken) -> (Self, Handle) {
        let (handle, shared) = Handle::new(server.clone(), cancel.clone());
        let name = context.name_of(&server);
        let worker = Self {
            schedule: Schedule::new(server.id, server.frequency),
            sessions: Sessions::new(Endpoint::remote(&server, &name, context.config.timeouts)),
            name,
            server,
            context,
            shared,
            cancel,
            known: None,
            last: None,
            versions_are_saved: false,
            trouble: None,
            errors: Vec::new(),
        };
        (worker, handle)
    }

    /// The server's id and what it is called, for the span that all of the worker's messages are in.
    pub fn span(&self) -> tracing::Span {
        tracing::info_span!("server", id = %self.server.id, name = self.name)
    }

    /// Runs until it is told to stop.
    pub async fn run(mut self) {
        tracing::debug!("worker started");
        let cancel = self.cancel.clone();
        while !cancel.is_cancelled() {
            match self.next() {
                Next::Wait(until) => self.wait(until).await,
                Next::Connect => {
                    // Dropped half-way, it leaves a connection that closes by itself.
                    tokio::select! {
                        () = cancel.cancelled() => {}
                        () = self.connect() => {}
                    }
                }
                Next::Snapshot { due } => self.snapshot(due).await,
            }
        }
        self.sessions.close();
        self.shared.finish();
        tracing::debug!("worker stopped");
    }

    fn next(&self) -> Next {
        if let Some(trouble) = &self.trouble
            && trouble.retry_at > Instant::now()
        {
            return Next::Wait(trouble.retry_at);
        }
        let Some(last) = self.last.filter(|_| self.sessions.are_open() && self.versions_are_saved) else {
            return Next::Connect;
        };
        let now = SystemTime::now();
        let due = self.schedule.due(last, now);
        if self.shared.is_forced() {
            return Next::Snapshot { due: now };
        }
        match due.duration_since(now) {
            Ok(wait) if !wait.is_zero() => Next::Wait(Instant::now() + wait.min(LONGEST_SLEEP)),
            _ => Next::Snapshot { due },
        }
    }

    async fn wait(&mut self, until: Instant) {
        tokio::select! {
            () = self.cancel.cancelled() => {}
            () = self.shared.mail() => self.read_mail(),
            () = self.sessions.closed() => {
                tracing::debug!("connection to the remote server lost");
                self.sessions.close();
                self.shared.set_unreachable(Some(Side::Remote));
            }
            () = sleep_until(until) => {}
        }
    }

    fn read_mail(&mut self) {
        let mail = self.shared.take_mail();
        if mail.check_versions {
            self.versions_are_saved = false;
        }
        // Whoever writes wants something done now, not after a pause.
        if let Some(trouble) = &mut self.trouble {
            trouble.retry_at = Instant::now();
        }
        if let Some((server, context)) = mail.settings {
            self.change(server, context);
        }
    }

    fn change(&mut self, server: Server, context: Context) {
        let name = context.name_of(&server);
        let same_sessions = server.same_connection(&self.server)
            && name == self.name
            && context.config.timeouts == self.context.config.timeouts;
        if !same_sessions {
            self.sessions.close();
            self.sessions = Sessions::new(Endpoint::remote(&server, &name, context.config.timeouts));
        }
        if server.frequency != self.server.frequency {
            self.schedule = Schedule::new(server.id, server.frequency);
            // One that is older than the new frequency is overdue.
            let now = SystemTime::now();
            if let Some(Last::At(last)) = self.last {
                self.last = Some(self.schedule.resume(now.duration_since(last).ok(), now));
            }
        }
        tracing::debug!(frequency = server.frequency.as_secs(), "settings changed");
        (self.name, self.server, self.context) = (name, server, context);
    }

    /// Gets to where snapshots can be taken: connected, with the versions saved and the last snapshot known.
    async fn connect(&mut self) {
        match self.try_to_connect().await {
            Ok(()) => {
                if let Some(trouble) = self.trouble.take_if(|trouble| trouble.unreachable.is_some()) {
                    tracing::info!(was = trouble.reason, "connected again");
                }
                self.shared.set_unreachable(None);
            }
            Err(error) => self.stumble(error).await,
        }
    }

    async fn try_to_connect(&mut self) -> Result<(), snapshot::Error> {
        let session = self.sessions.main().await?;
        if !self.versions_are_saved {
            let versions = session.versions().await?;
            // Not saved is a pity, and no reason to take no snapshot.
            match self.context.repository.save_versions(self.server.id, &versions).await {
                Err(error) if error.is_connection() => return Err(error.into()),
                Err(error) => tracing::warn!(error = error.in_full(), "versions were not saved"),
                Ok(()) => {}
            }
            self.versions_are_saved = true;
        }
        if self.last.is_none() {
            self.last = Some(match self.context.repository.registration(self.server.id).await? {
                Registration::Present(age) => self.schedule.resume(age, SystemTime::now()),
                Registration::Missing => return Err(not_registered()),
            });
        }
        Ok(())
    }

    /// Something is in the way: says so, once, and plans the next try.
    async fn stumble(&mut self, error: snapshot::Error) {
        let reason = error.to_string();
        let unreachable = error.unreachable_side();
        self.shared.set_unreachable(unreachable);
        let longest = self.server.frequency.min(LONGEST_PAUSE);
        let mut trouble = match self.trouble.take() {
            Some(known) if known.reason == reason => known,
            other => {
                tracing::error!("{reason}");
                let delays = other.map_or_else(|| pauses(longest), |trouble| trouble.delays);
                Trouble { reason, unreachable, is_stored: false, retry_at: Instant::now(), delays }
            }
        };
        trouble.retry_at = Instant::now();
        if unreachable.is_some() {
            trouble.retry_at += trouble.delays.next().unwrap_or(longest).min(longest);
        }
        let trouble = self.trouble.insert(trouble);
        if !trouble.is_stored {
            let errors = [trouble.reason.clone()];
            match self.context.repository.replace_errors(self.server.id, &errors).await {
                Ok(()) => trouble.is_stored = true,
                Err(error) => tracing::debug!(error = error.in_full(), "the error was not stored in the repository"),
            }
        }
    }

    async fn snapshot(&mut self, due: SystemTime) {
        let collects = Arc::clone(&self.context.collects);
        let cancel = self.cancel.clone();
        let turn = tokio::select! {
            () = cancel.cancelled() => return,
            turn = collects.acquire() => turn.expect("nobody closes the semaphore"),
        };
        let now = SystemTime::now();
        let skipped = self.schedule.skipped(due, now);
        if skipped > 0 && !matches!(self.last, Some(Last::Overdue)) {
            tracing::warn!(skipped, "snapshots were skipped, as the ones before took too long");
        }
        let before = self.last.replace(Last::At(now));
        let refresh = self.shared.begin_snapshot();
        let taken = tokio::select! {
            () = cancel.cancelled() => None,
            collected = self.collect(&refresh) => Some(collected),
        };
        drop(turn);
        let taken = match taken {
            Some(Ok(collected)) => self.load(collected).await,
            Some(Err(error)) => Some(Err(error)),
            None => None,
        };
        match taken {
            Some(Ok(report)) => {
                self.shared.end_snapshot(&refresh);
                self.succeeded(&report);
            }
            Some(Err(error)) => {
                self.shared.end_snapshot(&CatalogRefresh::None);
                if error.unreachable_side().is_some() {
                    // It stays due, so that it is taken as soon as that side is back.
                    self.last = before;
                }
                tokio::select! {
                    () = cancel.cancelled() => {}
                    () = self.stumble(error) => {}
                }
            }
            None => {
                self.sessions.cancel().await;
                self.shared.end_snapshot(&CatalogRefresh::None);
            }
        }
        self.close_what_would_lie_idle();
    }

    async fn collect(&mut self, refresh: &CatalogRefresh) -> Result<Collected, snapshot::Error> {
        let context = self.context.clone();
        let limit = context.config.timeouts.snapshot;
        let snapshot = Snapshot {
            server: self.server.id,
            name: &self.name,
            config: &context.config,
            repository: &context.repository,
        };
        let collecting = snapshot.collect(&mut self.sessions, &mut self.known, refresh);
        let collected = match timeout(limit, collecting).await {
            Ok(collected) => collected,
            Err(_) => Err(postgres::Error::elapsed(Side::Remote, "collect a snapshot", limit).into()),
        };
        if collected.is_err() {
            // Whatever state the sessions are in: nothing may go on there.
            self.sessions.cancel().await;
        }
        collected
    }

    /// Once it has begun, a load is finished, also by a worker that is told to stop; before, it is given up.
    async fn load(&self, collected: Collected) -> Option<Result<Report, snapshot::Error>> {
        let snapshot = Snapshot {
            server: self.server.id,
            name: &self.name,
            config: &self.context.config,
            repository: &self.context.repository,
        };
        let turn = tokio::select! {
            () = self.cancel.cancelled() => return None,
            turn = self.context.repository.turn_to_load() => turn,
        };
        Some(snapshot.load(collected, turn).await)
    }

    fn succeeded(&mut self, report: &Report) {
        self.trouble = None;
        self.shared.set_unreachable(None);
        tracing::info!(
            datasources = report.datasources,
            rows = report.rows,
            bytes = report.bytes,
            collect_ms = millis(report.collecting),
            load_ms = millis(report.loading),
            errors = report.errors.len(),
            "snapshot taken"
        );
        for error in report.errors.iter().filter(|error| !self.errors.contains(error)) {
            tracing::warn!("{error}");
        }
        self.errors.clone_from(&report.errors);
    }

    fn close_what_would_lie_idle(&self) {
        let now = SystemTime::now();
        let due = self.last.map_or(now, |last| self.schedule.due(last, now));
        if due.duration_since(now).unwrap_or_default() > self.context.config.timeouts.idle {
            self.sessions.close_databases();
        }
    }
}

/// From one second on, growing, and never the same for two workers.
fn pauses(longest: Duration) -> <ExponentialBuilder as BackoffBuilder>::Backoff {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_secs(1))
        .with_max_delay(longest)
        .without_max_times()
        .with_jitter()
        .build()
}

fn not_registered() -> snapshot::Error {
    let reason = "the server has no row there: register it with powa_register_server()";
    postgres::Error::found(Side::Repository, "read powa_snapshot_metas", reason).into()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
