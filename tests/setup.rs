//! `powa-collector setup`: creates the collector's own schema, with the privileges that each role needs, once.

use std::process::Output;
use std::thread;

use postgres::Client;
use serde_json::json;

use crate::support::{SECRET, Scene, output, program, tests};

tests![
    the_schema_is_created_once_with_the_privileges_of_each_role,
    the_printed_script_makes_the_same,
    a_role_that_may_not_create_it_learns_how_and_leaves_nothing,
    a_schema_of_another_version_or_origin_is_left_alone,
    several_at_once_make_one_schema,
];

fn setup(scene: &Scene, arguments: &[&str]) -> Output {
    let mut command = program();
    output(command.arg("-c").arg(scene.config(json!({}))).arg("setup").args(arguments))
}

fn text(output: &Output) -> (Option<i32>, String) {
    let text = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8(bytes.clone()).unwrap()).concat();
    (output.status.code(), text)
}

/// A login role without any privilege of its own.
fn role(scene: &Scene, name: &str) -> String {
    let role = format!("{name}_{}_{}", scene.number(), scene.generation().powa_major());
    scene.repository().batch_execute(&format!("create role \"{role}\" login password '{SECRET}'")).unwrap();
    role
}

/// Every privilege on the schema's tables that was granted, as text.
fn privileges(client: &mut Client) -> Vec<String> {
    let sql = "select c.relname || ' ' || coalesce(g.rolname, '') || ' ' || string_agg(a.privilege_type, ',' order by a.privilege_type)
        from pg_class c cross join aclexplode(c.relacl) a left join pg_roles g on g.oid = a.grantee
        where c.relnamespace = 'powa_collector'::regnamespace and c.relkind = 'r' and a.grantee <> c.relowner
        group by c.relname, g.rolname order by 1";
    client.query(sql, &[]).unwrap().iter().map(|row| row.get(0)).collect()
}

fn may(scene: &Scene, role: &str, privilege: &str, table: &str) -> bool {
    let sql = "select has_schema_privilege($1, 'powa_collector', 'usage')
        and has_table_privilege($1, 'powa_collector.' || $2, $3)";
    scene.row(sql, &[&role, &table, &privilege]).get(0)
}

fn the_schema_is_created_once_with_the_privileges_of_each_role(scene: &Scene) {
    let (collector, administrator, reader) =
        (role(scene, "collecting"), role(scene, "administering"), role(scene, "reading"));
    let writer = role(scene, "writing");
    let grants = format!(
        "grant insert on powa_statements_src_tmp to \"{writer}\";
        grant select, insert on powa_servers to \"{administrator}\"; grant select on powa_servers to \"{reader}\""
    );
    scene.repository().batch_execute(&grants).unwrap();
    let (code, printed) = text(&setup(scene, &["--collector-role", &collector]));
    assert_eq!((code, printed.as_str()), (Some(0), "the schema powa_collector was created in version 1\n"));
    for (role, privilege, table, expected) in [
        (&collector, "insert", "errors", true),
        (&collector, "delete", "schedules", true),
        (&collector, "select", "tokens", true),
        (&collector, "update", "audit_log", false),
        (&collector, "insert", "tokens", true),
        (&writer, "insert", "errors", true),
        (&writer, "select", "tokens", false),
        (&writer, "insert", "tokens", false),
        (&writer, "delete", "audit_log", false),
        (&administrator, "insert", "tokens", false),
        (&administrator, "insert", "schedules", true),
        (&administrator, "delete", "tags", true),
        (&administrator, "select", "tokens", false),
        (&administrator, "insert", "audit_log", false),
        (&reader, "select", "schedules", true),
        (&reader, "insert", "schedules", false),
        (&reader, "select", "tokens", false),
        (&reader, "select", "audit_log", false),
    ] {
        assert_eq!(may(scene, role, privilege, table), expected, "{role} {privilege} {table}");
    }
    let granted = privileges(&mut scene.repository());
    scene.repository().batch_execute("insert into powa_collector.tags values (1, 'team', 'a')").unwrap();
    let (code, printed) = text(&setup(scene, &["--collector-role", &collector]));
    let again = "the schema powa_collector has version 1 already; privileges were granted again\n";
    assert_eq!((code, printed.as_str()), (Some(0), again));
    assert_eq!(privileges(&mut scene.repository()), granted);
    assert_eq!(scene.count("select count(*) from powa_collector.tags"), 1);
    assert_eq!(scene.count("select count(*) from powa_collector.schema_version"), 1);
}

fn the_printed_script_makes_the_same(scene: &Scene) {
    let collector = role(scene, "collecting");
    let (code, script) = text(&setup(scene, &["--print", "--collector-role", &collector]));
    assert_eq!(code, Some(0), "{script}");
    assert_eq!(scene.count("select count(*) from pg_namespace where nspname = 'powa_collector'"), 0);
    scene.repository().batch_execute(&script).unwrap();
    let granted = privileges(&mut scene.repository());
    assert!(granted.contains(&format!("errors {collector} DELETE,INSERT,SELECT,UPDATE")), "{granted:?}");
    let (_, printed) = text(&setup(scene, &["--collector-role", &collector]));
    assert!(printed.contains("has version 1 already"), "{printed}");
    assert_eq!(privileges(&mut scene.repository()), granted);
}

fn a_role_that_may_not_create_it_learns_how_and_leaves_nothing(scene: &Scene) {
    let stranger = role(scene, "stranger");
    let mut command = program();
    let config = scene.config(json!({"repository": {"dsn": scene.dsn(&stranger)}}));
    let (code, printed) = text(&output(command.arg("-c").arg(config).arg("setup")));
    assert_eq!(code, Some(1), "{printed}");
    assert!(printed.contains("permission denied for database") && printed.contains("SQLSTATE 42501"), "{printed}");
    assert!(printed.contains("setup --print"), "{printed}");
    assert_eq!(scene.count("select count(*) from pg_namespace where nspname = 'powa_collector'"), 0);
}

fn a_schema_of_another_version_or_origin_is_left_alone(scene: &Scene) {
    scene.repository().batch_execute("create schema powa_collector").unwrap();
    let (code, printed) = text(&setup(scene, &[]));
    assert_eq!(code, Some(1));
    assert!(printed.contains("was not made by this command; rename or drop it"), "{printed}");
    scene.repository().batch_execute("drop schema powa_collector").unwrap();
    assert_eq!(text(&setup(scene, &[])).0, Some(0));
    scene.repository().batch_execute("insert into powa_collector.schema_version (version) values (99)").unwrap();
    for arguments in [&[][..], &["--print"]] {
        let (code, printed) = text(&setup(scene, arguments));
        assert_eq!(code, Some(1));
        assert!(printed.contains("has version 99, and this program knows versions up to 1; update"), "{printed}");
    }
}

fn several_at_once_make_one_schema(scene: &Scene) {
    let config = scene.config(json!({}));
    let ended: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> =
            (0..4).map(|_| scope.spawn(|| text(&output(program().arg("-c").arg(&config).arg("setup"))))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(ended.iter().all(|(code, _)| *code == Some(0)), "{ended:?}");
    assert_eq!(ended.iter().filter(|(_, printed)| printed.contains("was created")).count(), 1, "{ended:?}");
    assert_eq!(scene.count("select count(*) from powa_collector.schema_version"), 1);
}
