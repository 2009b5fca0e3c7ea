//! Texts in pg_stat_statements that PostgreSQL or the repository cannot convert: the error names a cure that works.

use lab::{Cluster, Registration};
use serde_json::json;

use crate::permissions::grants;
use crate::support::check::{assert_well, check_json, complaints, cures, server};
use crate::support::{Scene, tests, wait_until, with_powa};

tests![
    a_text_of_100_mb_costs_its_statement_only_and_is_cured_by_what_is_said,
    a_text_that_is_too_long_for_its_server_is_cured_by_what_is_said,
    bytes_of_a_database_in_sql_ascii_are_cured_by_what_is_said,
    a_database_whose_name_is_not_utf8_costs_nobody_else_anything,
    a_schema_that_the_role_may_not_use_is_cured_by_what_is_said,
];

/// A server of its own: what is in pg_stat_statements is seen from every database.
fn own_server(scene: &Scene) -> Cluster {
    scene.without_databases();
    let remote = Cluster::start(scene.generation(), "texts").unwrap();
    remote.create_powa_database("powa").unwrap();
    remote
}

/// The statements that an error says to run.
fn said_to_run(error: &str) -> Vec<String> {
    let (_, statements) =
        error.split_once("run in the database with PoWA there: ").unwrap_or_else(|| panic!("{error}"));
    statements.split("; ").map(Into::into).collect()
}

/// Statements of a server whose text begins like this, and its length.
fn stored(scene: &Scene, server: i32, like: &str) -> Option<i32> {
    let sql = "select octet_length(query) from powa_statements where srvid = $1 and query like $2";
    scene.repository().query_opt(sql, &[&server, &format!("{like}%")]).unwrap().map(|row| row.get(0))
}

fn heal(scene: &Scene, remote: &Cluster, server: i32, statements: &[String]) {
    for statement in statements {
        with_powa(remote.connect("powa").unwrap()).batch_execute(statement).unwrap();
    }
    let before = scene.snapshots(server);
    wait_until("the errors to be gone", || {
        let (snapshots, errors) = scene.snapshots_and_errors(server);
        snapshots > before && errors.is_empty()
    });
}

fn a_text_of_100_mb_costs_its_statement_only_and_is_cured_by_what_is_said(scene: &Scene) {
    let remote = own_server(scene);
    let mut client = remote.connect("powa").unwrap();
    client.batch_execute(&format!("select 1, 2 /* {} */", "x".repeat(100 << 20))).unwrap();
    client.batch_execute("select current_date").unwrap();
    let server = scene.register_as(Registration { extensions: &[], ..Registration::of(&remote) });
    let collector = scene.collector();
    let error = scene.wait_for_error(server, "1 row of more than 64 MB left out");
    assert!(error.contains("pg_stat_statements (powa_statements_src)"), "{error}");
    let sql = "select format('select pg_stat_statements_reset(%s, %s, %s)', userid, dbid, queryid)
        from pg_stat_statements where octet_length(query) > 1000000";
    let reset: String = client.query_one(sql, &[]).unwrap().get(0);
    assert_eq!(said_to_run(&error), [reset.as_str()]);
    assert!(stored(scene, server, "select current_date").is_some());
    assert_eq!(stored(scene, server, "select $1, $2 /* xxx"), None);
    assert!(collector.peak_memory() < 60_000, "{} kB", collector.peak_memory());
    collector.stop();
    let collector = scene.collector_with(json!({"limits": {"query_text": 1000}}));
    wait_until("the beginning of the text", || stored(scene, server, "select $1, $2 /* xxx") == Some(1000));
    assert!(collector.peak_memory() < 60_000, "{} kB", collector.peak_memory());
    collector.stop();
    let _collector = scene.collector();
    scene.wait_for_error(server, "left out");
    heal(scene, &remote, server, &[reset]);
}

fn a_text_that_is_too_long_for_its_server_is_cured_by_what_is_said(scene: &Scene) {
    let remote = own_server(scene);
    let mut client = with_powa(remote.connect("powa").unwrap());
    // As PostgreSQL does for a text of 300 MB, which it takes its time for.
    client.batch_execute("select current_date").unwrap();
    let raise = "raise ''invalid memory alloc request size 1200000004'' using errcode = ''XX000'';";
    client.batch_execute(&crate::support::replacing("powa_statements_src", raise)).unwrap();
    let server = scene.register_as(Registration { extensions: &[], ..Registration::of(&remote) });
    let _collector = scene.collector();
    let error = scene.wait_for_error(server, "invalid memory alloc request size");
    let sql = "select pg_stat_statements_reset(userid, dbid, queryid) from pg_stat_statements where octet_length(query) > 33554432";
    assert_eq!(said_to_run(&error), [sql]);
    client.batch_execute(&format!("select 1, 2 /* {} */", "x".repeat(40 << 20))).unwrap();
    let large = "select count(*) from pg_stat_statements where octet_length(query) > 1000000";
    assert_eq!(client.query_one(large, &[]).unwrap().get::<_, i64>(0), 1);
    client.batch_execute(sql).unwrap();
    assert_eq!(client.query_one(large, &[]).unwrap().get::<_, i64>(0), 0);
    let small = "select count(*) from pg_stat_statements where query = 'select current_date'";
    assert_eq!(client.query_one(small, &[]).unwrap().get::<_, i64>(0), 1);
}

/// Makes a database that takes any bytes.
fn any_bytes(remote: &Cluster, name: &str) {
    let create = format!("create database \"{name}\" template template0 encoding 'SQL_ASCII' locale 'C'");
    remote.connect("postgres").unwrap().batch_execute(&create).unwrap();
}

fn bytes_of_a_database_in_sql_ascii_are_cured_by_what_is_said(scene: &Scene) {
    let remote = own_server(scene);
    any_bytes(&remote, "any bytes");
    any_bytes(&remote, "unused");
    let statement = "set pg_stat_statements.track = 'all';
        do $$ begin execute convert_from('\\x73656c65637420312061732022e9ac22', 'SQL_ASCII'); end $$";
    remote.connect("any bytes").unwrap().batch_execute(statement).unwrap();
    let mut client = remote.connect("powa").unwrap();
    let dbid: u32 = client.query_one("select oid from pg_database where datname = 'any bytes'", &[]).unwrap().get(0);
    let reset = format!("select pg_stat_statements_reset(0, {dbid}, 0)");
    let server_id = scene.register_as(Registration::of(&remote));
    let _collector = scene.collector();
    for datasource in ["pg_stat_statements (powa_statements_src)", "pg_qualstats (powa_qualstats_src)"] {
        let error = scene.wait_for_error(server_id, datasource);
        assert!(error.contains("22021") && error.contains("database \"any bytes\" (SQL_ASCII)"), "{error}");
        assert_eq!(said_to_run(&error), [reset.as_str()]);
    }
    // The others are there.
    let others = "select count(*) from powa_databases where srvid > 0 and datname = 'any bytes'";
    assert_eq!(scene.count(others), 1);
    let (code, output) = check_json(scene, json!({}), &[]);
    assert_eq!(code, 1, "{output:#}");
    let cure = format!("{reset};");
    assert_eq!(cures(server(&output, server_id), "remote server"), [&cure, &cure], "{output:#}");
    // The statements of a database that is dropped stay.
    remote.connect("postgres").unwrap().batch_execute("drop database \"any bytes\" with (force)").unwrap();
    let error = scene.wait_for_error(server_id, &format!("a statement of database {dbid} (dropped)"));
    assert!(said_to_run(&error).contains(&reset), "{error}");
    heal(scene, &remote, server_id, &[reset]);
    assert_well(&check_json(scene, json!({}), &[]));
}

fn a_database_whose_name_is_not_utf8_costs_nobody_else_anything(scene: &Scene) {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;

    let remote = Cluster::start(scene.generation(), "names").unwrap();
    remote.create_powa_database("powa").unwrap();
    any_bytes(&remote, "any bytes");
    let mut psql = scene.generation().psql();
    let create = OsString::from_vec(b"create database \"caf\xe9\"".to_vec());
    let sent = psql
        .args(["-qX", "-d", &remote.dsn("any bytes"), "-c"])
        .arg(create)
        .env("PGCLIENTENCODING", "SQL_ASCII")
        .output()
        .unwrap();
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    // Its text is not UTF-8 either, which is another matter.
    remote.connect("powa").unwrap().batch_execute("select pg_stat_statements_reset()").unwrap();
    let server = scene.register_as(Registration::of(&remote));
    let _collector = scene.collector();
    scene.wait_for_snapshots(server, 1);
    let databases = "select count(*) from powa_databases where srvid > 0 and datname in ('any bytes', 'caf\u{fffd}')";
    assert_eq!(scene.count(databases), 2);
    // With PoWA 4, there is nothing that is collected in it.
    let errors = scene.errors(server);
    if scene.generation().powa_major() > 4 {
        assert!(errors.len() == 1 && errors[0].contains("\"caf\u{fffd}\""), "{errors:?}");
        // The printed cure works: rename it from a database made by the printed statement.
        let (_, create) = errors[0].split_once("sql_ascii: ").unwrap();
        remote.connect("postgres").unwrap().batch_execute(create.split_once(" makes one").unwrap().0).unwrap();
        let rename = OsString::from_vec(b"alter database \"caf\xe9\" rename to cafe".to_vec());
        let mut psql = scene.generation().psql();
        let psql = psql.args(["-qX", "-d", &remote.dsn("ascii"), "-c", "set client_encoding to sql_ascii", "-c"]);
        let renamed = psql.arg(rename).output().unwrap();
        assert!(renamed.status.success(), "{}", String::from_utf8_lossy(&renamed.stderr));
        remote.connect("powa").unwrap().batch_execute("select pg_stat_statements_reset()").unwrap();
        wait_until("the error to be gone", || scene.errors(server).is_empty());
    } else {
        assert_eq!(errors, [""; 0]);
    }
}

fn a_schema_that_the_role_may_not_use_is_cured_by_what_is_said(scene: &Scene) {
    scene.without_databases();
    let remote = scene.own_remote();
    let (sql, _, reader) = grants(scene, "remote");
    let mut client = remote.connect();
    client.batch_execute(&sql).unwrap();
    let id = scene.register_as(Registration { username: &reader, ..remote.registration() });
    assert_well(&check_json(scene, json!({}), &[]));
    client.batch_execute("create schema s; alter extension pg_stat_statements set schema s").unwrap();
    let grant = format!("grant usage on schema \"s\" to \"{reader}\"");
    let (code, output) = check_json(scene, json!({}), &[]);
    let found = server(&output, id);
    assert_eq!(code, 1, "{output:#}");
    let with_grant = format!("{grant};");
    assert!(cures(found, "remote server").iter().all(|cure| *cure == with_grant), "{found:#}");
    assert!(cures(found, "advice").is_empty(), "{found:#}");
    assert!(complaints(found).iter().any(|complaint| complaint["what"] == "privileges"), "{found:#}");
    let _collector = scene.collector();
    for datasource in ["pg_stat_statements (powa_statements_src)", "pg_qualstats (powa_qualstats_src)"] {
        let error = scene.wait_for_error(id, datasource);
        assert_eq!(said_to_run(&error), [grant.as_str()]);
    }
    client.batch_execute(&grant).unwrap();
    let before = scene.snapshots(id);
    wait_until("the errors to be gone", || {
        let (snapshots, errors) = scene.snapshots_and_errors(id);
        snapshots > before && errors.is_empty()
    });
    assert_well(&check_json(scene, json!({}), &[]));
}
