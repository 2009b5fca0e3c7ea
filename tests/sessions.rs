//! The names and the number of the collector's sessions, as the servers see them.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use lab::{Cluster, Registration};
use serde_json::json;

use crate::support::{Scene, tests, wait_until};

tests![
    sessions_are_called_what_powa_web_looks_for,
    databases_are_visited_by_sessions_that_close_when_idle,
    databases_can_be_made_and_dropped_while_the_collector_runs,
    a_server_without_a_connection_left_is_shown_and_heals;
    since 5:
    a_server_with_many_databases_keeps_its_connections_for_others,
];

fn sessions_are_called_what_powa_web_looks_for(scene: &Scene) {
    let alias = format!("Server \"{}\"", scene.database);
    let server = scene.register_as(Registration { alias: Some(&alias), ..Registration::of(scene.remote_server()) });
    let _collector = scene.collector_with(json!({"use_server_alias": true}));
    scene.wait_for_snapshots(server, 1);
    let mut repository = scene.repository();
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(scene.sessions_of(&mut repository, &format!("main thread ({version})")), 1);
    // powa_take_snapshot() renames the session; it has its name back.
    assert_eq!(scene.sessions_of(&mut repository, &format!("repo\\_conn for worker {alias}")), 1);
    let sql = "select count(*) from pg_stat_activity where application_name = $1 and datname = 'powa'";
    let name = format!("PoWA collector - worker {alias}");
    let sessions: i64 = scene.remote("powa").query_one(sql, &[&name]).unwrap().get(0);
    assert_eq!(sessions, 1);
}

fn databases_can_be_made_and_dropped_while_the_collector_runs(scene: &Scene) {
    let server = scene.register();
    let _collector = scene.collector();
    scene.wait_for_snapshots(server, 1);
    let mut remote = scene.remote("postgres");
    let name = format!("short-lived {}", scene.database.replace('"', ""));
    // A session in the template would be in the way for as long as it lives; a visit is, for a moment.
    let mut in_time = |sql: String| wait_until(&sql, || remote.batch_execute(&sql).is_ok());
    in_time(format!("create database \"{name}\""));
    scene.wait_for_snapshots(server, scene.snapshots(server) + 1);
    in_time(format!("alter database \"{name}\" allow_connections false"));
    in_time(format!("drop database \"{name}\""));
}

fn databases_are_visited_by_sessions_that_close_when_idle(scene: &Scene) {
    let alias = format!("idle {}", scene.database);
    let registration = Registration { alias: Some(&alias), frequency: 60, ..Registration::of(scene.remote_server()) };
    let server = scene.register_as(registration);
    let config = json!({"use_server_alias": true, "timeouts": {"idle": 1}});
    let _collector = scene.collector_with(config);
    scene.wait_for_snapshots(server, 1);
    let mut remote = scene.remote("powa");
    let sql = "select array_agg(datname::text) from pg_stat_activity where application_name = $1";
    let name = format!("PoWA collector - worker {alias}");
    wait_until("only the session with PoWA to be left", || {
        remote.query_one(sql, &[&name]).unwrap().get::<_, Option<Vec<String>>>(0) == Some(vec!["powa".into()])
    });
}

/// Sessions of the collector on a server, as it counts them itself.
const SESSIONS: &str = "select count(*) from pg_stat_activity where application_name like 'PoWA collector - worker %'";

fn a_server_with_many_databases_keeps_its_connections_for_others(scene: &Scene) {
    /// 20 that are kept, those at work in 4 databases, and the one in the database with PoWA. Sessions that have ended
    /// are seen until their processes have gone.
    const BOUND: i64 = 20 + 4 + 1;
    const LEAVING: i64 = 4;

    let remote = Cluster::start(scene.generation(), "many").unwrap();
    remote.create_powa_database("powa").unwrap();
    let mut watching = remote.connect("postgres").unwrap();
    for number in 0..40 {
        watching.batch_execute(&format!("create database d{number} template template0")).unwrap();
    }
    let server = scene.register_as(Registration::of(&remote));
    let collector = scene.collector();
    // Dropped when the test fails, too: the thread would count for ever otherwise, and the test never end.
    let (counted_enough, is_over) = mpsc::channel::<()>();
    let most = std::thread::scope(|scope| {
        let counted = &mut watching;
        let counting = scope.spawn(move || {
            let mut most = 0;
            while is_over.recv_timeout(Duration::from_millis(2)) == Err(RecvTimeoutError::Timeout) {
                most = most.max(counted.query_one(SESSIONS, &[]).unwrap().get::<_, i64>(0));
            }
            most
        });
        let counted_enough = counted_enough;
        wait_until("two snapshots", || scene.snapshots(server) >= 2);
        drop(counted_enough);
        counting.join().unwrap()
    });
    assert!(most <= BOUND + LEAVING, "{most} sessions");
    assert_eq!(scene.errors(server), [""; 0]);
    let databases = "select count(distinct dbid) from powa_all_tables_history_current where srvid > 0";
    assert!(scene.count(databases) > 40);
    // What is kept is kept from one snapshot to the next.
    let mut sessions = || watching.query_one(SESSIONS, &[]).unwrap().get::<_, i64>(0);
    wait_until("21 sessions between two snapshots", || sessions() == 21);
    collector.stop();
}

fn a_server_without_a_connection_left_is_shown_and_heals(scene: &Scene) {
    let few = [("max_connections", "10"), ("superuser_reserved_connections", "3"), ("max_wal_senders", "0")];
    let remote = Cluster::start_with(scene.generation(), "full", &few).unwrap();
    remote.create_powa_database("powa").unwrap();
    let mut admin = remote.connect("powa").unwrap();
    admin.batch_execute("create role crowd login; create role reader login; grant pg_monitor to reader").unwrap();
    let crowd = || postgres::Client::connect(&remote.dsn("powa").replace("postgres@", "crowd@"), postgres::NoTls);
    let mut clients: Vec<_> = std::iter::from_fn(|| crowd().ok()).take(10).collect();
    assert!(clients.len() < 10, "superusers have connections of their own");
    let server = scene.register_as(Registration { username: "reader", ..Registration::of(&remote) });
    let _collector = scene.collector();
    let error = scene.wait_for_error(server, "SQLSTATE 53300");
    assert!(error.contains("could not connect to") && error.contains("remote server"), "{error}");
    scene.wait_for_status(server, "no connection to remote server");
    clients.clear();
    scene.wait_for_status(server, "running");
    scene.wait_for_snapshots(server, 1);
    wait_until("that error to be gone", || scene.errors(server).iter().all(|error| !error.contains("53300")));
}
