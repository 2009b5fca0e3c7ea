//! If the repository refuses a part of a snapshot, that part is reported, and the rest is stored.

use lab::Registration;
use serde_json::json;

use crate::support::{Loads, Scene, replacing, tests, wait_until};

tests![
    #[hurried] whichever_datasources_are_refused_each_says_so_and_the_others_arrive,
    #[hurried] tables_that_do_not_take_rows_cost_themselves_only,
    a_table_that_is_locked_to_the_last_is_left_out_and_the_others_arrive;
    since 5:
    of_several_databases_that_share_a_table_only_the_one_that_is_refused_is_missing,
];

impl Loads<'_> {
    /// Waits for a load without these tables, which the errors have to tell, and makes sure of the rest.
    fn wait_without(&self, all: &[String], refused: &[&String]) -> Vec<String> {
        let mut output = Vec::new();
        wait_until(&format!("a snapshot without {refused:?}"), || {
            let (loaded, errors) = self.last();
            output = errors;
            let is_after = refused.iter().all(|name| !loaded.contains(name) && tells(&output, name) == 1);
            if is_after {
                let others: Vec<_> = all.iter().filter(|name| !refused.contains(name)).collect();
                assert_eq!(loaded.iter().collect::<Vec<_>>(), others, "{output:?}");
            }
            is_after
        });
        output
    }
}

/// How often errors say that a table refused.
fn tells(errors: &[String], table: &str) -> usize {
    let refused = format!("\"{table}\" (repository server)");
    errors.iter().filter(|error| error.contains("could not load it into") && error.contains(&refused)).count()
}

fn execute(scene: &Scene, tables: &[&String], statement: &str) {
    let statements: Vec<_> = tables.iter().map(|table| statement.replace("{table}", table)).collect();
    scene.repository().batch_execute(&statements.join("; ")).unwrap();
}

/// What is loaded when nothing is refused: at least five tables.
fn all_tables(loads: &Loads) -> Vec<String> {
    loads.scene.wait_for_snapshots(loads.server, 1);
    let (all, errors) = loads.last();
    assert_eq!(errors, [""; 0]);
    assert!(all.len() >= 5, "{all:?}");
    all
}

/// First, in the middle, last, two in a row, all.
fn choices(all: &[String]) -> Vec<Vec<&String>> {
    let (middle, last) = (all.len() / 2, all.len() - 1);
    let choices: [&[usize]; 5] = [&[0], &[middle], &[last], &[middle, middle + 1], &[0, middle, last]];
    choices.iter().map(|choice| choice.iter().map(|n| &all[*n]).collect()).collect()
}

/// Extensions of which there are rows every time, the last one included.
const STEADY: &[&str] = &["pg_stat_kcache", "pg_track_settings"];

fn steady<'a>(scene: &'a Scene<'a>) -> Loads<'a> {
    let loads = Loads::listed(scene, Registration { extensions: STEADY, ..Registration::of(scene.remote_server()) });
    scene.without_databases();
    loads
}

fn whichever_datasources_are_refused_each_says_so_and_the_others_arrive(scene: &Scene) {
    let loads = steady(scene);
    let collector = scene.collector();
    let all = all_tables(&loads);
    let function = "create function public.refuse() returns trigger language plpgsql as $$ begin
        raise 'not today'; end $$";
    scene.repository().batch_execute(function).unwrap();
    for refused in choices(&all) {
        // What takes the place of the rows is no COPY, and let through.
        let refuse = "create trigger unexpected before insert on {table} for each row
            when (current_query() like 'copy %') execute function public.refuse()";
        execute(scene, &refused, refuse);
        let output = loads.wait_without(&all, &refused);
        // Without the databases, PoWA cannot keep the statements of one that another test has just made, and says so.
        let (missing, others): (Vec<_>, Vec<_>) = output.iter().partition(|error| error.contains("not today"));
        assert_eq!(missing.len(), refused.len(), "{output:?}");
        assert!(others.iter().all(|error| error.contains("powa_take_snapshot")), "{output:?}");
        execute(scene, &refused, "drop trigger unexpected on {table}");
    }
    wait_until("the errors to be gone", || loads.last() == (all.clone(), vec![]));
    // Nothing of it was an outage.
    assert_eq!(collector.logged("waits to be loaded"), [""; 0]);
}

fn tables_that_do_not_take_rows_cost_themselves_only(scene: &Scene) {
    let loads = steady(scene);
    let collector = scene.collector();
    let all = all_tables(&loads);
    for refused in choices(&all) {
        execute(scene, &refused, "alter table {table} rename to \"{table} of before\"");
        // PoWA itself has something to say of them too.
        let output = loads.wait_without(&all, &refused);
        let missing = output.iter().filter(|error| error.contains("could not load it into"));
        assert!(missing.clone().all(|error| error.contains("does not exist")), "{output:?}");
        assert_eq!(missing.count(), refused.len(), "{output:?}");
        execute(scene, &refused, "alter table \"{table} of before\" rename to {table}");
    }
    wait_until("the errors to be gone", || loads.last() == (all.clone(), vec![]));
    assert_eq!(collector.logged("waits to be loaded"), [""; 0]);
}

fn a_table_that_is_locked_to_the_last_is_left_out_and_the_others_arrive(scene: &Scene) {
    let remote = scene.own_remote();
    let loads = Loads::listed(scene, Registration { frequency: 3600, extensions: STEADY, ..remote.registration() });
    scene.without_databases();
    let mut locking = scene.repository();
    let mut lock = locking.transaction().unwrap();
    lock.batch_execute("lock table powa_kcache_src_tmp").unwrap();
    // It reads the table as well.
    let without = replacing("powa_kcache_snapshot", "null;");
    scene.repository().batch_execute(&without).unwrap();
    let collector = scene.verbose_collector(json!({}));
    collector.wait_for_log("waits to be loaded");
    assert_eq!(scene.snapshots(loads.server), 0);
    // Who changes a server wants it now, and no pause has to be waited for.
    let mut names = 0..;
    wait_until("the last try", || {
        let name = format!("name {}", names.next().unwrap());
        scene.repository().execute("update powa_servers set alias = $1 where id > 0", &[&name]).unwrap();
        assert_eq!(scene.ask("RELOAD", ""), "RELOAD OK OK");
        scene.snapshots(loads.server) > 0
    });
    let (loaded, errors) = loads.last();
    assert!(loaded.len() >= 4 && !loaded.contains(&"powa_kcache_src_tmp".into()), "{loaded:?}");
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert_eq!(tells(&errors, "powa_kcache_src_tmp"), 1, "{errors:?}");
    assert!(errors[0].contains("another session holds a lock on it"), "{errors:?}");
    lock.rollback().unwrap();
}

fn of_several_databases_that_share_a_table_only_the_one_that_is_refused_is_missing(scene: &Scene) {
    let server = scene.register();
    let oid: u32 =
        scene.remote("powa").query_one("select oid from pg_database where datname = 'shop'", &[]).unwrap().get(0);
    let refuse = format!("alter table powa_all_tables_src_tmp add constraint not_this_one check (dbid <> {oid})");
    scene.repository().batch_execute(&refuse).unwrap();
    let _collector = scene.collector();
    scene.wait_for_snapshots(server, 1);
    let errors = scene.errors(server);
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].contains("pg_stat_all_tables of database \"shop\""), "{errors:?}");
    assert!(errors[0].contains("not_this_one"), "{errors:?}");
    let of = |database: &str| {
        let sql = "select count(*) from powa_all_tables_history_current t
            join powa_databases d on d.srvid = t.srvid and d.oid = t.dbid where d.datname = $1";
        scene.repository().query_one(sql, &[&database]).unwrap().get::<_, i64>(0)
    };
    assert_eq!(of("shop"), 0);
    assert!(of("my app") > 0);
}
