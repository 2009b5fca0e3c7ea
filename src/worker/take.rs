//! One snapshot, from the turn to collect to the last try to load it.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{sleep, timeout};

use super::Worker;
use super::account::Phase;
use super::schedule::Last;
use super::trouble::Step;
use super::waiting::{Tries, Waiting};
use crate::postgres::{self, Care, Side};
use crate::snapshot::{self, CatalogRefresh, Collected, Report, Snapshot};

/// A server that says nothing for this long does not count among those being collected: another one may begin.
pub(super) const SILENCE: Duration = Duration::from_secs(1);

/// Neither does one that takes longer, be it by a word now and then.
const LONGEST_TURN: Duration = Duration::from_secs(30);

impl Worker {
    /// Takes a snapshot, or as much of it as a stop leaves.
    pub(super) async fn snapshot(&mut self, due: SystemTime) {
        let cancel = self.cancel.clone();
        let collects = Arc::clone(&self.context.collects);
        let mut turn = tokio::select! {
            () = cancel.cancelled() => return,
            turn = collects.acquire_owned() => Some(turn.expect("nobody closes the semaphore")),
        };
        let begun = SystemTime::now();
        let refresh = self.shared.begin_snapshot();
        let collected = tokio::select! {
            () = cancel.cancelled() => None,
            collected = self.collect(&refresh, &mut turn) => Some(collected),
        };
        let Some(collected) = collected else {
            self.sessions.cancel().await;
            return self.shared.end_snapshot(refresh);
        };
        match collected {
            Ok(collected) => {
                self.waiting = Some(Waiting { collected, refresh, due, begun, tries: Tries::default() });
                // Held for as long as the rows wait for their turn, so that what waits is bounded too.
                self.load(turn).await;
            }
            Err((step, error)) => {
                drop(turn);
                self.context.metrics.failed();
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
            self.context.metrics.skipped(skipped);
            tracing::warn!(skipped, "snapshots are skipped, as this one was under way when they were due");
        }
    }

    /// Reads from the remote server. The turn is another server's as soon as this one keeps silent, or takes too long.
    async fn collect(
        &mut self,
        refresh: &CatalogRefresh,
        turn: &mut Option<OwnedSemaphorePermit>,
    ) -> Result<Collected, (Step, snapshot::Error)> {
        let context = self.context.clone();
        let limit = context.config.timeouts.snapshot;
        let snapshot = Snapshot {
            server: self.server.id,
            name: &self.name,
            config: &context.config,
            repository: &context.repository,
        };
        let beginning = snapshot.begin(&mut self.sessions, &mut self.known);
        let begun = held_until(sleep(SILENCE), turn, beginning).await.map_err(|error| (Step::Prepare, error))?;
        let collecting = timeout(limit, snapshot.collect(begun, &self.sessions, refresh));
        let enough = async {
            tokio::select! {
                () = self.sessions.silent_for(SILENCE) => {}
                () = sleep(LONGEST_TURN) => {}
            }
        };
        match held_until(enough, turn, collecting).await {
            Ok(collected) => collected,
            Err(_) => Err(postgres::Error::elapsed(Side::Remote, "collect a snapshot", limit).into()),
        }
        .map_err(|error| (Step::Collect, error))
    }

    /// Loads what waits. Once it has begun, a load is finished, also by a worker that is told to stop; before, it is
    /// given up.
    pub(super) async fn load(&mut self, collecting: Option<OwnedSemaphorePermit>) {
        let Some(waiting) = &mut self.waiting else { return };
        let snapshot = Snapshot {
            server: self.server.id,
            name: &self.name,
            config: &self.context.config,
            repository: &self.context.repository,
        };
        self.shared.enter(Phase::WaitingToLoad);
        let turn = tokio::select! {
            () = self.cancel.cancelled() => return,
            turn = self.context.repository.turn_to_load() => turn,
        };
        drop(collecting);
        self.shared.enter(Phase::Loading);
        let care = if waiting.tries.are_almost_used_up() {
            Care::LastTry
        } else if self.errors.is_empty() {
            Care::Trusting
        } else {
            // Most likely, what went wrong the last time does so again.
            Care::Careful
        };
        match snapshot.load(&mut waiting.collected, turn, care).await {
            Ok(report) => self.loaded(report),
            Err(error) => {
                let cancel = self.cancel.clone();
                tokio::select! {
                    // What waits is where it was.
                    () = cancel.cancelled() => {}
                    () = self.not_loaded(error) => {}
                }
            }
        }
    }

    fn loaded(&mut self, report: Report) {
        let Some(waiting) = self.waiting.take() else { return };
        self.shared.end_snapshot(CatalogRefresh::None);
        self.context.metrics.taken(&report);
        self.succeeded(&report);
        self.note_taken(waiting.due, waiting.begun);
        self.shared.tell(|progress| {
            progress.taken += 1;
            progress.last = Some(waiting.begun);
            progress.report = Some(Arc::new(report));
        });
        if !waiting.tries.is_first() && self.schedule.has_passed(waiting.due, SystemTime::now()) {
            // What was due meanwhile was not taken, so that it could not be lost.
            self.last = Some(Last::Overdue { begun: Some(waiting.begun) });
        }
    }

    /// What was collected waits for the next try, if there is to be one.
    async fn not_loaded(&mut self, error: snapshot::Error) {
        let unreachable = error.unreachable_side();
        let Some(waiting) = &mut self.waiting else { return };
        waiting.tries.fail(unreachable.is_some());
        if waiting.tries.are_used_up() {
            return self.give_up(error).await;
        }
        self.shared.pause_snapshot();
        let reason = format!("{error}; the snapshot waits to be loaded");
        self.trip_over(Step::Load, reason, unreachable).await;
    }

    async fn give_up(&mut self, error: snapshot::Error) {
        let Some(waiting) = self.waiting.take() else { return };
        self.context.metrics.failed();
        let reason = format!("{error}; given up after {}: {} are lost", waiting.tries, waiting.collected);
        self.shared.end_snapshot(waiting.refresh);
        self.note_taken(waiting.due, waiting.begun);
        self.trip_over(Step::Collect, reason, error.unreachable_side()).await;
    }

    fn succeeded(&mut self, report: &Report) {
        self.connected();
        tracing::info!(
            datasources = report.datasources,
            rows = report.rows,
            bytes = report.bytes,
            collect_ms = report.collect_ms(),
            load_ms = report.load_ms(),
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

/// Works, and holds the turn until then at most.
pub(super) async fn held_until<T>(
    then: impl Future<Output = ()>,
    turn: &mut Option<OwnedSemaphorePermit>,
    work: impl Future<Output = T>,
) -> T {
    let mut work = pin!(work);
    tokio::select! {
        biased;
        done = &mut work => return done,
        () = then => drop(turn.take()),
    }
    work.await
}
