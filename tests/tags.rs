//! Tags of servers: the commands and the API set them, lists are filtered by them, and the metrics and the page have them.

use std::path::PathBuf;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::api_servers::{audited, registered};
use crate::support::{Printed, Scene, Watcher, operate, promtool, tests, wait_until};

tests![
    tags_are_set_by_the_command_and_select_servers,
    tags_are_replaced_by_the_api_and_filter_its_list;
    since 5:
    #[of_any_powa] tags_are_labels_of_a_metric_and_on_the_page,
    #[of_any_powa] what_cannot_be_a_tag_is_refused_with_the_reason,
    #[of_any_powa] without_the_schema_nothing_is_read_and_tags_name_the_cure,
    #[of_any_powa] a_row_that_is_invalid_is_left_out_and_named_once,
    #[of_any_powa] a_table_that_cannot_be_read_changes_nothing_else,
    #[of_any_powa] rows_of_removed_servers_are_deleted_from_all_tables,
];

/// The configuration of the collector, or one without any settings if none has been started.
fn config(scene: &Scene) -> PathBuf {
    let file = scene.directory().join("powa-collector.conf");
    if file.exists() { file } else { scene.config(json!({})) }
}

fn run(scene: &Scene, arguments: &[&str]) -> Printed {
    operate(&config(scene), arguments)
}

/// What a command prints that succeeds.
fn printed(scene: &Scene, arguments: &[&str]) -> String {
    let printed = run(scene, arguments);
    assert_eq!(printed.code, 0, "{arguments:?}: {printed:?}");
    printed.text
}

/// The servers in the JSON of a command.
fn listed(text: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    all["servers"].as_array().unwrap().clone()
}

fn ids(servers: &[Value]) -> Vec<i64> {
    servers.iter().map(|server| server["id"].as_i64().unwrap()).collect()
}

fn tags_are_set_by_the_command_and_select_servers(scene: &Scene) {
    scene.set_up();
    registered(scene, 3);
    let _collector = scene.collector();
    let tag = |arguments: &[&str]| printed(scene, &[&["servers", "tag"], arguments].concat());
    assert_eq!(tag(&["al1"]), "server 1, al1 (127.0.0.1:1) has no tags\n");
    let text = tag(&["al1", "environment=production", "team=a = b"]);
    assert_eq!(text, "server 1, al1 (127.0.0.1:1):\nenvironment=production\nteam=a = b\nthe collector has reloaded\n");
    tag(&["2", "environment=production"]);
    tag(&["3", "environment=test"]);
    let text = tag(&["al1", "environment=staging", "team-", "unknown-"]);
    assert!(text.starts_with("server 1, al1 (127.0.0.1:1):\nenvironment=staging\nthe collector"), "{text}");
    tag(&["al1", "environment=production", "team=x"]);
    assert_eq!(tag(&["al1"]), "server 1, al1 (127.0.0.1:1):\nenvironment=production\nteam=x\n");

    let with = |arguments: &[&str]| listed(&printed(scene, arguments));
    for command in [&["servers", "list", "--json"][..], &["status", "--json"]] {
        let all = with(command);
        assert_eq!(all[0]["tags"], json!({"environment": "production", "team": "x"}), "{command:?}");
        assert_eq!(all[2]["tags"], json!({"environment": "test"}));
        let selected = |tags: &[&str]| ids(&with(&[command, tags].concat()));
        assert_eq!(selected(&["--tag", "environment=production"]), [1, 2]);
        assert_eq!(selected(&["--tag", "environment=production", "--tag", "team=x"]), [1]);
        assert_eq!(selected(&["--tag", "environment=test", "--tag", "team=x"]), [0; 0]);
    }
    assert_eq!(ids(&with(&["status", "--json", "2", "3", "--tag", "environment=production"])), [2]);
    let none = run(scene, &["servers", "list", "--tag", "environment=nowhere"]);
    assert!((none.code, none.text.as_str()) == (0, "") && none.errors.contains("no server has these tags"), "{none:?}");
    let none = run(scene, &["status", "--tag", "environment=nowhere"]);
    assert!(none.text.contains("No server has these tags."), "{none:?}");
}

fn tags_are_replaced_by_the_api_and_filter_its_list(scene: &Scene) {
    scene.set_up();
    registered(scene, 3);
    let (_collector, api) = scene.with_api(json!({}));
    let operator = api.role(&scene.user("operator", "operator"));
    let viewer = api.role(&scene.user("viewer", "viewer"));
    let put = |path: &str, body: Value| operator.send("PUT", path, &[], Some(body)).expect(200).body;
    assert_eq!(viewer.get("servers/1/tags").expect(200).body, json!({}));
    let tags = json!({"environment": "production", "team": "a:b, \"c\" é"});
    assert_eq!(put("servers/al1/tags", tags.clone()), tags);
    assert_eq!(put("servers/2/tags", json!({"environment": "production"})), json!({"environment": "production"}));
    assert_eq!(put("servers/3/tags", json!({"environment": "test"})), json!({"environment": "test"}));
    assert_eq!(viewer.get("servers/1/tags").expect(200).body, tags);
    assert_eq!(viewer.get("servers/1").expect(200).body["tags"], tags);
    let found = |query: &str| ids(viewer.get(&format!("servers?{query}")).expect(200).items());
    assert_eq!(found("tag=environment:production"), [1, 2]);
    assert_eq!(found("tag=environment:production&tag=team:a:b,%20%22c%22%20%C3%A9"), [1]);
    assert_eq!(found("tag=environment:test&tag=team:x"), [0; 0]);
    assert_eq!(found("limit=1&tag=environment:production"), [1]);
    assert_eq!(found("tag=environment:production&name=al2"), [2]);
    for wrong in ["tag=environment", "tag=", "tag=Environment:x", "tag=environment:", "limit=1&limit=2", "tags=a:b"] {
        viewer.get(&format!("servers?{wrong}")).expect(400);
    }
    assert_eq!(put("servers/1/tags", json!({"team": "z"})), json!({"team": "z"}));
    assert_eq!(put("servers/2/tags", json!({})), json!({}));
    assert_eq!(scene.count("select count(*) from powa_collector.tags"), 2);
    assert_eq!(audited(scene), vec![("set tags".to_owned(), None); 5]);
    let details: String =
        scene.row("select details::text from powa_collector.audit_log order by id limit 1", &[]).get(0);
    assert_eq!(serde_json::from_str::<Value>(&details).unwrap(), tags);
    viewer.send("PUT", "servers/1/tags", &[], Some(json!({}))).expect(403);
}

fn tags_are_labels_of_a_metric_and_on_the_page(scene: &Scene) {
    scene.set_up();
    registered(scene, 2);
    let (_collector, watcher) = scene.watched();
    let line = |watcher: &Watcher, id: i32| {
        let text = watcher.get("/metrics").text;
        let start = "powa_collector_server_tags{";
        let mut lines = text.lines().filter(|line| line.starts_with(start) && line.contains(&format!("id=\"{id}\"")));
        lines.next().unwrap_or_else(|| panic!("{text}")).to_owned()
    };
    assert_eq!(line(&watcher, 1), "powa_collector_server_tags{id=\"1\",server=\"127.0.0.1:1\"} 1");
    printed(scene, &["servers", "tag", "1", "environment=pro\"duction\\", "team=é"]);
    let expected = "powa_collector_server_tags{id=\"1\",server=\"127.0.0.1:1\",tag_environment=\"pro\\\"duction\\\\\",tag_team=\"é\"} 1";
    wait_until("the tags to be labels", || line(&watcher, 1) == expected);
    assert!(line(&watcher, 2).contains("tag_environment=\"\",tag_team=\"\""));
    let servers = watcher.open_events().next("everything")["servers"].clone();
    assert_eq!(servers["1"]["tags"], json!({"environment": "pro\"duction\\", "team": "é"}));
    assert!(servers["2"]["tags"].is_null());
    // More keys than labels.
    let many = "insert into powa_collector.tags (srvid, key, value)
        select n % 2 + 1, 'a' || n, 'v' from generate_series(1, 40) n";
    scene.repository().batch_execute(many).unwrap();
    printed(scene, &["reload"]);
    wait_until("32 of them to be labels", || line(&watcher, 1).matches("tag_").count() == 32);
    assert_eq!(promtool(&["check", "metrics"], &watcher.get("/metrics").text), "");
}

fn what_cannot_be_a_tag_is_refused_with_the_reason(scene: &Scene) {
    scene.set_up();
    registered(scene, 1);
    let (_collector, api) = scene.with_api(json!({}));
    let operator = api.role(&scene.user("operator", "operator"));
    for (change, reason) in [
        ("Environment=x", "a lower-case letter, then"),
        ("a-b=x", "a lower-case letter, then"),
        ("a=", "1 to 256 bytes"),
        ("a=x\ny", "control characters"),
        ("a", "KEY=VALUE, or KEY- to remove"),
    ] {
        let refused = run(scene, &["servers", "tag", "1", change]);
        assert!(refused.code == 2 && refused.errors.contains(reason), "{change}: {refused:?}");
    }
    let refused = run(scene, &["servers", "tag", "1", "a=1", "a-"]);
    assert!(refused.code == 1 && refused.errors.contains("the tag a is changed twice"), "{refused:?}");
    let refused = run(scene, &["servers", "list", "--tag", "a:1"]);
    assert!(refused.code == 2 && refused.errors.contains("KEY=VALUE"), "{refused:?}");
    let many: serde_json::Map<String, Value> = (0..33).map(|n| (format!("k{n}"), json!("v"))).collect();
    for (body, reason) in [
        (json!({"Environment": "x"}), "a lower-case letter, then"),
        (json!({"a": ""}), "1 to 256 bytes"),
        (json!({"a": "x".repeat(257)}), "1 to 256 bytes"),
        (json!({"a": "\u{0}"}), "control characters"),
        (json!({"a": 5}), "must be a string"),
        (json!({"a": null}), "must be a string"),
        (Value::Object(many.clone()), "at most 32 tags"),
        (json!(["a"]), "must be a JSON object"),
    ] {
        let refused = operator.send("PUT", "servers/1/tags", &[], Some(body.clone())).expect(422);
        assert!(refused.detail().contains(reason), "{body}: {:#}", refused.body);
    }
    let all: Vec<String> = many.keys().take(32).map(|key| format!("{key}=v")).collect();
    let arguments: Vec<&str> = ["servers", "tag", "1"].into_iter().chain(all.iter().map(String::as_str)).collect();
    printed(scene, &arguments);
    let refused = run(scene, &["servers", "tag", "1", "one_more=v"]);
    assert!(refused.code == 1 && refused.errors.contains("at most 32 tags"), "{refused:?}");
    printed(scene, &["servers", "tag", "1", "one_more=v", "k0-"]);
    assert_eq!(scene.count("select count(*) from powa_collector.tags"), 32);
}

fn without_the_schema_nothing_is_read_and_tags_name_the_cure(scene: &Scene) {
    registered(scene, 1);
    let (collector, api) = scene.with_api(json!({}));
    let operator = api.role(&scene.user("operator", "operator"));
    for arguments in [
        &["servers", "tag", "1"][..],
        &["servers", "tag", "1", "a=b"],
        &["servers", "list", "--tag", "a=b"],
        &["status", "--tag", "a=b"],
    ] {
        let refused = run(scene, arguments);
        assert!(refused.code == 1 && refused.errors.contains("run \"powa-collector setup\""), "{refused:?}");
    }
    let put = operator.send("PUT", "servers/1/tags", &[], Some(json!({"a": "b"})));
    for refused in [put, operator.get("servers/1/tags"), operator.get("servers?tag=a:b")] {
        let refused = refused.expect(503);
        assert!(refused.body["hint"].as_str().unwrap().contains("powa-collector setup"), "{:#}", refused.body);
    }
    assert_eq!(operator.get("servers/1").expect(200).body["tags"], json!({}));
    assert_eq!(collector.logged("tags"), [""; 0]);
}

fn a_row_that_is_invalid_is_left_out_and_named_once(scene: &Scene) {
    scene.set_up();
    registered(scene, 1);
    let insert = "insert into powa_collector.tags (srvid, key, value)
        values (1, 'good', 'x'), (1, 'not-good', 'x'), (1, 'worse', repeat('x', 1000))";
    scene.repository().batch_execute(insert).unwrap();
    let (collector, api) = scene.with_api(json!({}));
    let line =
        collector.wait_for_log("some tags are left out: powa_collector.tags row with srvid 1 and key \"not-good\": ");
    assert!(line.contains("(and 1 more)"), "{line}");
    collector.signal(Signal::HUP);
    collector.wait_for_log(" reloaded");
    assert_eq!(collector.logged("some tags are left out").len(), 1);
    let viewer = api.role(&scene.user("viewer", "viewer"));
    assert_eq!(viewer.get("servers/1/tags").expect(200).body, json!({"good": "x"}));
}

fn a_table_that_cannot_be_read_changes_nothing_else(scene: &Scene) {
    scene.set_up();
    scene.without_databases();
    scene.repository().batch_execute("alter table powa_collector.tags rename value to worth").unwrap();
    let server = scene.register();
    printed(scene, &["servers", "schedule", &server.to_string(), "*/5 * * * * *"]);
    let collector = scene.collector();
    collector.wait_for_log("some tags are left out: the table powa_collector.tags cannot be read");
    scene.wait_for_snapshots(server, 2);
    let status = listed(&printed(scene, &["status", "--json"]));
    assert_eq!((&status[0]["schedule"], &status[0]["tags"]), (&json!("*/5 * * * * *"), &json!({})));
    collector.signal(Signal::HUP);
    collector.wait_for_log(" reloaded");
    assert_eq!(collector.logged("some tags are left out").len(), 1);
}

fn rows_of_removed_servers_are_deleted_from_all_tables(scene: &Scene) {
    scene.set_up();
    registered(scene, 1);
    let insert =
        "insert into powa_collector.tags (srvid, key, value) values (1, 'a', 'x'), (99, 'a', 'x'), (99, 'b', 'x');
        insert into powa_collector.schedules (srvid, paused_until) values (1, '2100-01-01'), (99, '2100-01-01');
        insert into powa_collector.errors (srvid, message, first_at, last_at) values
            (1, 'error', now(), now()), (99, 'error', now(), now())";
    scene.repository().batch_execute(insert).unwrap();
    let collector = scene.collector();
    collector.wait_for_log("deleted 4 rows of removed servers from the schema powa_collector");
    for table in ["tags", "schedules", "errors"] {
        let left = scene.count(&format!("select sum(srvid)::bigint from powa_collector.{table}"));
        assert_eq!(left, 1, "{table}");
    }
}
