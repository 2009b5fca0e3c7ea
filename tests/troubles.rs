//! Problems that prevent a snapshot, and the reaction of the collector: each is logged, and none too often.

use std::time::Duration;

use lab::{Cluster, Registration};

use serde_json::json;

use crate::support::{Marked, Scene, log_of_server, raising, replacing, tests, wait_until};

tests![
    a_server_without_its_row_is_asked_about_rarely,
    a_role_that_may_not_connect_is_tried_rarely_and_shown,
    a_datasource_that_ends_its_own_session_is_not_repeated_before_the_next_snapshot,
    a_load_that_failed_is_tried_again_with_what_was_collected,
    #[hurried] a_worker_that_is_always_late_takes_up_changes;
    since 5:
    #[hurried] a_refresh_asked_for_during_a_snapshot_is_for_the_next_one,
];

/// Every hour, and at once.
fn hourly<'a>(registration: Registration<'a>) -> Registration<'a> {
    Registration { frequency: 3600, ..registration }
}

fn a_server_without_its_row_is_asked_about_rarely(scene: &Scene) {
    let server = scene.register();
    scene.repository().execute("delete from powa_snapshot_metas where srvid = $1", &[&server]).unwrap();
    let collector = scene.verbose_collector(json!({}));
    collector.wait_for_log("register it with powa_register_server()");
    let transactions =
        || scene.count("select xact_commit + xact_rollback from pg_stat_database where datname = current_database()");
    let before = transactions();
    std::thread::sleep(Duration::from_secs(5));
    let made = transactions() - before;
    assert!(made < 100, "{made} transactions in 5 s");
    assert_eq!(collector.logged("register it with").len(), 1);
    scene.repository().execute("insert into powa_snapshot_metas (srvid) values ($1)", &[&server]).unwrap();
    scene.wait_for_snapshots(server, 1);
}

fn a_role_that_may_not_connect_is_tried_rarely_and_shown(scene: &Scene) {
    // Not every collector of other tests may connect to it either, and the log does not tell whose try it was.
    let remote = Cluster::start(scene.generation(), "outside").unwrap();
    remote.create_powa_database("powa").unwrap();
    let mut client = remote.connect("powa").unwrap();
    client.batch_execute("create role outside login; revoke connect on database powa from public").unwrap();
    let server = scene.register_as(Registration { username: "outside", ..Registration::of(&remote) });
    let _collector = scene.verbose_collector(json!({}));
    scene.wait_for_status(server, "no connection to remote server");
    scene.wait_for_error(server, "permission denied for database");
    std::thread::sleep(Duration::from_secs(5));
    let log = log_of_server(&remote.log());
    let tries = log.lines().filter(|line| line.contains("permission denied for database")).count();
    assert!((1..15).contains(&tries), "{tries} tries in some 5 s");
    client.batch_execute("grant connect on database powa to public").unwrap();
    scene.wait_for_status(server, "running");
}

fn a_datasource_that_ends_its_own_session_is_not_repeated_before_the_next_snapshot(scene: &Scene) {
    let remote = scene.own_remote();
    let mark = format!("ended in \"{}\"", remote.name);
    let ending = format!("raise log ''{mark}''; perform pg_terminate_backend(pg_backend_pid());");
    remote.connect().batch_execute(&replacing("powa_statements_src", &ending)).unwrap();
    let server = scene.register_as(hourly(remote.registration()));
    let collector = scene.verbose_collector(json!({}));
    let error = scene.wait_for_error(server, "terminating connection due to administrator command");
    assert!(error.contains("powa_statements_src"), "{error}");
    std::thread::sleep(Duration::from_secs(5));
    let log = log_of_server(&scene.remote_server().log());
    assert_eq!(log.lines().filter(|line| line.contains(&mark) && line.contains("LOG:")).count(), 1);
    assert_eq!(collector.logged("ERROR").len(), 1);
}

fn a_load_that_failed_is_tried_again_with_what_was_collected(scene: &Scene) {
    let remote = scene.own_remote();
    let databases = Marked::databases_of(&remote, "");
    let server = scene.register_as(hourly(remote.registration()));
    let mut locking = scene.repository();
    let mut lock = locking.transaction().unwrap();
    lock.execute("select from powa_snapshot_metas where srvid = $1 for update", &[&server]).unwrap();
    let collector = scene.verbose_collector(json!({}));
    collector.wait_for_log("waits to be loaded");
    lock.rollback().unwrap();
    scene.wait_for_snapshots(server, 1);
    assert_eq!(scene.count("select count(*) from powa_databases where srvid > 0 and datname = 'kept'"), 1);
    assert_eq!(databases.times(), 1);
}

fn a_worker_that_is_always_late_takes_up_changes(scene: &Scene) {
    let remote = scene.own_remote();
    remote.connect().batch_execute(&replacing("powa_databases_src", "perform pg_sleep(2);")).unwrap();
    let server = scene.register_as(remote.registration());
    let collector = scene.verbose_collector(json!({}));
    collector.wait_for_log("snapshots are skipped");
    scene.wait_for_snapshots(server, 1);
    scene.repository().execute("update powa_servers set frequency = 3600 where id = $1", &[&server]).unwrap();
    assert_eq!(scene.ask("RELOAD", ""), "RELOAD OK OK");
    // The one that is under way may finish; going on as before would be three.
    let before = scene.snapshots(server);
    std::thread::sleep(Duration::from_secs(9));
    assert!(scene.snapshots(server) <= before + 1);
}

fn a_refresh_asked_for_during_a_snapshot_is_for_the_next_one(scene: &Scene) {
    let remote = scene.own_remote();
    remote.connect().batch_execute(&replacing("powa_databases_src", "perform pg_sleep(4);")).unwrap();
    // What is refreshed is there already.
    remote.connect().batch_execute(&raising("powa_statements_src", "no statements")).unwrap();
    // None is taken that the test has not asked for.
    let server = scene.register_as(hourly(remote.registration()));
    let _collector = scene.verbose_collector(json!({}));
    scene.wait_for_snapshots(server, 1);
    let id = server.to_string();
    let force = || {
        wait_until("a snapshot to be forced", || {
            std::thread::sleep(Duration::from_millis(500));
            scene.ask("FORCE_SNAPSHOT", &id).starts_with("FORCE_SNAPSHOT OK")
        });
    };
    let mut sleeping = remote.connect();
    let in_progress = "select count(*) from pg_stat_activity
        where datname = current_database() and wait_event = 'PgSleep' and state = 'active'";
    let times = "select count(distinct last_refresh) from powa_catalog_databases where datname in ('my app', 'shop')";
    assert_eq!(scene.count(times), 1);
    scene.ask("REFRESH_DB_CAT", &format!("{id} 0"));
    force();
    wait_until("a snapshot to be under way", || sleeping.query_one(in_progress, &[]).unwrap().get::<_, i64>(0) > 0);
    scene.ask("REFRESH_DB_CAT", &format!("{id} 1 shop"));
    force();
    wait_until("both to be refreshed, and then one again", || scene.count(times) == 2);
}
