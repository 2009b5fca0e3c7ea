//! Settings that a role or a database gets, and loses again, while sessions are open: a session keeps those of its
//! login.

use lab::Registration;
use serde_json::json;

use crate::support::{Marked, Scene, tests, wait_for, wait_until};

tests![
    a_setting_that_breaks_collecting_is_forgotten_soon_after_it_is_undone,
    a_setting_that_breaks_loading_is_forgotten_soon_after_it_is_undone,
    a_reload_opens_sessions_anew,
];

/// Needs a temporary file.
const SPILLS: &str = "perform set_config('work_mem', '64kB', true);
    perform count(*) from (select g from generate_series(1, 50000) g order by md5(g::text)) sorted;";

/// A role that may do anything, but no temporary files.
fn create_role(client: &mut postgres::Client, name: &str) {
    let sql = format!("create role {name} superuser login; alter role {name} set temp_file_limit = 0");
    client.batch_execute(&sql).unwrap();
}

fn a_setting_that_breaks_collecting_is_forgotten_soon_after_it_is_undone(scene: &Scene) {
    let remote = scene.own_remote();
    let role = format!("short_of_files_{}", remote.name.replace(' ', "_"));
    create_role(&mut remote.connect(), &role);
    let databases = Marked::databases_of(&remote, &SPILLS.replace('\'', "''"));
    let server = scene.register_as(Registration { username: &role, ..remote.registration() });
    let collector = scene.collector();
    let error = scene.wait_for_error(server, "temp_file_limit");
    assert!(error.contains("SQLSTATE 53400"), "{error}");
    remote.connect().batch_execute(&format!("alter role {role} reset all")).unwrap();
    // PoWA has something of its own against a list with one database only.
    wait_until("no such error to be left", || {
        !scene.errors(server).iter().any(|error| error.contains("temp_file_limit"))
    });
    wait_until("the list to be read", || databases.times() > 0);
    assert_eq!(collector.logged("connected again"), [""; 0]);
}

fn a_setting_that_breaks_loading_is_forgotten_soon_after_it_is_undone(scene: &Scene) {
    let role = format!("short_of_files_{}_too", scene.number());
    create_role(&mut scene.repository(), &role);
    let spilling = format!(
        "create function spill() returns trigger language plpgsql as $$ begin {SPILLS} return null; end $$;
        create trigger spill after insert on powa_databases_src_tmp execute function spill()"
    );
    scene.repository().batch_execute(&spilling).unwrap();
    let server = scene.register();
    let collector = scene.collector_with(json!({"repository": {"dsn": scene.dsn(&role)}}));
    collector.wait_for_log("temp_file_limit");
    scene.repository().batch_execute(&format!("alter role {role} reset all")).unwrap();
    scene.wait_for_snapshots(server, 1);
    assert_eq!(collector.logged("gave up"), [""; 0]);
    wait_until("no error to be left", || scene.errors(server).is_empty());
}

fn a_reload_opens_sessions_anew(scene: &Scene) {
    let alias = format!("anew {}", scene.database);
    let registration = Registration { alias: Some(&alias), frequency: 3600, ..Registration::of(scene.remote_server()) };
    let server = scene.register_as(registration);
    let collector = scene.collector_with(json!({"use_server_alias": true}));
    scene.wait_for_snapshots(server, 1);
    let mut remote = scene.remote("powa");
    let name = format!("PoWA collector - worker {alias}");
    let mut only = || -> Option<i32> {
        let sql = "select pid from pg_stat_activity where application_name = $1 and datname = 'powa'";
        let rows = remote.query(sql, &[&name]).unwrap();
        (rows.len() == 1).then(|| rows[0].get(0))
    };
    let before = wait_for("its session", &mut only);
    assert_eq!(scene.ask("RELOAD", ""), "RELOAD OK OK");
    wait_until("another session", || only().is_some_and(|now| now != before));
    scene.wait_for_status(server, "running");
    assert_eq!(collector.logged("ERROR"), [""; 0]);
}
