//! `servers remove` by a role that lacks a privilege: nothing is changed, and the printed cure works.

use serde_json::{Value, json};

use crate::support::{Printed, Scene, operate, tests};

tests![
    a_role_that_may_not_do_all_of_it_does_nothing_and_learns_what_it_needs,
    the_way_back_is_told_of_a_removal_that_failed
];

/// The row of the only server, as programs are told it.
fn listed(scene: &Scene) -> Option<Value> {
    let printed = operate(&scene.config(json!({})), &["servers", "list", "--json"]);
    let listed: Value = serde_json::from_str(&printed.text).unwrap();
    listed["servers"].as_array().unwrap().first().cloned()
}

/// What comes of it as another role.
fn remove_as(scene: &Scene, role: &str) -> Printed {
    let config = scene.config(json!({"repository": {"dsn": scene.dsn(role)}}));
    operate(&config, &["servers", "remove", "1", "--yes"])
}

fn a_role_that_may_not_do_all_of_it_does_nothing_and_learns_what_it_needs(scene: &Scene) {
    let add = ["servers", "add", "--host", "db1", "--no-password", "--frequency", "77"];
    assert_eq!(operate(&scene.config(json!({})), &add).code, 0);
    let role = scene.create_role("remover", "");
    let mut repository = scene.repository();
    // To find the server, and to disable it, which came before the rest.
    repository.batch_execute(&format!("grant select, update on powa_servers to {role}")).unwrap();
    let before = listed(scene);

    let refused = remove_as(scene, &role);
    assert_eq!((refused.code, refused.text.as_str()), (1, ""));
    assert!(refused.errors.contains("nothing was changed: the role may not remove a server"), "{}", refused.errors);
    assert_eq!(listed(scene), before);
    let grants: Vec<_> = refused.errors.lines().filter_map(|line| line.strip_prefix("  grant ")).collect();
    assert!(
        grants.iter().any(|grant| grant.starts_with("delete on ") && grant.contains(".powa_servers")),
        "{grants:?}"
    );
    assert!(grants.iter().all(|grant| grant.ends_with(&format!(" to {role};"))), "{grants:?}");

    // One after the other, none is too many.
    for grant in grants {
        let refused = remove_as(scene, &role);
        assert!(refused.code == 1 && refused.errors.contains(grant), "{grant}: {}", refused.errors);
        assert_eq!(listed(scene), before);
        repository.batch_execute(&format!("grant {grant}")).unwrap();
    }
    let removed = remove_as(scene, &role);
    assert_eq!((removed.code, removed.errors.as_str()), (0, ""));
    assert_eq!(listed(scene), None);
}

fn the_way_back_is_told_of_a_removal_that_failed(scene: &Scene) {
    let config = scene.config(json!({"timeouts": {"snapshot": 1}}));
    let add = ["servers", "add", "--host", "db1", "--no-password", "--frequency", "77"];
    assert_eq!(operate(&config, &add).code, 0);
    let mut holding = scene.repository();
    holding.batch_execute("begin; select from powa_snapshot_metas where srvid = 1 for update").unwrap();
    let failed = operate(&config, &["servers", "remove", "1", "--yes"]);
    assert_eq!(failed.code, 1);
    assert!(failed.errors.contains("servers enable 1 --frequency 77"), "{}", failed.errors);
    let again = operate(&config, &["servers", "remove", "1", "--yes"]);
    assert!(again.errors.contains("is still disabled"), "{}", again.errors);
    holding.batch_execute("commit").unwrap();

    // To the letter.
    let way_back =
        failed.errors.split('"').find_map(|text| text.strip_prefix("powa-collector servers enable ")).unwrap();
    let arguments: Vec<_> = ["servers", "enable"].into_iter().chain(way_back.split(' ')).collect();
    assert_eq!(operate(&config, &arguments).code, 0);
    assert_eq!(listed(scene).unwrap()["frequency"], 77);
}
