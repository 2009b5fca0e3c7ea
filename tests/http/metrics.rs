//! `/metrics`: the values are right, only existing servers have them, and the format is valid.

use std::collections::BTreeSet;

use lab::Registration;
use rustix::process::Signal;
use serde_json::json;

use crate::support::{Listening, Scene, promtool, raising, tests, wait_until};

tests![
    the_figures_of_a_snapshot_are_those_of_the_log,
    what_lacks_something_and_what_fails_is_counted_as_such,
    a_server_that_was_removed_is_not_in_the_metrics_any_more;
    since 5:
    commands_are_counted_by_their_names_and_whatever_else_under_one,
    the_metrics_are_in_the_format_with_any_name,
    what_dashboard_alerts_and_documents_name_is_there,
    the_alert_rules_are_valid_and_say_what_they_should,
];

/// The value of a series of a server's, which may have more labels than this one.
fn of_server(metrics: &str, what: &str, label: &str) -> Option<f64> {
    let beginning = format!("powa_collector_server_{what}{{");
    let line = metrics.lines().find(|line| line.starts_with(&beginning) && line.contains(label))?;
    line.rsplit_once(' ')?.1.parse().ok()
}

fn the_figures_of_a_snapshot_are_those_of_the_log(scene: &Scene) {
    let server = scene.register_as(Registration { frequency: 3600, ..Registration::of(scene.remote_server()) });
    let (collector, watcher) = scene.watched();
    scene.wait_for_snapshots(server, 1);
    let line = collector.wait_for_log("snapshot taken");
    let figure = |name: &str| -> f64 {
        let (_, rest) = line.split_once(&format!(" {name}=")).unwrap();
        rest.split_whitespace().next().unwrap().parse().unwrap()
    };
    // Counters are raised one after the other, and the state follows them.
    watcher.wait_for_metric("powa_collector_snapshots_total{result=\"complete\"}", |number| number == 1.0);
    watcher.wait_for_metric("powa_collector_load_duration_seconds_count", |number| number == 1.0);
    watcher.wait_for_metric("powa_collector_phase_servers{phase=\"idle\"}", |number| number == 1.0);
    watcher.wait_for_metric("powa_collector_repository_connections{state=\"idle\"}", |number| number >= 1.0);
    let metric = |series: &str| watcher.metric(series).unwrap_or_else(|| panic!("{series} is missing"));
    assert_eq!(metric("powa_collector_snapshots_total{result=\"complete\"}"), 1.0);
    assert_eq!(metric("powa_collector_snapshots_total{result=\"failed\"}"), 0.0);
    assert_eq!(metric("powa_collector_rows_total"), figure("rows"));
    assert_eq!(metric("powa_collector_bytes_total"), figure("bytes"));
    assert_eq!(metric("powa_collector_collect_duration_seconds_count"), 1.0);
    let collecting = metric("powa_collector_collect_duration_seconds_sum") * 1000.0;
    assert!((collecting - figure("collect_ms")).abs() <= 1.0, "{collecting}: {line}");
    let loading = metric("powa_collector_load_duration_seconds_sum") * 1000.0;
    assert!((loading - figure("load_ms")).abs() <= 1.0, "{loading}: {line}");

    let remote = scene.remote_server();
    let name = format!("server=\"{}:{}\"", remote.host(), remote.port());
    let metrics = watcher.get("/metrics").text;
    let of_server = |what: &str| of_server(&metrics, what, &name).unwrap_or_else(|| panic!("{what} is missing"));
    assert_eq!((of_server("up"), of_server("failing"), of_server("frequency_seconds")), (1.0, 0.0, 3600.0));
    assert_eq!((of_server("snapshots_total"), of_server("last_snapshot_errors")), (1.0, 0.0));
    assert_eq!(of_server("last_snapshot_rows"), figure("rows"));
    let now = metric("process_start_time_seconds");
    let last = of_server("last_snapshot_timestamp_seconds");
    assert!((now - 5.0..now + 300.0).contains(&last), "{last} {now}");
    assert_eq!(metric("powa_collector_phase_servers{phase=\"idle\"}"), 1.0);
    assert_eq!(metric("powa_collector_state_servers{state=\"running\"}"), 1.0);
    assert_eq!(metric("powa_collector_repository_connections_limit"), 5.0);
    assert!(metric("powa_collector_repository_connections{state=\"idle\"}") >= 1.0);
    assert!(metric("process_resident_memory_bytes") > 1e6);
    let version = format!("powa_collector_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
    assert_eq!(metric(&version), 1.0);
    let message = promtool(&["check", "metrics"], &watcher.get("/metrics").text);
    assert_eq!(message, "");
}

fn what_lacks_something_and_what_fails_is_counted_as_such(scene: &Scene) {
    let remote = scene.own_remote();
    remote.connect().batch_execute(&raising("powa_databases_src", "not today")).unwrap();
    scene.register_as(remote.registration());
    scene.register_as(Registration { port: 1, ..Registration::of(scene.remote_server()) });
    let (_collector, watcher) = scene.watched();
    watcher.wait_for_metric("powa_collector_snapshots_total{result=\"incomplete\"}", |number| number >= 1.0);
    watcher.wait_for_metric("powa_collector_connection_failures_total{side=\"remote\"}", |number| number >= 1.0);
    watcher.wait_for_metric("powa_collector_state_servers{state=\"failing\"}", |number| number == 1.0);
    assert_eq!(watcher.metric("powa_collector_snapshots_total{result=\"failed\"}"), Some(0.0), "none was begun there");
    watcher.wait_for_metric("powa_collector_state_servers{state=\"incomplete\"}", |number| number == 1.0);
    let metrics = watcher.get("/metrics").text;
    assert!(!metrics.contains("not today") && !metrics.contains("refused"), "{metrics}");

    // A read that ends in the middle is a snapshot that failed.
    let ending = "select pg_terminate_backend(pg_backend_pid())";
    let body = format!("perform pg_terminate_backend(pg_backend_pid()); return query {ending}::int::oid, null::name;");
    remote.connect().batch_execute(&crate::support::replacing("powa_databases_src", &body)).unwrap();
    watcher.wait_for_metric("powa_collector_snapshots_total{result=\"failed\"}", |number| number >= 1.0);
}

fn a_server_that_was_removed_is_not_in_the_metrics_any_more(scene: &Scene) {
    let server = scene.register();
    let (_collector, watcher) = scene.watched();
    let name = format!("server=\"{}:{}\"", scene.remote_server().host(), scene.remote_server().port());
    crate::support::wait_until("the server to be up", || {
        of_server(&watcher.get("/metrics").text, "up", &name) == Some(1.0)
    });
    scene.repository().execute("select powa_deactivate_server($1)", &[&server]).unwrap();
    assert_eq!(scene.ask("RELOAD", ""), "RELOAD OK OK");
    crate::support::wait_until("the server to vanish", || !watcher.get("/metrics").text.contains(&name));
    assert!(watcher.get("/metrics").text.contains("powa_collector_snapshots_total"));
}

fn commands_are_counted_by_their_names_and_whatever_else_under_one(scene: &Scene) {
    let (_collector, watcher) = scene.watched();
    let mut listening = Listening::on(scene.repository(), "answers");
    listening.ask("WORKERS_STATUS", "");
    listening.ask("WORKERS_STATUS", "nonsense");
    listening.ask("FORCE_SNAPSHOT", "4711");
    listening.ask("ANYTHING", "");
    listening.ask("s\"\\", "");
    let count = |command: &str, result: &str| {
        watcher.metric(&format!("powa_collector_commands_total{{command=\"{command}\",result=\"{result}\"}}"))
    };
    assert_eq!(count("WORKERS_STATUS", "ok"), Some(1.0));
    assert_eq!(count("WORKERS_STATUS", "refused"), Some(1.0));
    assert_eq!(count("FORCE_SNAPSHOT", "refused"), Some(1.0));
    assert_eq!(count("unknown", "refused"), Some(2.0));
    assert!(!watcher.get("/metrics").text.contains("ANYTHING"));
}

fn the_metrics_are_in_the_format_with_any_name(scene: &Scene) {
    let alias = "an \"odd\" \\ name\nof é";
    scene.register_as(Registration { alias: Some(alias), port: 1, ..Registration::of(scene.remote_server()) });
    let collector = scene.collector_with(json!({"use_server_alias": true, "http": super::http(json!({}))}));
    let watcher = crate::support::Watcher::of(&collector);
    watcher.wait_for_metric("powa_collector_state_servers{state=\"failing\"}", |number| number == 1.0);
    let metrics = watcher.get("/metrics");
    assert_eq!(metrics.header("content-type"), "text/plain; version=0.0.4");
    assert_eq!(promtool(&["check", "metrics"], &metrics.text), "");
    assert!(metrics.text.contains("server=\"an \\\"odd\\\" "), "{}", metrics.text);
    collector.signal(Signal::TERM);
}

/// Names of metrics of ours, and of the process, in a text.
fn named_in(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let is_ours = |word: &&str| word.starts_with("powa_collector_") || word.starts_with("process_");
    words.filter(is_ours).collect()
}

fn what_dashboard_alerts_and_documents_name_is_there(scene: &Scene) {
    let server = scene.register();
    let (_collector, watcher) = scene.watched();
    scene.wait_for_snapshots(server, 1);
    scene.ask("WORKERS_STATUS", "");
    // Counters are ahead of what the main task reports once a second.
    let of_the_snapshot = "powa_collector_server_last_snapshot_rows{";
    wait_until("the snapshot to be shown", || watcher.get("/metrics").text.contains(of_the_snapshot));
    let metrics = watcher.get("/metrics").text;
    let kinds: Vec<_> = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    // It is there only while there is no repository: another test sees it.
    const WHILE_WAITING: &str = "powa_collector_waiting_for_repository";
    let mut names: BTreeSet<String> = kinds.iter().map(|(name, _)| (*name).to_owned()).collect();
    names.insert(WHILE_WAITING.into());
    let histograms = kinds.iter().filter(|(_, kind)| *kind == "histogram");
    names.extend(histograms.flat_map(|(name, _)| ["bucket", "sum", "count"].map(|part| format!("{name}_{part}"))));

    let documented = include_str!("../../docs/http.md");
    for (file, text) in [
        ("the dashboard", include_str!("../../dist/grafana-dashboard.json")),
        ("the alerts", include_str!("../../dist/prometheus-alerts.yml")),
        ("the made-up series", include_str!("alerts.yml")),
        ("docs/http.md", documented),
    ] {
        let named = named_in(text);
        assert!(named.len() > 3, "{file}");
        let unknown: Vec<_> = named.iter().filter(|name| !names.contains(**name)).collect();
        assert!(unknown.is_empty(), "{file} names {unknown:?}");
    }
    let all = named_in(documented);
    let untold: Vec<_> = kinds.iter().filter(|(name, _)| !all.contains(name)).collect();
    assert!(untold.is_empty(), "docs/http.md does not name {untold:?}");
    // It is JSON.
    serde_json::from_str::<serde_json::Value>(include_str!("../../dist/grafana-dashboard.json")).unwrap();
}

fn the_alert_rules_are_valid_and_say_what_they_should(_: &Scene) {
    let file = |name: &str| format!("{}/{name}", env!("CARGO_MANIFEST_DIR"));
    let message = promtool(&["check", "rules", &file("dist/prometheus-alerts.yml")], "");
    assert!(message.contains("SUCCESS: 9 rules found"), "{message}");
    let message = promtool(&["test", "rules", &file("tests/http/alerts.yml")], "");
    assert!(message.contains("SUCCESS"), "{message}");
    // Each of them is seen firing, and not firing.
    let (rules, cases) = (include_str!("../../dist/prometheus-alerts.yml"), include_str!("alerts.yml"));
    let names: Vec<_> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert_eq!(names.len(), 9, "{names:?}");
    for name in names {
        assert!(cases.contains(&format!("alertname: {name}, exp_alerts: []}}")), "{name} is never seen not firing");
        let fires = format!("alertname: {name}\n        exp_alerts:\n          - exp_labels:");
        assert!(cases.contains(&fires), "{name} is never seen firing");
    }
}
