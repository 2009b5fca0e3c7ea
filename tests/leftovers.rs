//! Left-over rows in the `*_src_tmp` tables: they are deleted, or reported with a cure, and block no other server.

use lab::Registration;
use serde_json::{Value, json};

use crate::bloat::reader;
use crate::support::check::{check_json, complaints, cures};
use crate::support::{Scene, delaying, raising, tests, wait_until};

tests![
    rows_of_idle_servers_and_of_those_that_are_gone_are_deleted,
    check_names_what_a_failed_function_left_behind_with_its_cure,
    check_tells_of_a_table_that_may_not_be_read,
    a_load_under_way_keeps_its_rows_and_does_not_wait,
    rows_that_another_session_has_in_hand_are_left_to_it,
    a_grant_that_is_missing_is_said_once_with_the_cure,
];

/// No server has this id.
const GONE: i32 = 4711;

/// In tables that each generation has: one of PoWA, and one of another extension, besides the one with so many rows.
fn leave_behind(scene: &Scene, server: i32, rows: i32) {
    let sql = format!(
        "insert into powa_databases_src_tmp select {server}, n, 'left over' from generate_series(1, {rows}) n;
        insert into powa_user_functions_src_tmp values ({server}, now(), 1, 1, 1, 1, 1);
        insert into pg_track_settings_reboot_src_tmp values ({server}, now(), now())"
    );
    scene.repository().batch_execute(&sql).unwrap();
}

fn left_of(scene: &Scene, server: i32) -> i64 {
    scene.count(&format!(
        "select count(*) from (
            select srvid from powa_databases_src_tmp union all
            select srvid from powa_user_functions_src_tmp union all
            select srvid from pg_track_settings_reboot_src_tmp) left_over
        where srvid = {server}"
    ))
}

/// Nothing is emptied, and after so many seconds the tables are looked at again.
fn every(seconds: u32) -> Value {
    json!({"repository": {"bloat": 0}, "timeouts": {"snapshot": seconds}})
}

fn configured(scene: &Scene, role: &str, seconds: u32) -> Value {
    let mut config = every(seconds);
    config["repository"]["dsn"] = scene.dsn(role).into();
    config
}

fn rows_of_idle_servers_and_of_those_that_are_gone_are_deleted(scene: &Scene) {
    let idle = Registration { alias: Some("idle"), frequency: -1, ..Registration::of(scene.remote_server()) };
    let idle = scene.register_as(idle);
    leave_behind(scene, idle, 3);
    // More than are deleted at once.
    leave_behind(scene, GONE, 25_000);
    let collector = scene.collector_with(configured(scene, "postgres", 600));
    let whose = [
        (idle, format!("deleted 3 left-over rows of server {idle} (idle) from ")),
        (GONE, format!("deleted 25000 left-over rows of server {GONE} (not registered) from ")),
    ];
    for (server, deleted) in whose {
        let line = collector.wait_for_log(&deleted);
        assert!(line.contains("INFO") && line.ends_with("\"powa_databases_src_tmp\""), "{line}");
        wait_until("the others to be deleted", || left_of(scene, server) == 0);
    }
    assert_eq!(collector.logged("WARN"), [""; 0]);
}

fn of_leftovers(repository: &Value) -> Vec<&Value> {
    complaints(repository).into_iter().filter(|finding| finding["what"] == "left-over rows").collect()
}

fn check_names_what_a_failed_function_left_behind_with_its_cure(scene: &Scene) {
    scene.without_databases();
    let hourly = Registration { frequency: 3600, ..Registration::of(scene.remote_server()) };
    let server = scene.register_as(hourly);
    scene.repository().batch_execute(&raising("powa_databases_snapshot", "not today")).unwrap();
    // As a program does it that does not look at what has failed.
    leave_behind(scene, server, 3);
    scene.repository().query_one("select powa_take_snapshot($1)", &[&server]).unwrap();
    let databases = scene.count(&format!("select count(*) from powa_databases_src_tmp where srvid = {server}"));
    assert_eq!(databases, 3);
    leave_behind(scene, GONE, 2);
    let (_, output) = check_json(scene, json!({}), &[]);
    let repository = &output["repository"];
    let found = of_leftovers(repository);
    let tables: Vec<_> = found.iter().map(|one| one["about"].as_str().unwrap().rsplit('.').next().unwrap()).collect();
    let expected =
        ["\"powa_databases_src_tmp\"", "\"powa_user_functions_src_tmp\"", "\"pg_track_settings_reboot_src_tmp\""];
    assert!(expected.iter().all(|table| tables.contains(table)), "{repository:#}");
    let of_databases = found.iter().find(|one| one["cures"][0]["text"].as_str().unwrap().contains("databases_src_tmp"));
    let message = of_databases.unwrap()["said"].as_str().unwrap();
    let remote = scene.remote_server();
    let own = format!("{databases} of server {server} ({}:{})", remote.host(), remote.port());
    assert!(message.contains(&format!("{own}, 2 of server {GONE} (not registered)")), "{message}");
    for cure in cures(repository, "repository") {
        scene.repository().batch_execute(cure).unwrap_or_else(|error| panic!("{cure}: {error}"));
    }
    assert_eq!(left_of(scene, server) + left_of(scene, GONE), 0);
    let (_, output) = check_json(scene, json!({}), &[]);
    assert_eq!(of_leftovers(&output["repository"]), [&Value::Null; 0], "{output:#}");
}

fn check_tells_of_a_table_that_may_not_be_read(scene: &Scene) {
    let role = reader(scene);
    leave_behind(scene, GONE, 1);
    scene.repository().batch_execute(&format!("revoke select on powa_databases_src_tmp from {role}")).unwrap();
    let about = |output: &Value| {
        let findings = output["repository"]["findings"].as_array().unwrap().iter();
        let of_it = findings.filter(|finding| {
            finding["what"] == "left-over rows" && finding["about"].as_str().is_some_and(|on| on.contains("databases"))
        });
        of_it.cloned().collect::<Vec<_>>()
    };
    let (_, output) = check_json(scene, json!({"repository": {"dsn": scene.dsn(&role)}}), &[]);
    let [found] = &about(&output)[..] else { panic!("{output:#}") };
    assert_eq!((&found["mark"], &found["said"]), (&json!("not tried"), &json!("the role may not read it")));
    scene.repository().batch_execute(found["cures"][0]["text"].as_str().unwrap()).unwrap();
    let (_, output) = check_json(scene, json!({"repository": {"dsn": scene.dsn(&role)}}), &[]);
    assert_eq!(about(&output)[0]["mark"], "warning", "{output:#}");
}

fn a_load_under_way_keeps_its_rows_and_does_not_wait(scene: &Scene) {
    let wait = "while exists (select from public.patience) loop perform pg_sleep(0.1); end loop;";
    scene.repository().batch_execute("create table public.patience as select 1 as one").unwrap();
    scene.repository().batch_execute(&delaying("powa_databases_snapshot", wait)).unwrap();
    let hourly = Registration { frequency: 3600, ..Registration::of(scene.remote_server()) };
    let server = scene.register_as(hourly);
    let collector = scene.collector_with(configured(scene, "postgres", 60));
    let mut repository = scene.repository();
    let loading = "select count(*) from pg_stat_activity
        where datname = current_database() and wait_event = 'PgSleep' and state = 'active'";
    wait_until("a load to be under way", || repository.query_one(loading, &[]).unwrap().get::<_, i64>(0) == 1);
    leave_behind(scene, GONE, 2);
    // With another configuration, the tables are looked at anew.
    scene.config(configured(scene, "postgres", 61));
    assert_eq!(scene.ask("RELOAD", ""), "RELOAD OK OK");
    collector.wait_for_log("deleted 2 left-over rows");
    wait_until("the others to be deleted", || left_of(scene, GONE) == 0);
    assert_eq!(repository.query_one(loading, &[]).unwrap().get::<_, i64>(0), 1, "the load is over");
    repository.batch_execute("delete from public.patience").unwrap();
    collector.wait_for_log("snapshot taken");
    assert_eq!(scene.errors(server), [""; 0]);
    assert!(scene.count(&format!("select count(*) from powa_databases where srvid = {server}")) > 0);
    assert_eq!(collector.logged(&format!("rows of server {server}")), [""; 0]);
}

fn rows_that_another_session_has_in_hand_are_left_to_it(scene: &Scene) {
    leave_behind(scene, GONE, 2);
    let mut other = scene.repository();
    other.batch_execute("begin; delete from powa_databases_src_tmp").unwrap();
    let collector = scene.verbose_collector(configured(scene, "postgres", 2));
    collector.wait_for_log("that another session has locked");
    wait_until("the others to be deleted", || left_of(scene, GONE) == 2);
    other.batch_execute("rollback").unwrap();
    collector.wait_for_log("deleted 2 left-over rows");
    assert_eq!(left_of(scene, GONE), 0);
    assert_eq!(collector.logged("WARN"), [""; 0]);
}

fn a_grant_that_is_missing_is_said_once_with_the_cure(scene: &Scene) {
    let role = reader(scene);
    let sql = format!(
        "insert into powa_databases_src_tmp values ({GONE}, 1, 'left over');
        insert into powa_user_functions_src_tmp values ({GONE}, now(), 1, 1, 1, 1, 1);
        revoke select on powa_user_functions_src_tmp from {role}"
    );
    scene.repository().batch_execute(&sql).unwrap();
    let collector = scene.verbose_collector(configured(scene, &role, 2));
    for what in ["this role may not delete them", "this role may not read it"] {
        wait_until("a third look", || collector.logged(what).len() > 2);
    }
    let warnings = collector.logged("WARN");
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    for warning in warnings {
        let (_, cure) = warning.split_once("run: ").unwrap();
        scene.repository().batch_execute(cure).unwrap();
    }
    wait_until("all to be deleted", || left_of(scene, GONE) == 0);
}
