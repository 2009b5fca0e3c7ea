//! A datasource that fails costs only itself, is reported with its cure, and the error ends when it is repaired.

use lab::{Cluster, Registration};

use crate::support::{Scene, log_of_server, raising, tests, wait_until};

tests![
    a_failing_datasource_does_not_lose_the_others,
    rows_that_a_table_refuses_cost_their_datasource_only,
    an_error_goes_with_the_next_good_snapshot,
    a_missing_extension_is_named_with_its_side,
    a_null_queryid_says_what_to_grant,
    a_library_that_is_not_loaded_says_what_to_set,
    qualstats_are_cleaned_up_also_when_they_cannot_be_read,
    versions_that_do_not_fit_are_an_error_that_heals,
    a_server_that_is_not_registered_properly_says_so;
    since 5:
    a_database_that_refuses_connections_costs_itself_only,
];

fn a_failing_datasource_does_not_lose_the_others(scene: &Scene) {
    let remote = scene.own_remote();
    remote.connect().batch_execute(&raising("powa_statements_src", "the dog ate it")).unwrap();
    let server = scene.register_as(remote.registration());
    let collector = scene.collector();
    scene.wait_for_snapshots(server, 1);
    let error = scene.wait_for_error(server, "the dog ate it");
    for part in ["pg_stat_statements (powa_statements_src)", "remote server", "ERROR: the dog ate it", "P0001"] {
        assert!(error.contains(part), "{part} is missing in: {error}");
    }
    assert_eq!(scene.errors(server).len(), 1);
    assert!(scene.count("select count(*) from powa_databases where srvid > 0") >= 4);
    assert!(collector.wait_for_log("snapshot taken").contains("errors=1"));
    wait_until("another snapshot", || collector.logged("snapshot taken").len() > 1);
    collector.stop();
    assert_eq!(collector.logged("the dog ate it").len(), 1, "once, not at every snapshot");
}

fn rows_that_a_table_refuses_cost_their_datasource_only(scene: &Scene) {
    scene.repository().batch_execute("alter table powa_statements_src_tmp add column unexpected int").unwrap();
    let server = scene.register();
    let _collector = scene.collector();
    scene.wait_for_snapshots(server, 1);
    let error = scene.wait_for_error(server, "powa_statements_src_tmp");
    for part in ["pg_stat_statements (powa_statements_src)", "repository server", "missing data for column"] {
        assert!(error.contains(part), "{part} is missing in: {error}");
    }
    assert!(scene.count("select count(*) from powa_databases where srvid > 0") >= 4);
}

fn an_error_goes_with_the_next_good_snapshot(scene: &Scene) {
    let mut repository = scene.repository();
    repository.batch_execute("alter table powa_statements_src_tmp add column unexpected int").unwrap();
    let server = scene.register();
    let _collector = scene.collector();
    scene.wait_for_error(server, "powa_statements_src_tmp");
    repository.batch_execute("alter table powa_statements_src_tmp drop column unexpected").unwrap();
    wait_until("the error to be gone", || scene.errors(server).is_empty());
    assert!(scene.count("select count(*) from powa_statements where srvid > 0") > 0);
}

fn a_missing_extension_is_named_with_its_side(scene: &Scene) {
    let remote = scene.own_remote();
    // One has a function of its own to be read with, of the other PoWA has it.
    remote.connect().batch_execute("drop extension pg_track_settings; drop extension pg_stat_kcache").unwrap();
    let server = scene.register_as(remote.registration());
    let _collector = scene.collector();
    for extension in ["pg_track_settings", "pg_stat_kcache"] {
        let error = scene.wait_for_error(server, extension);
        let message = format!("extension \"{extension}\" is not installed (remote server)");
        assert!(error.contains(&message), "{error}");
    }
    assert!(scene.count("select count(*) from powa_statements where srvid > 0") > 0);
}

fn a_null_queryid_says_what_to_grant(scene: &Scene) {
    let remote = scene.own_remote();
    let role = format!("poor_{}", remote.name.replace(' ', "_"));
    let mut client = remote.connect();
    client.batch_execute(&format!("create role {role} login")).unwrap();
    if scene.generation().powa_major() >= 5 {
        client.batch_execute(&format!("grant usage on schema powa to {role}")).ok();
    }
    let server = scene.register_as(Registration { username: &role, ..remote.registration() });
    let _collector = scene.collector();
    let columns: &[&str] =
        if scene.generation().powa_major() >= 5 { &["queryid", "backend_start"] } else { &["queryid"] };
    for column in columns {
        let error = scene.wait_for_error(server, column);
        assert!(error.contains("grant pg_read_all_stats"), "{error}");
    }
    scene.wait_for_snapshots(server, 1);
    drop(_collector);
    scene.remote("postgres").batch_execute(&format!("drop owned by {role}")).ok();
}

fn a_library_that_is_not_loaded_says_what_to_set(scene: &Scene) {
    let cluster = Cluster::start(scene.generation(), "bare").unwrap();
    cluster.create_powa_database("powa").unwrap();
    cluster
        .connect("powa")
        .unwrap()
        .batch_execute("alter system set shared_preload_libraries = 'auto_explain'")
        .unwrap();
    cluster.stop().unwrap();
    cluster.start_again().unwrap();
    let server = scene.register_as(Registration::of(&cluster));
    let _collector = scene.collector();
    scene.wait_for_snapshots(server, 1);
    let error = scene.wait_for_error(server, "must be loaded");
    assert!(error.contains("shared_preload_libraries of that server"), "{error}");
}

fn qualstats_are_cleaned_up_also_when_they_cannot_be_read(scene: &Scene) {
    let remote = scene.own_remote();
    let mut client = remote.connect();
    client.batch_execute(&raising("powa_qualstats_src", "not today")).unwrap();
    // A clean-up that leaves a trace in spite of the read-only transaction and the roll-back: a notice in the log.
    let traced = "create function public.traced_reset() returns void language plpgsql as
        $$ begin raise log 'traced clean-up'; end $$";
    client.batch_execute(traced).unwrap();
    let table = if scene.generation().powa_major() >= 5 { "powa_extension_functions" } else { "powa_functions" };
    let server = scene.register_as(remote.registration());
    scene
        .repository()
        .execute(
            &format!(
                "update {table} set query_cleanup = 'select public.traced_reset()'
                where query_source = 'powa_qualstats_src'"
            ),
            &[],
        )
        .unwrap();
    let _collector = scene.collector();
    scene.wait_for_error(server, "not today");
    let log = log_of_server(&scene.remote_server().log());
    assert!(log.contains("traced clean-up"));
}

fn versions_that_do_not_fit_are_an_error_that_heals(scene: &Scene) {
    let remote = scene.own_remote();
    let mut client = remote.connect();
    let version: String =
        client.query_one("select extversion from pg_extension where extname = 'powa'", &[]).unwrap().get(0);
    let mut pretend = |version: &str| {
        client.execute("update pg_extension set extversion = $1 where extname = 'powa'", &[&version]).unwrap();
    };
    pretend("9.9.0");
    let server = scene.register_as(remote.registration());
    let _collector = scene.collector();
    let error = scene.wait_for_error(server, "incompatible PoWA versions");
    assert!(error.contains("9.9.0") && error.contains(&version), "{error}");
    assert_eq!(scene.snapshots(server), 0);
    pretend(&version);
    scene.wait_for_snapshots(server, 1);
    assert_eq!(scene.errors(server), [""; 0]);
}

fn a_server_that_is_not_registered_properly_says_so(scene: &Scene) {
    let server = scene.register();
    scene.repository().execute("delete from powa_snapshot_metas where srvid = $1", &[&server]).unwrap();
    let collector = scene.collector();
    collector.wait_for_log("register it with powa_register_server()");
}

fn a_database_that_refuses_connections_costs_itself_only(scene: &Scene) {
    let remote = scene.own_remote();
    let role = format!("barred_{}", remote.name.replace(' ', "_"));
    let mut client = remote.connect();
    // Collectors visit the other template, which cannot be copied meanwhile.
    client.batch_execute(&format!("create database \"closed to {role}\" template template0")).unwrap();
    client
        .batch_execute(&format!(
            "create role {role} login; grant pg_monitor to {role};
            revoke connect on database \"closed to {role}\" from public;
            grant all on schema {schema} to {role}; grant all on all tables in schema {schema} to {role}",
            schema = client_schema(scene)
        ))
        .unwrap();
    let server = scene.register_as(Registration { username: &role, ..remote.registration() });
    let collector = scene.collector();
    scene.wait_for_snapshots(server, 1);
    let error = scene.wait_for_error(server, "closed to");
    assert!(error.contains("remote server") && error.contains("permission denied for database"), "{error}");
    assert!(scene.count("select count(*) from powa_all_tables_history_current") > 0);
    collector.stop();
    // It cannot be dropped before the collectors of other tests have left it.
    client.batch_execute(&format!("alter database \"closed to {role}\" allow_connections false")).unwrap();
}

fn client_schema(scene: &Scene) -> String {
    let sql = "select quote_ident(nspname) from pg_extension e join pg_namespace n on n.oid = e.extnamespace
        where extname = 'powa'";
    scene.remote("powa").query_one(sql, &[]).unwrap().get(0)
}
