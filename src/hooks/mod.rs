//! Starts programs and posts to a webhook when a server has failed for some time, and when it has recovered.
//!
//! The main task passes the state of all workers once a second. `changes` decides what an event is, which is pure; `run` carries
//! one out. Events are few at a time and have a time limit, and no worker waits for them.

mod changes;
mod event;
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
use changes::Changes;
use event::Event;

/// Events that are carried out at once, each for another server.
const MAX_RUNS: usize = 4;

/// Between two looks at the workers.
const INTERVAL: Duration = Duration::from_secs(1);

/// Owns the tasks that carry out events, and ends them when it is dropped.
pub(crate) struct Hooks {
    config: config::Hooks,
    changes: Changes,
    runs: JoinSet<ServerId>,
    ticks: Interval,
}

impl Hooks {
    pub(crate) fn new(config: config::Hooks) -> Self {
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { config, changes: Changes::default(), runs: JoinSet::new(), ticks }
    }

    /// Uses another configuration for events from now on. Which failures were reported stays known.
    pub(crate) fn set_config(&mut self, config: &config::Hooks) {
        if config.is_empty() {
            self.changes = Changes::default();
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
        self.changes.update(workers, SystemTime::now(), self.config.delay);
        while self.runs.len() < MAX_RUNS {
            let Some((server, event)) = self.changes.start_next() else { return };
            let span = tracing::info_span!("hook", server = server.get(), event = event.kind.name());
            self.runs.spawn(run(self.config.clone(), server, event).instrument(span));
        }
    }

    fn on_run_end(&mut self, ended: Result<ServerId, tokio::task::JoinError>) {
        match ended {
            Ok(server) => self.changes.ended(server),
            Err(error) => {
                tracing::error!(%error, "the task of a hook failed");
                // Which server's it was is not known: none is kept waiting.
                self.changes.all_ended();
            }
        }
    }
}

/// Carries out an event: the program first, then the webhook. Failures are logged.
async fn run(config: config::Hooks, server: ServerId, event: Event) -> ServerId {
    let command = match event.kind {
        event::Kind::Failure => &config.on_failure,
        event::Kind::Recovery => &config.on_recovery,
    };
    let program = async {
        if let Some((name, arguments)) = command.split_first() {
            log("the program", program::run(name, arguments, &event, config.timeout).await);
        }
    };
    let webhook = async {
        if let Some(url) = &config.webhook {
            log("the webhook", webhook::post(url.reveal(), &event, config.timeout).await);
        }
    };
    tokio::join!(program, webhook);
    server
}

fn log(what: &str, result: Result<(), String>) {
    match result {
        Ok(()) => tracing::info!("{what} was run"),
        Err(reason) => tracing::warn!("{what} failed: {reason}"),
    }
}
