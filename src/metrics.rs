//! The counters and histograms that the daemon updates while it works; `http` exposes them. Updates never block.

use std::time::SystemTime;

use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::MetricFamily;
use prometheus::{Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts, Registry};

use crate::snapshot::Report;
use session::Side;

/// Histogram buckets for the time to collect and to load, in seconds, up to the default of `timeouts.snapshot`.
const SECONDS: &[f64] = &[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0];

/// Set by this module, because the library needs the boot time of the machine for it, which systemd's `ProcSubset=pid` hides.
const START_TIME: &str = "process_start_time_seconds";

/// The metrics of the daemon. Clones share them.
#[derive(Clone)]
pub(crate) struct Metrics {
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

/// The result of a command, as a label of `powa_collector_commands_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CommandResult {
    Ok,
    Refused,
    /// Not answered, because its sender could not be identified or its response channel is not allowed.
    Ignored,
}

impl Metrics {
    /// Creates and registers all metrics.
    pub(crate) fn new() -> Self {
        let registry = Registry::new();
        let counter = |name, help| {
            let counter = IntCounter::new(name, help);
            register(&registry, counter)
        };
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let counters = IntCounterVec::new(Opts::new(name, help), labels);
            register(&registry, counters)
        };
        let seconds = |name: &str, help: &str| {
            let options = HistogramOpts::new(name, help).buckets(SECONDS.to_vec());
            register(&registry, Histogram::with_opts(options))
        };
        let started = Gauge::new(START_TIME, "Start time of the process since unix epoch in seconds.");
        let started = started.expect("its name is valid");
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        started.set(since_epoch.as_secs_f64());
        let metrics = Self {
            started,
            snapshots: counters(
                "powa_collector_snapshots_total",
                "Snapshots by result: stored completely (complete), stored without some datasources (incomplete), or started \
                 and not stored (failed).",
                &["result"],
            ),
            collecting: seconds(
                "powa_collector_collect_duration_seconds",
                "Seconds to read a stored snapshot from its server.",
            ),
            loading: seconds(
                "powa_collector_load_duration_seconds",
                "Seconds to load a stored snapshot into the repository, including the wait for a free slot.",
            ),
            rows: counter("powa_collector_rows_total", "Rows of stored snapshots."),
            bytes: counter("powa_collector_bytes_total", "Bytes of stored snapshots, in the text format of COPY."),
            skipped: counter(
                "powa_collector_skipped_snapshots_total",
                "Snapshots that were skipped because the previous one was still running.",
            ),
            unreachable: counters(
                "powa_collector_connection_failures_total",
                "Failed attempts to connect to a remote server or to the repository.",
                &["side"],
            ),
            reconnected: counters(
                "powa_collector_reconnections_total",
                "Successful connections after failed attempts.",
                &["side"],
            ),
            commands: counters(
                "powa_collector_commands_total",
                "Commands received on the command channel, by result.",
                &["command", "result"],
            ),
            registry,
        };
        metrics.initialise_at_zero();
        metrics
    }

    /// Creates the series with known labels, so that they are exposed as zero from the start.
    fn initialise_at_zero(&self) {
        for result in ["complete", "incomplete", "failed"] {
            self.snapshots.with_label_values(&[result]);
        }
        for side in [Side::Remote, Side::Repository].map(side_label) {
            self.unreachable.with_label_values(&[side]);
            self.reconnected.with_label_values(&[side]);
        }
        self.registry.register(Box::new(ProcessCollector::for_self())).expect("its names are its own");
    }

    /// Counts a snapshot that was stored.
    pub(crate) fn snapshot_stored(&self, report: &Report) {
        let result = if report.errors.is_empty() { "complete" } else { "incomplete" };
        self.snapshots.with_label_values(&[result]).inc();
        self.collecting.observe(report.collecting.as_secs_f64());
        self.loading.observe(report.loading.as_secs_f64());
        self.rows.inc_by(report.rows);
        self.bytes.inc_by(report.bytes);
    }

    /// Counts a snapshot that was started and not stored.
    pub(crate) fn snapshot_failed(&self) {
        self.snapshots.with_label_values(&["failed"]).inc();
    }

    /// Counts snapshots that were due while one was in progress.
    pub(crate) fn snapshots_skipped(&self, number: u64) {
        self.skipped.inc_by(number);
    }

    /// Counts a connection failure.
    pub(crate) fn count_unreachable(&self, side: Side) {
        self.unreachable.with_label_values(&[side_label(side)]).inc();
    }

    /// Counts a reconnection.
    pub(crate) fn count_reconnection(&self, side: Side) {
        self.reconnected.with_label_values(&[side_label(side)]).inc();
    }

    /// Counts a command. `name` is the name of a known command, or `unknown`: the payload itself is not trusted as a label.
    pub(crate) fn count_command(&self, name: &'static str, result: CommandResult) {
        let result = match result {
            CommandResult::Ok => "ok",
            CommandResult::Refused => "refused",
            CommandResult::Ignored => "ignored",
        };
        self.commands.with_label_values(&[name, result]).inc();
    }

    /// The current values of all metrics.
    pub(crate) fn families(&self) -> Vec<MetricFamily> {
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

fn side_label(side: Side) -> &'static str {
    match side {
        Side::Remote => "remote",
        Side::Repository => "repository",
    }
}

fn register<C: Collector + Clone + 'static>(registry: &Registry, made: prometheus::Result<C>) -> C {
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
        let start_times: Vec<_> = families.iter().filter(|family| family.name() == START_TIME).collect();
        assert_eq!(start_times.len(), 1);
        let started = start_times[0].get_metric()[0].get_gauge().get_value();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64();
        assert!((now - 60.0..=now).contains(&started), "{started} {now}");
    }
}
