//! Takes one snapshot: waits for a collect permit, collects, and loads with as many attempts as needed.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep, timeout};

use super::Worker;
use super::collect_permits::{CollectPermit, MAX_SILENCE, MIN_SILENCE};
use super::detail::{ExclusionReason, Phase};
use super::grid::LastSnapshot;
use super::pending_load::{LoadAttempts, PendingLoad};
use super::retry::Operation;
use crate::config::Selection;
use crate::repository::LoadMode;
use crate::snapshot::{self, CatalogRefresh, Catalogs, CollectedSnapshot, Report, Sessions, Snapshot};
use session::Side;

/// A server that takes longer than this lends its permit even if it sends data. At most half as many servers as there are
/// permits do so at a time.
const MAX_COLLECT_TIME: Duration = Duration::from_secs(30);

/// After a silence, the time in which data that has already arrived is read: the machine may have been suspended.
const CATCH_UP_DELAY: Duration = Duration::from_millis(50);

/// The shortest and the longest interval for checking whether a server that lent its permit responds again.
const SILENCE_POLL_INTERVAL: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

impl Worker {
    /// Takes a snapshot. Returns early when the worker is stopped.
    pub(super) async fn snapshot(&mut self, due: SystemTime) {
        let cancel = self.cancel.clone();
        let permits = self.context.collect_permits.clone();
        let mut permit = tokio::select! {
            () = cancel.cancelled() => return,
            permit = permits.acquire() => permit,
        };
        let started = SystemTime::now();
        let refresh = self.shared.begin_snapshot();
        let collected = tokio::select! {
            () = cancel.cancelled() => None,
            collected = self.collect(&refresh, &mut permit) => Some(collected),
        };
        let Some(collected) = collected else {
            self.sessions.cancel().await;
            return self.shared.end_snapshot(refresh);
        };
        match collected {
            Ok(collected) => {
                self.pending =
                    Some(PendingLoad { collected, refresh, due, started, attempts: LoadAttempts::default() });
                // Held until the load begins, so that no more is collected while loading cannot keep up.
                permit.reclaim();
                self.load(Some(permit)).await;
            }
            Err((_, error)) if error.is_not_registered() => {
                drop(permit);
                self.shared.end_snapshot(refresh);
                self.stop_unregistered();
            }
            Err((_, snapshot::Error::ExcludedStandby)) => {
                drop(permit);
                self.shared.end_snapshot(refresh);
                self.record_attempt(due, started);
                tokio::select! {
                    () = cancel.cancelled() => {}
                    () = self.on_excluded() => {}
                }
            }
            Err((operation, error)) => {
                drop(permit);
                self.context.metrics.snapshot_failed();
                self.shared.end_snapshot(refresh);
                if operation == Operation::Collect {
                    self.record_attempt(due, started);
                }
                tokio::select! {
                    () = cancel.cancelled() => {}
                    () = self.handle_error(operation, error) => {}
                }
            }
        }
        self.close_idle_sessions();
    }

    /// Schedules the next snapshot after one that was due and begun at these times, whether or not it succeeded.
    fn record_attempt(&mut self, due: SystemTime, started: SystemTime) {
        let (last, skipped) = self.due_times.after_snapshot(due, started, SystemTime::now());
        self.last_snapshot = Some(last);
        if skipped > 0 {
            self.context.metrics.snapshots_skipped(skipped);
            tracing::warn!(skipped, "snapshots are skipped: they were due while this one was in progress");
        }
    }

    /// Reads a snapshot from the remote server. Lends the permit while the server is silent, or if it takes too long.
    async fn collect(
        &mut self,
        refresh: &CatalogRefresh,
        permit: &mut CollectPermit,
    ) -> Result<CollectedSnapshot, (Operation, snapshot::Error)> {
        let context = self.context.clone();
        let limit = context.config.timeouts.snapshot;
        let selection = context.config.collect.of(self.server.id, self.server.alias.as_deref());
        let snapshot = Snapshot {
            server: self.server.id,
            name: &self.name,
            config: &context.config,
            selection: &selection,
            repository: &context.repository,
        };
        let preparing = snapshot.prepare(&mut self.sessions, &mut self.cached_sources);
        let sources =
            lend_after(sleep(MIN_SILENCE), permit, preparing).await.map_err(|error| (Operation::Prepare, error))?;
        // The repository may have been slow, and any number of workers may have waited for it without a permit.
        permit.reacquire().await;
        let beginning = snapshot.begin(sources, &mut self.sessions);
        let started = begin_with_permit(permit, beginning).await.map_err(|error| (Operation::Prepare, error))?;
        if self.shared.is_excluded() {
            tracing::info!("collected again: no longer a standby, or collect.standby is true");
            self.shared.update(|progress| progress.excluded = None);
        }
        let first_pause = self.due_times.interval(SystemTime::now());
        let catalogs = Catalogs { refresh, retries: &mut self.catalog_retries, first_pause };
        let collecting = timeout(limit, snapshot.collect(started, &self.sessions, catalogs, &context.spools));
        let lending = async {
            let slow = async {
                sleep(MAX_COLLECT_TIME).await;
                context.collect_permits.acquire_slow_slot().await
            };
            let _slot = tokio::select! {
                slot = slow => slot,
                () = lend_while_silent(&self.sessions, permit) => unreachable!("it never returns"),
            };
            permit.lend();
            std::future::pending::<()>().await;
        };
        let collected = tokio::select! {
            biased;
            collected = collecting => collected,
            () = lending => unreachable!("it never returns"),
        };
        match collected {
            Ok(collected) => collected,
            Err(_) => Err(session::Error::elapsed(Side::Remote, "collect a snapshot", limit).into()),
        }
        .map_err(|error| (Operation::Collect, error))
    }

    /// Handles a standby that is excluded by the configuration. This is not an error, and clears earlier errors.
    async fn on_excluded(&mut self) {
        let is_new = !self.shared.is_excluded();
        let had_errors = self.retry.is_some() || !self.logged_errors.is_empty();
        self.on_connected();
        self.logged_errors.clear();
        self.shared.update(|progress| {
            progress.excluded = Some(ExclusionReason::Standby);
            progress.times_excluded += 1;
            // The last report is from before the exclusion.
            progress.report = None;
        });
        if is_new {
            tracing::info!("the server is a standby; not collected while it is one (collect.standby is false)");
        }
        if is_new || had_errors {
            // Otherwise old errors, perhaps of an earlier run of the collector, would be shown forever.
            if let Err(error) = self.context.repository.replace_errors(self.server.id, &[]).await {
                tracing::debug!(error = %error, "could not delete the stored errors from the repository");
            }
        }
    }

    /// Loads the pending snapshot. When the worker is stopped, a load that has begun is finished; one that still waits for its
    /// permit is abandoned.
    pub(super) async fn load(&mut self, collecting: Option<CollectPermit>) {
        let Some(pending) = &mut self.pending else { return };
        // Only used for collecting.
        let selection = Selection::default();
        let snapshot = Snapshot {
            server: self.server.id,
            name: &self.name,
            config: &self.context.config,
            selection: &selection,
            repository: &self.context.repository,
        };
        self.shared.set_phase(Phase::WaitingToLoad);
        let permit = tokio::select! {
            () = self.cancel.cancelled() => return,
            permit = self.context.repository.load_permit() => permit,
        };
        drop(collecting);
        self.shared.set_phase(Phase::Loading);
        let mode = if pending.attempts.are_almost_used_up() {
            LoadMode::SkipFailingRows
        } else if self.logged_errors.is_empty() {
            LoadMode::NoSavepoints
        } else {
            // What failed the last time will most likely fail again.
            LoadMode::Savepoints
        };
        match snapshot.load(&mut pending.collected, permit, mode, self.coalesce_seq).await {
            Ok(report) => self.on_loaded(report),
            Err(error) if error.is_not_registered() => self.stop_unregistered(),
            Err(error) => {
                let cancel = self.cancel.clone();
                tokio::select! {
                    // The snapshot stays pending.
                    () = cancel.cancelled() => {}
                    () = self.on_load_failed(error) => {}
                }
            }
        }
    }

    fn on_loaded(&mut self, report: Report) {
        let Some(pending) = self.pending.take() else { return };
        self.shared.end_snapshot(CatalogRefresh::None);
        self.coalesce_seq = report.count;
        self.context.metrics.snapshot_stored(&report);
        self.log_success(&report);
        self.record_attempt(pending.due, pending.started);
        self.shared.update(|progress| {
            progress.taken += 1;
            progress.last = Some(pending.started);
            progress.report = Some(Arc::new(report));
        });
        if !pending.attempts.is_first() && self.due_times.has_passed(pending.due, SystemTime::now()) {
            // Snapshots that were due while this one was pending have not been taken: take one now.
            self.last_snapshot = Some(LastSnapshot::DueNow { started: Some(pending.started) });
        }
    }

    /// Stops the worker: the server was removed from `powa_servers`.
    fn stop_unregistered(&mut self) {
        tracing::info!("server removed: its row in powa_servers is gone");
        if let Some(pending) = self.pending.take() {
            self.shared.end_snapshot(pending.refresh);
        }
        self.cancel.cancel();
    }

    /// Keeps the snapshot for another attempt, or discards it if none is left.
    async fn on_load_failed(&mut self, error: snapshot::Error) {
        let unreachable = error.unreachable_side();
        let Some(pending) = &mut self.pending else { return };
        pending.attempts.fail(unreachable.is_some());
        if pending.attempts.are_used_up() {
            return self.give_up(error).await;
        }
        self.shared.pause_snapshot();
        let reason = format!("{error}; the snapshot waits to be loaded");
        self.record_failure(Operation::Load, reason, unreachable).await;
    }

    async fn give_up(&mut self, error: snapshot::Error) {
        let Some(pending) = self.pending.take() else { return };
        self.context.metrics.snapshot_failed();
        let reason = format!("{error}; gave up after {}: {} are lost", pending.attempts, pending.collected);
        self.shared.end_snapshot(pending.refresh);
        self.record_attempt(pending.due, pending.started);
        self.record_failure(Operation::Collect, reason, error.unreachable_side()).await;
    }

    fn log_success(&mut self, report: &Report) {
        self.on_connected();
        tracing::info!(
            datasources = report.datasources,
            rows = report.rows,
            bytes = report.bytes,
            collect_ms = report.collect_ms(),
            load_ms = report.load_ms(),
            errors = report.errors.len(),
            "snapshot taken"
        );
        for fault in report.faults.iter().filter(|fault| self.context.repository.is_new_fault(fault)) {
            tracing::warn!("{}; \"powa-collector check\" prints a statement that fixes it", fault.message);
        }
        for error in report.errors.iter().filter(|error| !self.logged_errors.contains(error)) {
            tracing::warn!("{error}");
        }
        report.errors.iter().for_each(|error| self.context.errors.record(self.server.id, error));
        self.logged_errors.clone_from(&report.errors);
    }

    fn close_idle_sessions(&self) {
        let now = SystemTime::now();
        if self.due(now).duration_since(now).unwrap_or_default() > self.context.config.timeouts.idle {
            self.sessions.close_databases();
        }
    }
}

/// Runs `work`, and lends the permit if `then` completes first.
pub(super) async fn lend_after<T>(
    then: impl Future<Output = ()>,
    permit: &mut CollectPermit,
    work: impl Future<Output = T>,
) -> T {
    let mut work = pin!(work);
    tokio::select! {
        biased;
        done = &mut work => return done,
        () = then => permit.lend(),
    }
    work.await
}

/// Runs `beginning`, which starts a snapshot, and lends the permit while the server does not respond.
async fn begin_with_permit<T>(permit: &mut CollectPermit, beginning: impl Future<Output = T>) -> T {
    let mut beginning = pin!(beginning);
    let silence_timeout = permit.silence_timeout();
    let lending = async {
        sleep(silence_timeout).await;
        permit.lend();
        sleep(MAX_SILENCE).await;
        permit.record_frozen();
    };
    let started = tokio::select! {
        biased;
        started = &mut beginning => Some(started),
        () = lending => None,
    };
    let started = match started {
        Some(started) => started,
        None => beginning.await,
    };
    permit.reclaim();
    started
}

/// Lends the permit whenever the server is silent, and reclaims it when the server responds. Never returns.
async fn lend_while_silent(sessions: &Sessions, permit: &mut CollectPermit) {
    loop {
        loop {
            sessions.wait_for_silence(permit.silence_timeout()).await;
            sleep(CATCH_UP_DELAY).await;
            if sessions.last_activity().is_none_or(|last| last.elapsed() >= permit.silence_timeout()) {
                break;
            }
        }
        let (before, since) = (sessions.last_activity(), Instant::now());
        permit.lend();
        let mut is_frozen = false;
        let (mut pause, longest) = SILENCE_POLL_INTERVAL;
        while sessions.last_activity() <= before {
            sleep(pause).await;
            pause = (pause * 2).min(longest);
            if !is_frozen && since.elapsed() >= MAX_SILENCE {
                is_frozen = true;
                permit.record_frozen();
            }
        }
        permit.reclaim();
        if !is_frozen {
            permit.record_slow();
        }
    }
}
