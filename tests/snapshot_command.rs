//! `reload`, `snapshot` and `refresh-catalogs`: what a running collector is told to do from the command line.

use lab::Registration;
use serde_json::json;

use crate::support::{Scene, operate, raising, tests, wait_until};

tests![
    a_reload_is_waited_for,
    a_reload_that_fails_says_why,
    a_snapshot_is_asked_for_or_waited_for,
    a_snapshot_without_all_of_it_says_what_is_missing,
    a_snapshot_that_cannot_be_taken_says_why,
    without_a_collector_each_of_them_says_so;
    since 5:
    catalogs_are_copied_with_the_next_snapshot;
    only 4:
    there_are_no_catalogs_to_copy,
];

fn a_reload_is_waited_for(scene: &Scene) {
    let collector = scene.collector();
    let config = scene.config(json!({}));
    let server = scene.register();
    let printed = operate(&config, &["reload"]);
    assert_eq!((printed.code, printed.text.as_str()), (0, "reloaded\n"), "{}", printed.errors);
    assert_eq!(collector.said("reloaded").len(), 1);
    assert_eq!(collector.said("server added").len(), 1, "{server}");
}

fn a_reload_that_fails_says_why(scene: &Scene) {
    let _collector = scene.collector();
    let own = scene.folder().join("own.conf");
    std::fs::copy(scene.config(json!({})), &own).unwrap();
    // What the collector reads.
    scene.config(json!({"limits": {"loads": "many"}}));
    let printed = operate(&own, &["reload"]);
    assert_eq!(printed.code, 1);
    assert!(printed.errors.contains("\"limits.loads\" is \"many\""), "{}", printed.errors);
}

fn a_snapshot_is_asked_for_or_waited_for(scene: &Scene) {
    let server = scene.register_as(Registration {
        alias: Some("rare"),
        frequency: 3600,
        ..Registration::of(scene.remote_server())
    });
    let _collector = scene.collector();
    let config = scene.config(json!({}));
    scene.wait_for_snapshots(server, 1);
    let again = operate(&config, &["snapshot", "rare"]);
    assert_eq!(again.code, 1);
    assert!(again.errors.contains("the collector refuses: "), "{}", again.errors);
    let mut printed = operate(&config, &["snapshot", "rare", "--wait"]);
    wait_until("the time when a snapshot may be forced", || {
        printed = operate(&config, &["snapshot", "rare", "--wait"]);
        !printed.errors.contains("less than 10s. ago") && !printed.errors.contains("in progress")
    });
    assert_eq!((printed.code, printed.errors.as_str()), (0, ""));
    assert!(printed.text.starts_with("rare (") && printed.text.contains(" datasources ("), "{}", printed.text);
    assert!(printed.text.contains(" stored; read in "), "{}", printed.text);
    assert_eq!(scene.snapshots(server), 2);
}

fn a_snapshot_without_all_of_it_says_what_is_missing(scene: &Scene) {
    let remote = scene.own_remote();
    remote.connect().batch_execute(&raising("powa_databases_src", "no databases today")).unwrap();
    let server = scene.register_as(Registration { frequency: 3600, ..remote.registration() });
    let _collector = scene.collector();
    let config = scene.config(json!({}));
    let name = server.to_string();
    let mut printed = operate(&config, &["snapshot", &name, "--wait"]);
    wait_until("the time when a snapshot may be forced", || {
        let is_taken = printed.text.contains("stored");
        if !is_taken {
            printed = operate(&config, &["snapshot", &name, "--wait"]);
        }
        is_taken
    });
    assert_eq!(printed.code, 1);
    assert!(printed.errors.contains("no databases today"), "{}", printed.errors);
}

fn a_snapshot_that_cannot_be_taken_says_why(scene: &Scene) {
    let away = scene.register_as(Registration { port: 1, ..Registration::of(scene.remote_server()) });
    let _collector = scene.collector();
    scene.wait_for_status(away, "no connection to remote server");
    let config = scene.config(json!({}));
    let printed = operate(&config, &["snapshot", &away.to_string(), "--wait"]);
    assert_eq!((printed.code, printed.text.as_str()), (1, ""));
    assert!(printed.errors.contains("could not connect to"), "{}", printed.errors);
    let printed = operate(&config, &["snapshot", "4711"]);
    assert_eq!(printed.code, 1);
    assert!(printed.errors.contains("no server \"4711\" is registered"), "{}", printed.errors);
}

fn without_a_collector_each_of_them_says_so(scene: &Scene) {
    let server = scene.register().to_string();
    let config = scene.config(json!({}));
    let mut all = vec![vec!["reload"], vec!["snapshot", &server], vec!["snapshot", &server, "--wait"]];
    if scene.generation().powa_major() > 4 {
        all.push(vec!["refresh-catalogs", &server]);
    }
    for arguments in all {
        let printed = operate(&config, &arguments);
        assert_eq!((printed.code, printed.text.as_str()), (1, ""), "{arguments:?}");
        let expected = format!("powa-collector {}: no collector is connected to the repository", arguments[0]);
        assert!(printed.errors.starts_with(&expected), "{}", printed.errors);
    }
}

fn catalogs_are_copied_with_the_next_snapshot(scene: &Scene) {
    let server = scene.register();
    let _collector = scene.collector();
    scene.wait_for_snapshots(server, 1);
    let mut repository = scene.repository();
    let mut refreshed = || -> Vec<String> {
        let sql = "select datname from powa_catalog_databases where last_refresh > (select min(last_refresh)
            from powa_catalog_databases where datname in ('my app', 'shop', 'powa')) and datname in ('my app', 'shop')
            order by 1";
        repository.query(sql, &[]).unwrap().iter().map(|row| row.get(0)).collect()
    };
    assert_eq!(refreshed(), [""; 0]);
    let config = scene.config(json!({}));
    let printed = operate(&config, &["refresh-catalogs", &server.to_string(), "shop", "my app"]);
    assert_eq!(printed.code, 0, "{}", printed.errors);
    assert!(printed.text.contains("Catalogs will be refreshed during the next snapshot"), "{}", printed.text);
    wait_until("the catalogs of two databases", || refreshed() == ["my app", "shop"]);
}

fn there_are_no_catalogs_to_copy(scene: &Scene) {
    let server = scene.register().to_string();
    let printed = operate(&scene.config(json!({})), &["refresh-catalogs", &server]);
    assert_eq!((printed.code, printed.text.as_str()), (1, ""));
    assert!(printed.errors.contains("PoWA 4 copies no catalogs"), "{}", printed.errors);
}
