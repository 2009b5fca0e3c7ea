//! Databases, their statements, and standbys that are excluded from collection.

use lab::{Cluster, Registration, Workload};
use serde_json::{Value, json};

use crate::support::check::{check_json, server as checked};
use crate::support::{Scene, operate, tests, wait_until};

tests![
    statements_of_databases_that_are_left_out_are_dropped_where_that_is_wanted,
    a_standby_that_is_left_out_is_no_fault_and_is_collected_once_it_is_promoted;
    since 5:
    #[hurried] a_database_that_is_left_out_is_not_visited_and_what_is_known_of_it_stays,
    a_database_that_nobody_may_connect_to_is_named_with_the_cure_and_can_be_left_out,
];

fn databases(scene: &Scene, name: &str) -> Cluster {
    let remote = Cluster::start_with(scene.generation(), name, &[("log_connections", "on")]).unwrap();
    remote.create_powa_database("powa").unwrap();
    Workload::create(&remote, &["shop", "scratch_1"]).unwrap();
    remote
}

fn oid(remote: &Cluster, database: &str) -> u32 {
    let sql = "select oid from pg_database where datname = $1";
    remote.connect("postgres").unwrap().query_one(sql, &[&database]).unwrap().get(0)
}

fn reload(scene: &Scene, collect: Value) {
    scene.config(json!({"collect": collect}));
    assert_eq!(scene.ask("RELOAD", ""), "RELOAD OK OK");
}

/// Of this one and the next, at least the second is begun after now.
fn wait_for_a_whole_snapshot(scene: &Scene, server: i32) {
    scene.wait_for_snapshots(server, scene.snapshots(server) + 2);
}

/// Rows of a server's database in a table, and the whole of them, so that a change shows.
fn contents(scene: &Scene, table: &str, server: i32, database: u32) -> (i64, String) {
    let sql = format!(
        "select count(*), coalesce(md5(string_agg(t::text, ' ' order by t::text)), '') from {table} t
        where srvid = $1 and dbid = $2"
    );
    let row = scene.repository().query_one(&sql, &[&server, &database]).unwrap();
    (row.get(0), row.get(1))
}

fn rows(scene: &Scene, table: &str, server: i32, database: u32) -> i64 {
    contents(scene, table, server, database).0
}

fn a_database_that_is_left_out_is_not_visited_and_what_is_known_of_it_stays(scene: &Scene) {
    const CATALOGS: [&str; 3] = ["powa_catalog_class", "powa_catalog_attribute", "powa_catalog_namespace"];
    const TABLES: &str = "powa_all_tables_history_current";

    let remote = databases(scene, "left-out");
    let [shop, scratch] = ["shop", "scratch_1"].map(|name| oid(&remote, name));
    let server = scene.register_as(Registration::of(&remote));
    let _collector = scene.collector();
    scene.wait_for_snapshots(server, 1);
    let catalogs = || CATALOGS.map(|table| contents(scene, table, server, scratch));
    let refreshed = |database: u32| -> String {
        let sql = "select coalesce(last_refresh::text, '') from powa_catalog_databases where srvid = $1 and oid = $2";
        scene.repository().query_one(sql, &[&server, &database]).unwrap().get(0)
    };
    assert!(catalogs().iter().all(|(rows, _)| *rows > 0), "{:?}", catalogs());

    // For one server, in its own words.
    reload(scene, json!({"servers": {server.to_string(): {"exclude_databases": ["scratch_?", "template[0-9]"]}}}));
    wait_for_a_whole_snapshot(scene, server);
    let (known, visited) = (catalogs(), contents(scene, TABLES, server, scratch));
    let (refreshed_before, of_shop) = (refreshed(scratch), rows(scene, TABLES, server, shop));
    let (shop_refreshed_before, logged) = (refreshed(shop), remote.logged());
    let registered = scene.ask("REFRESH_DB_CAT", &format!("{server} 0"));
    assert_eq!(registered, "REFRESH_DB_CAT OK Catalogs will be refreshed during the next snapshot");
    wait_for_a_whole_snapshot(scene, server);
    assert_eq!(scene.errors(server), [""; 0]);
    let log = remote.logged_since(logged);
    for name in ["scratch_1", "template1"] {
        assert!(!log.contains(&format!("database={name}")), "a session in {name}:\n{log}");
    }
    // It is neither dropped nor emptied, and the others go on.
    assert_eq!((catalogs(), contents(scene, TABLES, server, scratch)), (known, visited.clone()));
    assert_eq!(refreshed(scratch), refreshed_before);
    assert!(rows(scene, TABLES, server, shop) > of_shop && refreshed(shop) > shop_refreshed_before);
    let there =
        format!("select count(*) from powa_databases where srvid = {server} and oid = {scratch} and dropped is null");
    assert_eq!(scene.count(&there), 1);
    // Its statements are another matter.
    assert!(rows(scene, "powa_statements", server, scratch) > 0);

    let named = scene.ask("REFRESH_DB_CAT", &format!("{server} 1 scratch_1"));
    let message = format!("Database \"scratch_1\" of server id {server}: excluded by collect.exclude_databases");
    assert_eq!(named, format!("REFRESH_DB_CAT KO {message}"));
    let named = scene.ask("REFRESH_DB_CAT", &format!("{server} 1 shop"));
    assert!(named.starts_with("REFRESH_DB_CAT OK"), "{named}");

    // What is not left out any more is visited again.
    reload(scene, json!({}));
    wait_until("a visit of it", || rows(scene, TABLES, server, scratch) > visited.0);
    assert_eq!(scene.errors(server), [""; 0]);
}

fn statements_of_databases_that_are_left_out_are_dropped_where_that_is_wanted(scene: &Scene) {
    let remote = databases(scene, "statements-left-out");
    let [shop, scratch] = ["shop", "scratch_1"].map(|name| oid(&remote, name));
    for database in ["shop", "scratch_1"] {
        remote.connect(database).unwrap().batch_execute("select * from customer where id = 7 and name = 'x'").unwrap();
    }
    let server = scene.register_as(Registration::of(&remote));
    let collect = json!({"exclude_databases": ["scratch_1"], "exclude_statements": true});
    let _collector = scene.collector_with(json!({"collect": collect}));
    scene.wait_for_snapshots(server, 2);
    assert_eq!(scene.errors(server), [""; 0]);
    let mut tables = vec![
        "powa_statements",
        "powa_statements_history_current",
        "powa_statements_history_current_db",
        "powa_kcache_metrics_current",
    ];
    for table in &tables {
        assert!(rows(scene, table, server, shop) > 0, "{table}");
    }
    // Quals are sampled, and those of statements that are not known yet are passed over by PoWA.
    tables.push("powa_qualstats_quals");
    // What PoWA 4 has of tables and functions of all databases.
    if scene.generation().powa_major() < 5 {
        tables.extend(["powa_all_relations_history_current", "powa_user_functions_history_current"]);
    }
    for table in tables {
        assert_eq!(rows(scene, table, server, scratch), 0, "{table}");
    }
    let there =
        format!("select count(*) from powa_databases where srvid = {server} and oid = {scratch} and dropped is null");
    assert_eq!(scene.count(&there), 1);
}

fn a_database_that_nobody_may_connect_to_is_named_with_the_cure_and_can_be_left_out(scene: &Scene) {
    let remote = databases(scene, "closed");
    let mut admin = remote.connect("postgres").unwrap();
    admin
        .batch_execute("create role visitor login in role pg_monitor; alter database scratch_1 connection limit 0")
        .unwrap();
    let grants = "grant select on all tables in schema public to visitor";
    crate::support::with_powa(remote.connect("powa").unwrap()).batch_execute(grants).unwrap();
    let server = scene.register_as(Registration { username: "visitor", extensions: &[], ..Registration::of(&remote) });
    let _collector = scene.collector();
    let error = scene.wait_for_error(server, "database \"scratch_1\"");
    for part in ["SQLSTATE 53300", "alter database \"scratch_1\" connection limit", "collect.exclude_databases"] {
        assert!(error.contains(part), "{part} is missing in: {error}");
    }
    // It costs itself only.
    let of_others = |error: &&String| error.contains("53300") && !error.contains("scratch_1");
    assert_eq!(scene.errors(server).iter().filter(of_others).count(), 0, "{:?}", scene.errors(server));
    assert!(rows(scene, "powa_all_tables_history_current", server, oid(&remote, "shop")) > 0);
    reload(scene, json!({"exclude_databases": ["scratch_1"]}));
    wait_until("no error of it to be left", || !scene.errors(server).iter().any(|error| error.contains("scratch_1")));
}

fn a_standby_that_is_left_out_is_no_fault_and_is_collected_once_it_is_promoted(scene: &Scene) {
    let settings = [("wal_level", "replica"), ("max_wal_senders", "4")];
    let primary = Cluster::start_with(scene.generation(), "primary", &settings).unwrap();
    primary.create_powa_database("powa").unwrap();
    let standby = primary.standby("standby").unwrap();
    let server = scene.register_as(Registration { alias: Some("the standby"), ..Registration::of(&standby) });
    // It may have failed before, be it with another collector.
    let failed = "update powa_snapshot_metas set errors = '{of old}' where srvid = $1";
    scene.repository().execute(failed, &[&server]).unwrap();
    let config = json!({"collect": {"standby": false}});
    let collector = scene.collector_with(config.clone());
    collector.wait_for_log("the server is a standby; not collected while it is one");
    wait_until("no error to be left", || scene.errors(server).is_empty());
    scene.wait_for_status(server, "running");

    let file = scene.config(config.clone());
    let printed = operate(&file, &["status", "--json"]);
    let output: Value = serde_json::from_str(&printed.text).unwrap();
    let line = &output["servers"][0];
    assert_eq!((printed.code, &line["state"], &line["error"]), (0, &json!("standby"), &Value::Null), "{output:#}");
    let printed = operate(&file, &["snapshot", "the standby", "--wait"]);
    assert_eq!(printed.code, 1, "{printed:?}");
    assert!(printed.errors.contains("is a standby and is excluded while it is one"), "{printed:?}");
    let (code, output) = check_json(scene, config, &["the standby"]);
    let findings = checked(&output, server)["findings"].as_array().unwrap();
    let is_told = |finding: &&Value| finding["said"].as_str().unwrap_or_default().contains("excluded while it is one");
    assert_eq!((code, findings.iter().filter(is_told).count()), (0, 1), "{output:#}");
    assert_eq!(scene.snapshots(server), 0);
    // It is said once.
    assert_eq!(collector.logged("not collected while it is one").len(), 1);
    assert_eq!(collector.logged("ERROR"), [""; 0]);

    standby.promote().unwrap();
    scene.wait_for_snapshots(server, 1);
    collector.wait_for_log("collected again");
    assert_eq!(scene.errors(server), [""; 0]);
    let printed = operate(&file, &["status", "--json"]);
    let output: Value = serde_json::from_str(&printed.text).unwrap();
    assert_eq!(output["servers"][0]["state"], json!("running"), "{output:#}");
}
