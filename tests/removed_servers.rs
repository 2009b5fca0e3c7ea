//! A server that is removed by SQL while it is collected.

use lab::Registration;

use crate::support::{Collector, Scene, delaying, replacing, tests, wait_until};

tests![
    a_server_that_was_removed_is_not_collected_any_more,
    a_server_that_is_removed_while_it_is_read_leaves_nothing_behind,
    a_server_that_is_removed_while_it_is_loaded_goes_after_the_load,
    #[hurried]
    a_role_that_may_not_lock_servers_takes_snapshots_all_the_same,
];

/// As an administrator does it by hand.
fn remove(scene: &Scene, server: i32) {
    let removed: bool =
        scene.repository().query_one("select powa_delete_and_purge_server($1)", &[&server]).unwrap().get(0);
    assert!(removed);
}

fn wait_for_the_end(collector: &Collector) {
    collector.wait_for_log("its row in powa_servers is gone");
    assert_eq!(collector.logged("ERROR"), [""; 0]);
}

/// Rows of the server, anywhere.
fn rows_of(scene: &Scene, server: i32) -> i64 {
    let tables =
        "select string_agg(format('select count(*) as n from %s where srvid = %s', a.attrelid::regclass, $1::int),
            ' union all ')
        from pg_attribute a join pg_class c on c.oid = a.attrelid
        where a.attname = 'srvid' and c.relkind in ('r', 'p') and not a.attisdropped
            and c.relnamespace <> 'pg_catalog'::regnamespace";
    let union: String = scene.repository().query_one(tables, &[&server]).unwrap().get(0);
    scene.count(&format!("select sum(n)::bigint from ({union}) t"))
}

fn a_server_that_was_removed_is_not_collected_any_more(scene: &Scene) {
    let server = scene.register();
    let collector = scene.collector();
    scene.wait_for_snapshots(server, 1);
    remove(scene, server);
    wait_for_the_end(&collector);
    wait_until("the worker to be gone", || scene.ask("WORKERS_STATUS", &server.to_string()) == "WORKERS_STATUS OK {}");
    assert_eq!(rows_of(scene, server), 0);
    // One that comes in its place is collected.
    let next = scene.register();
    assert_eq!(scene.ask("RELOAD", ""), "RELOAD OK OK");
    scene.wait_for_snapshots(next, 1);
}

fn a_server_that_is_removed_while_it_is_read_leaves_nothing_behind(scene: &Scene) {
    let remote = scene.own_remote();
    remote.connect().batch_execute(&replacing("powa_databases_src", "perform pg_sleep(600);")).unwrap();
    let server = scene.register_as(Registration { frequency: 3600, ..remote.registration() });
    let collector = scene.collector();
    let reading = "select count(*) from pg_stat_activity where datname = $1 and application_name like '%worker%'
        and state = 'active' and wait_event = 'PgSleep'";
    let mut other = remote.connect();
    let count = |client: &mut postgres::Client| client.query_one(reading, &[&remote.name]).unwrap().get::<_, i64>(0);
    wait_until("it to be read", || count(&mut other) > 0);
    remove(scene, server);
    let cancel = "select pg_cancel_backend(pid) from pg_stat_activity where datname = $1 and wait_event = 'PgSleep'";
    other.query(cancel, &[&remote.name]).unwrap();
    wait_for_the_end(&collector);
    assert_eq!(rows_of(scene, server), 0);
}

fn a_server_that_is_removed_while_it_is_loaded_goes_after_the_load(scene: &Scene) {
    let remote = scene.own_remote();
    scene.repository().batch_execute(&delaying("powa_take_snapshot", "perform pg_sleep(3);")).unwrap();
    let server = scene.register_as(remote.registration());
    let collector = scene.collector();
    let loading = "select count(*) from pg_stat_activity where datname = current_database()
        and application_name like '%repo_conn%' and wait_event = 'PgSleep'";
    wait_until("it to be loaded", || scene.count(loading) > 0);
    // Waits for the load, and is not run into a deadlock by it.
    remove(scene, server);
    assert_eq!(rows_of(scene, server), 0);
    wait_for_the_end(&collector);
    assert_eq!(collector.logged("snapshot taken").len(), 1);
    assert_eq!(rows_of(scene, server), 0);
}

fn a_role_that_may_not_lock_servers_takes_snapshots_all_the_same(scene: &Scene) {
    let role = format!("humble{}", scene.number());
    let grants = format!(
        "create role {role} login;
         do $grant$ declare target regclass; begin
            for target in select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace
                where relkind in ('r', 'v') and nspname not in ('pg_catalog', 'information_schema') loop
                execute format('grant select, insert, update, delete on %s to {role}', target);
                execute format('grant usage on schema %I to {role}', (select nspname from pg_namespace n
                    join pg_class c on c.relnamespace = n.oid where c.oid = target));
            end loop;
         end $grant$;
         revoke update on powa_servers from {role}"
    );
    scene.repository().batch_execute(&grants).unwrap();
    let server = scene.register();
    let config = serde_json::json!({"repository": {"dsn": scene.dsn(&role)}});
    let collector = Collector::start(&scene.config_file(&config.to_string()));
    collector.wait_for_log("snapshot taken");
    scene.wait_for_snapshots(server, 2);
    assert_eq!(scene.errors(server), [""; 0]);
    remove(scene, server);
    collector.wait_for_log("its row in powa_servers is gone");
    assert_eq!(rows_of(scene, server), 0);
    drop(collector);
    scene.wait_until_nobody_is_left();
    scene.repository().batch_execute(&format!("drop owned by {role}; drop role {role}")).unwrap();
}
