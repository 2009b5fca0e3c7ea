//! `/metrics`: the counters, and the current state of the fleet, in Prometheus' text format.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use prometheus::{GaugeVec, IntCounterVec, Opts, Registry, TextEncoder};

use super::fleet_sample::FleetState;
use super::server_state::ServerState;
use crate::control::detail::Detail;
use crate::control::{NotReady, Overview};
use crate::metrics::Metrics;
use crate::worker::{Phase, Status};

/// The media type of [`text`].
pub(super) const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// Different keys of tags that become labels, in alphabetical order: all series have all labels.
const MAX_TAG_LABELS: usize = 32;

/// All metrics. Removed servers are not included.
pub(super) fn text(counters: &Metrics, state: &FleetState) -> String {
    let mut families = counters.families();
    families.extend(Scrape::default().families(state));
    families.sort_by(|a, b| a.name().cmp(b.name()));
    TextEncoder::new()
        .encode_to_string(&families)
        .expect("writing to a String cannot fail, and every metric has a value")
}

/// The metrics that are made for one response.
#[derive(Default)]
struct Scrape(Registry);

impl Scrape {
    fn families(self, state: &FleetState) -> Vec<prometheus::proto::MetricFamily> {
        let build = self.gauges("powa_collector_build_info", "Version of the collector.", &["version"]);
        set(&build, &[env!("CARGO_PKG_VERSION")], 1.0);
        let is_ready = state.as_ref().is_ok_and(|overview| overview.readiness.is_ok());
        let ready =
            self.gauges("powa_collector_ready", "1 if the repository is connected and commands are received.", &[]);
        set(&ready, &[], f64::from(is_ready));
        if let Ok(overview) = state {
            self.collector(overview);
            self.repository(overview);
            // Until then the number of servers is unknown, not 0.
            if overview.are_servers_known() {
                self.fleet(overview);
                self.servers(overview);
                self.tags(overview);
            }
        }
        self.0.gather()
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
        let gauges = GaugeVec::new(Opts::new(name, help), labels).expect("the name is valid");
        self.0.register(Box::new(gauges.clone())).expect("the name is unique");
        gauges
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        let counters = IntCounterVec::new(Opts::new(name, help), labels).expect("the name is valid");
        self.0.register(Box::new(counters.clone())).expect("the name is unique");
        counters
    }

    /// How far the attempts to connect to the repository get, and how many other collectors use it.
    fn collector(&self, overview: &Overview) {
        if let Err(NotReady::Waiting(waiting)) = &overview.readiness {
            let help =
                "1 until the repository is reached for the first time, with the stage that the last attempt got to.";
            let gauges = self.gauges("powa_collector_waiting_for_repository", help, &["stage"]);
            set(&gauges, &[waiting.label()], 1.0);
        }
        if overview.are_servers_known() {
            let help = "Other collectors that are connected to the repository and collect the same servers.";
            set(
                &self.gauges("powa_collector_other_collectors", help, &[]),
                &[],
                as_f64(overview.other_collectors.len()),
            );
        }
    }

    fn repository(&self, overview: &Overview) {
        let Some(occupancy) = overview.repository else { return };
        let name = "powa_collector_repository_connections";
        let connections = self.gauges(name, "Connections in the pool to the repository.", &["state"]);
        set(&connections, &["used"], as_f64(occupancy.used));
        set(&connections, &["idle"], as_f64(occupancy.idle));
        let name = "powa_collector_repository_connections_limit";
        set(&self.gauges(name, "Size of the pool to the repository.", &[]), &[], as_f64(occupancy.max));
        let name = "powa_collector_repository_connections_waited_for";
        set(&self.gauges(name, "Tasks that wait for a connection from the pool.", &[]), &[], as_f64(occupancy.waiting));
    }

    fn fleet(&self, overview: &Overview) {
        let now = SystemTime::now();
        let name = "powa_collector_phase_servers";
        let phases = self.gauges(name, "Servers by what their workers are doing.", &["phase"]);
        for phase in Phase::ALL {
            let servers = overview.workers.values().filter(|account| account.progress.phase == phase);
            set(&phases, &[&phase.to_string().replace(' ', "_")], as_f64(servers.count()));
        }
        let name = "powa_collector_state_servers";
        let states = self.gauges(name, "Servers by state. A server counts once, in the worst state.", &["state"]);
        let mut counts: BTreeMap<ServerState, usize> = ServerState::ALL.map(|state| (state, 0)).into();
        for account in overview.workers.values() {
            *counts.entry(ServerState::of(account, now)).or_default() += 1;
        }
        counts.into_iter().for_each(|(state, count)| set(&states, &[state.name()], as_f64(count)));
        let overdue = overview.workers.values().filter(|account| account.is_overdue(now));
        let name = "powa_collector_overdue_servers";
        let help = "Servers whose last snapshot is more than two frequencies old.";
        set(&self.gauges(name, help, &[]), &[], as_f64(overdue.count()));
    }

    fn servers(&self, overview: &Overview) {
        let now = SystemTime::now();
        let gauges = |name: &str, help| self.gauges(&format!("powa_collector_server_{name}"), help, &["id", "server"]);
        let up = gauges("up", "1 if the worker reaches its server and the repository.");
        let failing = gauges("failing", "1 if an error prevents snapshots.");
        let frequency = gauges("frequency_seconds", "Seconds from one snapshot to the next.");
        let paused =
            gauges("paused", "1 if nothing is collected until the end of a pause, or the start of a schedule.");
        let overdue = gauges("overdue", "1 if a snapshot is overdue, by the frequency or the schedule.");
        let last = gauges("last_snapshot_timestamp_seconds", "When the last snapshot in the repository began.");
        let next = gauges("next_snapshot_timestamp_seconds", "When the next snapshot or retry is due.");
        let collecting = gauges("last_collect_duration_seconds", "Seconds to read the last snapshot.");
        let loading = gauges("last_load_duration_seconds", "Seconds to load the last snapshot.");
        let rows = gauges("last_snapshot_rows", "Rows of the last snapshot.");
        let bytes = gauges("last_snapshot_bytes", "Bytes of the last snapshot.");
        let lacking = gauges("last_snapshot_errors", "Errors of the last snapshot, whose datasources are not stored.");
        let counters =
            |name: &str, help| self.counters(&format!("powa_collector_server_{name}"), help, &["id", "server"]);
        let taken = counters("snapshots_total", "Snapshots stored since the worker started.");
        let failures = counters("failures_total", "Failures since the worker started.");
        for (id, account) in &overview.workers {
            let (detail, id) = (Detail::of(account), id.to_string());
            // The id distinguishes servers with the same name.
            let server = &[id.as_str(), detail.name.as_str()];
            set(&up, server, f64::from(account.status == Status::Running));
            set(&failing, server, f64::from(ServerState::of(account, now) == ServerState::Failing));
            // A schedule has no frequency.
            if detail.schedule.is_none() {
                set(&frequency, server, account.frequency.as_secs_f64());
            }
            set(&paused, server, f64::from(detail.paused_until.is_some()));
            set(&overdue, server, f64::from(account.is_overdue(now)));
            set_time(&last, server, account.progress.last);
            set_time(&next, server, account.progress.next);
            add(&taken, server, account.progress.taken);
            add(&failures, server, account.progress.failures);
            if let Some(report) = account.progress.report.as_deref() {
                set(&collecting, server, report.collecting.as_secs_f64());
                set(&loading, server, report.loading.as_secs_f64());
                set(&rows, server, report.rows as f64);
                set(&bytes, server, report.bytes as f64);
                set(&lacking, server, as_f64(report.errors.len()));
            }
        }
    }
}

impl Scrape {
    /// One series for each server, with its tags as labels. All series have the same labels, as the format wants it; an empty one
    /// is as good as none.
    fn tags(&self, overview: &Overview) {
        let keys: BTreeSet<&str> = overview.tags.values().flat_map(|tags| tags.keys().map(String::as_str)).collect();
        let keys: Vec<&str> = keys.into_iter().take(MAX_TAG_LABELS).collect();
        let names: Vec<String> = keys.iter().map(|key| format!("tag_{key}")).collect();
        let labels: Vec<&str> = ["id", "server"].into_iter().chain(names.iter().map(String::as_str)).collect();
        let gauges = self.gauges("powa_collector_server_tags", "1, with the tags of the server as labels.", &labels);
        for (id, worker) in &overview.workers {
            let (detail, number, tags) = (Detail::of(worker), id.to_string(), overview.tags.get(id));
            let value = |key: &&str| tags.and_then(|tags| tags.get(*key)).map_or("", String::as_str);
            let values: Vec<&str> =
                [number.as_str(), detail.name.as_str()].into_iter().chain(keys.iter().map(value)).collect();
            set(&gauges, &values, 1.0);
        }
    }
}

fn set(gauges: &GaugeVec, labels: &[&str], value: f64) {
    gauges.with_label_values(labels).set(value);
}

fn set_time(gauges: &GaugeVec, labels: &[&str], time: Option<SystemTime>) {
    if let Some(since) = time.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok()) {
        set(gauges, labels, since.as_secs_f64());
    }
}

fn add(counters: &IntCounterVec, labels: &[&str], number: u64) {
    counters.with_label_values(labels).inc_by(number);
}

fn as_f64(number: usize) -> f64 {
    number as f64
}
