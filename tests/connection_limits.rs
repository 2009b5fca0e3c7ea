//! Servers that accept few sessions of the collector's role.

use lab::{Cluster, Registration};
use serde_json::json;

use crate::permissions::{Granted, granted};
use crate::support::check::{check_json, complaints, cures, server as checked};
use crate::support::{Scene, log_of_server, tests, wait_until};

tests![
    ;
    since 5:
    #[long] a_role_with_room_for_two_sessions_reads_all_databases_one_by_one,
    a_role_with_room_for_one_session_is_told_what_it_needs,
    a_check_leaves_the_sessions_to_a_collector_that_needs_them,
    a_check_reads_all_databases_too_and_advises,
];

/// Databases that the role visits, the one with PoWA included.
const DATABASES: i64 = 28;

/// What the error and the check advise: the one in the database with PoWA, four at work, and twenty that are kept.
const NEEDED: &str = "connection limit 25";

/// A server with as many databases, whose role may have few sessions.
fn crowded(scene: &Scene, limit: i32) -> (Cluster, String) {
    let Granted { remote, reader, .. } = granted(scene);
    let mut admin = remote.connect("postgres").unwrap();
    // Besides: "powa", "shop", "postgres" and "template1".
    for number in 4..DATABASES {
        admin.batch_execute(&format!("create database d{number} template template0")).unwrap();
    }
    set_limit(&remote, &reader, limit);
    // These are much to load, and read by the same sessions.
    scene.repository().batch_execute("delete from powa_catalogs").unwrap();
    (remote, reader)
}

fn set_limit(remote: &Cluster, reader: &str, limit: i32) {
    let sql = format!("alter role {reader} connection limit {limit}");
    remote.connect("postgres").unwrap().batch_execute(&sql).unwrap();
}

fn visited(scene: &Scene, server: i32) -> i64 {
    scene.count(&format!("select count(distinct dbid) from powa_all_tables_history_current where srvid = {server}"))
}

fn refusals(remote: &Cluster) -> usize {
    log_of_server(&remote.log()).lines().filter(|line| line.contains("FATAL:  too many connections for role")).count()
}

fn a_role_with_room_for_two_sessions_reads_all_databases_one_by_one(scene: &Scene) {
    for limit in [2, 5] {
        let scene = scene.another();
        let (remote, reader) = crowded(&scene, limit);
        let server = scene.register_as(Registration { username: &reader, ..Registration::of(&remote) });
        let collector = scene.collector();
        scene.wait_for_snapshots(server, 1);
        assert_eq!((visited(&scene, server), scene.errors(server)), (DATABASES, vec![]), "limit {limit}");
        // Refused sessions are errors in the server's log. What was found out by them is remembered.
        let before = refusals(&remote);
        assert!((1..15).contains(&before), "limit {limit}: {before} refusals");
        scene.wait_for_snapshots(server, 3);
        assert_eq!(scene.errors(server), [""; 0], "limit {limit}");
        let more = refusals(&remote) - before;
        assert!(more < 5, "limit {limit}: {more} refusals more");
        // A reload finds its way in, beside the sessions that are just about to leave.
        assert_eq!(scene.ask("RELOAD", ""), "RELOAD OK OK");
        scene.wait_for_snapshots(server, scene.snapshots(server) + 2);
        assert_eq!(scene.errors(server), [""; 0], "limit {limit}");
        assert_eq!(collector.logged("ERROR"), [""; 0], "limit {limit}");
    }
}

fn a_role_with_room_for_one_session_is_told_what_it_needs(scene: &Scene) {
    let (remote, reader) = crowded(scene, 1);
    let server = scene.register_as(Registration { username: &reader, ..Registration::of(&remote) });
    let _collector = scene.collector();
    let error = scene.wait_for_error(server, "SQLSTATE 53300");
    let (output, cure) = error.split_once("; the collector needs ").expect("it tells what is needed");
    assert!(
        output.contains("too many connections for role") && cure.starts_with("at least 2 sessions of this role"),
        "{error}"
    );
    // To the letter.
    let cure = cure.split_once(": ").unwrap().1;
    assert_eq!(cure, format!("alter role \"{reader}\" {NEEDED}"));
    // The database with PoWA is read meanwhile.
    scene.wait_for_snapshots(server, 1);
    assert_eq!(visited(scene, server), 1);
    scene.wait_for_status(server, "running");
    remote.connect("postgres").unwrap().batch_execute(cure).unwrap();
    wait_until("all databases to be visited", || visited(scene, server) == DATABASES);
    wait_until("no error to be left", || scene.errors(server).is_empty());
}

fn a_check_leaves_the_sessions_to_a_collector_that_needs_them(scene: &Scene) {
    let (remote, reader) = crowded(scene, 2);
    let server = scene.register_as(Registration { username: &reader, ..Registration::of(&remote) });
    let collector = scene.collector();
    scene.wait_for_snapshots(server, 1);
    let mut attempts = 0;
    let mut with_advice = 0;
    wait_until("five checks, one of them between two snapshots", || {
        let (code, output) = check_json(scene, json!({}), &[]);
        let found = checked(&output, server);
        attempts += 1;
        // The check is refused while the collector uses both sessions.
        if code == 0 {
            let advised: Vec<_> = complaints(found).iter().map(|complaint| complaint["said"].clone()).collect();
            assert_eq!(advised.len(), 1, "{found:#}");
            assert!(advised[0].as_str().unwrap().contains("only the one with PoWA was checked"), "{found:#}");
            assert_eq!(cures(found, "remote server"), [format!("alter role \"{reader}\" {NEEDED};")]);
            with_advice += 1;
        }
        attempts >= 5 && with_advice > 0
    });
    scene.wait_for_snapshots(server, scene.snapshots(server) + 2);
    let taken = collector.logged("snapshot taken");
    assert!(taken.iter().all(|line| line.ends_with("errors=0")), "{taken:?}");
}

fn a_check_reads_all_databases_too_and_advises(scene: &Scene) {
    let (remote, reader) = crowded(scene, 2);
    let server = scene.register_as(Registration { username: &reader, ..Registration::of(&remote) });
    let (code, output) = check_json(scene, json!({}), &[]);
    let found = checked(&output, server);
    assert_eq!((code, &found["databases"]), (0, &json!(DATABASES)), "{output:#}");
    assert_eq!((complaints(found).len(), &found["mark"]), (1, &json!("warning")), "{output:#}");
    let advised = cures(found, "remote server")[0].to_owned();
    assert_eq!(advised, format!("alter role \"{reader}\" {NEEDED};"));

    set_limit(&remote, &reader, 1);
    let (code, output) = check_json(scene, json!({}), &[]);
    let found = checked(&output, server);
    assert_eq!(code, 1, "{output:#}");
    assert!(cures(found, "remote server").iter().all(|cure| *cure == advised), "{output:#}");
    set_limit(&remote, &reader, 0);
    let (code, output) = check_json(scene, json!({}), &[]);
    assert_eq!(code, 1, "{output:#}");
    assert_eq!(
        cures(checked(&output, server), "remote server"),
        [format!("alter role \"{reader}\" connection limit 2;")]
    );

    remote.connect("postgres").unwrap().batch_execute(&advised).unwrap();
    let (code, output) = check_json(scene, json!({}), &[]);
    assert_eq!((code, complaints(checked(&output, server)).len()), (0, 0), "{output:#}");
}
