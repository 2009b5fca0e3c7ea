//! Hostile names of servers, roles, databases and schemas.

use lab::Registration;
use postgres::Client;
use serde_json::json;

use super::{INJECTIONS, MARKER, assert_log_is_in_order, assert_nothing_ran};
use crate::support::{Scene, tests, wait_until};

tests![
    a_server_with_names_that_look_like_sql_is_collected,
    extensions_in_schemas_that_look_like_sql_are_collected,
    a_line_break_in_an_address_does_not_break_the_log;
    since 5:
    databases_with_names_that_look_like_sql_are_collected,
];

fn a_server_with_names_that_look_like_sql_is_collected(scene: &Scene) {
    // The same server under many names.
    let once = "alter table powa_servers drop constraint powa_servers_hostname_port_key";
    let mut repository = scene.repository();
    repository.batch_execute(once).unwrap();
    let remote = scene.own_remote();
    let mut servers = vec![];
    for (number, injection) in (1..).zip(INJECTIONS) {
        let user = format!("{injection} {}", scene.database);
        let quoted = user.replace('"', "\"\"");
        remote.connect().batch_execute(&format!("create role \"{quoted}\" superuser login")).unwrap();
        // No server listens there; the address is put right below.
        let server = scene.register_as(Registration {
            port: number,
            alias: Some(injection),
            // PostgreSQL takes 63 bytes of it.
            username: &user,
            ..remote.registration()
        });
        servers.push(server);
    }
    let port = i32::from(scene.remote_server().port());
    repository.execute("update powa_servers set port = $1", &[&port]).unwrap();
    let collector = scene.collector_with(json!({"use_server_alias": true}));
    for server in &servers {
        scene.wait_for_snapshots(*server, 1);
        assert_eq!(scene.errors(*server), [""; 0]);
    }
    // Collectors of other tests come here as other users.
    let sql = "select application_name from pg_stat_activity where application_name like 'PoWA collector - worker%'
        and datname = $1 and application_name not like '%127.0.0.1:%' and usename like '%' || $2";
    let names = scene.remote("powa").query(sql, &[&remote.name, &scene.database]).unwrap();
    let names: Vec<String> = names.iter().map(|row| row.get(0)).collect();
    assert_eq!(names.len(), servers.len());
    assert!(!names.iter().any(|name| name.contains(char::is_control)), "{names:?}");
    assert_nothing_ran(&mut scene.repository());
    assert_nothing_ran(&mut remote.connect());
    assert_log_is_in_order(&collector);
}

fn extensions_in_schemas_that_look_like_sql_are_collected(scene: &Scene) {
    let remote = scene.own_remote();
    // PostgreSQL takes no quote, backslash, dollar sign or comment there.
    let [here, there] = ["); create table public.pwned (); %s &", "{powa}; create table public.pwned {pwned} {} *"];
    let move_to = |client: &mut Client, schema: &str| {
        let sql = format!(
            "create schema \"{schema}\"; drop extension pg_track_settings;
            create extension pg_track_settings schema \"{schema}\""
        );
        client.batch_execute(&sql).unwrap();
    };
    move_to(&mut remote.connect(), there);
    // PoWA 4 itself does not find it in another schema there.
    if scene.generation().powa_major() > 4 {
        move_to(&mut scene.repository(), here);
    }
    let server = scene.register_as(remote.registration());
    let collector = scene.collector();
    scene.wait_for_snapshots(server, 1);
    assert_eq!(scene.errors(server), [""; 0]);
    assert_nothing_ran(&mut scene.repository());
    assert_nothing_ran(&mut remote.connect());
    assert_log_is_in_order(&collector);
}

fn a_line_break_in_an_address_does_not_break_the_log(scene: &Scene) {
    let names: Vec<_> = INJECTIONS.iter().map(|injection| format!("{injection}.invalid")).collect();
    let servers: Vec<_> = names
        .iter()
        .flat_map(|name| {
            let of = Registration::of(scene.remote_server());
            let host = Registration { hostname: name, port: 1, ..of.clone() };
            let database = Registration { hostname: "127.0.0.1", dbname: name, ..of };
            [host, database]
        })
        .zip(1..)
        .map(|(registration, port)| scene.register_as(Registration { port, ..registration }))
        .collect();
    // No database has the name.
    let sql = "alter table powa_servers drop constraint powa_servers_hostname_port_key;
        update powa_servers set port = PORT where hostname = '127.0.0.1'";
    let sql = sql.replace("PORT", &scene.remote_server().port().to_string());
    scene.repository().batch_execute(&sql).unwrap();
    let collector = scene.collector();
    assert_eq!(servers.len(), 16);
    for server in servers {
        scene.wait_for_status(server, "no connection to remote server");
        scene.wait_for_error(server, "could not connect to");
        // A name server that is slow at first is another reason to be told.
        let own = format!("server{{id={server} ");
        wait_until("it to be said", || collector.logged(&own).iter().any(|line| line.contains("could not connect to")));
    }
    assert_nothing_ran(&mut scene.repository());
    assert_log_is_in_order(&collector);
}

fn databases_with_names_that_look_like_sql_are_collected(scene: &Scene) {
    let mut remote = scene.remote("postgres");
    let names: Vec<_> =
        INJECTIONS.iter().map(|injection| format!("{} {injection}", scene.generation().label())).collect();
    for name in &names {
        // Collectors visit the other template, which cannot be copied meanwhile.
        let name = name.replace('"', "\"\"");
        remote.batch_execute(&format!("create database \"{name}\" template template0")).unwrap();
    }
    let server = scene.register();
    let collector = scene.collector();
    scene.wait_for_snapshots(server, 1);
    let sql = "select count(*) from powa_catalog_databases where srvid = $1 and datname = any($2)";
    wait_until("their catalogs", || {
        scene.repository().query_one(sql, &[&server, &names]).unwrap().get::<_, i64>(0) == 8
    });
    for name in &names {
        let answer = scene.ask("REFRESH_DB_CAT", &format!("{server} 1 {name}"));
        assert_eq!(answer, "REFRESH_DB_CAT OK Catalogs will be refreshed during the next snapshot");
    }
    let refreshed =
        "select count(*) from powa_catalog_databases d where srvid = $1 and datname = any($2) and last_refresh
        > (select min(last_refresh) from powa_catalog_databases m where m.srvid = d.srvid)";
    wait_until("their catalogs again", || {
        scene.repository().query_one(refreshed, &[&server, &names]).unwrap().get::<_, i64>(0) == 8
    });
    assert!(!scene.errors(server).iter().any(|error| error.contains(MARKER)), "{:?}", scene.errors(server));
    assert_nothing_ran(&mut scene.repository());
    for name in &names {
        assert_nothing_ran(&mut scene.remote(name));
    }
    collector.stop();
    assert_log_is_in_order(&collector);
    for name in &names {
        let name = name.replace('"', "\"\"");
        // Not by force: other tests' collectors may be there.
        remote.batch_execute(&format!("alter database \"{name}\" allow_connections false")).unwrap();
        wait_until("a database to be left", || remote.batch_execute(&format!("drop database \"{name}\"")).is_ok());
    }
}
