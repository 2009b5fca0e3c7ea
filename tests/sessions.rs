//! What the collector's sessions are called, how many there are, and what they look like from the servers.

use lab::Registration;
use serde_json::json;

use crate::support::{Collector, Scene, program, tests, wait_until};

tests![
    sessions_are_called_what_powa_web_looks_for,
    databases_are_visited_by_sessions_that_close_when_idle,
    databases_can_be_made_and_dropped_while_the_collector_runs,
    no_password_is_ever_logged_or_stored,
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

fn no_password_is_ever_logged_or_stored(scene: &Scene) {
    let [good, bad] = ["s3cret-good", "s3cret-bad"];
    let role = format!("guarded_{}", scene.database.replace(|c: char| !c.is_ascii_digit(), ""));
    let guarded = format!("create role {role} login superuser password '{good}' in role password_required");
    let mut remote = scene.remote("powa");
    scene.repository().batch_execute(&guarded).unwrap();
    remote.batch_execute(&guarded).unwrap();
    let registration =
        Registration { username: &role, password: Some(good), ..Registration::of(scene.remote_server()) };
    let server = scene.register_as(registration.clone());
    let other = Registration { hostname: "localhost", password: Some(bad), ..registration };
    let refused = scene.register_as(other);

    let dsn = format!("{} password={good}", scene.dsn(&role));
    let file = scene.config(json!({"debug": true, "repository": {"dsn": dsn}}));
    let mut command = program();
    command.arg("-c").arg(file).env("RUST_LOG", "trace");
    let collector = Collector::run(command);
    scene.wait_until_listening(&collector);
    scene.wait_for_snapshots(server, 1);
    let error = scene.wait_for_error(refused, "password authentication failed");
    assert!(!error.contains("s3cret"), "{error}");
    scene.ask("RELOAD", "");
    collector.stop();
    assert!(collector.said("TRACE").len() > 100, "it logs all there is");
    assert_eq!(collector.said("s3cret"), [""; 0]);
    remote.batch_execute(&format!("drop role {role}")).unwrap();
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
