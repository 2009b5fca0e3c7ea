//! Bugs of PoWA, missing extensions and the encoding of the repository: each is reported once, as what it is, and hides
//! no other error.

use lab::Registration;
use serde_json::json;

use crate::support::check::{assert_well, check_json, complaints, cures, faults, server};
use crate::support::{Scene, operate, raising, tests, wait_until};

tests![
    #[hurried] an_extension_that_the_repository_lacks_is_one_error_with_its_cure,
    a_repository_that_is_not_in_utf_8_is_told,
    #[hurried] without_settings_of_roles_a_fault_of_pg_track_settings_is_told_and_can_be_mended;
    since 5:
    a_fault_of_powa_is_told_once_as_what_it_is_and_can_be_mended,
];

fn an_extension_that_the_repository_lacks_is_one_error_with_its_cure(scene: &Scene) {
    let server_id = scene.register();
    scene.repository().batch_execute("drop extension pg_track_settings cascade").unwrap();
    // It is dropped from what is collected, as PoWA sees to; somebody has put it back.
    let config = scene.config(json!({}));
    let id = server_id.to_string();
    let activated = operate(&config, &["servers", "extensions", &id, "--activate", "pg_track_settings"]);
    assert_eq!(activated.code, 0, "{}", activated.errors);
    let expected = "pg_track_settings: extension \"pg_track_settings\" is not installed (repository server); run there: create \
                    extension \"pg_track_settings\"; then \"powa-collector check\" prints what to grant; or stop \
                    collecting it: powa-collector servers extensions ... \
                    --deactivate pg_track_settings";
    let collector = scene.collector();
    scene.wait_for_snapshots(server_id, 2);
    scene.wait_for_error(server_id, "pg_track_settings");
    assert_eq!(scene.errors(server_id), [expected]);
    let message = [collector.logged("WARN"), collector.logged("ERROR")].concat();
    let about: Vec<_> = message.iter().filter(|line| !line.contains("snapshots are skipped")).collect();
    assert!(about.len() == 1 && about[0].contains(expected), "{about:?}");

    let (code, output) = check_json(scene, json!({}), &[]);
    assert_eq!(code, 1);
    let found = server(&output, server_id);
    let about: Vec<_> = complaints(found).iter().map(|complaint| complaint["about"].clone()).collect();
    assert_eq!(about, ["pg_track_settings"], "{found:#}");
    let leave = format!("powa-collector servers extensions {server_id} --deactivate pg_track_settings");
    assert!(cures(found, "advice").contains(&leave.as_str()), "{found:#}");
    for cure in cures(found, "repository") {
        scene.repository().batch_execute(cure).unwrap();
    }
    let before = scene.snapshots(server_id);
    scene.wait_for_snapshots(server_id, before + 2);
    assert_eq!(scene.errors(server_id), [""; 0]);
    assert_well(&check_json(scene, json!({}), &[]));
    assert!(scene.count("select count(*) from pg_track_settings_history where srvid > 0") > 0);
}

fn a_repository_that_is_not_in_utf_8_is_told(scene: &Scene) {
    assert_well(&check_json(scene, json!({}), &[]));
    let name = format!("latin {}", scene.number());
    let cluster = scene.repository_server();
    cluster.create_powa_database_in(&name, "LATIN1").unwrap();
    let dsn = format!("{} dbname='{name}'", scene.dsn("postgres"));
    let (code, output) = check_json(scene, json!({"repository": {"dsn": dsn}}), &[]);
    assert_eq!((code, &output["result"]), (0, &json!("warning")), "{output:#}");
    let encoding: Vec<_> =
        complaints(&output["repository"]).into_iter().filter(|complaint| complaint["what"] == "database").collect();
    assert_eq!(encoding.len(), 1, "{output:#}");
    assert!(encoding[0]["said"].as_str().unwrap().contains("has the encoding LATIN1, not UTF8"), "{output:#}");
    // Wherever the server's own databases are in.
    let create = cures(&output["repository"], "repository").into_iter().find(|cure| cure.contains("create database"));
    let own = format!("utf8 {}", scene.number());
    let create = create.unwrap().replace("powa_utf8", &format!("\"{own}\""));
    cluster.connect(&name).unwrap().batch_execute(&create).unwrap();
    cluster.connect(&own).unwrap().batch_execute("create extension powa cascade").unwrap();
    for database in [name, own] {
        cluster.drop_database(&database).unwrap();
    }
}

fn a_fault_of_powa_is_told_once_as_what_it_is_and_can_be_mended(scene: &Scene) {
    let has_it = scene.generation().powa_version().starts_with("5.3");
    let mut repository = scene.repository();
    let second = Registration { hostname: "localhost", ..Registration::of(scene.remote_server()) };
    let servers = [scene.register(), scene.register_as(second)];
    scene.without_databases();
    // Coalesced and purged soon, and with a fault of another kind beside it.
    repository.batch_execute("update powa_servers set powa_coalesce = 5").unwrap();
    repository.batch_execute(&raising("powa_wait_sampling_purge", "another fault")).unwrap();
    let (code, output) = check_json(scene, json!({}), &[]);
    assert_eq!(code, 0);
    let [complaint] = faults(&output["repository"])[..] else {
        return assert!(!has_it, "{output:#}");
    };
    assert!(has_it, "{output:#}");
    let cure = &complaint["cures"][0];
    assert_eq!(cure["where"], "repository");
    let message = "PoWA 5.3.0 has a fault: powa_qualstats_purge() calls a function that PoWA does not have";
    assert!(complaint["what"] == "powa" && complaint["said"].as_str().unwrap().starts_with(message), "{output:#}");

    let collector = scene.collector();
    // Of both servers, twice.
    for server in servers {
        scene.wait_for_snapshots(server, 11);
    }
    let about = collector.logged("powa_qualstats_purge");
    assert!(about.len() == 1 && about[0].contains(message) && about[0].contains("powa-collector check"), "{about:?}");
    assert!(!collector.logged("another fault").is_empty());
    // In the repository it is what it is, beside the other.
    let purge = "select purgets, errors from powa_snapshot_metas where srvid = $1 and cardinality(errors) > 0";
    let mut errors = Vec::new();
    wait_until("a purge", || {
        errors = repository
            .query(purge, &[&servers[0]])
            .unwrap()
            .iter()
            .flat_map(|row| row.get::<_, Vec<String>>(1))
            .collect();
        !errors.is_empty()
    });
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(errors.iter().any(|error| error.starts_with(message)), "{errors:?}");
    assert!(errors.iter().any(|error| error.contains("another fault")), "{errors:?}");

    // The cure is one, and quals are deleted.
    repository.batch_execute(cure["text"].as_str().unwrap()).unwrap();
    let (_, output) = check_json(scene, json!({}), &[]);
    assert_eq!((&output["result"], faults(&output["repository"]).len()), (&json!("well"), 0), "{output:#}");
    let old = "with quals as (
            insert into powa_qualstats_quals (srvid, qualid, queryid, dbid, userid, quals)
            select srvid, -1, queryid, dbid, userid, '{}' from powa_statements where srvid = $1 limit 1
            returning srvid, qualid, queryid, dbid, userid
        ) insert into powa_qualstats_quals_history (srvid, qualid, queryid, dbid, userid, coalesce_range)
            select quals.*, tstzrange(now() - interval '1 year', now() - interval '11 months') from quals";
    assert_eq!(repository.execute(old, &[&servers[0]]).unwrap(), 1);
    repository.execute("select powa_qualstats_purge($1)", &[&servers[0]]).unwrap();
    assert_eq!(scene.count("select count(*) from powa_qualstats_quals_history where qualid = -1"), 0);
    let is_member =
        "select count(*) from pg_depend where deptype = 'e' and objid = 'powa_qualstats_purge(int)'::regprocedure";
    assert_eq!(scene.count(is_member), 1, "it is PoWA's, and goes with its next update");
}

fn without_settings_of_roles_a_fault_of_pg_track_settings_is_told_and_can_be_mended(scene: &Scene) {
    let mut repository = scene.repository();
    let version = "select extversion from pg_extension where extname = 'pg_track_settings'";
    let has_it = repository.query_one(version, &[]).unwrap().get::<_, String>(0) == "2.1.0";
    // Roles are shared by all tests.
    let settings = "create table role_settings (name text, setting text, setdatabase oid, setrole oid);
        insert into role_settings values ('work_mem', '5MB', 0, 10);
        create or replace function pg_track_settings_rds_src(_srvid integer, out ts timestamptz, out name text, out setting text,
            out setdatabase oid, out setrole oid) returns setof record language sql
        as $$ select now(), name, setting, setdatabase, setrole from public.role_settings $$;
        grant select on role_settings to public";
    let remote = scene.own_remote();
    remote.connect().batch_execute(settings).unwrap();
    let server_id = scene.register_as(remote.registration());
    let collector = scene.collector();
    let removed =
        format!("select count(*) from pg_track_db_role_settings_history where srvid = {server_id} and is_dropped");
    scene.wait_for_snapshots(server_id, 1);
    assert_eq!(scene.errors(server_id), [""; 0]);
    remote.connect().batch_execute("delete from role_settings").unwrap();
    if has_it {
        let message = "pg_track_settings 2.1.0 has a fault: pg_track_settings_snapshot_rds() fails while no role";
        scene.wait_for_error(server_id, message);
        let errors = scene.errors(server_id);
        assert!(errors.len() == 1 && errors[0].starts_with(message), "{errors:?}");
        let before = scene.snapshots(server_id);
        scene.wait_for_snapshots(server_id, before + 1);
        assert_eq!(collector.logged("pg_track_settings_snapshot_rds").len(), 1, "{:?}", collector.logged("WARN"));
        let (_, output) = check_json(scene, json!({}), &[]);
        let [complaint] = faults(&output["repository"])[..] else { panic!("{output:#}") };
        let cure = &complaint["cures"][0];
        assert_eq!(cure["where"], "repository");
        repository.batch_execute(cure["text"].as_str().unwrap()).unwrap();
    }
    wait_until("the setting to be stored as removed", || scene.count(&removed) == 1);
    assert_eq!(scene.errors(server_id), [""; 0]);
    assert_well(&check_json(scene, json!({}), &[]));
}
