//! `servers extensions`: changes, repeated changes, and extensions that do not exist.

use serde_json::{Value, json};

use crate::support::{Scene, operate, tests};

tests![
    what_was_so_already_is_said_to_be,
    what_powa_does_not_know_is_refused_with_what_it_knows,
    what_cannot_be_meant_is_refused,
    without_statements_little_is_left,
    programs_are_told_what_is_collected
];

fn registered(scene: &Scene) -> std::path::PathBuf {
    let config = scene.config(json!({}));
    let add = ["servers", "add", "--host", "db1", "--no-password", "--extension", "pg_qualstats"];
    assert_eq!(operate(&config, &add).code, 0);
    config
}

fn what_was_so_already_is_said_to_be(scene: &Scene) {
    let config = registered(scene);
    let change = |arguments: &[&str]| {
        let printed = operate(&config, &[&["servers", "extensions", "1"], arguments].concat());
        assert_eq!((printed.code, printed.errors.as_str()), (0, ""), "{arguments:?}");
        printed.text
    };
    let message =
        change(&["--deactivate", "pg_wait_sampling,pg_qualstats", "--activate", "pg_stat_statements,pg_stat_kcache"]);
    for part in [
        "db1:5432: pg_stat_kcache activated",
        "db1:5432: pg_stat_statements was already active",
        "db1:5432: pg_qualstats deactivated",
        "db1:5432: pg_wait_sampling was not active",
        "no collector is connected",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    // Nobody needs to be told of nothing.
    assert_eq!(change(&["--deactivate", "pg_qualstats"]), "server 1, db1:5432: pg_qualstats was not active\n");
    let enabled = if scene.generation().powa_major() > 4 {
        "select count(*) from powa_extension_config where srvid = 1 and enabled and extname in ('pg_qualstats', 'pg_stat_kcache')"
    } else {
        "select count(distinct module) from powa_functions where srvid = 1 and enabled and module in ('pg_qualstats', 'pg_stat_kcache')"
    };
    assert_eq!(scene.count(enabled), 1);
}

fn what_powa_does_not_know_is_refused_with_what_it_knows(scene: &Scene) {
    let config = registered(scene);
    let all = "select string_agg(t::text, ' ' order by t::text) from {} t where srvid = 1";
    let table = if scene.generation().powa_major() > 4 { "powa_extension_config" } else { "powa_functions" };
    let look = || -> String { scene.repository().query_one(&all.replace("{}", table), &[]).unwrap().get(0) };
    let before = look();
    // What PoWA 4 takes "powa" for would lose it modules.
    let unknown = if scene.generation().powa_major() > 4 { "Powa" } else { "powa" };
    for option in ["--activate", "--deactivate"] {
        for name in ["pg_nonsense", "pg_qualstat", "pg_qualstats ", unknown] {
            let both = format!("pg_qualstats,{name}");
            let refused = operate(&config, &["servers", "extensions", "1", option, &both]);
            assert_eq!((refused.code, refused.text.as_str()), (1, ""), "{option} {name}");
            let message = &refused.errors;
            assert!(message.contains(&format!("PoWA does not know \"{name}\"; it knows ")), "{message}");
            for known in
                ["pg_qualstats", "pg_stat_kcache", "pg_stat_statements", "pg_track_settings", "pg_wait_sampling"]
            {
                assert!(message.contains(known), "{known}: {message}");
            }
        }
    }
    assert_eq!(look(), before);
}

fn what_cannot_be_meant_is_refused(scene: &Scene) {
    let config = registered(scene);
    let both =
        ["servers", "extensions", "1", "--activate", "pg_qualstats,pg_stat_kcache", "--deactivate", "pg_qualstats"];
    let refused = operate(&config, &both);
    assert_eq!((refused.code, refused.text.as_str()), (2, ""));
    assert!(refused.errors.contains("\"pg_qualstats\" cannot be both activated and deactivated"), "{}", refused.errors);
    assert!(refused.errors.contains("Usage: powa-collector servers extensions"), "{}", refused.errors);
    if scene.generation().powa_major() > 4 {
        for option in ["--activate", "--deactivate"] {
            let refused = operate(&config, &["servers", "extensions", "1", option, "powa"]);
            assert_eq!((refused.code, refused.text.as_str()), (1, ""));
            let message = "\"powa\" stands for all modules; name the modules instead: ";
            let (_, known) = refused.errors.split_once(message).unwrap_or_else(|| panic!("{}", refused.errors));
            assert!(known.contains("pg_database") && !known.contains(" powa,"), "{known}");
        }
    }
}

fn without_statements_little_is_left(scene: &Scene) {
    let config = registered(scene);
    let printed = operate(&config, &["servers", "extensions", "1", "--deactivate", "pg_stat_statements"]);
    assert_eq!(printed.code, 0);
    assert!(printed.text.contains("pg_stat_statements deactivated"), "{}", printed.text);
    assert!(
        printed.errors.contains("without pg_stat_statements, PoWA shows no statements of db1:5432"),
        "{}",
        printed.errors
    );
    // Which is said once.
    let printed = operate(&config, &["servers", "extensions", "1", "--deactivate", "pg_stat_statements"]);
    assert_eq!((printed.code, printed.errors.as_str()), (0, ""));
}

fn programs_are_told_what_is_collected(scene: &Scene) {
    let config = registered(scene);
    let output = |arguments: &[&str]| -> Value {
        let printed = operate(&config, &[&["servers", "extensions", "1", "--json"], arguments].concat());
        assert_eq!((printed.code, printed.errors.as_str()), (0, ""), "{arguments:?}");
        serde_json::from_str(&printed.text).unwrap()
    };
    let is_active = |output: &Value, name: &str| {
        let all = output["extensions"].as_array().unwrap();
        let extension = all.iter().find(|extension| extension["name"] == name);
        extension.map(|extension| extension["active"].as_bool().unwrap())
    };
    let list = output(&[]);
    assert_eq!([&list["id"], &list["address"], &list["alias"]], [&json!(1), &json!("db1:5432"), &Value::Null]);
    assert_eq!([&list["activated"], &list["deactivated"], &list["unanswered"]], [&json!([]), &json!([]), &Value::Null]);
    let statements = list["extensions"].as_array().unwrap().iter().find(|one| one["name"] == "pg_stat_statements");
    let expected = json!({"name": "pg_stat_statements", "kind": "extension", "version": null, "active": true});
    assert_eq!(statements, Some(&expected));
    let change = output(&["--deactivate", "pg_qualstats", "--activate", "pg_stat_kcache,pg_stat_statements"]);
    assert_eq!([&change["activated"], &change["deactivated"]], [&json!(["pg_stat_kcache"]), &json!(["pg_qualstats"])]);
    assert!(change["unanswered"].as_str().unwrap().contains("no collector is connected"), "{change}");
    assert_eq!(["pg_qualstats", "pg_stat_kcache"].map(|name| is_active(&change, name)), [Some(false), Some(true)]);
    let _collector = scene.collector();
    let change = output(&["--activate", "pg_qualstats"]);
    assert_eq!([&change["activated"], &change["unanswered"]], [&json!(["pg_qualstats"]), &Value::Null]);
}
