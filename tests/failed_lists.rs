//! Lists of databases, roles and settings that cannot be read stay as they are: PoWA would take an empty list for a
//! server that has lost all of them.

use lab::{Cluster, Registration};
use postgres::Client;
use serde_json::json;

use crate::permissions::grants;
use crate::support::{SECRET, Scene, raising, replacing, tests, wait_until, with_powa};

tests![
    #[hurried] lists_that_cannot_be_read_stay_as_they_are,
    #[hurried] lists_whose_rows_are_refused_stay_as_they_are,
    #[hurried] a_list_without_a_row_is_not_believed,
    #[hurried] settings_stay_when_their_extension_is_missing,
    #[hurried] a_table_that_the_role_may_not_read_costs_its_list_only,
    #[hurried] a_database_that_was_recorded_as_dropped_by_mistake_is_back;
    since 5:
    #[hurried] a_database_without_all_of_its_catalogs_is_read_again,
    #[hurried] catalogs_that_were_asked_for_and_could_not_be_read_are_read_again,
    #[hurried] catalogs_of_a_database_that_is_not_known_yet_do_not_cost_the_others,
];

/// A remote server whose databases, roles and settings only one test changes.
struct Remote {
    cluster: Cluster,
}

impl Remote {
    fn start(scene: &Scene) -> Self {
        let cluster = Cluster::start_with(scene.generation(), "own-remote", &[]).unwrap();
        cluster.create_powa_database("powa").unwrap();
        let remote = Self { cluster };
        remote.execute("alter database powa set work_mem = '4322kB'");
        remote
    }

    fn connect(&self) -> Client {
        with_powa(self.cluster.connect("powa").unwrap())
    }

    fn execute(&self, statements: &str) {
        // Not in one transaction: some of them may be in none.
        statements.split("; ").for_each(|statement| self.connect().batch_execute(statement).unwrap());
    }

    fn register(&self, scene: &Scene) -> i32 {
        let registration = Registration { extensions: &["pg_track_settings"], ..Registration::of(&self.cluster) };
        scene.register_as(Registration { password: Some(SECRET), ..registration })
    }
}

/// The functions that give the lists.
fn sources(scene: &Scene) -> Vec<&'static str> {
    let mut sources = vec!["powa_databases_src", "pg_track_settings_settings_src", "pg_track_settings_rds_src"];
    if scene.generation().powa_major() > 4 {
        sources.extend(["powa_catalog_database_src", "powa_catalog_role_src"]);
    }
    sources
}

/// What the repository knows of a server, and what it has recorded as dropped.
fn known(scene: &Scene, server: i32) -> Vec<(&'static str, i64)> {
    let mut tables = vec![
        "powa_databases where srvid = $1 and dropped is null",
        "powa_databases where srvid = $1 and dropped is not null",
        "pg_track_settings_list where srvid = $1",
        "pg_track_settings_history where srvid = $1",
        "pg_track_settings_history where srvid = $1 and is_dropped",
        "pg_track_db_role_settings_list where srvid = $1",
        "pg_track_db_role_settings_history where srvid = $1",
    ];
    if scene.generation().powa_major() > 4 {
        tables.extend([
            "powa_catalog_databases where srvid = $1 and last_refresh is not null",
            "powa_catalog_roles where srvid = $1",
            "powa_catalog_class where srvid = $1",
        ]);
    }
    let mut repository = scene.repository();
    let mut count = |table: &'static str| {
        let row = repository.query_one(&format!("select count(*) from {table}"), &[&server]).unwrap();
        (table, row.get(0))
    };
    tables.into_iter().map(&mut count).collect()
}

/// Takes as many snapshots more, whether or not they have errors.
fn take(scene: &Scene, server: i32, number: i64) {
    let before = scene.snapshots(server);
    // The one under way may have begun before what the test has just changed.
    scene.wait_for_snapshots(server, before + 1 + number);
}

fn wait_until_well(scene: &Scene, server: i32) {
    wait_until("a snapshot without errors", || {
        let (snapshots, errors) = scene.snapshots_and_errors(server);
        snapshots > 1 && errors.is_empty()
    });
}

fn lists_that_cannot_be_read_stay_as_they_are(scene: &Scene) {
    let remote = Remote::start(scene);
    let server = remote.register(scene);
    let _collector = scene.collector();
    wait_until_well(scene, server);
    let before = known(scene, server);
    assert!(
        before
            .iter()
            .all(|(what, number)| what.contains("dropped is not null") || what.ends_with("is_dropped") || *number > 0),
        "{before:?}"
    );

    let definitions: Vec<String> = sources(scene)
        .iter()
        .map(|source| {
            let sql = "select pg_get_functiondef(oid) from pg_proc where proname = $1";
            remote.connect().query_one(sql, &[source]).unwrap().get(0)
        })
        .collect();
    for source in sources(scene) {
        remote.connect().batch_execute(&raising(source, "not today")).unwrap();
    }
    take(scene, server, 2);
    let errors = scene.errors(server);
    for source in sources(scene) {
        assert_eq!(errors.iter().filter(|error| error.contains(source)).count(), 1, "{source}: {errors:?}");
    }
    assert_eq!(known(scene, server), before);

    for definition in definitions {
        remote.connect().batch_execute(&definition).unwrap();
    }
    take(scene, server, 1);
    wait_until_well(scene, server);
    assert_eq!(known(scene, server), before);
}

fn lists_whose_rows_are_refused_stay_as_they_are(scene: &Scene) {
    let remote = Remote::start(scene);
    let server = remote.register(scene);
    let _collector = scene.collector();
    wait_until_well(scene, server);
    let before = known(scene, server);

    let mut refusals = vec![
        ("powa_databases_src_tmp", "datname <> 'fresh'"),
        ("pg_track_settings_settings_src_tmp", "setting <> '4321'"),
        ("pg_track_settings_rds_src_tmp", "setting <> '4321kB'"),
    ];
    if scene.generation().powa_major() > 4 {
        refusals.push(("powa_catalog_database_src_tmp", "datname <> 'fresh'"));
        refusals.push(("powa_catalog_role_src_tmp", "rolname <> 'newcomer'"));
    }
    for (table, check) in &refusals {
        let refuse = format!("alter table {table} add constraint refusing check ({check})");
        scene.repository().batch_execute(&refuse).unwrap();
    }
    remote.execute(
        "create database fresh; create role newcomer; alter role newcomer set work_mem = '4321kB'; \
         alter system set vacuum_cost_limit = 4321; select pg_reload_conf()",
    );
    let tells = |table: &str| {
        let refused = format!("\"{table}\" (repository server)");
        scene.errors(server).iter().any(|error| error.contains(&refused) && error.contains("refusing"))
    };
    wait_until("the tables to refuse", || refusals.iter().all(|(table, _)| tells(table)));
    take(scene, server, 1);
    assert_eq!(known(scene, server), before);

    for (table, _) in &refusals {
        scene.repository().batch_execute(&format!("alter table {table} drop constraint refusing")).unwrap();
    }
    take(scene, server, 1);
    wait_until_well(scene, server);
    let after = known(scene, server);
    for ((what, before), (_, after)) in before.iter().zip(&after) {
        let is_of_dropped = what.contains("dropped is not null") || what.ends_with("is_dropped");
        assert!(if is_of_dropped { after == before } else { after >= before }, "{what}: {before} and {after}");
    }
    let fresh = "select count(*) from powa_databases where datname = 'fresh' and dropped is null";
    assert_eq!(scene.count(fresh), 1);
    let changed =
        "select count(*) from pg_track_settings_history where name = 'vacuum_cost_limit' and setting = '4321'";
    assert_eq!(scene.count(changed), 1);
}

fn a_list_without_a_row_is_not_believed(scene: &Scene) {
    let remote = Remote::start(scene);
    let server = remote.register(scene);
    let _collector = scene.collector();
    wait_until_well(scene, server);
    let before = known(scene, server);
    // No server is without them. The settings of databases and roles are another matter.
    let never_empty: Vec<_> = sources(scene).into_iter().filter(|source| !source.contains("rds")).collect();
    for source in &never_empty {
        remote.connect().batch_execute(&replacing(source, "return;")).unwrap();
    }
    take(scene, server, 2);
    let errors = scene.errors(server);
    for source in &never_empty {
        let tells = |error: &&String| error.contains(*source) && error.contains("returned no rows");
        assert_eq!(errors.iter().filter(tells).count(), 1, "{source}: {errors:?}");
    }
    assert_eq!(known(scene, server), before);
}

fn settings_stay_when_their_extension_is_missing(scene: &Scene) {
    let remote = Remote::start(scene);
    let server = remote.register(scene);
    let _collector = scene.collector();
    wait_until_well(scene, server);
    let before = known(scene, server);
    remote.execute("drop extension pg_track_settings");
    take(scene, server, 2);
    scene.wait_for_error(server, "extension \"pg_track_settings\" is not installed (remote server)");
    assert_eq!(known(scene, server), before);
}

fn a_table_that_the_role_may_not_read_costs_its_list_only(scene: &Scene) {
    let remote = Remote::start(scene);
    let server = remote.register(scene);
    let (sql, role, _) = grants(scene, "repository");
    scene.repository().batch_execute(&sql).unwrap();
    let collector = scene.collector_with(json!({"repository": {"dsn": scene.dsn(&role)}}));
    wait_until_well(scene, server);
    let before = known(scene, server);
    // As it is after the extension was dropped and created anew.
    let sql = format!("revoke all on pg_track_settings_settings_src_tmp, pg_track_settings_rds_src_tmp from {role}");
    scene.repository().batch_execute(&sql).unwrap();
    scene.wait_for_error(server, "permission denied for table pg_track_settings_settings_src_tmp");
    take(scene, server, 2);
    assert_eq!(collector.logged("snapshot waits to be loaded"), [""; 0]);
    assert_eq!(known(scene, server), before);
    let errors = scene.errors(server).join("\n");
    assert!(errors.contains("\"powa-collector check\" prints what to grant"), "{errors}");

    // The function could read it, and would take an empty table for a server without settings.
    let sql = format!("grant select, delete on pg_track_settings_settings_src_tmp to {role}");
    scene.repository().batch_execute(&sql).unwrap();
    collector.wait_for_log("snapshot waits to be loaded");
    assert_eq!(known(scene, server), before);
}

fn a_database_that_was_recorded_as_dropped_by_mistake_is_back(scene: &Scene) {
    let remote = Remote::start(scene);
    let server = remote.register(scene);
    let collector = scene.collector();
    wait_until_well(scene, server);
    collector.stop();
    scene.wait_until_nobody_is_left();
    scene.repository().batch_execute("update powa_databases set dropped = now()").unwrap();
    let _collector = scene.collector();
    let dropped = "select count(*) from powa_databases where dropped is not null";
    wait_until("the databases to be back", || scene.count(dropped) == 0);
}

fn a_database_without_all_of_its_catalogs_is_read_again(scene: &Scene) {
    let remote = Remote::start(scene);
    let server = remote.register(scene);
    let refreshed = "select count(*) from powa_catalog_databases where last_refresh is not null";
    let attributes = "select count(*) from powa_catalog_attribute";

    // Not read.
    let spoil = "create table public.queries as select * from powa_catalog_src_queries where catname = 'pg_attribute';
        update powa_catalog_src_queries set query_source = 'select 1/0' where catname = 'pg_attribute'";
    scene.repository().batch_execute(spoil).unwrap();
    let _collector = scene.collector();
    scene.wait_for_snapshots(server, 1);
    scene.wait_for_error(server, "catalog pg_attribute of database \"powa\"");
    take(scene, server, 1);
    assert_eq!((scene.count(refreshed), scene.count(attributes)), (0, 0));

    // Read, and not stored.
    let refuse = "alter table powa_catalog_attribute add constraint refusing check (false);
        update powa_catalog_src_queries q set query_source = b.query_source from public.queries b
            where b.catname = q.catname and b.min_version = q.min_version";
    scene.repository().batch_execute(refuse).unwrap();
    scene.wait_for_error(server, "powa_catalog_generic_snapshot");
    take(scene, server, 1);
    assert_eq!((scene.count(refreshed), scene.count(attributes)), (0, 0));

    scene.repository().batch_execute("alter table powa_catalog_attribute drop constraint refusing").unwrap();
    // The pauses between the tries have grown.
    wait_until("all catalogs", || scene.count(refreshed) > 0 && scene.count(attributes) > 0);
}

fn catalogs_that_were_asked_for_and_could_not_be_read_are_read_again(scene: &Scene) {
    let remote = Remote::start(scene);
    let server = remote.register(scene);
    let _collector = scene.collector();
    wait_until_well(scene, server);
    let spoil = "create table public.queries as select * from powa_catalog_src_queries where catname = 'pg_attribute';
        update powa_catalog_src_queries set query_source = 'select 1/0' where catname = 'pg_attribute'";
    scene.repository().batch_execute(spoil).unwrap();
    remote.connect().batch_execute("create table made_meanwhile ()").unwrap();
    let answer = scene.ask("REFRESH_DB_CAT", &format!("{server} 1 powa"));
    assert!(answer.starts_with("REFRESH_DB_CAT OK"), "{answer}");
    scene.wait_for_error(server, "catalog pg_attribute of database \"powa\"");
    let mend = "update powa_catalog_src_queries q set query_source = b.query_source from public.queries b
        where b.catname = q.catname and b.min_version = q.min_version";
    scene.repository().batch_execute(mend).unwrap();
    let made = "select count(*) from powa_catalog_class where relname = 'made_meanwhile'";
    wait_until("the new table", || scene.count(made) == 1);
}

fn catalogs_of_a_database_that_is_not_known_yet_do_not_cost_the_others(scene: &Scene) {
    let remote = Remote::start(scene);
    let server = remote.register(scene);
    let _collector = scene.collector();
    wait_until_well(scene, server);
    let definition: String = remote
        .connect()
        .query_one("select pg_get_functiondef('powa_catalog_database_src'::regproc)", &[])
        .unwrap()
        .get(0);
    remote.connect().batch_execute(&raising("powa_catalog_database_src", "not today")).unwrap();
    scene.repository().batch_execute("update powa_catalog_databases set last_refresh = null").unwrap();
    remote.execute("create database fresh");
    // Others take no connections.
    let known =
        "select count(*) from powa_catalog_databases where last_refresh is null and datname in ('powa', 'postgres')";
    wait_until("the databases that are known to be read", || scene.count(known) == 0);
    take(scene, server, 1);
    let errors = scene.errors(server);
    assert!(errors.iter().all(|error| error.contains("not today")), "{errors:?}");
    remote.connect().batch_execute(&definition).unwrap();
    let fresh = "select count(*) from powa_catalog_class c join powa_catalog_databases d
        on d.srvid = c.srvid and d.oid = c.dbid where d.datname = 'fresh'";
    wait_until("the catalogs of the new database", || scene.count(fresh) > 0);
}
