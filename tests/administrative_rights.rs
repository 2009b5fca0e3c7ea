//! `servers` by a role that lacks privileges: the error comes before any change, and the printed cure works.

use serde_json::{Value, json};

use crate::support::{Printed, Scene, operate, tests};

tests![
    who_may_not_register_learns_what_it_takes_before_anything_is_looked_at,
    who_may_not_change_a_server_learns_what_it_takes,
    who_may_not_list_the_servers_learns_what_it_takes
];

fn as_role(scene: &Scene, role: &str, arguments: &[&str]) -> Printed {
    let config = scene.config(json!({"repository": {"dsn": scene.dsn(role)}}));
    operate(&config, &[&["servers"], arguments].concat())
}

fn listed(scene: &Scene) -> Value {
    let printed = operate(&scene.config(json!({})), &["servers", "list", "--json"]);
    serde_json::from_str::<Value>(&printed.text).unwrap()["servers"].take()
}

/// Grants what is printed, one after the other, until it is done; and none is too many.
fn done_with_what_is_printed(scene: &Scene, role: &str, arguments: &[&str]) -> Vec<String> {
    let mut repository = scene.repository();
    let before = listed(scene);
    let refused = as_role(scene, role, arguments);
    assert_eq!((refused.code, refused.text.as_str()), (1, ""), "{arguments:?}");
    assert!(refused.errors.contains("nothing was changed: the role may not"), "{}", refused.errors);
    let grants: Vec<_> = refused.errors.lines().filter_map(|line| line.strip_prefix("  grant ")).collect();
    assert!(!grants.is_empty() && grants.iter().all(|grant| grant.ends_with(&format!(" to {role};"))), "{grants:?}");
    for grant in &grants {
        let refused = as_role(scene, role, arguments);
        assert!(refused.code == 1 && refused.errors.contains(grant), "{grant}: {}", refused.errors);
        assert_eq!(listed(scene), before);
        repository.batch_execute(&format!("grant {grant}")).unwrap();
    }
    let done = as_role(scene, role, arguments);
    assert_eq!((done.code, done.errors.as_str()), (0, ""), "{arguments:?}");
    grants.into_iter().map(Into::into).collect()
}

fn who_may_not_register_learns_what_it_takes_before_anything_is_looked_at(scene: &Scene) {
    let role = scene.create_role("adder", "");
    let password = scene.directory().join("password");
    std::fs::write(&password, crate::support::SECRET).unwrap();
    let password = password.to_str().unwrap();
    // Nobody is there to be looked at: it does not come to that.
    let checking = ["add", "--host", "127.0.0.1", "--port", "1", "--password-file", password, "--check"];
    let refused = as_role(scene, &role, &checking);
    assert!(refused.code == 1 && !refused.errors.contains("connection"), "{}", refused.errors);
    let port = scene.remote_server().port().to_string();
    let adding =
        ["add", "--host", "127.0.0.1", "--port", &port, "--extension", "pg_qualstats", "--password-file", password];
    let grants = done_with_what_is_printed(scene, &role, &adding);
    assert!(grants.iter().any(|grant| grant.contains("usage on sequence") && grant.contains("powa_servers_id_seq")));
    assert_eq!(listed(scene).as_array().unwrap().len(), 1);
    // And it sees what has become of it. That no collector is there is status's own fault.
    for arguments in [&["list"][..], &["extensions", "1"]] {
        let seen = as_role(scene, &role, arguments);
        assert_eq!((seen.code, seen.errors.as_str()), (0, ""), "{arguments:?}");
        assert!(seen.text.contains("pg_qualstats"), "{arguments:?}: {}", seen.text);
    }
    let config = scene.config(json!({"repository": {"dsn": scene.dsn(&role)}}));
    let status = operate(&config, &["status"]);
    assert!(status.text.contains("127.0.0.1") && !status.errors.contains("permission denied"), "{status:?}");
    // What it takes to look before another one is registered is printed, too; and to look before that one is changed.
    scene.repository().batch_execute(&format!("drop owned by {role}")).unwrap();
    let checking = ["add", "--host", "localhost", "--port", &port, "--user", "postgres", "--no-password", "--check"];
    done_with_what_is_printed(scene, &role, &checking);
    scene.repository().batch_execute(&format!("drop owned by {role}")).unwrap();
    done_with_what_is_printed(scene, &role, &["set", "localhost", "--retention", "2 days", "--check"]);
}

fn who_may_not_list_the_servers_learns_what_it_takes(scene: &Scene) {
    let add = ["servers", "add", "--host", "db1", "--no-password"];
    assert_eq!(operate(&scene.config(json!({})), &add).code, 0);
    let role = scene.create_role("lister", "");
    for arguments in [&["list"][..], &["extensions", "1"]] {
        let refused = as_role(scene, &role, arguments);
        assert!(
            refused.code == 1 && refused.errors.contains("the role may not list the servers"),
            "{}",
            refused.errors
        );
        let grants: Vec<_> = refused.errors.lines().filter_map(|line| line.strip_prefix("  grant ")).collect();
        for grant in grants {
            assert_eq!(as_role(scene, &role, arguments).code, 1, "{grant} is too many");
            scene.repository().batch_execute(&format!("grant {grant}")).unwrap();
        }
        let seen = as_role(scene, &role, arguments);
        assert!(seen.code == 0 && seen.errors.is_empty() && seen.text.contains("pg_stat_statements"), "{seen:?}");
        scene.repository().batch_execute(&format!("drop owned by {role}")).unwrap();
    }
}

fn who_may_not_change_a_server_learns_what_it_takes(scene: &Scene) {
    let add = ["servers", "add", "--host", "db1", "--no-password"];
    assert_eq!(operate(&scene.config(json!({})), &add).code, 0);
    for (name, arguments) in [
        ("setter", &["set", "1", "--retention", "2 days"][..]),
        ("disabler", &["disable", "1"]),
        ("enabler", &["enable", "1", "--frequency", "60"]),
        ("switcher", &["extensions", "1", "--activate", "pg_qualstats"]),
    ] {
        let role = scene.create_role(name, "");
        // The README grants this to the collecting role.
        let table = if scene.generation().powa_major() > 4 { "powa_extension_config" } else { "powa_extensions" };
        let grants = format!(
            "grant select on powa_servers to {role};
            grant update (version) on powa_servers to {role}; grant update (version) on {table} to {role}"
        );
        scene.repository().batch_execute(&grants).unwrap();
        done_with_what_is_printed(scene, &role, arguments);
    }
}
