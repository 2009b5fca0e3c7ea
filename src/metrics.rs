//! What the daemon counts while it works. Made once, handed to those who count, read by `http`. To count is to add to a
//! number; nobody waits.

use std::time::SystemTime;

use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::MetricFamily;
use prometheus::{Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts, Registry};

use crate::postgres::Side;
use crate::snapshot::Report;

/// Bounds of what collecting and loading take, in seconds: from a server next door to `timeouts.snapshot`.
const SECONDS: &[f64] = &[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0];

/// The library wants to know when the machine was booted to tell this, and `ProcSubset=pid` hides that.
const START_TIME: &str = "process_start_time_seconds";

/// Clones count together.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    started: Gauge,
    snapshots: IntCounterVec,
    collecting: Histogram,
    loading: Histogram,
    rows: IntCounter,
    bytes: IntCounter,
    skipped: IntCounter,
    unreachable: IntCounterVec,
    reconnected: IntCounterVec,
    commands: IntCounterVec,
}

/// What came of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    Ok,
    Refused,
    /// By nothing: nobody could tell whose it was.
    Ignored,
}

impl Metrics {
    /// With everything at zero, and known by its name from the start.
    pub fn new() -> Self {
        let registry = Registry::new();
        let counter = |name, help| {
            let counter = IntCounter::new(name, help);
            registered(&registry, counter)
        };
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let counters = IntCounterVec::new(Opts::new(name, help), labels);
            registered(&registry, counters)
        };
        let seconds = |name: &str, help: &str| {
            let options = HistogramOpts::new(name, help).buckets(SECONDS.to_vec());
            registered(&registry, Histogram::with_opts(options))
        };
        let started = Gauge::new(START_TIME, "Start time of the process since unix epoch in seconds.");
        let started = started.expect("its name is valid");
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        started.set(since_epoch.as_secs_f64());
        let metrics = Self {
            started,
            snapshots: counters(
                "powa_collector_snapshots_total",
                "Snapshots that were stored in full, that were stored without some datasources, and that failed.",
                &["result"],
            ),
            collecting: seconds(
                "powa_collector_collect_duration_seconds",
                "What it took to read a stored snapshot from its server.",
            ),
            loading: seconds(
                "powa_collector_load_duration_seconds",
                "What it took to load a stored snapshot into the repository, waiting for its turn included.",
            ),
            rows: counter("powa_collector_rows_total", "Rows of stored snapshots."),
            bytes: counter("powa_collector_bytes_total", "Bytes of these rows, in the text format of COPY."),
            skipped: counter(
                "powa_collector_skipped_snapshots_total",
                "Snapshots that were not taken, as the one before was under way when they were due.",
            ),
            unreachable: counters(
                "powa_collector_connection_failures_total",
                "How often a worker, or the command channel, could not reach a server any more or yet.",
                &["side"],
            ),
            reconnected: counters(
                "powa_collector_reconnections_total",
                "How often what could not be reached was reached again.",
                &["side"],
            ),
            commands: counters(
                "powa_collector_commands_total",
                "Commands that were heard on the command channel, by what came of them.",
                &["command", "result"],
            ),
            registry,
        };
        metrics.begin_at_zero();
        metrics
    }

    /// What has not been counted yet is zero, and not unknown.
    fn begin_at_zero(&self) {
        for result in ["complete", "incomplete", "failed"] {
            self.snapshots.with_label_values(&[result]);
        }
        for side in [Side::Remote, Side::Repository].map(name_of) {
            self.unreachable.with_label_values(&[side]);
            self.reconnected.with_label_values(&[side]);
        }
        self.registry.register(Box::new(ProcessCollector::for_self())).expect("its names are its own");
    }

    /// A snapshot is in the repository.
    pub fn taken(&self, report: &Report) {
        let result = if report.errors.is_empty() { "complete" } else { "incomplete" };
        self.snapshots.with_label_values(&[result]).inc();
        self.collecting.observe(report.collecting.as_secs_f64());
        self.loading.observe(report.loading.as_secs_f64());
        self.rows.inc_by(report.rows);
        self.bytes.inc_by(report.bytes);
    }

    /// A snapshot was begun, and there is none.
    pub fn failed(&self) {
        self.snapshots.with_label_values(&["failed"]).inc();
    }

    /// Snapshots were due while one was under way.
    pub fn skipped(&self, number: u64) {
        self.skipped.inc_by(number);
    }

    /// A server cannot be reached.
    pub fn unreachable(&self, side: Side) {
        self.unreachable.with_label_values(&[name_of(side)]).inc();
    }

    /// A server is reached again.
    pub fn reconnected(&self, side: Side) {
        self.reconnected.with_label_values(&[name_of(side)]).inc();
    }

    /// A command was heard. `name` is not what was written: anybody can write anything.
    pub fn command(&self, name: &'static str, answered: Answered) {
        let result = match answered {
            Answered::Ok => "ok",
            Answered::Refused => "refused",
            Answered::Ignored => "ignored",
        };
        self.commands.with_label_values(&[name, result]).inc();
    }

    /// All of it, at this moment.
    pub fn families(&self) -> Vec<MetricFamily> {
        let mut families = self.registry.gather();
        families.retain(|family| family.name() != START_TIME);
        families.extend(self.started.collect());
        families
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

fn name_of(side: Side) -> &'static str {
    match side {
        Side::Remote => "remote",
        Side::Repository => "repository",
    }
}

fn registered<C: Collector + Clone + 'static>(registry: &Registry, made: prometheus::Result<C>) -> C {
    let made = made.expect("its name is valid");
    registry.register(Box::new(made.clone())).expect("its name is its own");
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_of_the_process_is_told_once_whatever_proc_shows() {
        let families = Metrics::new().families();
        let told: Vec<_> = families.iter().filter(|family| family.name() == START_TIME).collect();
        assert_eq!(told.len(), 1);
        let started = told[0].get_metric()[0].get_gauge().get_value();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64();
        assert!((now - 60.0..=now).contains(&started), "{started} {now}");
    }
}
