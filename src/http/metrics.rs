//! `/metrics`: what was counted, and how everything is at this moment, in Prometheus' text format.

use std::collections::BTreeMap;
use std::time::SystemTime;

use prometheus::{GaugeVec, IntCounterVec, Opts, Registry, TextEncoder};

use super::fleet::Told;
use super::state::State;
use crate::control::Overview;
use crate::control::detail::Detail;
use crate::metrics::Metrics;
use crate::worker::{Phase, Status};

/// What the text is.
pub(super) const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// All of it. Servers that are not there any more are not in it.
pub(super) fn text(counted: &Metrics, told: &Told) -> String {
    let mut families = counted.families();
    families.extend(Scrape::default().of(told));
    families.sort_by(|a, b| a.name().cmp(b.name()));
    TextEncoder::new().encode_to_string(&families).expect("a String takes everything, and nothing is without a value")
}

/// Gauges that are made for one answer.
#[derive(Default)]
struct Scrape(Registry);

impl Scrape {
    fn of(self, told: &Told) -> Vec<prometheus::proto::MetricFamily> {
        let build = self.gauges("powa_collector_build_info", "The version that runs.", &["version"]);
        set(&build, &[env!("CARGO_PKG_VERSION")], 1.0);
        let is_ready = told.as_ref().is_ok_and(|overview| overview.readiness.is_ok());
        let ready =
            self.gauges("powa_collector_ready", "1 if the repository is connected, and commands are heard.", &[]);
        set(&ready, &[], f64::from(is_ready));
        if let Ok(overview) = told {
            self.repository(overview);
            self.fleet(overview);
            self.servers(overview);
        }
        self.0.gather()
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
        let gauges = GaugeVec::new(Opts::new(name, help), labels).expect("its name is valid");
        self.0.register(Box::new(gauges.clone())).expect("its name is its own");
        gauges
    }

    fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        let counters = IntCounterVec::new(Opts::new(name, help), labels).expect("its name is valid");
        self.0.register(Box::new(counters.clone())).expect("its name is its own");
        counters
    }

    fn repository(&self, overview: &Overview) {
        let Some(occupancy) = overview.repository else { return };
        let name = "powa_collector_repository_connections";
        let connections = self.gauges(name, "Connections of the pool to the repository.", &["state"]);
        set(&connections, &["used"], as_f64(occupancy.used));
        set(&connections, &["idle"], as_f64(occupancy.idle));
        let name = "powa_collector_repository_connections_limit";
        set(&self.gauges(name, "How many of them there may be.", &[]), &[], as_f64(occupancy.most));
        let name = "powa_collector_repository_connections_waited_for";
        set(&self.gauges(name, "Who waits for one of them to be free.", &[]), &[], as_f64(occupancy.waiting));
    }

    fn fleet(&self, overview: &Overview) {
        let now = SystemTime::now();
        let name = "powa_collector_phase_servers";
        let phases = self.gauges(name, "Servers by what their workers are about.", &["phase"]);
        for phase in Phase::ALL {
            let servers = overview.accounts.values().filter(|account| account.progress.phase == phase);
            set(&phases, &[&phase.to_string().replace(' ', "_")], as_f64(servers.count()));
        }
        let name = "powa_collector_state_servers";
        let states = self.gauges(name, "Servers by how they are.", &["state"]);
        let mut counts: BTreeMap<State, usize> = State::ALL.map(|state| (state, 0)).into();
        for account in overview.accounts.values() {
            *counts.entry(State::of(account, now)).or_default() += 1;
        }
        counts.into_iter().for_each(|(state, count)| set(&states, &[state.name()], as_f64(count)));
        let overdue = overview.accounts.values().filter(|account| account.is_overdue(now));
        let name = "powa_collector_overdue_servers";
        let help = "Servers whose last snapshot is older than two should be.";
        set(&self.gauges(name, help, &[]), &[], as_f64(overdue.count()));
    }

    fn servers(&self, overview: &Overview) {
        let now = SystemTime::now();
        let gauges = |name: &str, help| self.gauges(&format!("powa_collector_server_{name}"), help, &["id", "server"]);
        let up = gauges("up", "1 if the server and the repository can be reached by its worker.");
        let failing = gauges("failing", "1 if something is in the way of its snapshots.");
        let frequency = gauges("frequency_seconds", "From one snapshot to the next.");
        let last = gauges("last_snapshot_timestamp_seconds", "When the last snapshot in the repository was begun.");
        let next = gauges("next_snapshot_timestamp_seconds", "When its worker does something next.");
        let collecting = gauges("last_collect_duration_seconds", "What it took to read the last snapshot.");
        let loading = gauges("last_load_duration_seconds", "What it took to load the last snapshot.");
        let rows = gauges("last_snapshot_rows", "Rows of the last snapshot.");
        let bytes = gauges("last_snapshot_bytes", "Bytes of the last snapshot.");
        let lacking = gauges("last_snapshot_errors", "What failed of the last snapshot, which is stored without it.");
        let counters =
            |name: &str, help| self.counters(&format!("powa_collector_server_{name}"), help, &["id", "server"]);
        let taken = counters("snapshots_total", "Snapshots that were stored since its worker was started.");
        let failures = counters("failures_total", "How often something was in the way since then.");
        for (id, account) in &overview.accounts {
            let (detail, id) = (Detail::of(account), id.to_string());
            // Two servers may be called the same.
            let server = &[id.as_str(), detail.name.as_str()];
            set(&up, server, f64::from(account.status == Status::Running));
            set(&failing, server, f64::from(State::of(account, now) == State::Failing));
            set(&frequency, server, account.frequency.as_secs_f64());
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
