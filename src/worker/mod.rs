//! The task that collects one remote server: it connects, waits until a snapshot is due, collects it, loads it and reports
//! the result.

mod collect_permits;
mod context;
pub(crate) mod detail;
mod due_times;
mod error_log;
pub(crate) mod grid;
mod handle;
mod next;
mod pending_load;
mod retry;
mod status;
pub(crate) mod supervisor;
mod take_snapshot;

use std::sync::Arc;
use std::time::SystemTime;

use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

pub(crate) use collect_permits::CollectPermits;
pub(crate) use context::Context;
pub(crate) use detail::{ExclusionReason, Phase, WorkerDetail, is_overdue};
pub(crate) use error_log::ErrorLog;
pub(crate) use handle::{ForceRefused, ForcedSnapshot, Handle};
pub use status::Status;

use crate::config::endpoints;
use crate::repository::{Registration, Sources};
use crate::server::Server;
use crate::snapshot::{self, CatalogRetries, Sessions};
use collect_permits::MIN_SILENCE;
use due_times::DueTimes;
use grid::LastSnapshot;
use handle::Shared;
use next::{Next, State};
use pending_load::PendingLoad;
use retry::{Operation, RetryState};
use session::Side;
use take_snapshot::lend_after;

/// The worker of one server. [`Worker::run`] drives it.
pub(crate) struct Worker {
    server: Server,
    context: Context,
    shared: Arc<Shared>,
    cancel: CancellationToken,
    name: String,
    due_times: DueTimes,
    sessions: Sessions,
    /// The datasources that the repository wants, as last read from it.
    cached_sources: Option<Sources>,
    last_snapshot: Option<LastSnapshot>,
    versions_were_checked: bool,
    /// Set while the worker has an error.
    retry: Option<RetryState>,
    /// The snapshot that was collected and is not loaded yet.
    pending: Option<PendingLoad>,
    /// The errors of the datasources in the last snapshot, to log each of them once.
    logged_errors: Vec<String>,
    /// PoWA's count of the server's snapshots after the last load. A different count at the next load means that another
    /// process has written snapshots of this server.
    coalesce_seq: Option<i64>,
    catalog_retries: CatalogRetries,
}

impl Worker {
    /// Creates a worker and the handle to it. The worker does nothing until it runs.
    pub(crate) fn new(server: Server, context: Context, cancel: CancellationToken) -> (Self, Handle) {
        let (handle, shared) = Handle::new(server.clone(), context.config.pace, cancel.clone());
        let name = context.name_of(&server);
        let worker = Self {
            due_times: DueTimes::new(&server, context.config.pace),
            sessions: Sessions::new(endpoints::remote(&server, &name, &context.config, &context.connectors)),
            name,
            server,
            context,
            shared,
            cancel,
            cached_sources: None,
            last_snapshot: None,
            versions_were_checked: false,
            retry: None,
            pending: None,
            logged_errors: Vec::new(),
            coalesce_seq: None,
            catalog_retries: CatalogRetries::default(),
        };
        (worker, handle)
    }

    /// Runs until the worker is cancelled.
    pub(crate) async fn run(mut self) {
        while !self.cancel.is_cancelled() {
            // The name may change, so each iteration has its own span.
            let span = tracing::info_span!("server", id = self.server.id.get(), name = self.name);
            self.run_once().instrument(span).await;
        }
        self.sessions.close();
    }

    async fn run_once(&mut self) {
        self.read_mailbox();
        let cancel = self.cancel.clone();
        let next = self.next();
        self.publish_phase(&next);
        // The large futures are boxed, so that the hundreds of workers that only wait stay small.
        match next {
            Next::Wait(until) => self.wait(until).await,
            Next::Load => Box::pin(self.load(None)).await,
            Next::Snapshot { due } => Box::pin(self.snapshot(due)).await,
            // Safe to drop: a half-open connection closes by itself.
            Next::Connect => tokio::select! {
                () = cancel.cancelled() => {}
                () = Box::pin(self.connect()) => {}
            },
        }
    }

    fn next(&self) -> Next {
        let (now, clock) = (SystemTime::now(), Instant::now());
        let state = State {
            retry_at: self.retry.as_ref().and_then(|retry| retry.retry_at(clock)),
            is_loaded: self.pending.is_none(),
            is_ready: self.is_ready(),
            is_forced: self.shared.is_forced(),
            is_quiet: self.due_times.is_quiet(now),
            due: self.due(now),
        };
        state.next(now, clock)
    }

    /// When the next regular snapshot is due.
    fn due(&self, now: SystemTime) -> SystemTime {
        self.due_times.due(self.last_snapshot.unwrap_or(LastSnapshot::DueNow { started: None }), now)
    }

    /// Publishes what the worker does next, and when.
    fn publish_phase(&self, next: &Next) {
        let (phase, at) = match next {
            // The sleep may be shorter (`next::LONGEST_SLEEP`).
            Next::Wait(until) if self.is_pausing() => (Phase::Idle, Some(to_system_time(*until))),
            Next::Wait(_) => (Phase::Idle, Some(self.due(SystemTime::now()))),
            Next::Connect => (Phase::Connecting, None),
            Next::Load => (Phase::WaitingToLoad, None),
            Next::Snapshot { due } => (Phase::WaitingToCollect, Some(*due)),
        };
        self.shared.update(|progress| {
            progress.phase = phase;
            progress.next = at.or(progress.next);
        });
    }

    fn is_pausing(&self) -> bool {
        self.retry.as_ref().is_some_and(|retry| retry.retry_at(Instant::now()).is_some())
    }

    fn is_ready(&self) -> bool {
        self.sessions.are_open() && self.versions_were_checked && self.last_snapshot.is_some()
    }

    async fn wait(&mut self, until: Instant) {
        tokio::select! {
            () = self.cancel.cancelled() => {}
            () = self.shared.mail() => {}
            () = self.sessions.closed() => {
                tracing::debug!("connection to the remote server lost");
                self.sessions.close();
                self.shared.set_unreachable(Some(Side::Remote));
            }
            () = sleep_until(until) => {}
        }
    }

    fn read_mailbox(&mut self) {
        let mail = self.shared.take_mail();
        if mail.check_versions {
            self.versions_were_checked = false;
            // Settings of the role and the database take effect at login.
            self.sessions.reopen();
        }
        if let Some((server, context)) = mail.settings {
            self.change(server, context);
        }
        if let Some(retry) = &mut self.retry {
            let is_reachable_again = mail.repository_reconnected && retry.unreachable() == Some(Side::Repository);
            // Any role can request a reload, so that must not use up the attempts to load.
            let is_reload = mail.check_versions && !retry.is_during(Operation::Load);
            if mail.retry_now || is_reachable_again || is_reload {
                retry.retry_now(Instant::now());
            }
        }
    }

    fn change(&mut self, server: Server, context: Context) {
        let name = context.name_of(&server);
        let endpoint = endpoints::remote(&server, &name, &context.config, &context.connectors);
        if !self.sessions.are_for(&endpoint) {
            self.sessions.set_endpoint(endpoint);
        }
        if !context.repository.is_same_database(&self.context.repository) {
            // Everything that was read from the previous repository is invalid, and so is the pending snapshot.
            (self.cached_sources, self.last_snapshot, self.versions_were_checked, self.coalesce_seq) =
                (None, None, false, None);
            self.shared.update(|progress| progress.last = None);
            if let Some(pending) = self.pending.take() {
                tracing::warn!("the repository has changed: {} are lost", pending.collected);
                self.shared.end_snapshot(pending.refresh);
            }
        }
        if (server.frequency, &server.timing) != (self.server.frequency, &self.server.timing) {
            self.due_times = DueTimes::new(&server, context.config.pace);
            // A snapshot older than the new frequency is overdue.
            let now = SystemTime::now();
            if let Some(started) = self.last_snapshot.and_then(LastSnapshot::started) {
                self.last_snapshot = Some(self.due_times.last_snapshot_of_age(now.duration_since(started).ok(), now));
            }
        }
        tracing::debug!(frequency = server.frequency.as_secs(), "settings changed");
        (self.name, self.server, self.context) = (name, server, context);
    }

    /// Prepares for snapshots: connects to the server, saves its versions and reads the time of the last snapshot.
    ///
    /// Takes a collect permit, so that the workers of a fleet do not all connect at once after a start.
    async fn connect(&mut self) {
        let mut permit = self.context.collect_permits.acquire().await;
        match lend_after(sleep(MIN_SILENCE), &mut permit, self.try_to_connect()).await {
            Ok(()) => match &self.retry {
                // Only the next snapshot shows whether this error persists.
                Some(retry) if !retry.ends_on_connect() => {
                    let unreachable = retry.unreachable().filter(|side| *side == Side::Repository);
                    self.shared.set_unreachable(unreachable);
                }
                _ => self.on_connected(),
            },
            Err(error) => self.handle_error(Operation::Prepare, error).await,
        }
    }

    async fn try_to_connect(&mut self) -> Result<(), snapshot::Error> {
        // At the same time as connecting, so that the last snapshot is known of an unreachable server too.
        let (repository, server, is_known) = (&self.context.repository, self.server.id, self.last_snapshot.is_some());
        let registration = async { if is_known { None } else { Some(repository.registration(server).await) } };
        let (session, registration) = tokio::join!(self.sessions.main(), registration);
        if let Some(Ok(Registration::Present(age))) = registration {
            let last = self.due_times.last_snapshot_of_age(age, SystemTime::now());
            self.shared.update(|progress| progress.last = last.started());
            self.last_snapshot = Some(last);
        }
        let session = session.map_err(snapshot::Error::NoSession)?;
        if !self.versions_were_checked {
            let versions = session.versions().await?;
            // Versions that are not saved do not prevent a snapshot.
            match self.context.repository.save_versions(self.server.id, &versions).await {
                Err(error) if error.is_connection() => return Err(error.into()),
                Err(error) => tracing::warn!(error = %error, "versions were not saved"),
                Ok(()) => {}
            }
            self.versions_were_checked = true;
        }
        match registration.transpose()? {
            Some(Registration::Missing) => Err(snapshot::Error::NotRegistered),
            Some(Registration::Present(_)) | None => Ok(()),
        }
    }

    /// Clears the error state.
    fn on_connected(&mut self) {
        if let Some(retry) = self.retry.take().filter(|retry| !retry.unreachable_sides().is_empty()) {
            tracing::info!(was = retry.reason(), "connected again");
            retry.unreachable_sides().iter().for_each(|side| self.context.metrics.count_reconnection(*side));
        }
        self.shared.update(|progress| progress.error = None);
        self.shared.set_unreachable(None);
    }

    /// Ends the sessions if the error is not the repository's, then records the failure.
    async fn handle_error(&mut self, operation: Operation, error: snapshot::Error) {
        if !error.is_of_repository() {
            // The state of the sessions is unknown: cancel everything that runs in them.
            self.sessions.cancel().await;
        }
        self.record_failure(operation, error.to_string(), error.unreachable_side()).await;
    }

    /// Logs and stores a failure if it is new, and schedules the next attempt.
    async fn record_failure(&mut self, operation: Operation, reason: String, unreachable: Option<Side>) {
        self.shared.set_unreachable(unreachable);
        unreachable.into_iter().for_each(|side| self.context.metrics.count_unreachable(side));
        let failure = (operation, reason, unreachable);
        let interval = self.due_times.interval(SystemTime::now());
        let (retry, is_new) = RetryState::after(self.retry.take(), failure, interval, Instant::now());
        if is_new {
            tracing::error!("{}", retry.reason());
        }
        let retry = self.retry.insert(retry);
        self.context.errors.record(self.server.id, retry.reason());
        self.shared.update(|progress| {
            progress.error = Some(retry.reason().to_owned());
            progress.failures += 1;
        });
        if !retry.is_stored && unreachable != Some(Side::Repository) {
            let errors = [retry.reason().to_owned()];
            match self.context.repository.replace_errors(self.server.id, &errors).await {
                Ok(()) => retry.is_stored = true,
                Err(error) => tracing::debug!(error = %error, "the error was not stored in the repository"),
            }
        }
    }
}

/// The wall-clock time of a future instant.
fn to_system_time(moment: Instant) -> SystemTime {
    SystemTime::now() + moment.duration_since(Instant::now())
}

impl Drop for Worker {
    /// Also runs when the worker panics.
    fn drop(&mut self) {
        self.shared.finish();
        if let Some(pending) = &self.pending {
            let (id, snapshot) = (self.server.id.get(), &pending.collected);
            tracing::warn!(id, name = self.name, "worker stopped before the snapshot was loaded: {snapshot} are lost");
        }
    }
}
