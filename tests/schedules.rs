//! Schedules and pauses: the commands set them, the collector applies them, and `status` shows them.

use std::path::PathBuf;
use std::time::Duration;

use lab::Registration;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Scene, delaying, operate, tests, wait_for, wait_until};

tests![
    a_schedule_takes_the_place_of_the_frequency_until_it_is_removed,
    #[hurried]
    a_paused_server_is_collected_only_on_request,
    before_its_start_a_server_is_left_alone,
    a_row_that_is_invalid_is_named_once_and_the_frequency_holds,
    a_table_that_cannot_be_read_is_named_and_the_frequencies_hold,
    #[of_any_powa]
    without_the_schema_everything_works_and_the_commands_name_the_cure,
    a_change_does_not_disturb_the_snapshot_in_progress,
    rows_of_removed_servers_are_deleted,
    a_role_that_may_not_is_told_which_grants_it_needs,
    #[of_any_powa]
    what_cannot_be_a_schedule_or_a_pause_is_refused,
];

/// Creates the collector's schema.
fn set_up(scene: &Scene) {
    let printed = operate(&config(scene), &["setup"]);
    assert_eq!(printed.code, 0, "{printed:?}");
}

/// The configuration of the collector, or one without any settings if none has been started.
fn config(scene: &Scene) -> PathBuf {
    let file = scene.directory().join("powa-collector.conf");
    if file.exists() { file } else { scene.config(json!({})) }
}

/// Runs `servers` with arguments, and returns what it has printed.
fn servers(scene: &Scene, arguments: &[&str]) -> String {
    let printed = operate(&config(scene), &[&["servers"], arguments].concat());
    assert_eq!(printed.code, 0, "{arguments:?}: {printed:?}");
    printed.text
}

/// The error of `servers` with arguments.
fn refused(scene: &Scene, code: i32, arguments: &[&str]) -> String {
    let printed = operate(&config(scene), &[&["servers"], arguments].concat());
    assert_eq!((printed.code, printed.text.as_str()), (code, ""), "{arguments:?}: {printed:?}");
    printed.errors
}

/// A server in a list of servers as JSON.
fn server_of(text: &str, server: i32) -> Value {
    let all: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    all["servers"].as_array().unwrap().iter().find(|found| found["id"] == server).unwrap().clone()
}

fn status(scene: &Scene, server: i32) -> Value {
    server_of(&operate(&config(scene), &["status", "--json"]).text, server)
}

fn listed(scene: &Scene, server: i32) -> Value {
    server_of(&servers(scene, &["list", "--json"]), server)
}

fn register_every(scene: &Scene, frequency: i32) -> i32 {
    scene.register_as(Registration { frequency, alias: Some("main"), ..Registration::of(scene.remote_server()) })
}

const RELOADED: &str = "the collector has reloaded\n";

fn a_schedule_takes_the_place_of_the_frequency_until_it_is_removed(scene: &Scene) {
    set_up(scene);
    scene.without_databases();
    let server = register_every(scene, 86_400);
    let collector = scene.collector();
    scene.wait_for_snapshots(server, 1);
    let text = servers(scene, &["schedule", "main", "*/6 * * * * *", "--time-zone", "Europe/Paris"]);
    assert!(text.contains(": */6 * * * * * in Europe/Paris\n") && text.ends_with(RELOADED), "{text}");
    assert_eq!(text.matches("\nnext 20").count(), 5, "{text}");
    scene.wait_for_snapshots(server, 3);
    // Each was due at a time of the schedule, and so is the next one.
    let state = wait_for("the next time", || Some(status(scene, server)).filter(|state| state["phase"] == "idle"));
    let next = state["next"].as_str().unwrap();
    assert!(next.ends_with(".000Z") && next[17..19].parse::<u32>().unwrap() % 6 == 0, "{state}");
    assert_eq!((&state["schedule"], &state["time_zone"]), (&json!("*/6 * * * * *"), &json!("Europe/Paris")));
    assert_eq!((&state["state"], &state["frequency"]), (&json!("running"), &json!(86_400)));
    let list = listed(scene, server);
    assert_eq!((&list["schedule"], &list["paused_until"]), (&json!("*/6 * * * * *"), &Value::Null));
    assert!(servers(scene, &["list"]).contains("*/6 * * * * *"));
    assert_eq!(collector.logged("server changed").len(), 1);

    let text = servers(scene, &["schedule", &server.to_string(), "--remove"]);
    assert!(text.contains("is removed: a snapshot every 86400 s\n") && text.ends_with(RELOADED), "{text}");
    assert_eq!(scene.count("select count(*) from powa_collector.schedules"), 0);
    let state = status(scene, server);
    assert_eq!(state["schedule"], Value::Null);
    assert!(servers(scene, &["schedule", "main"]).contains("has no schedule: a snapshot every 86400 s"));
    assert!(servers(scene, &["schedule", "main", "--remove"]).contains("has no schedule"));
}

fn a_paused_server_is_collected_only_on_request(scene: &Scene) {
    set_up(scene);
    scene.without_databases();
    let server = scene.register();
    let _collector = scene.collector();
    scene.wait_for_snapshots(server, 2);
    let text = servers(scene, &["pause", &server.to_string(), "--for", "2h"]);
    assert!(text.contains("is paused until 20") && text.ends_with(RELOADED), "{text}");
    let state =
        wait_for("the snapshot in progress", || Some(status(scene, server)).filter(|state| state["phase"] == "idle"));
    assert_eq!(state["state"], "paused");
    assert!(state["paused_until"].is_string() && state["next"] == state["paused_until"], "{state}");
    let before = scene.snapshots(server);
    // It would be collected every second.
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(scene.snapshots(server), before);
    let printed = operate(&config(scene), &["snapshot", &server.to_string(), "--wait"]);
    assert_eq!(printed.code, 0, "{printed:?}");
    assert_eq!(scene.snapshots(server), before + 1);
    assert_eq!(status(scene, server)["state"], "paused");
    assert!(listed(scene, server)["paused_until"].is_string());
    assert!(servers(scene, &["list"]).contains("5s (paused)"));

    let text = servers(scene, &["resume", &server.to_string()]);
    assert!(text.starts_with("the pause of server ") && text.ends_with(RELOADED), "{text}");
    scene.wait_for_snapshots(server, before + 3);
    assert_eq!(status(scene, server)["paused_until"], Value::Null);
    assert!(servers(scene, &["resume", &server.to_string()]).ends_with("is not paused\n"));
    assert_eq!(scene.count("select count(*) from powa_collector.schedules"), 0);
}

fn before_its_start_a_server_is_left_alone(scene: &Scene) {
    set_up(scene);
    scene.without_databases();
    // Nobody is there yet.
    let away =
        scene.register_as(Registration { port: 1, alias: Some("away"), ..Registration::of(scene.remote_server()) });
    let server = register_every(scene, 5);
    for name in ["away", "main"] {
        let text = servers(scene, &["schedule", name, "*/5 * * * * *", "--start", "2100-05-07T18:00"]);
        assert!(text.contains("starts at 2100-05-07T18:00:00Z\nnext 2100-05-07T18:00:00Z\n"), "{text}");
    }
    let (collector, watcher) = scene.watched();
    let state = wait_for("the next time", || Some(status(scene, server)).filter(|state| state["next"].is_string()));
    assert_eq!((&state["state"], &state["next"]), (&json!("paused"), &json!("2100-05-07T18:00:00.000Z")));
    watcher.wait_for_metric("powa_collector_state_servers{state=\"paused\"}", |number| number == 2.0);
    assert_eq!(watcher.metric("powa_collector_overdue_servers"), Some(0.0));
    assert_eq!((scene.snapshots(server), collector.logged("ERROR")), (0, vec![]));

    servers(scene, &["schedule", "main", "*/5 * * * * *"]);
    scene.wait_for_snapshots(server, 2);
    let metrics = watcher.get("/metrics").text;
    let of_server = |what: &str| {
        let line = metrics.lines().find(|line| line.contains(what) && line.contains(&format!("id=\"{server}\"")));
        line.and_then(|line| line.rsplit_once(' ')).map(|(_, value)| value.to_owned())
    };
    assert_eq!(of_server("powa_collector_server_paused{").as_deref(), Some("0"));
    assert_eq!(of_server("powa_collector_server_overdue{").as_deref(), Some("0"));
    assert_eq!(of_server("powa_collector_server_frequency_seconds{"), None);
    assert_eq!(status(scene, away)["state"], "paused");
}

fn a_row_that_is_invalid_is_named_once_and_the_frequency_holds(scene: &Scene) {
    set_up(scene);
    scene.without_databases();
    let server = scene.register();
    let insert = "insert into powa_collector.schedules (srvid, cron, time_zone) values ($1, 'every day', 'UTC')";
    scene.repository().execute(insert, &[&server]).unwrap();
    let collector = scene.collector();
    scene.wait_for_snapshots(server, 2);
    let reason =
        format!("powa_collector.schedules row with srvid {server}: invalid cron: \"every day\": a schedule has");
    let warning = collector.wait_for_log(&reason);
    assert!(warning.contains("the server is collected by its frequency"), "{warning}");
    let state = status(scene, server);
    assert!(state["invalid_schedule"].as_str().unwrap().starts_with(&reason), "{state}");
    assert_eq!((&state["state"], &state["schedule"]), (&json!("running"), &Value::Null));
    assert!(operate(&config(scene), &["status"]).text.contains(&reason));
    collector.signal(Signal::HUP);
    collector.wait_for_log(" reloaded");
    assert_eq!(collector.logged(&reason).len(), 1);

    // Whatever else somebody makes of the row.
    let update = "update powa_collector.schedules set cron = null, time_zone = null, start_at = '-infinity'";
    scene.repository().execute(update, &[]).unwrap();
    collector.signal(Signal::HUP);
    collector.wait_for_log("invalid start_at: the time is before 1970; the column has no effect");
    let alter = "alter table powa_collector.schedules drop constraint schedules_check,
        alter column cron type integer using 7";
    scene.repository().batch_execute(alter).unwrap();
    collector.signal(Signal::HUP);
    collector.wait_for_log("invalid cron: \"7\": a schedule has");
    let before = scene.snapshots(server);
    scene.wait_for_snapshots(server, before + 1);
}

fn a_table_that_cannot_be_read_is_named_and_the_frequencies_hold(scene: &Scene) {
    set_up(scene);
    scene.without_databases();
    scene.repository().batch_execute("alter table powa_collector.schedules rename cron to crown").unwrap();
    let server = scene.register();
    let collector = scene.collector();
    collector.wait_for_log("schedules and pauses have no effect: the table powa_collector.schedules cannot be read");
    scene.wait_for_snapshots(server, 2);
    scene.repository().batch_execute("alter table powa_collector.schedules rename crown to cron").unwrap();
    servers(scene, &["pause", &server.to_string(), "--for", "1h"]);
    assert_eq!(status(scene, server)["state"], "paused");
}

fn without_the_schema_everything_works_and_the_commands_name_the_cure(scene: &Scene) {
    let server = scene.register();
    let collector = scene.collector();
    scene.wait_for_snapshots(server, 1);
    let id = server.to_string();
    for arguments in [
        &["schedule", &id, "*/5 * * * *"][..],
        &["schedule", &id, "--remove"],
        &["schedule", &id],
        &["pause", &id, "--for", "1h"],
        &["resume", &id],
    ] {
        let error = refused(scene, 1, arguments);
        assert!(error.contains("has no schema powa_collector; run \"powa-collector setup\""), "{error}");
    }
    assert_eq!(status(scene, server)["schedule"], Value::Null);
    assert_eq!(collector.logged("WARN"), [""; 0]);
}

fn a_change_does_not_disturb_the_snapshot_in_progress(scene: &Scene) {
    set_up(scene);
    scene.without_databases();
    scene.repository().batch_execute(&delaying("powa_take_snapshot", "perform pg_sleep(4);")).unwrap();
    let server = register_every(scene, 3600);
    let collector = scene.collector();
    let loading = "select count(*) from pg_stat_activity where datname = current_database()
        and application_name like '%repo_conn%' and wait_event = 'PgSleep'";
    wait_until("it to be loaded", || scene.count(loading) > 0);
    servers(scene, &["schedule", "main", "0 3 * * *"]);
    servers(scene, &["pause", "main", "--until", "2100-05-07T18:00"]);
    collector.wait_for_log("snapshot taken");
    assert_eq!((scene.snapshots(server), collector.logged("ERROR")), (1, vec![]));
    let state = wait_for("the next time", || Some(status(scene, server)).filter(|state| state["phase"] == "idle"));
    assert_eq!(state["next"], "2100-05-08T03:00:00.000Z");
}

fn rows_of_removed_servers_are_deleted(scene: &Scene) {
    set_up(scene);
    let server = scene.register();
    let insert =
        "insert into powa_collector.schedules (srvid, paused_until) values ($1, '2100-01-01'), (999, '2100-01-01')";
    scene.repository().execute(insert, &[&server]).unwrap();
    let collector = scene.collector();
    collector.wait_for_log("deleted 1 rows of removed servers");
    assert_eq!(scene.count("select srvid::bigint from powa_collector.schedules"), i64::from(server));
}

fn a_role_that_may_not_is_told_which_grants_it_needs(scene: &Scene) {
    set_up(scene);
    let server = scene.register().to_string();
    let role = scene.create_role("scheduler", "");
    let mut repository = scene.repository();
    let grants: String = repository
        .query_one(
            "select format('grant usage on schema %s to %I; grant select on powa_servers to %2$I', n.nspname, $1::text)
            from pg_extension e join pg_namespace n on n.oid = e.extnamespace where e.extname = 'powa'",
            &[&role],
        )
        .unwrap()
        .get(0);
    repository.batch_execute(&grants).unwrap();
    let as_role = || scene.config(json!({"repository": {"dsn": scene.dsn(&role)}}));
    let pause = || operate(&as_role(), &["servers", "pause", &server, "--for", "1h"]);
    let refused = pause();
    assert!(
        refused.errors.contains("nothing was changed: the role may not change schedules and pauses"),
        "{refused:?}"
    );
    for grant in refused.errors.lines().filter_map(|line| line.strip_prefix("  grant ")) {
        assert_eq!(pause().code, 1, "{grant}");
        repository.batch_execute(&format!("grant {grant}")).unwrap();
    }
    let done = pause();
    assert_eq!(done.code, 0, "{done:?}");
    let by: String = repository.query_one("select changed_by from powa_collector.schedules", &[]).unwrap().get(0);
    assert_eq!(by, role);
}

fn what_cannot_be_a_schedule_or_a_pause_is_refused(scene: &Scene) {
    set_up(scene);
    let server = scene.register().to_string();
    for (arguments, code, reason) in [
        (&["schedule", &server, "0 0 30 2 *"][..], 2, "the schedule never runs"),
        (&["schedule", &server, "* * * *"], 2, "got 4"),
        (&["schedule", &server, "*/2 * * * * *"], 2, "the least is 5 s"),
        (&["schedule", &server, "0 0 * * *", "--time-zone", "Europe/Pariss"], 2, "did you mean \"Europe/Paris\"?"),
        (&["schedule", &server, "0 0 * * *", "--start", "soon"], 1, "a time must be like 2026-05-07T18:00"),
        (&["schedule", &server, "--start", "2100-01-01T00:00"], 2, "required"),
        (&["schedule", &server, "--time-zone", "UTC"], 2, "required"),
        (&["schedule", "nobody", "0 0 * * *"], 1, "no server \"nobody\""),
        (&["pause", &server], 2, "required"),
        (&["pause", &server, "--for", "2"], 2, "a pause must be a duration"),
        (&["pause", &server, "--until", "2020-01-01T00:00"], 1, "the end of the pause is in the past"),
    ] {
        let error = refused(scene, code, arguments);
        assert!(error.contains(reason), "{arguments:?}: {error}");
    }
    assert_eq!(scene.count("select count(*) from powa_collector.schedules"), 0);
}
