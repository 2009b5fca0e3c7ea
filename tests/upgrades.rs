//! If the repository's tables change while a snapshot waits, it is loaded into the new ones.

use lab::Registration;
use postgres::Client;

use crate::support::{Scene, tests, wait_until};

tests![
    an_upgraded_repository_takes_what_was_collected_before,
    new_and_renamed_columns_are_no_obstacle,
    a_column_that_is_gone_costs_its_datasource_only,
];

/// A version of PoWA from which there is a way to the one that is installed.
fn earlier(scene: &Scene) -> &'static str {
    match scene.generation().powa_version().rsplit_once('.').unwrap().0 {
        "4.1" => "4.1.0",
        "5.0" => "5.0.0",
        // Before a column was renamed, and others were added.
        _ => "5.1.0",
    }
}

fn install(client: &mut Client, version: &str) {
    client.batch_execute("drop extension powa cascade").unwrap();
    client.batch_execute(&format!("create extension powa version '{version}'")).unwrap();
}

/// Takes a snapshot that waits to be loaded while something changes, and is loaded then.
fn load_after(scene: &Scene, registration: Registration, change: &str) -> i32 {
    let server = scene.register_as(Registration { frequency: 3600, ..registration });
    let mut locking = scene.repository();
    let mut lock = locking.transaction().unwrap();
    lock.query("select from powa_snapshot_metas where srvid = $1 for update", &[&server]).unwrap();
    let collector = scene.collector();
    collector.wait_for_log("waits to be loaded");
    scene.repository().batch_execute(change).unwrap();
    lock.rollback().unwrap();
    // Who changes a server wants it now, and no pause has to be waited for.
    scene.repository().execute("update powa_servers set alias = 'changed' where id = $1", &[&server]).unwrap();
    assert_eq!(scene.ask("RELOAD", ""), "RELOAD OK OK");
    scene.wait_for_snapshots(server, 1);
    collector.stop();
    assert_eq!(scene.snapshots(server), 1);
    server
}

fn refusals(scene: &Scene, server: i32) -> Vec<String> {
    scene.errors(server).into_iter().filter(|error| error.contains("(repository server)")).collect()
}

fn an_upgraded_repository_takes_what_was_collected_before(scene: &Scene) {
    let remote = scene.own_remote();
    install(&mut scene.repository(), earlier(scene));
    install(&mut remote.connect(), earlier(scene));
    let server = load_after(scene, remote.registration(), "alter extension powa update");
    let version = "select count(*) from pg_extension where extname = 'powa' and extversion = $1";
    let is_there = scene.repository().query_one(version, &[&scene.generation().powa_version()]).unwrap();
    assert_eq!(is_there.get::<_, i64>(0), 1);
    assert_eq!(refusals(scene, server), [""; 0]);
    assert!(scene.count("select count(*) from powa_statements_history_current_db") > 0);
}

fn new_and_renamed_columns_are_no_obstacle(scene: &Scene) {
    let remote = scene.own_remote();
    // The first is not read by PoWA, so it may be called anything.
    let change = "alter table powa_kcache_src_tmp add column in_any_case bigint not null;
        alter table powa_kcache_src_tmp add column since timestamptz not null;
        alter table powa_kcache_src_tmp add column perhaps text;
        alter table powa_databases_src_tmp add column kind \"char\" not null";
    let server = load_after(scene, remote.registration(), change);
    assert_eq!(scene.errors(server), [""; 0]);
    assert!(scene.count("select count(*) from powa_kcache_metrics_current") > 0);
    assert!(scene.count("select count(*) from powa_databases") > 0);
}

fn a_column_that_is_gone_costs_its_datasource_only(scene: &Scene) {
    let remote = scene.own_remote();
    let change = "alter table powa_databases_src_tmp drop column datname";
    let server = load_after(scene, remote.registration(), change);
    let refusals = refusals(scene, server);
    assert!(refusals.iter().any(|error| error.contains("column \"datname\" no longer exists")), "{refusals:?}");
    wait_until("the other datasources", || scene.count("select count(*) from powa_stat_bgwriter_history_current") > 0);
}
