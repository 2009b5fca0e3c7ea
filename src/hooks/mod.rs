//! Starts programs and posts to a webhook when a server has failed for some time, and when it has recovered.
//!
//! The main task passes the state of all workers once a second. `failure_tracker` (pure) decides when
//! there is an event. Few events are handled at a time, each with a time limit, and no worker waits for them.

mod event;
mod failure_tracker;
mod program;
mod webhook;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tracing::Instrument;

use crate::config;
use crate::server::ServerId;
use crate::worker::WorkerDetail;
use event::{Event, EventKind};
use failure_tracker::FailureTracker;
use session::BlockingPool;

/// Events that are handled at once, each for another server.
const MAX_RUNS: usize = 4;

/// How often the workers are observed.
const INTERVAL: Duration = Duration::from_secs(1);

/// Owns the tasks that handle events.
pub(crate) struct Hooks {
    config: config::Hooks,
    failures: FailureTracker,
    /// For what can hang: name resolution, and files.
    blocking: BlockingPool,
    runs: JoinSet<ServerId>,
    ticks: Interval,
}

impl Hooks {
    pub(crate) fn new(config: config::Hooks) -> Self {
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            config,
            failures: FailureTracker::default(),
            blocking: BlockingPool::default(),
            runs: JoinSet::new(),
            ticks,
        }
    }

    /// Uses another configuration from now on. Reported failures are remembered, unless there are no hooks any more.
    pub(crate) fn set_config(&mut self, config: &config::Hooks) {
        if config.is_empty() {
            self.failures = FailureTracker::default();
        }
        self.config = config.clone();
    }

    /// Waits until the workers are to be observed. Never, without hooks. Cancel-safe.
    pub(crate) async fn next_observation(&mut self) {
        if self.config.is_empty() {
            return std::future::pending().await;
        }
        loop {
            tokio::select! {
                _ = self.ticks.tick() => return,
                Some(ended) = self.runs.join_next() => self.on_run_end(ended),
            }
        }
    }

    /// Starts what is due after the state of the workers has changed.
    pub(crate) fn observe(&mut self, workers: &BTreeMap<ServerId, WorkerDetail>) {
        self.failures.update(workers, SystemTime::now(), self.config.delay);
        while self.runs.len() < MAX_RUNS {
            let Some(event) = self.failures.start_next() else { return };
            let span = tracing::info_span!("hook", server = event.server.get(), event = event.kind.name());
            self.runs.spawn(run(self.config.clone(), self.blocking.clone(), event).instrument(span));
        }
    }

    /// Ends all runs at once, with their programs.
    pub(crate) async fn stop(&mut self) {
        self.runs.shutdown().await;
    }

    fn on_run_end(&mut self, ended: Result<ServerId, tokio::task::JoinError>) {
        match ended {
            Ok(server) => self.failures.mark_ended(server),
            Err(error) => {
                tracing::error!(%error, "the task of a hook failed");
                // The error does not contain which server's it was: unblock all.
                self.failures.mark_all_ended();
            }
        }
    }
}

/// Handles an event: runs the program and calls the webhook, at the same time. Logs what fails.
async fn run(config: config::Hooks, blocking: BlockingPool, event: Event) -> ServerId {
    let command = match event.kind {
        EventKind::Failure => &config.on_failure,
        EventKind::Recovery(_) => &config.on_recovery,
    };
    let program = async {
        if let Some((name, arguments)) = command.split_first() {
            log("the program", program::run((name, arguments), &event, config.timeout, &blocking).await);
        }
    };
    let webhook = async {
        if let Some(url) = &config.webhook {
            log("the webhook", webhook::post(url.reveal(), &event, config.timeout, &blocking).await);
        }
    };
    tokio::join!(program, webhook);
    event.server
}

fn log(what: &str, result: Result<(), String>) {
    match result {
        Ok(()) => tracing::info!("{what} was called"),
        Err(reason) => tracing::warn!("{what} failed: {reason}"),
    }
}
