//! The end: soon, in good order, and with nothing left behind.

use std::net::TcpListener;
use std::time::Duration;

use lab::Registration;
use rustix::process::Signal;
use serde_json::json;

use crate::support::{Scene, replacing, tests, wait_until};

tests![
    sigterm_ends_an_idle_collector_at_once,
    sigint_does_what_sigterm_does,
    a_server_that_accepts_and_stays_silent_does_not_hold_it_up,
    a_query_that_is_under_way_is_cancelled_on_the_remote_server,
    a_load_that_has_begun_is_finished,
];

fn sigterm_ends_an_idle_collector_at_once(scene: &Scene) {
    let server = scene.register_as(Registration { frequency: 3600, ..Registration::of(scene.remote_server()) });
    let collector = scene.collector();
    scene.wait_for_snapshots(server, 1);
    collector.wait_to_say("snapshot taken");
    collector.signal(Signal::TERM);
    let (status, took) = collector.wait();
    assert!(status.success(), "{status}");
    assert!(took < Duration::from_secs(1), "{took:?}");
    let mut repository = scene.repository();
    wait_until("no session to be left", || scene.sessions_of(&mut repository, "%") == 0);
}

fn sigint_does_what_sigterm_does(scene: &Scene) {
    let collector = scene.collector();
    collector.signal(Signal::INT);
    assert!(collector.wait().0.success());
    assert_eq!(collector.said("powa-collector stopped").len(), 1);
}

fn a_server_that_accepts_and_stays_silent_does_not_hold_it_up(scene: &Scene) {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    scene.register_as(Registration { port, ..Registration::of(scene.remote_server()) });
    let collector = scene.collector();
    let (_connection, _) = silent.accept().unwrap();
    collector.signal(Signal::TERM);
    let (status, took) = collector.wait();
    assert!(status.success(), "{status}");
    assert!(took < Duration::from_secs(2), "{took:?}");
}

fn a_query_that_is_under_way_is_cancelled_on_the_remote_server(scene: &Scene) {
    let remote = scene.own_remote();
    let mut client = remote.connect();
    client.batch_execute(&replacing("powa_databases_src", "perform pg_sleep(300);")).unwrap();
    let server = scene.register_as(remote.registration());
    let collector = scene.collector();
    let sleepers = "select count(*) from pg_stat_activity
        where datname = current_database() and wait_event = 'PgSleep' and state = 'active'";
    wait_until("the query to be under way", || client.query_one(sleepers, &[]).unwrap().get::<_, i64>(0) == 1);
    collector.signal(Signal::TERM);
    let (status, took) = collector.wait();
    assert!(status.success(), "{status}");
    assert!(took < Duration::from_secs(3), "{took:?}");
    wait_until("the query to be cancelled", || client.query_one(sleepers, &[]).unwrap().get::<_, i64>(0) == 0);
    assert_eq!(scene.snapshots(server), 0);
}

fn a_load_that_has_begun_is_finished(scene: &Scene) {
    scene.repository().batch_execute(&sleeping_snapshot("powa_databases_snapshot", 2)).unwrap();
    let server = scene.register_as(Registration { frequency: 3600, ..Registration::of(scene.remote_server()) });
    let collector = scene.collector_with(json!({}));
    let mut repository = scene.repository();
    let loading = "select count(*) from pg_stat_activity
        where datname = current_database() and wait_event = 'PgSleep' and state = 'active'";
    wait_until("the load to be under way", || repository.query_one(loading, &[]).unwrap().get::<_, i64>(0) == 1);
    collector.stop();
    assert_eq!(scene.snapshots(server), 1);
    assert!(scene.count("select count(*) from powa_statements where srvid > 0") > 0);
}

/// Puts a pause in front of what a function of the repository does.
fn sleeping_snapshot(function: &str, seconds: u32) -> String {
    format!(
        "do $replace$ declare definition text; begin
            select pg_get_functiondef(oid) into definition from pg_proc where proname = '{function}';
            execute regexp_replace(definition, E'\\nBEGIN', E'\\nBEGIN perform pg_sleep({seconds});');
        end $replace$"
    )
}
