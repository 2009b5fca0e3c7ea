//! The task that owns one remote server: it waits, takes a snapshot, and tells how it went.

mod context;
mod handle;
mod schedule;
mod status;
mod trouble;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

pub use context::Context;
pub use handle::{ForceRefused, Forced, Handle};
pub use status::Status;

use crate::postgres::{self, Endpoint, Registration, Side, Sources};
use crate::server::Server;
use crate::snapshot::{self, CatalogRefresh, Collected, Report, Sessions, Snapshot};
use handle::Shared;
use schedule::{Last, Schedule};
use trouble::{Step, Trouble};

/// The longest a worker sleeps without looking at the clock: it may have been set meanwhile.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

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
    /// What was collected, and could not be loaded yet.
    waiting: Option<Waiting>,
    errors: Vec<String>,
}

/// A snapshot between its two halves.
struct Waiting {
    collected: Collected,
    refresh: CatalogRefresh,
    due: SystemTime,
    begun: SystemTime,
}

/// What a worker does next.
enum Next {
    /// Nothing, until then.
    Wait(Instant),
    /// Get to where snapshots can be taken.
    Connect,
    /// Load what waits.
    Load,
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
            waiting: None,
            errors: Vec::new(),
        };
        (worker, handle)
    }

    /// Runs until it is told to stop.
    pub async fn run(mut self) {
        while !self.cancel.is_cancelled() {
            // The name may change, so each step has a span of its own.
            let span = tracing::info_span!("server", id = %self.server.id, name = self.name);
            self.step().instrument(span).await;
        }
        self.sessions.close();
        self.shared.finish();
    }

    async fn step(&mut self) {
        self.read_mail();
        let cancel = self.cancel.clone();
        match self.next() {
            Next::Wait(until) => self.wait(until).await,
            Next::Load => self.load(None).await,
            Next::Snapshot { due } => self.snapshot(due).await,
            // Dropped half-way, it leaves a connection that closes by itself.
            Next::Connect => tokio::select! {
                () = cancel.cancelled() => {}
                () = self.connect() => {}
            },
        }
    }

    fn next(&self) -> Next {
        let pause = self.trouble.as_ref().and_then(|trouble| trouble.pause(Instant::now()));
        let now = SystemTime::now();
        let due = self.last.map_or(now, |last| self.schedule.due(last, now));
        let until_due = due.duration_since(now).unwrap_or_default();
        if self.waiting.is_some() && !until_due.is_zero() {
            return pause.map_or(Next::Load, |pause| Next::Wait(pause.min(Instant::now() + until_due)));
        }
        if let Some(pause) = pause {
            return Next::Wait(pause);
        }
        if !self.is_ready() {
            return Next::Connect;
        }
        if self.shared.is_forced() {
            return Next::Snapshot { due: now };
        }
        if until_due.is_zero() {
            return Next::Snapshot { due };
        }
        Next::Wait(Instant::now() + until_due.min(LONGEST_SLEEP))
    }

    fn is_ready(&self) -> bool {
        self.sessions.are_open() && self.versions_are_saved && self.last.is_some()
    }

    async fn wait(&mut self, until: Instant) {
        tokio::select! {
            () = self.cancel.cancelled() => {}
            () = self.shared.mail() => {
                // Whoever writes wants something done now, not after a pause.
                if let Some(trouble) = &mut self.trouble {
                    trouble.retry(Instant::now());
                }
            }
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
        if context.config.repository != self.context.config.repository {
            // What is known is of another repository, and what waits is for it.
            (self.known, self.last, self.versions_are_saved) = (None, None, false);
            if let Some(waiting) = self.waiting.take() {
                self.shared.end_snapshot(waiting.refresh);
            }
        }
        if server.frequency != self.server.frequency {
            self.schedule = Schedule::new(server.id, server.frequency);
            // One that is older than the new frequency is overdue.
            let now = SystemTime::now();
            if let Some(Last::At { begun, .. }) = self.last {
                self.last = Some(self.schedule.resume(now.duration_since(begun).ok(), now));
            }
        }
        tracing::debug!(frequency = server.frequency.as_secs(), "settings changed");
        (self.name, self.server, self.context) = (name, server, context);
    }

    /// Gets to where snapshots can be taken: connected, with the versions saved and the last snapshot known.
    async fn connect(&mut self) {
        match self.try_to_connect().await {
            Ok(()) => match &self.trouble {
                // Whether that has gone, the next snapshot shows.
                Some(trouble) if !trouble.ends_with_connection() => {
                    let unreachable = trouble.unreachable().filter(|side| *side == Side::Repository);
                    self.shared.set_unreachable(unreachable);
                }
                _ => self.connected(),
            },
            Err(error) => self.stumble(Step::Prepare, error).await,
        }
    }

    async fn try_to_connect(&mut self) -> Result<(), snapshot::Error> {
        let session = self.sessions.main().await.map_err(snapshot::Error::NoSession)?;
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
                Registration::Missing => return Err(snapshot::Error::NotRegistered),
            });
        }
        Ok(())
    }

    /// Nothing is in the way any more.
    fn connected(&mut self) {
        if let Some(trouble) = self.trouble.take().filter(|trouble| trouble.unreachable().is_some()) {
            tracing::info!(was = trouble.reason(), "connected again");
        }
        self.shared.set_unreachable(None);
    }

    /// Something is in the way: says so, once, and plans the next try.
    async fn stumble(&mut self, step: Step, error: snapshot::Error) {
        if step != Step::Load && !error.is_of_repository() {
            // Whatever state the sessions are in: nothing may go on there.
            self.sessions.cancel().await;
        }
        let unreachable = error.unreachable_side();
        self.shared.set_unreachable(unreachable);
        let failure = (step, error.to_string(), unreachable);
        let (trouble, is_news) = Trouble::after(self.trouble.take(), failure, self.server.frequency, Instant::now());
        if is_news {
            tracing::error!("{}", trouble.reason());
        }
        let trouble = self.trouble.insert(trouble);
        if !trouble.is_stored {
            let errors = [trouble.reason().to_owned()];
            match self.context.repository.replace_errors(self.server.id, &errors).await {
                Ok(()) => trouble.is_stored = true,
                Err(error) => tracing::debug!(error = error.in_full(), "the error was not stored in the repository"),
            }
        }
    }

    /// Takes a snapshot, or as much of it as a stop leaves.
    async fn snapshot(&mut self, due: SystemTime) {
        let cancel = self.cancel.clone();
        if let Some(waiting) = self.waiting.take() {
            tracing::error!("what was collected for the last snapshot could not be loaded in time, and is lost");
            self.shared.end_snapshot(waiting.refresh);
        }
        let collects = Arc::clone(&self.context.collects);
        let turn = tokio::select! {
            () = cancel.cancelled() => return,
            turn = collects.acquire_owned() => turn.expect("nobody closes the semaphore"),
        };
        let begun = SystemTime::now();
        let refresh = self.shared.begin_snapshot();
        let collected = tokio::select! {
            () = cancel.cancelled() => None,
            collected = self.collect(&refresh) => Some(collected),
        };
        let Some(collected) = collected else {
            self.sessions.cancel().await;
            return self.shared.end_snapshot(refresh);
        };
        match collected {
            Ok(collected) => {
                // Should the load fail, it is tried again until the next one is due.
                self.last = Some(self.schedule.taken(due, begun, SystemTime::now()).0);
                self.waiting = Some(Waiting { collected, refresh, due, begun });
                // Held for as long as the rows wait for their turn, so that what waits is bounded too.
                self.load(Some(turn)).await;
            }
            Err((step, error)) => {
                drop(turn);
                self.shared.end_snapshot(refresh);
                if step == Step::Collect {
                    self.note_taken(due, begun);
                }
                tokio::select! {
                    () = cancel.cancelled() => {}
                    () = self.stumble(step, error) => {}
                }
            }
        }
        self.close_what_would_lie_idle();
    }

    fn note_taken(&mut self, due: SystemTime, begun: SystemTime) {
        let (last, skipped) = self.schedule.taken(due, begun, SystemTime::now());
        self.last = Some(last);
        if skipped > 0 {
            tracing::warn!(skipped, "snapshots are skipped, as this one took longer than the frequency");
        }
    }

    async fn collect(&mut self, refresh: &CatalogRefresh) -> Result<Collected, (Step, snapshot::Error)> {
        let context = self.context.clone();
        let limit = context.config.timeouts.snapshot;
        let snapshot = Snapshot {
            server: self.server.id,
            name: &self.name,
            config: &context.config,
            repository: &context.repository,
        };
        let begun = snapshot.begin(&mut self.sessions, &mut self.known).await;
        let begun = begun.map_err(|error| (Step::Prepare, error))?;
        let collecting = snapshot.collect(begun, &self.sessions, refresh);
        match timeout(limit, collecting).await {
            Ok(collected) => collected,
            Err(_) => Err(postgres::Error::elapsed(Side::Remote, "collect a snapshot", limit).into()),
        }
        .map_err(|error| (Step::Collect, error))
    }

    /// Loads what waits. Once it has begun, a load is finished, also by a worker that is told to stop; before, it is
    /// given up.
    async fn load(&mut self, collecting: Option<OwnedSemaphorePermit>) {
        let Some(mut waiting) = self.waiting.take() else { return };
        let snapshot = Snapshot {
            server: self.server.id,
            name: &self.name,
            config: &self.context.config,
            repository: &self.context.repository,
        };
        let turn = tokio::select! {
            () = self.cancel.cancelled() => return self.shared.end_snapshot(waiting.refresh),
            turn = self.context.repository.turn_to_load() => turn,
        };
        drop(collecting);
        match snapshot.load(&mut waiting.collected, turn).await {
            Ok(report) => {
                self.shared.end_snapshot(CatalogRefresh::None);
                self.succeeded(&report);
                self.note_taken(waiting.due, waiting.begun);
            }
            Err(error) => {
                self.shared.pause_snapshot();
                self.waiting = Some(waiting);
                let cancel = self.cancel.clone();
                tokio::select! {
                    () = cancel.cancelled() => {}
                    () = self.stumble(Step::Load, error) => {}
                }
            }
        }
    }

    fn succeeded(&mut self, report: &Report) {
        self.connected();
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

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
