//! The rows that a snapshot stores in the repository.

use lab::{Cluster, Registration, Workload};
use serde_json::json;

use crate::support::{Scene, tests, wait_until};

tests![
    a_statement_of_the_remote_server_arrives_in_the_history,
    extensions_in_schemas_of_their_own_are_found_on_both_sides,
    #[hurried] what_pg_qualstats_saw_arrives,
    #[hurried] nothing_is_added_to_the_remote_servers_statements_once_warm,
    versions_of_the_server_and_its_extensions_are_saved,
    rows_beyond_the_bound_of_memory_arrive_by_way_of_a_file;
    since 5:
    #[hurried] database_modules_and_catalogs_of_every_database_arrive,
    a_database_module_goes_only_where_it_is_for,
    a_database_module_that_is_disabled_is_left_out;
    only 4:
    powa_4_0_which_has_no_place_for_versions_is_collected_too,
];

fn a_statement_of_the_remote_server_arrives_in_the_history(scene: &Scene) {
    let mut remote = scene.remote("my app");
    // A table of its own: statements that differ in constants and names of columns only are one.
    remote.batch_execute("create table if not exists followed_to_the_repository (n int)").unwrap();
    remote.batch_execute("select count(*) from followed_to_the_repository").unwrap();
    let server = scene.register();
    let _collector = scene.collector();
    // The second snapshot of PoWA 4 is the first with something to compare to.
    scene.wait_for_snapshots(server, 1);
    let sql = "select count(*) from powa_statements s
        join powa_statements_history_current h using (srvid, queryid, dbid, userid)
        join powa_databases d on d.srvid = s.srvid and d.oid = s.dbid
        where d.datname = 'my app' and s.query like '%followed_to_the_repository%' and (h.record).calls >= 1";
    assert!(scene.count(sql) >= 1, "{:?}", scene.errors(server));
    assert_eq!(scene.errors(server), [""; 0]);
}

fn extensions_in_schemas_of_their_own_are_found_on_both_sides(scene: &Scene) {
    let remote = scene.own_remote();
    let moved = "create schema tracked; drop extension pg_track_settings;
        create extension pg_track_settings schema tracked";
    remote.connect().batch_execute(moved).unwrap();
    scene
        .repository()
        .batch_execute(
            "create schema \"Kept here\"; drop extension pg_track_settings;
        create extension pg_track_settings schema \"Kept here\"",
        )
        .unwrap();
    // PoWA 4 does not qualify its names, and nobody has told it where to look.
    let moved = "create schema \"{Quals} & 100 %\"; drop extension pg_qualstats;
        create extension pg_qualstats schema \"{Quals} & 100 %\"";
    remote.connect().batch_execute(moved).unwrap();
    let server = scene.register_as(remote.registration());
    let _collector = scene.collector();
    scene.wait_for_snapshots(server, 1);
    assert_eq!(scene.errors(server), [""; 0]);
    assert!(scene.count("select count(*) from \"Kept here\".pg_track_settings_history where srvid > 0") > 100);
}

fn what_pg_qualstats_saw_arrives(scene: &Scene) {
    let mut remote = scene.remote("shop");
    remote.batch_execute("create table if not exists measured (n int)").unwrap();
    scene.register();
    let _collector = scene.collector();
    // Whoever collects from that server empties it, and other tests do too: it takes as long as it takes.
    wait_until("a predicate to arrive", || {
        remote.batch_execute("select count(*) from measured where n = 424242").unwrap();
        scene.count("select count(*) from powa_qualstats_quals where srvid > 0") > 0
    });
}

fn nothing_is_added_to_the_remote_servers_statements_once_warm(scene: &Scene) {
    // What is said in a database for the first time is new, and on the shared server there is a new one at any time.
    let remote = Cluster::start(scene.generation(), "counted").unwrap();
    remote.create_powa_database("powa").unwrap();
    Workload::create(&remote, &["shop"]).unwrap();
    let mut counting = remote.connect("powa").unwrap();
    counting.batch_execute("create role counted superuser login").unwrap();
    let server = scene.register_as(Registration { username: "counted", ..Registration::of(&remote) });
    let _collector = scene.collector();
    let mut own = || -> i64 {
        let sql = "select count(*) from pg_stat_statements s join pg_roles r on r.oid = s.userid
            where rolname = 'counted'";
        counting.query_one(sql, &[]).unwrap().get(0)
    };
    // The first copies catalogs that the others do not.
    scene.wait_for_snapshots(server, 2);
    let warm = own();
    assert!(warm > 0);
    scene.wait_for_snapshots(server, 4);
    assert_eq!(own(), warm);
}

fn versions_of_the_server_and_its_extensions_are_saved(scene: &Scene) {
    let server = scene.register();
    let _collector = scene.collector();
    scene.wait_for_snapshots(server, 1);
    let saved: String =
        scene.repository().query_one("select version from powa_servers where id = $1", &[&server]).unwrap().get(0);
    let actual: String = scene.remote("powa").query_one("show server_version", &[]).unwrap().get(0);
    assert_eq!(saved, actual);
    let table = if scene.generation().powa_major() >= 5 { "powa_extension_config" } else { "powa_extensions" };
    let mut repository = scene.repository();
    let version_of = |repository: &mut postgres::Client, name: &str| -> Option<String> {
        let sql = format!("select version from {table} where srvid = $1 and extname = $2");
        repository.query_opt(&sql, &[&server, &name]).unwrap().and_then(|row| row.get(0))
    };
    for name in ["pg_stat_statements", "pg_qualstats", "pg_stat_kcache"] {
        let sql = "select extversion from pg_extension where extname = $1";
        let actual: String = scene.remote("powa").query_one(sql, &[&name]).unwrap().get(0);
        assert_eq!(version_of(&mut repository, name), Some(actual), "{name}");
    }
    // hypopg counts when it could be installed.
    assert!(version_of(&mut repository, "hypopg").is_some());

    repository
        .batch_execute(&format!(
            "update powa_servers set version = 'old' where id = {server};
            update {table} set version = 'old' where srvid = {server};"
        ))
        .unwrap();
    assert_eq!(scene.ask("RELOAD", ""), "RELOAD OK OK");
    wait_until("the versions to be refreshed", || {
        let old: i64 = repository
            .query_one(
                &format!(
                    "select (select count(*) from powa_servers where version = 'old')
                    + (select count(*) from {table} where version = 'old')"
                ),
                &[],
            )
            .unwrap()
            .get(0);
        old == 0
    });
}

fn powa_4_0_which_has_no_place_for_versions_is_collected_too(scene: &Scene) {
    let remote = scene.own_remote();
    // It knows no pg_stat_statements newer than its own.
    let older = "drop extension pg_stat_statements cascade; create extension pg_stat_statements version '1.7';
        create extension powa version '4.0.1'";
    remote.connect().batch_execute(older).unwrap();
    scene.repository().batch_execute(older).unwrap();
    let server = scene.register_as(Registration { extensions: &[], ..remote.registration() });
    let collector = scene.collector();
    scene.wait_for_snapshots(server, 1);
    assert_eq!(scene.errors(server), [""; 0]);
    assert!(scene.count("select count(*) from powa_statements where srvid > 0") > 0);
    assert_eq!(collector.logged("WARN"), [""; 0]);
}

fn rows_beyond_the_bound_of_memory_arrive_by_way_of_a_file(scene: &Scene) {
    let marker = format!("/* {} */", "long ".repeat(100_000));
    scene.remote("shop").batch_execute(&format!("select 1 as spooled {marker}")).unwrap();
    let server = scene.register();
    let directory = scene.directory();
    let _collector = scene.collector_with(json!({"spool": {"memory": 1, "directory": directory.to_str().unwrap()}}));
    scene.wait_for_snapshots(server, 1);
    let sql = "select max(length(query)) from powa_statements where query like '%spooled%long%'";
    let length: i32 = scene.repository().query_one(sql, &[]).unwrap().get(0);
    assert!(length > 400_000, "{length}");
    assert_eq!(scene.errors(server), [""; 0]);
    // The file has no name.
    let names: Vec<_> = std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["powa-collector.conf"]);
}

fn database_modules_and_catalogs_of_every_database_arrive(scene: &Scene) {
    let server = scene.register();
    let _collector = scene.collector();
    scene.wait_for_snapshots(server, 1);
    for database in ["my app", "shop"] {
        for table in ["powa_all_tables_history_current", "powa_all_indexes_history_current", "powa_catalog_class"] {
            let sql = format!(
                "select count(*) from {table} t join powa_databases d on d.srvid = t.srvid and d.oid = t.dbid
                where d.datname = '{database}'"
            );
            assert!(scene.count(&sql) > 0, "{table} of {database}: {:?}", scene.errors(server));
        }
    }
    assert_eq!(scene.errors(server), [""; 0]);
    // All rows of a snapshot carry one time.
    let times =
        "select count(distinct (record).ts) - (select coalesce_seq - 1 from powa_snapshot_metas where srvid > 0)
        from powa_all_tables_history_current";
    assert_eq!(scene.count(times), 0, "counted in one go, as there may be another one at any time");
    // What was copied a moment ago is not copied again; databases that other tests have made since are.
    let refreshed =
        "select count(distinct last_refresh) from powa_catalog_databases where datname in ('my app', 'shop')";
    assert_eq!(scene.count(refreshed), 1);
    scene.wait_for_snapshots(server, 2);
    assert_eq!(scene.count(refreshed), 1);
}

fn a_database_module_goes_only_where_it_is_for(scene: &Scene) {
    let server = scene.register();
    scene
        .repository()
        .execute(
            "update powa_db_module_config set dbnames = '{shop}' where srvid = $1 and db_module = 'pg_stat_all_tables'",
            &[&server],
        )
        .unwrap();
    let _collector = scene.collector();
    scene.wait_for_snapshots(server, 1);
    let names: Vec<String> = scene
        .repository()
        .query(
            "select distinct d.datname::text from powa_all_tables_history_current t
            join powa_databases d on d.srvid = t.srvid and d.oid = t.dbid",
            &[],
        )
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert_eq!(names, ["shop"]);
}

fn a_database_module_that_is_disabled_is_left_out(scene: &Scene) {
    let server = scene.register();
    scene
        .repository()
        .execute(
            "update powa_db_module_config set enabled = false where srvid = $1 and db_module = 'pg_stat_all_tables'",
            &[&server],
        )
        .unwrap();
    let _collector = scene.collector();
    scene.wait_for_snapshots(server, 1);
    assert_eq!(scene.count("select count(*) from powa_all_tables_src_tmp"), 0);
    assert_eq!(scene.count("select count(*) from powa_all_tables_history_current"), 0);
    assert!(scene.count("select count(*) from powa_all_indexes_history_current") > 0);
}
