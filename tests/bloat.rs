//! Bloated `*_src_tmp` tables: they are truncated if they are empty, and nobody is blocked.

use std::time::Duration;

use lab::{Act, Proxy, Registration};
use postgres::Client;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Scene, Stopwatch, delaying, log_of_server, tests, wait_until};

tests![
    #[hurried]
    a_table_that_has_bloated_is_emptied_beside_an_old_transaction,
    a_table_with_rows_of_somebody_is_left_alone,
    a_table_that_somebody_uses_is_emptied_later,
    a_table_that_may_not_be_emptied_is_said_once_with_the_cure,
    rows_that_row_security_hides_are_not_lost,
    loads_under_way_are_waited_for,
    #[hurried]
    without_a_bound_nothing_is_emptied,
    a_repository_that_freezes_meanwhile_holds_no_load_up,
    #[timed]
    a_stop_does_not_wait_for_it,
];

/// What is said of a table into which snapshots put few rows.
const EMPTIED: &str = "\"powa_databases_src_tmp\", which had bloated to 3 MB";

/// A bound of a megabyte, and as many seconds for a load: after these, the tables are looked at again.
fn bound(scene: &Scene, role: &str, seconds: u32) -> Value {
    json!({"repository": {"dsn": scene.dsn(role), "bloat": 1}, "timeouts": {"snapshot": seconds}})
}

fn size(scene: &Scene) -> i64 {
    scene.count("select pg_relation_size('powa_databases_src_tmp')")
}

fn a_table_that_has_bloated_is_emptied_beside_an_old_transaction(scene: &Scene) {
    let server = scene.register();
    let collector = scene.collector_with(bound(scene, "postgres", 20));
    scene.wait_for_snapshots(server, 1);
    let mut old = scene.bloat();
    collector.wait_for_log(EMPTIED);
    assert!(size(scene) < 1 << 20, "{}", size(scene));
    scene.wait_for_snapshots(server, scene.snapshots(server) + 2);
    assert_eq!(scene.errors(server), [""; 0]);
    old.batch_execute("select from powa_servers; commit").unwrap();
}

/// A row of nobody that the collector knows.
const KEPT: &str = "insert into powa_databases_src_tmp values (-7, 7, 'kept')";

fn kept(scene: &Scene) -> i64 {
    scene.count("select count(*) from powa_databases_src_tmp where srvid = -7")
}

fn a_table_with_rows_of_somebody_is_left_alone(scene: &Scene) {
    let role = reader(scene);
    let _old = scene.bloat();
    // The rows would be deleted first by a role that may.
    let sql = format!("{KEPT}; grant truncate on powa_databases_src_tmp to {role}");
    scene.repository().batch_execute(&sql).unwrap();
    let collector = scene.verbose_collector(bound(scene, &role, 4));
    let not_emptied = "3 MB, but is not emptied while it has left-over rows";
    wait_until("a second try", || collector.logged(not_emptied).len() > 1);
    assert_eq!(kept(scene), 1);
    let warnings = collector.logged("WARN");
    assert_eq!(warnings.iter().filter(|line| line.contains(not_emptied)).count(), 1, "{warnings:?}");
    let cure = warnings.iter().find_map(|line| Some(line.split_once("may not delete them; run: ")?.1)).unwrap();
    scene.repository().batch_execute(cure).unwrap();
    collector.wait_for_log(EMPTIED);
    assert_eq!((kept(scene), size(scene)), (0, 0));
}

/// A transaction that keeps the table from being emptied.
fn reader_of_the_table(scene: &Scene) -> Client {
    let mut client = scene.repository();
    client.batch_execute("begin; lock table powa_databases_src_tmp in access share mode").unwrap();
    client
}

fn a_table_that_somebody_uses_is_emptied_later(scene: &Scene) {
    let _old = scene.bloat();
    let mut reader = reader_of_the_table(scene);
    let collector = scene.collector_with(bound(scene, "postgres", 10));
    let line = collector.wait_for_log("could not be emptied");
    assert!(line.contains("WARN") && line.contains("another session holds a lock on it"), "{line}");
    assert!(size(scene) > 3 << 20, "{}", size(scene));
    reader.batch_execute("rollback").unwrap();
    collector.wait_for_log(EMPTIED);
    assert_eq!(size(scene), 0);
}

/// A role that may read all of PoWA.
pub(crate) fn reader(scene: &Scene) -> String {
    let role = scene.create_role("bloat", "");
    let mut repository = scene.repository();
    let schema: String = repository.query_one("select quote_ident(current_schema())", &[]).unwrap().get(0);
    let grants =
        format!("grant usage on schema {schema} to {role}; grant select on all tables in schema {schema} to {role}");
    repository.batch_execute(&grants).unwrap();
    role
}

fn a_table_that_may_not_be_emptied_is_said_once_with_the_cure(scene: &Scene) {
    let role = reader(scene);
    let _old = scene.bloat();
    let collector = scene.verbose_collector(bound(scene, &role, 2));
    wait_until("a third look", || collector.logged("this role may not empty it").len() > 2);
    let warnings = collector.logged("WARN");
    assert!(warnings.len() == 1 && warnings[0].contains("may not empty it"), "{warnings:?}");
    let (_, cure) = warnings[0].split_once("run: ").unwrap();
    scene.repository().batch_execute(cure).unwrap();
    collector.wait_for_log(EMPTIED);
    assert_eq!(size(scene), 0);
}

fn rows_that_row_security_hides_are_not_lost(scene: &Scene) {
    let role = reader(scene);
    let _old = scene.bloat();
    let hide = format!(
        "{KEPT}; alter table powa_databases_src_tmp enable row level security;
        grant truncate on powa_databases_src_tmp to {role}"
    );
    scene.repository().batch_execute(&hide).unwrap();
    let collector = scene.collector_with(bound(scene, &role, 4));
    collector.wait_for_log("row-level security");
    assert_eq!(kept(scene), 1);
}

fn loads_under_way_are_waited_for(scene: &Scene) {
    let _old = scene.bloat();
    let wait = "while exists (select from public.patience) loop perform pg_sleep(0.1); end loop;";
    scene.repository().batch_execute("create table public.patience as select 1 as one").unwrap();
    scene.repository().batch_execute(&delaying("powa_databases_snapshot", wait)).unwrap();
    scene.register_as(Registration { frequency: 3600, ..Registration::of(scene.remote_server()) });
    let mut config = bound(scene, "postgres", 60);
    config["repository"]["bloat"] = json!(0);
    let collector = scene.verbose_collector(config);
    let mut repository = scene.repository();
    let loading = "select count(*) from pg_stat_activity
        where datname = current_database() and wait_event = 'PgSleep' and state = 'active'";
    wait_until("a load to be under way", || repository.query_one(loading, &[]).unwrap().get::<_, i64>(0) == 1);
    scene.config(bound(scene, "postgres", 60));
    assert_eq!(scene.ask("RELOAD", ""), "RELOAD OK OK");
    collector.wait_for_log("as soon as no snapshot is being loaded");
    // Longer than a lock would be waited for.
    repository.batch_execute("select pg_sleep(3); delete from public.patience").unwrap();
    collector.wait_for_log(EMPTIED);
    assert_eq!(collector.logged("could not be emptied"), [""; 0]);
    collector.wait_for_log("snapshot taken");
}

fn without_a_bound_nothing_is_emptied(scene: &Scene) {
    let _old = scene.bloat();
    let server = scene.register();
    let mut config = bound(scene, "postgres", 20);
    config["repository"]["bloat"] = json!(0);
    let collector = scene.collector_with(config);
    scene.wait_for_snapshots(server, 2);
    assert!(size(scene) > 3 << 20, "{}", size(scene));
    scene.config(bound(scene, "postgres", 20));
    assert_eq!(scene.ask("RELOAD", ""), "RELOAD OK OK");
    collector.wait_for_log(EMPTIED);
}

fn a_repository_that_freezes_meanwhile_holds_no_load_up(scene: &Scene) {
    let [first, second] = [(); 2].map(|()| Proxy::to(scene.repository_server()).unwrap());
    let hosts = format!("{},{}", first.host(), second.host());
    let dsn = scene.dsn_at(&hosts, &format!("{},{}", first.port(), second.port()), "postgres");
    let config =
        |bound: u32| json!({"repository": {"dsn": dsn, "bloat": bound}, "timeouts": {"connect": 1, "snapshot": 120}});
    let _old = scene.bloat();
    let server = scene.register_as(Registration { frequency: 3600, ..Registration::of(scene.remote_server()) });
    let collector = scene.collector_with(config(0));
    // Nothing else is under way then.
    collector.wait_for_log("snapshot taken");
    // While all turns to load are taken, and the lock is had.
    first.when_server_says(b"LOCK TABLE", Act::Freeze);
    scene.config(config(1));
    collector.signal(Signal::HUP);
    wait_until("the repository to freeze", || first.has_sprung());
    let frozen = Stopwatch::start();
    collector.wait_for_log("listening for commands again");
    wait_until("a snapshot to be forced", || {
        scene.ask("FORCE_SNAPSHOT", &server.to_string()).starts_with("FORCE_SNAPSHOT OK")
    });
    scene.wait_for_snapshots(server, 2);
    assert!(frozen.elapsed() < Duration::from_secs(50), "{:?}", frozen.elapsed());
    collector.wait_for_log(EMPTIED);
}

fn a_stop_does_not_wait_for_it(scene: &Scene) {
    let _old = scene.bloat();
    let mut reader = reader_of_the_table(scene);
    let collector = scene.verbose_collector(bound(scene, "postgres", 10));
    let mut repository = scene.repository();
    let waiting = "select count(*) from pg_stat_activity where datname = current_database()
        and wait_event_type = 'Lock' and application_name = 'PoWA collector - upkeep'";
    wait_until("a lock to be waited for", || repository.query_one(waiting, &[]).unwrap().get::<_, i64>(0) == 1);
    collector.signal(Signal::TERM);
    let (status, took) = collector.wait();
    assert!(status.success() && took < Duration::from_secs(1), "{status}, {took:?}");
    scene.wait_until_nobody_is_left();
    let message = log_of_server(&scene.repository_server().log());
    let own = format!("PoWA collector - upkeep@{} ERROR:  canceling statement due to user request", scene.database);
    assert!(message.contains(&own), "it was not cancelled");
    reader.batch_execute("rollback").unwrap();
    assert!(size(scene) > 3 << 20, "{}", size(scene));
}

impl Scene<'_> {
    /// Has a table bloat to more than three megabytes of dead rows. Gives the transaction that keeps them from being
    /// vacuumed.
    pub(crate) fn bloat(&self) -> Client {
        let mut old = self.repository();
        old.batch_execute("begin isolation level repeatable read; select from powa_servers").unwrap();
        let rows = "insert into powa_databases_src_tmp select -1, n, 'gone' from generate_series(1, 34000) n";
        let mut repository = self.repository();
        repository.batch_execute(rows).unwrap();
        repository.batch_execute("delete from powa_databases_src_tmp where srvid = -1").unwrap();
        old
    }
}
