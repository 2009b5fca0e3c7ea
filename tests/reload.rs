//! Servers that come, go and change, and a configuration that does.

use lab::Registration;
use rustix::process::Signal;
use serde_json::json;

use crate::support::{Scene, tests, wait_until};

tests![
    reload_starts_what_is_new_and_stops_what_has_gone,
    sighup_does_what_reload_does,
    a_new_server_is_found_without_a_reload,
    a_lower_frequency_takes_effect_at_once,
    a_server_that_moved_is_followed,
    sighup_with_a_broken_file_is_survived,
    a_changed_configuration_is_taken_up,
    a_repository_that_moved_is_followed,
    a_row_that_makes_no_sense_is_named_and_the_others_go_on,
];

fn reload_starts_what_is_new_and_stops_what_has_gone(scene: &Scene) {
    let collector = scene.collector();
    let server = scene.register();
    assert_eq!(scene.ask("RELOAD", ""), "RELOAD OK OK");
    scene.wait_for_snapshots(server, 1);

    scene.repository().execute("select powa_deactivate_server($1)", &[&server]).unwrap();
    assert_eq!(scene.ask("RELOAD", ""), "RELOAD OK OK");
    wait_until("the worker to be gone", || scene.ask("WORKERS_STATUS", "") == "WORKERS_STATUS OK {}");
    assert_eq!(worker_sessions(scene), 0);
    let after = scene.snapshots(server);
    collector.wait_to_say("server removed");

    scene.repository().execute("update powa_servers set frequency = 5 where id = $1", &[&server]).unwrap();
    assert_eq!(scene.ask("RELOAD", ""), "RELOAD OK OK");
    scene.wait_for_snapshots(server, after + 1);
}

fn worker_sessions(scene: &Scene) -> i64 {
    let name = format!("PoWA collector - worker {}", own_alias(scene));
    let sql = "select count(*) from pg_stat_activity where application_name = $1";
    scene.remote("powa").query_one(sql, &[&name]).unwrap().get(0)
}

/// The remote server is shared: an alias tells this test's sessions from those of others.
fn own_alias(scene: &Scene) -> String {
    format!("server of {}", scene.database)
}

fn sighup_does_what_reload_does(scene: &Scene) {
    let collector = scene.collector();
    let server = scene.register();
    collector.signal(Signal::HUP);
    scene.wait_for_snapshots(server, 1);
    assert!(collector.is_running());
}

fn a_new_server_is_found_without_a_reload(scene: &Scene) {
    let _collector = scene.collector();
    let server = scene.register();
    // Within a minute, which is more than a test waits for otherwise.
    std::thread::sleep(std::time::Duration::from_secs(30));
    scene.wait_for_snapshots(server, 1);
}

fn a_lower_frequency_takes_effect_at_once(scene: &Scene) {
    let server = scene.register_as(Registration { frequency: 86_400, ..Registration::of(scene.remote_server()) });
    let collector = scene.collector();
    scene.wait_for_snapshots(server, 1);
    scene.repository().execute("update powa_servers set frequency = 5 where id = $1", &[&server]).unwrap();
    collector.signal(Signal::HUP);
    scene.wait_for_snapshots(server, 3);
}

fn a_server_that_moved_is_followed(scene: &Scene) {
    let away = Registration { port: 1, ..Registration::of(scene.remote_server()) };
    let server = scene.register_as(away);
    let collector = scene.collector();
    scene.wait_for_status(server, "no connection to remote server");
    let error = scene.wait_for_error(server, "could not connect to 127.0.0.1:1");
    assert!(error.contains("remote server") && error.contains("refused"), "{error}");
    let port = i32::from(scene.remote_server().port());
    scene.repository().execute("update powa_servers set port = $1 where id = $2", &[&port, &server]).unwrap();
    collector.signal(Signal::HUP);
    scene.wait_for_snapshots(server, 1);
    scene.wait_for_status(server, "running");
    assert_eq!(scene.errors(server), [""; 0]);
}

fn sighup_with_a_broken_file_is_survived(scene: &Scene) {
    let server = scene.register();
    let collector = scene.collector();
    scene.config_file(r#"{"repository": {"dsn": 5}}"#);
    collector.signal(Signal::HUP);
    collector.wait_to_say("what was there before stays");
    scene.wait_for_snapshots(server, 2);
}

fn a_changed_configuration_is_taken_up(scene: &Scene) {
    let alias = own_alias(scene);
    let registration = Registration { alias: Some(&alias), ..Registration::of(scene.remote_server()) };
    let server = scene.register_as(registration);
    let collector = scene.collector();
    scene.wait_for_snapshots(server, 1);
    assert_eq!(worker_sessions(scene), 0, "it is called by its address");
    scene.config(json!({"use_server_alias": true, "debug": true, "timeouts": {"connect": 5}}));
    assert_eq!(scene.ask("RELOAD", ""), "RELOAD OK OK");
    wait_until("the worker to be called by its alias", || worker_sessions(scene) > 0);
    collector.wait_to_say("DEBUG");
    // Other time-outs mean another command channel; the new one answers too.
    assert_eq!(scene.ask("RELOAD", ""), "RELOAD OK OK");
    let before = scene.snapshots(server);
    scene.wait_for_snapshots(server, before + 1);
}

fn a_repository_that_moved_is_followed(scene: &Scene) {
    let server = scene.register();
    let collector = scene.collector();
    scene.wait_for_snapshots(server, 1);
    let other = scene.another();
    let there = other.register();
    scene.config(json!({"repository": {"dsn": other.dsn("postgres")}}));
    assert_eq!(scene.ask("RELOAD", ""), "RELOAD OK OK");
    other.wait_for_snapshots(there, 1);
    assert_eq!(other.ask("WORKERS_STATUS", ""), format!("WORKERS_STATUS OK {{\"{there}\": \"running\"}}"));
    let mut repository = scene.repository();
    wait_until("the old repository to be left", || scene.sessions_of(&mut repository, "%") == 0);
    assert!(collector.is_running());
}

fn a_row_that_makes_no_sense_is_named_and_the_others_go_on(scene: &Scene) {
    let server = scene.register();
    let nonsense = scene.register_as(Registration { hostname: "", ..Registration::of(scene.remote_server()) });
    let collector = scene.collector();
    scene.wait_for_snapshots(server, 1);
    let line = collector.wait_to_say("the row is ignored");
    assert!(line.contains(&format!("id {nonsense}: hostname is empty")), "{line}");
}
