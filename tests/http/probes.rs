//! `/livez` and `/readyz`, and when HTTP is served at all.

use std::net::TcpListener;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use super::http;
use crate::support::{Collector, Scene, Stopwatch, Watcher, output, program, tests, wait_until};

tests![
    it_is_ready_while_the_repository_is_there_and_alive_all_the_time,
    nobody_is_served_unless_it_is_wanted;
    since 5:
    one_that_waits_for_its_repository_is_alive_and_not_ready,
    a_port_that_is_taken_is_a_reason_not_to_start_and_not_to_reload,
    a_reload_begins_moves_and_ends_it,
    #[timed] whoever_is_served_does_not_hold_up_the_end,
];

fn it_is_ready_while_the_repository_is_there_and_alive_all_the_time(scene: &Scene) {
    let scene = scene.apart(&[]);
    let (_collector, watcher) = scene.watched();
    let probes = || ["/livez", "/readyz"].map(|path| watcher.get(path).status);
    assert_eq!(probes(), [200, 200]);
    assert_eq!(watcher.get("/readyz").text, "ok\n");
    scene.repository_server().stop().unwrap();
    wait_until("it not to be ready", || probes() == [200, 503]);
    let reason = "the connection to the repository is lost; commands are not received\n";
    assert_eq!(watcher.get("/readyz").text, reason);
    assert_eq!(watcher.metric("powa_collector_ready"), Some(0.0));
    scene.repository_server().start_again().unwrap();
    wait_until("it to be ready again", || probes() == [200, 200]);
    watcher.wait_for_metric("powa_collector_ready", |ready| ready == 1.0);
    assert!(watcher.metric("powa_collector_connection_failures_total{side=\"repository\"}") >= Some(1.0));
    assert!(watcher.metric("powa_collector_reconnections_total{side=\"repository\"}") >= Some(1.0));
}

fn nobody_is_served_unless_it_is_wanted(scene: &Scene) {
    let collector = scene.collector();
    assert!(collector.logged("serving HTTP").is_empty());
    let sockets = std::process::Command::new("ls").args(["-l", &format!("/proc/{}/fd", collector.pid())]).output();
    let sockets = String::from_utf8(sockets.unwrap().stdout).unwrap();
    let own: Vec<_> =
        sockets.lines().filter_map(|line| Some(line.split_once("socket:[")?.1.trim_end_matches(']'))).collect();
    // Where there is no IPv6 there is no such table.
    let tables = ["tcp", "tcp6"].map(|table| std::fs::read_to_string(format!("/proc/net/{table}")).unwrap_or_default());
    assert!(!tables[0].is_empty());
    // The state, in the fourth column, is the one of those who listen.
    let listening =
        tables.iter().flat_map(|table| table.lines()).filter(|line| line.split_whitespace().nth(3) == Some("0A"));
    let inodes: Vec<_> = listening.filter_map(|line| line.split_whitespace().nth(9)).collect();
    assert!(!own.is_empty() && own.iter().all(|socket| !inodes.contains(socket)), "{own:?} {inodes:?}");
}

fn one_that_waits_for_its_repository_is_alive_and_not_ready(scene: &Scene) {
    let scene = scene.apart(&[]);
    scene.repository_server().stop().unwrap();
    let collector = Collector::start(&scene.config(json!({"http": http(json!({}))})));
    let watcher = Watcher::of(&collector);
    collector.wait_for_log("waiting for it");
    assert_eq!((watcher.get("/livez").status, watcher.get("/readyz").status), (200, 503));
    // Anybody may ask for it: it says why, and names nobody.
    let reason = "waiting for the repository: it cannot be reached\n";
    wait_until("the reason", || watcher.get("/readyz").text == reason);
    assert!(watcher.metric("powa_collector_snapshots_total{result=\"complete\"}") == Some(0.0));
    watcher.wait_for_metric("powa_collector_connection_failures_total{side=\"repository\"}", |times| times >= 2.0);
    assert_eq!(watcher.metric("powa_collector_waiting_for_repository{stage=\"connection\"}"), Some(1.0));
    // How many servers there are is not known, which is another thing than that there are none.
    assert_eq!(watcher.metric("powa_collector_state_servers{state=\"failing\"}"), None);
    let output = watcher.open_events().next("everything");
    assert_eq!(output["known"], false, "{output}");
    let trouble = output["trouble"].as_str().unwrap();
    let expected =
        format!("could not connect to {}:{}", scene.repository_server().host(), scene.repository_server().port());
    assert!(trouble.contains(&expected) && trouble.contains("Connection refused"), "{trouble}");
    scene.repository_server().start_again().unwrap();
    wait_until("it to be ready", || watcher.get("/readyz").status == 200);
    assert_eq!(watcher.open_events().next("everything")["known"], true);
    assert_eq!(watcher.metric("powa_collector_waiting_for_repository{stage=\"connection\"}"), None);
    assert_eq!(watcher.metric("powa_collector_state_servers{state=\"failing\"}"), Some(0.0));
    assert_eq!(watcher.metric("powa_collector_reconnections_total{side=\"repository\"}"), Some(1.0));
}

fn a_port_that_is_taken_is_a_reason_not_to_start_and_not_to_reload(scene: &Scene) {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let config = json!({"http": {"listen": address}});
    let mut command = program();
    let refused = output(command.arg("-c").arg(scene.config(config.clone())));
    let message = String::from_utf8(refused.stderr).unwrap();
    let expected = format!("cannot listen on {address} (\"http.listen\"): Address already in use");
    assert_eq!(refused.status.code(), Some(1), "{message}");
    assert!(message.contains(&expected), "{message}");

    let (_collector, watcher) = scene.watched();
    scene.config(config);
    let answer = scene.ask("RELOAD", "");
    assert!(answer.starts_with("RELOAD KO ") && answer.contains(&expected), "{answer}");
    assert_eq!(watcher.get("/readyz").status, 200);
}

fn a_reload_begins_moves_and_ends_it(scene: &Scene) {
    let collector = scene.collector();
    let reload = |more| {
        scene.config(more);
        assert_eq!(scene.ask("RELOAD", ""), "RELOAD OK OK");
    };
    reload(json!({"http": http(json!({}))}));
    let first = Watcher::of(&collector);
    assert_eq!(first.get("/livez").status, 200);
    // As before: who is connected stays so.
    let mut page = first.open_events();
    reload(json!({"debug": true, "http": http(json!({}))}));
    page.next("update");
    assert_eq!(collector.logged("serving HTTP").len(), 1);

    reload(json!({"http": {"listen": "[::1]:0"}}));
    let second = Watcher::of_time(2, &collector);
    assert!(second.address.starts_with("[::1]:"), "{}", second.address);
    assert_eq!(second.get("/livez").status, 200);
    wait_until("the first address to be left", || first.try_to_ask("GET", "/livez", &[]).is_err());

    reload(json!({"http": {"listen": null}}));
    wait_until("nobody to be served", || second.try_to_ask("GET", "/livez", &[]).is_err());
    collector.stop();
}

fn whoever_is_served_does_not_hold_up_the_end(scene: &Scene) {
    let stopping = Duration::from_secs(120);
    let config = json!({"http": http(json!({})), "timeouts": {"stop": stopping.as_secs()}});
    let collector = scene.collector_with(config);
    let watcher = Watcher::of(&collector);
    let mut page = watcher.open_events();
    page.next("update");
    let _silent = watcher.connect();
    let stopwatch = Stopwatch::start();
    collector.signal(Signal::TERM);
    let (status, _) = collector.wait();
    assert!(status.success(), "{status}");
    assert!(stopwatch.elapsed() < stopping / 4, "{:?}", stopwatch.elapsed());
    page.wait_for_end();
}
