//! `reload`, `snapshot`, `wait` and `refresh-catalogs`: commands to a running collector from the command line.

use lab::Registration;
use serde_json::{Value, json};

use crate::support::{Collector, Scene, Terminal, delaying, operate, program, raising, tests, wait_until};

tests![
    a_reload_is_waited_for,
    a_reload_that_fails_says_why,
    a_snapshot_is_asked_for_or_waited_for,
    one_that_begins_while_its_time_is_waited_for_is_as_good,
    one_that_is_in_progress_already_is_not_the_one_that_is_waited_for,
    programs_are_told_what_came_of_a_snapshot,
    a_snapshot_without_all_of_it_says_what_is_missing,
    a_snapshot_that_cannot_be_taken_says_why,
    #[of_any_powa] the_snapshot_that_is_waited_for_is_begun_after_the_time,
    #[of_any_powa] a_collector_that_is_restarted_meanwhile_is_waited_for,
    of_two_collectors_one_is_listened_to,
    without_a_collector_each_of_them_says_so;
    since 5:
    catalogs_are_copied_with_the_next_snapshot,
    a_database_that_is_not_there_is_refused_once_it_is_known;
    only 4:
    there_are_no_catalogs_to_copy,
];

fn a_reload_is_waited_for(scene: &Scene) {
    let collector = scene.collector();
    let config = scene.config(json!({}));
    let server = scene.register();
    let printed = operate(&config, &["reload"]);
    assert_eq!((printed.code, printed.text.as_str()), (0, "reloaded\n"), "{}", printed.errors);
    assert_eq!(collector.logged("reloaded").len(), 1);
    assert_eq!(collector.logged("server added").len(), 1, "{server}");
}

fn a_reload_that_fails_says_why(scene: &Scene) {
    let _collector = scene.collector();
    let own = scene.directory().join("own.conf");
    std::fs::copy(scene.config(json!({})), &own).unwrap();
    // What the collector reads.
    scene.config(json!({"limits": {"loads": "many"}}));
    let printed = operate(&own, &["reload"]);
    assert_eq!(printed.code, 1);
    assert!(
        printed.errors.contains("\"limits.loads\" must be an integer from 1 to 1000, got \"many\""),
        "{}",
        printed.errors
    );
}

fn a_snapshot_is_asked_for_or_waited_for(scene: &Scene) {
    let server = scene.register_as(Registration {
        alias: Some("rare"),
        frequency: 3600,
        ..Registration::of(scene.remote_server())
    });
    // The 10 s are those since it has started.
    scene.without_databases();
    let collector = scene.collector();
    let config = scene.config(json!({}));
    collector.wait_for_log("snapshot taken");
    let again = operate(&config, &["snapshot", "rare"]);
    assert_eq!(again.code, 1);
    let reason =
        "the collector refused: the last snapshot was less than 10 s ago; use --wait to wait until it is possible";
    assert!(again.errors.contains(reason), "{}", again.errors);
    let printed = operate(&config, &["snapshot", "rare", "--wait"]);
    assert_eq!((printed.code, printed.errors.as_str()), (0, ""));
    assert!(printed.text.starts_with("rare (") && printed.text.contains(" datasources ("), "{}", printed.text);
    assert!(printed.text.contains("; collected in "), "{}", printed.text);
    assert_eq!(scene.snapshots(server), 2);
    // Of the two that were too soon, the second one has waited by itself.
    let refused = collector.logged("command refused");
    assert!(refused.len() == 1 && refused[0].contains(" INFO "), "{refused:?}");
}

fn one_that_begins_while_its_time_is_waited_for_is_as_good(scene: &Scene) {
    // Every 5 s, it is never more than 10 s since the one before.
    let server = scene.register().to_string();
    scene.without_databases();
    let collector = scene.collector();
    collector.wait_for_log("snapshot taken");
    let mut waiting = program();
    waiting.arg("-c").arg(scene.config(json!({}))).args(["snapshot", &server, "--wait"]);
    let mut terminal = Terminal::run(&waiting, 100);
    terminal.wait_to_show(" s: snapshots are 10 s apart");
    let (status, screen) = terminal.end();
    assert!(status.success() && screen.contains("; collected in "), "{screen}");
}

fn one_that_is_in_progress_already_is_not_the_one_that_is_waited_for(scene: &Scene) {
    let server = scene.register_as(Registration { frequency: 3600, ..Registration::of(scene.remote_server()) });
    scene.without_databases();
    scene.repository().batch_execute(&delaying("powa_databases_snapshot", "perform pg_sleep(3);")).unwrap();
    let _collector = scene.collector();
    let config = scene.config(json!({}));
    wait_until("a snapshot to be in progress", || {
        let status = operate(&config, &["status", "--json"]);
        status.text.contains("\"phase\": \"loading\"")
    });
    let printed = operate(&config, &["snapshot", &server.to_string(), "--wait"]);
    assert_eq!((printed.code, printed.errors.as_str()), (0, ""));
    assert_eq!(scene.snapshots(server), 2);
}

fn programs_are_told_what_came_of_a_snapshot(scene: &Scene) {
    let [alias, address] = ["rare".to_owned(), format!("127.0.0.1:{}", scene.remote_server().port())];
    let server = scene.register_as(Registration {
        alias: Some(&alias),
        frequency: 3600,
        ..Registration::of(scene.remote_server())
    });
    scene.without_databases();
    let config = scene.config(json!({}));
    let output = |arguments: &[&str]| {
        let printed = operate(&config, &[&["snapshot", "rare", "--json"], arguments].concat());
        let output: Value = serde_json::from_str(&printed.text).unwrap_or_else(|error| panic!("{error}: {printed:?}"));
        assert_eq!(
            [&output["id"], &output["alias"], &output["address"]],
            [&json!(server), &json!(alias), &json!(address)]
        );
        (printed.code, output)
    };
    let (code, nobody) = output(&[]);
    assert_eq!((code, &nobody["answer"], &nobody["snapshot"]), (1, &Value::Null, &Value::Null));
    assert!(nobody["error"].as_str().unwrap().contains("no collector is connected"), "{nobody}");

    let collector = scene.collector();
    collector.wait_for_log("snapshot taken");
    let (code, stored) = output(&["--wait"]);
    assert_eq!((code, &stored["answer"], &stored["error"]), (0, &Value::Null, &Value::Null));
    assert!(stored["snapshot"]["rows"].as_u64() > Some(0), "{stored}");
    assert_eq!(stored["snapshot"]["errors"], json!([]));
    let (code, refused) = output(&[]);
    assert_eq!((code, &refused["answer"], &refused["snapshot"]), (1, &Value::Null, &Value::Null));
    assert!(refused["error"].as_str().unwrap().contains("less than 10 s ago"), "{refused}");
    let mut asked = Value::Null;
    wait_until("the time when a snapshot may be asked for", || {
        let (code, output) = output(&[]);
        asked = output;
        code == 0
    });
    let answers = ["Snapshot in progress", "Snapshot will begin shortly"];
    assert!(answers.contains(&asked["answer"].as_str().unwrap()) && asked["error"].is_null(), "{asked}");
    assert_eq!(asked["snapshot"], Value::Null);
}

fn a_snapshot_without_all_of_it_says_what_is_missing(scene: &Scene) {
    let remote = scene.own_remote();
    remote.connect().batch_execute(&raising("powa_databases_src", "no databases today")).unwrap();
    let server = scene.register_as(Registration { frequency: 3600, ..remote.registration() });
    let _collector = scene.collector();
    let config = scene.config(json!({}));
    let printed = operate(&config, &["snapshot", &server.to_string(), "--wait"]);
    assert!(printed.text.contains("stored"), "{printed:?}");
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
    // It was asked for, and waits for a connection: neither the collector's "shortly" nor its "about to begin" is true.
    for arguments in [&["--wait"][..], &[], &["--json"]] {
        let printed = operate(&config, &[&["snapshot", &away.to_string()], arguments].concat());
        assert_eq!((printed.code, printed.text.contains("shortly")), (1, false), "{arguments:?}");
        let reason = "the collector has no connection to 127.0.0.1:1: could not connect to";
        assert!(printed.errors.contains(reason), "{}", printed.errors);
        assert!(printed.errors.contains("takes the snapshot once it is connected"), "{}", printed.errors);
    }
    let collector = operate(&config, &["snapshot", &away.to_string(), "--json"]);
    let output: Value = serde_json::from_str(&collector.text).unwrap();
    assert!(output["answer"].is_null() && output["error"].as_str().unwrap().contains("has no connection"), "{output}");
    let printed = operate(&config, &["snapshot", "4711"]);
    assert_eq!(printed.code, 1);
    assert!(printed.errors.contains("no server \"4711\" is registered"), "{}", printed.errors);
}

fn the_snapshot_that_is_waited_for_is_begun_after_the_time(scene: &Scene) {
    let often = scene.register_as(Registration { alias: Some("often"), ..Registration::of(scene.remote_server()) });
    scene.register_beside_others(Registration {
        alias: Some("rare"),
        frequency: 3600,
        ..Registration::of(scene.remote_server())
    });
    scene.without_databases();
    let collector = scene.collector();
    let config = scene.config(json!({}));
    wait_until("both to have a snapshot", || collector.logged("snapshot taken").len() >= 2);
    let before = scene.snapshots(often);
    assert_eq!(operate(&config, &["wait", "often", "rare", "--newer-than", "0"]).code, 0);
    assert_eq!(operate(&config, &["wait", "--newer-than", "2020-01-01T00:00:00Z"]).code, 0);
    let printed = operate(&config, &["wait", "often"]);
    assert_eq!((printed.code, printed.text.as_str(), printed.errors.as_str()), (0, "", ""));
    assert!(scene.snapshots(often) > before);
    let printed = operate(&config, &["wait", "rare", "--timeout", "1"]);
    assert_eq!((printed.code, printed.text.as_str()), (3, ""));
    let expected = "powa-collector wait: timed out: waiting for a snapshot of rare (";
    assert!(printed.errors.starts_with(expected), "{}", printed.errors);
    assert!(printed.errors.contains("; the last one was started at 20"), "{}", printed.errors);
    assert_eq!(operate(&config, &["wait", "nobody"]).code, 1);
}

fn a_collector_that_is_restarted_meanwhile_is_waited_for(scene: &Scene) {
    let server = scene.register_as(Registration { frequency: 3600, ..Registration::of(scene.remote_server()) });
    scene.without_databases();
    let first = scene.collector();
    scene.wait_for_snapshots(server, 1);
    let mut waiting = program();
    waiting.arg("-c").arg(scene.config(json!({}))).args(["wait", &server.to_string()]);
    let mut waiting = waiting.spawn().unwrap();
    let connected = "select count(*) from pg_stat_activity where datname = current_database()
        and application_name = 'powa-collector wait'";
    wait_until("it to be connected", || scene.count(connected) >= 1);
    drop(first);
    let _second = scene.collector();
    // Taken by the collector before: when it was started is not known.
    assert_eq!(operate(&scene.config(json!({})), &["wait", "--newer-than", "0", "--timeout", "2"]).code, 3);
    assert!(waiting.try_wait().unwrap().is_none());
    assert_eq!(operate(&scene.config(json!({})), &["snapshot", &server.to_string(), "--wait"]).code, 0);
    assert!(waiting.wait().unwrap().success());
}

fn of_two_collectors_one_is_listened_to(scene: &Scene) {
    let server = scene.register_as(Registration { frequency: 3600, ..Registration::of(scene.remote_server()) });
    scene.without_databases();
    let first = scene.collector();
    first.wait_for_log("snapshot taken");
    let config = scene.config(json!({}));
    // To which there was none.
    let second = Collector::start(&config);
    second.wait_for_log("ready");
    let printed = operate(&config, &["snapshot", &server.to_string(), "--wait"]);
    assert!(printed.text.contains("; collected in "), "{printed:?}");
    assert!(printed.errors.contains("more than one collector is connected to the repository"), "{}", printed.errors);
    let printed = operate(&config, &["reload"]);
    assert_eq!((printed.code, printed.text.as_str()), (0, "reloaded: 2 collectors\n"), "{}", printed.errors);
    assert_eq!([&first, &second].map(|collector| collector.logged("reloaded").len()), [1, 1]);
    let printed = operate(&config, &["status"]);
    assert!(
        printed
            .text
            .contains("More than one collector takes snapshots for this repository; this is the state of one of them")
    );
    assert!(printed.code == 0 && printed.text.contains("running"), "{printed:?}");
}

fn without_a_collector_each_of_them_says_so(scene: &Scene) {
    let server = scene.register().to_string();
    let config = scene.config(json!({}));
    let mut all =
        vec![vec!["reload"], vec!["snapshot", &server], vec!["snapshot", &server, "--wait"], vec!["wait", &server]];
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

fn a_database_that_is_not_there_is_refused_once_it_is_known(scene: &Scene) {
    let server = scene.register_as(Registration { frequency: 3600, ..Registration::of(scene.remote_server()) });
    let away = scene.register_as(Registration { port: 1, ..Registration::of(scene.remote_server()) });
    let _collector = scene.collector();
    scene.wait_for_snapshots(server, 1);
    let config = scene.config(json!({}));
    let refused = operate(&config, &["refresh-catalogs", &server.to_string(), "shop", "shpo"]);
    assert_eq!((refused.code, refused.text.as_str()), (1, ""));
    for part in ["had no database \"shpo\" to connect to", "did you mean \"shop\"?", "nothing is copied"] {
        assert!(refused.errors.contains(part), "{part}: {}", refused.errors);
    }
    // It takes no connections, and another does.
    let refused = operate(&config, &["refresh-catalogs", &server.to_string(), "template0"]);
    assert_eq!(refused.code, 1, "{}", refused.text);
    for part in ["had no database \"template0\" to connect to", "did you mean \"template1\"?"] {
        assert!(refused.errors.contains(part), "{part}: {}", refused.errors);
    }
    let unknown = operate(&config, &["refresh-catalogs", &away.to_string(), "shop"]);
    assert_eq!((unknown.code, unknown.errors.as_str()), (0, ""));
    assert!(unknown.text.contains("the databases of the server are not known yet"), "{}", unknown.text);
    assert!(unknown.text.contains("shop: Catalogs will be refreshed during the next snapshot"), "{}", unknown.text);
    scene.repository().execute("select powa_deactivate_server($1)", &[&away]).unwrap();
    let disabled = operate(&config, &["refresh-catalogs", &away.to_string()]);
    assert_eq!((disabled.code, disabled.text.as_str()), (1, ""));
    let reason = format!("127.0.0.1:1 is disabled; enable it with \"powa-collector servers enable {away}\"");
    assert!(disabled.errors.contains(&reason), "{}", disabled.errors);
}

fn there_are_no_catalogs_to_copy(scene: &Scene) {
    let server = scene.register().to_string();
    let printed = operate(&scene.config(json!({})), &["refresh-catalogs", &server]);
    assert_eq!((printed.code, printed.text.as_str()), (1, ""));
    assert!(printed.errors.contains("PoWA 4 copies no catalogs"), "{}", printed.errors);
}
