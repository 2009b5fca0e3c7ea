//! A snapshot starts with empty `*_src_tmp` tables, and leaves them empty.

use lab::Registration;

use crate::support::{Scene, tests, wait_until};

tests![
    #[hurried]
    a_snapshot_function_that_fails_leaves_nothing_behind,
    rows_that_were_left_of_the_same_server_are_not_taken,
    rows_that_were_left_of_another_server_are_not_taken,
    #[hurried]
    rows_of_a_snapshot_that_is_being_loaded_are_left_alone,
];

/// Rows in all tables that rows only pass through.
fn left_over(scene: &Scene) -> i64 {
    let tables =
        "select coalesce(string_agg(format('select count(*) as n from %s', c.oid::regclass), ' union all '), '')
        from pg_class c where relname like '%\\_src\\_tmp' and relkind = 'r'";
    let union: String = scene.repository().query_one(tables, &[]).unwrap().get(0);
    scene.count(&format!("select sum(n)::bigint from ({union}) t"))
}

fn a_snapshot_function_that_fails_leaves_nothing_behind(scene: &Scene) {
    let remote = scene.own_remote();
    let server = scene.register_as(remote.registration());
    let mut locking = scene.repository();
    let mut lock = locking.transaction().unwrap();
    lock.batch_execute("lock table powa_databases in share row exclusive mode").unwrap();
    let _collector = scene.collector();
    scene.wait_for_error(server, "powa_databases_snapshot");
    assert_eq!(left_over(scene), 0);
    lock.rollback().unwrap();
    wait_until("a snapshot without errors", || {
        let (snapshots, errors) = scene.snapshots_and_errors(server);
        snapshots > 1 && errors.is_empty()
    });
    assert_eq!(left_over(scene), 0);
    let statements = "select count(*) from powa_statements_history_current";
    assert!(scene.count(statements) > 0);
}

fn rows_that_were_left_of_the_same_server_are_not_taken(scene: &Scene) {
    let remote = scene.own_remote();
    let server = scene.register_as(remote.registration());
    let leave = format!(
        "insert into powa_databases_src_tmp select {server}, 424242, 'ghost' from generate_series(1, 2);
         insert into powa_statements_src_tmp select * from powa_statements_src_tmp;"
    );
    scene.repository().batch_execute(&leave).unwrap();
    let _collector = scene.collector();
    scene.wait_for_snapshots(server, 1);
    assert_eq!(scene.errors(server), [""; 0]);
    assert_eq!(scene.count("select count(*) from powa_databases where datname = 'ghost'"), 0);
    assert_eq!(left_over(scene), 0);
}

fn rows_that_were_left_of_another_server_are_not_taken(scene: &Scene) {
    let server = scene.register_as(Registration { frequency: 3600, ..Registration::of(scene.remote_server()) });
    // Of a server that was removed since.
    let (leave, taken) = if scene.generation().powa_major() > 4 {
        // A row of another server, as that one's snapshot would have it.
        let columns: String = scene
            .repository()
            .query_one(
                "select string_agg(case when atttypid = 'timestamptz'::regtype then 'now()'
                        when attname = 'srvid' then '777777' when attname = 'dbid' then '424242' else '0' end,
                    ', ' order by attnum)
                 from pg_attribute where attrelid = 'powa_all_tables_src_tmp'::regclass and attnum > 0
                    and not attisdropped",
                &[],
            )
            .unwrap()
            .get(0);
        (
            format!("insert into powa_all_tables_src_tmp values ({columns})"),
            "select count(*) from powa_all_tables_history_current where dbid = 424242",
        )
    } else {
        (
            "insert into pg_track_settings_settings_src_tmp values (777777, now(), 'ghost.setting', 'x', 'x')".into(),
            "select count(*) from pg_track_settings_history where name = 'ghost.setting'",
        )
    };
    scene.repository().batch_execute(&leave).unwrap();
    let _collector = scene.collector();
    scene.wait_for_snapshots(server, 1);
    assert_eq!(scene.count(taken), 0);
    assert_eq!(left_over(scene), 0);
}

fn rows_of_a_snapshot_that_is_being_loaded_are_left_alone(scene: &Scene) {
    let remote = scene.own_remote();
    // Somebody else in the middle of a load, of a server that the collector does not know.
    let mut loading = scene.repository();
    let mut load = loading.transaction().unwrap();
    load.batch_execute("insert into powa_databases_src_tmp values (777777, 1, 'one')").unwrap();
    let server = scene.register_as(remote.registration());
    let _collector = scene.collector();
    scene.wait_for_snapshots(server, 2);
    load.commit().unwrap();
    assert_eq!(scene.count("select count(*) from powa_databases_src_tmp where srvid = 777777"), 1);
    assert_eq!(scene.errors(server), [""; 0]);
}
