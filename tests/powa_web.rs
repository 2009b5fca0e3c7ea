//! The real powa-web, of the series that belongs to the version of PoWA, with a collector.
//!
//! Forcing a snapshot and refreshing catalogs came with powa-web 5.

use lab::{Registration, Workload};
use serde_json::{Value, json};

use crate::support::{PowaWeb, Scene, tests, wait_until};

tests![
    powa_web_reloads_the_collector_and_notices_when_it_is_not_there,
    powa_web_shows_how_the_workers_are,
    powa_web_finds_the_collector_and_its_version,
    powa_web_shows_what_was_collected,
    powa_web_shows_the_errors_of_a_snapshot,
    who_may_not_command_the_collector_may_not_with_powa_web;
    since 5:
    every_page_of_powa_web_has_something_to_show,
    powa_web_forces_a_snapshot_unless_the_last_is_too_young,
    powa_web_says_why_it_could_not_force_a_snapshot,
    powa_web_refreshes_the_catalogs_of_all_databases,
    powa_web_refreshes_the_catalogs_of_one_database,
];

/// A snapshot when the server is new, and then none that nobody asked for.
const SELDOM: i32 = 3600;

fn powa_web_reloads_the_collector_and_notices_when_it_is_not_there(scene: &Scene) {
    let collector = scene.collector();
    let web = PowaWeb::start(scene);
    let server = scene.register();
    wait_until_reloaded(&web);
    scene.wait_for_snapshots(server, 1);
    collector.stop();
    assert_eq!(web.get("/reload_collector/"), false);
}

/// powa-web listens for some seconds, in which the machine may stand still. Then one tries again.
fn wait_until_reloaded(web: &PowaWeb) {
    wait_until("powa-web to reload the collector", || web.get("/reload_collector/") == true);
}

fn powa_web_shows_how_the_workers_are(scene: &Scene) {
    let reached = scene.register();
    let nobody = Registration { port: 1, ..Registration::of(scene.remote_server()) };
    let unreached = scene.register_as(nobody);
    let collector = scene.collector();
    scene.wait_for_status(reached, "running");
    scene.wait_for_status(unreached, "no connection to remote server");

    let web = PowaWeb::start(scene);
    let status_in_list = |servers: &Value, id: i32| {
        let row = servers["data"].as_array().unwrap().iter().find(|row| row["id"] == id).unwrap();
        row["collector_status"].as_str().unwrap().to_owned()
    };
    // powa-web listens for a second or two, in which the machine may stand still. Then one looks again.
    let mut servers = Value::Null;
    wait_until("powa-web to hear of the workers", || {
        servers = web.get("/config/powa_servers/");
        status_in_list(&servers, reached) != "unknown"
    });
    assert_eq!(status_in_list(&servers, reached), "running");
    assert_eq!(status_in_list(&servers, unreached), "no connection to remote server");
    let details = |id: i32| web.get(&format!("/config/{id}/server_details/"))["messages"].clone();
    let about = "Collector status for this instance";
    let running = json!({"success": [format!("{about}: running")]});
    wait_until("powa-web to hear of one that runs", || details(reached) == running);
    let unconnected = json!({"alert": [format!("{about}: no connection to remote server")]});
    wait_until("powa-web to hear of one that is not connected", || details(unreached) == unconnected);

    collector.stop();
    assert_eq!(status_in_list(&web.get("/config/powa_servers/"), reached), "unknown");
    assert_eq!(details(reached), json!({"warning": ["Could not get status for this instance"]}));
}

fn powa_web_finds_the_collector_and_its_version(scene: &Scene) {
    let _collector = scene.collector();
    let web = PowaWeb::start(scene);
    let name = format!("Remote collector ({})", env!("CARGO_PKG_VERSION"));
    if scene.generation().powa_major() >= 5 {
        let sessions = web.get("/config/allcollectors/");
        let mut sessions = sessions.as_array().unwrap().iter();
        let own = sessions.find(|session| session["datname"] == scene.database.as_str()).unwrap();
        assert_eq!(own["powa_kind"], name.as_str());
    } else {
        // Of all databases, and without telling which.
        let page = web.page("/config/allcollectors/");
        assert!(page.contains(&format!("<b>{name}:</b> <i class=\"fi-check ok\">")), "{page}");
    }
}

fn powa_web_shows_what_was_collected(scene: &Scene) {
    let server = scene.register();
    let _collector = scene.collector();
    let web = PowaWeb::start(scene);
    let mut remote = scene.remote("my app");
    let is_shown = |path: &str, what: &dyn Fn(&Value) -> bool| web.data(scene, path).iter().any(what);
    // What is shown are differences: of statements that were there already when they were seen first.
    wait_until("powa-web to show the statement", || {
        remote.batch_execute("select 'a row' as seen_on_a_page").unwrap();
        let statements = format!("/server/{server}/metrics/database_all_queries/my%20app/");
        let text = |row: &Value| row["query"].as_str().unwrap().to_owned();
        is_shown(&statements, &|row| text(row).contains("seen_on_a_page") && row["calls"].as_f64() > Some(0.0))
    });
    let databases = format!("/server/{server}/metrics/by_databases/");
    assert!(is_shown(&databases, &|row| row["datname"] == "my app" && row["calls"].as_f64() > Some(0.0)));
    let graph = format!("/server/{server}/metrics/databases_globals/");
    assert!(is_shown(&graph, &|point| point["calls"].as_f64() > Some(0.0)));
    // The versions that the collector stores are what powa-web shows, and goes by.
    let servers = web.get("/server/all_servers/");
    let version: String = scene.remote("powa").query_one("show server_version", &[]).unwrap().get(0);
    let mut rows = servers["data"].as_array().unwrap().iter();
    assert_eq!(rows.find(|row| row["srvid"] == server).unwrap()["version"], version);
}

fn every_page_of_powa_web_has_something_to_show(scene: &Scene) {
    let server = scene.register();
    let _collector = scene.collector();
    let web = PowaWeb::start(scene);
    let _workload = Workload::start(scene.remote_server(), &["my app"]).unwrap();
    let mut remote = scene.remote("my app");
    // There is no replication, and the wizard's data come when it is asked for suggestions.
    let empty = ["wal_receiver", "subscriptions", "wizard"];
    for page in ["/server/{}/overview/", "/server/{}/database/my%20app/overview/"] {
        let page = web.dashboard(&page.replace("{}", &server.to_string()));
        let sources = page["datasources"].as_array().unwrap();
        assert!(sources.len() > 5, "{page}");
        for source in sources.iter().filter(|source| empty.iter().all(|name| source["name"] != *name)) {
            let path = source["data_url"].as_str().unwrap();
            wait_until(path, || {
                remote.batch_execute("select pg_sleep(0.1) as waited_for").unwrap();
                !web.data(scene, path).is_empty()
            });
        }
    }
    assert_eq!(scene.errors(server), [""; 0]);
}

fn powa_web_shows_the_errors_of_a_snapshot(scene: &Scene) {
    scene.repository().batch_execute("alter table powa_statements_src_tmp add column unexpected int").unwrap();
    let server = scene.register();
    let _collector = scene.collector();
    scene.wait_for_error(server, "powa_statements_src_tmp");
    let page = PowaWeb::start(scene).page("/config/errors/");
    assert!(page.contains("powa_statements_src_tmp"), "{page}");
}

fn who_may_not_command_the_collector_may_not_with_powa_web(scene: &Scene) {
    let server = scene.register();
    let _collector = scene.collector();
    let role = format!("visitor_{}", scene.database.replace([' ', '"'], ""));
    scene.repository().batch_execute(&format!("create role {role} login")).unwrap();
    let web = PowaWeb::start_for(scene, &role);
    assert_eq!(web.get("/reload_collector/"), false);
    if scene.generation().powa_major() >= 5 {
        assert_eq!(web.get(&format!("/force_snapshot/{server}")), json!([{"KO": "Permission denied"}]));
    }
    scene.repository().batch_execute(&format!("grant pg_signal_backend to {role}")).unwrap();
    wait_until_reloaded(&web);
}

fn powa_web_forces_a_snapshot_unless_the_last_is_too_young(scene: &Scene) {
    let server = scene.register_as(Registration { frequency: SELDOM, ..Registration::of(scene.remote_server()) });
    // Before the snapshot that is to be young: it takes its time.
    let web = PowaWeb::start(scene);
    // The 10 s are those since it has started.
    scene.without_databases();
    let collector = scene.collector();
    // It is in the repository before the worker knows that it is, and is in progress until then.
    collector.wait_for_log("snapshot taken");
    let path = format!("/force_snapshot/{server}");
    assert_eq!(web.get(&path), json!([{"KO": "Last snapshot was less than 10s. ago"}]));
    let mut answer = Value::Null;
    wait_until("the snapshot not to be refused", || {
        answer = web.get(&path);
        answer[0].get("OK").is_some()
    });
    let expected = ["Snapshot in progress", "Snapshot will begin shortly"];
    assert!(expected.iter().any(|status| answer == json!([{"OK": status}])), "{answer}");
    scene.wait_for_snapshots(server, 2);
    assert_eq!(scene.errors(server), [""; 0]);
}

fn powa_web_says_why_it_could_not_force_a_snapshot(scene: &Scene) {
    let _collector = scene.collector();
    let web = PowaWeb::start(scene);
    assert_eq!(web.get("/force_snapshot/4711"), json!([{"KO": "Server id 4711 not found"}]));
    assert_eq!(web.get("/force_snapshot/0"), json!([{"KO": "Server id 0 not found"}]));
}

fn powa_web_refreshes_the_catalogs_of_all_databases(scene: &Scene) {
    catalogs_are_refreshed(scene, &[], &["my app", "shop"]);
}

fn powa_web_refreshes_the_catalogs_of_one_database(scene: &Scene) {
    catalogs_are_refreshed(scene, &["my app"], &["my app"]);
}

/// Presses the button, and looks at what became of two databases.
fn catalogs_are_refreshed(scene: &Scene, wanted: &[&str], expected: &[&str]) {
    let server = scene.register();
    let _collector = scene.collector();
    let web = PowaWeb::start(scene);
    let last_refresh = |database: &str| {
        let catalogs = web.get(&format!("/config/{server}/pg_catalogs/"));
        let rows = catalogs["data"].as_array().unwrap();
        let row = rows.iter().find(|row| row["datname"] == database).cloned();
        row.and_then(|row| row["last_refresh"].as_str().map(str::to_owned))
    };
    let all = ["my app", "shop"];
    wait_until("the first refresh", || all.iter().all(|database| last_refresh(database).is_some()));
    let before = all.map(last_refresh);
    let snapshots = scene.snapshots(server);

    let answer = web.post("/refresh_db_cat/", &json!({"srvid": server.to_string(), "dbnames": wanted}));
    assert_eq!(answer, json!([{"OK": "Catalogs will be refreshed during the next snapshot"}]));
    wait_until("the catalogs to be refreshed", || last_refresh("my app") != before[0]);
    scene.wait_for_snapshots(server, snapshots + 2);
    for (database, before) in all.into_iter().zip(before) {
        assert_eq!(last_refresh(database) != before, expected.contains(&database), "{database}");
    }
    assert_eq!(scene.errors(server), [""; 0]);
}
