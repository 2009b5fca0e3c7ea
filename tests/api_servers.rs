//! Servers and users by the API: added, changed, commanded and removed, with every change in the audit log.

use lab::Registration;
use serde_json::{Value, json};

use crate::support::{ApiClient, SECRET, Scene, tests, wait_until};

tests![
    #[hurried] a_server_is_added_changed_disabled_enabled_and_removed,
    #[hurried] a_snapshot_is_taken_and_waited_for,
    a_check_has_the_findings_of_the_command;
    since 5:
    #[of_any_powa] the_list_is_filtered_and_comes_in_pages,
    #[of_any_powa] a_server_is_found_by_id_alias_or_address,
    #[of_any_powa] a_change_needs_the_version_that_was_read,
    #[of_any_powa] what_cannot_be_registered_is_refused_with_the_reason,
    #[of_any_powa] #[hurried] the_errors_of_a_server_are_kept_once_with_their_times,
    catalogs_are_read_again,
];

/// The body that registers the remote server of a scene.
fn remote(scene: &Scene) -> Value {
    let remote = scene.remote_server();
    json!({
        "host": remote.host(), "port": remote.port(), "user": "postgres", "password": SECRET, "dbname": "powa",
        "frequency": 5, "alias": "main",
    })
}

pub(crate) fn admin(scene: &Scene, api: &ApiClient) -> ApiClient {
    // An administrator of PoWA may still lack privileges that PoWA has forgotten to grant to them.
    let admin = scene.user("admin", "admin");
    scene.repository().batch_execute(&format!("alter role {admin} superuser")).unwrap();
    api.role(&admin)
}

/// Actions of the audit log with their outcomes, the oldest first.
pub(crate) fn audited(scene: &Scene) -> Vec<(String, Option<String>)> {
    let sql = "select action, error from powa_collector.audit_log order by id";
    scene.repository().query(sql, &[]).unwrap().iter().map(|row| (row.get(0), row.get(1))).collect()
}

fn a_server_is_added_changed_disabled_enabled_and_removed(scene: &Scene) {
    scene.set_up();
    let (collector, api) = scene.with_api(json!({}));
    let api = admin(scene, &api);
    let added = api.post("servers?check=true", remote(scene)).expect(201);
    let id = i32::try_from(added.body["id"].as_i64().unwrap()).unwrap();
    assert_eq!(added.header("location"), format!("/api/v1/servers/{id}"));
    assert_eq!(added.body["has_password"], true);
    // Without a reload.
    scene.wait_for_snapshots(id, 1);
    let got = api.get("servers/main").expect(200);
    assert_eq!((&got.body["id"], &got.body["frequency"], &got.body["enabled"]), (&json!(id), &json!(5), &json!(true)));
    wait_until("it to run", || api.get("servers/main").body["state"] == "running");

    let tag = got.header("etag").to_owned();
    let changes = json!({"alias": "first", "frequency": 6, "retention": "2 days", "coalesce": 7, "password": null});
    let changed = api.send("PATCH", "servers/main", &[("if-match", &tag)], Some(changes)).expect(200);
    let body = &changed.body;
    assert_eq!((&body["alias"], &body["frequency"], &body["coalesce"]), (&json!("first"), &json!(6), &json!(7)));
    assert_eq!((&body["has_password"], &body["retention"]), (&json!(false), &json!("2 days")));
    assert_ne!(changed.header("etag"), tag);
    collector.wait_for_log("server changed");

    let disabled = api.call("POST", "servers/first/disable").expect(200);
    assert_eq!((&disabled.body["enabled"], &disabled.body["frequency"]), (&json!(false), &Value::Null));
    wait_until("it to be disabled", || api.get("servers/first").body["state"] == "disabled");
    api.call("POST", "servers/first/disable").expect(200);
    let enabled = api.post("servers/first/enable", json!({"frequency": 10})).expect(200);
    assert_eq!(enabled.body["frequency"], 10);
    api.call("POST", "servers/first/enable").expect(200);

    api.send("DELETE", "servers/first", &[("if-match", "*")], None).expect(400);
    api.send("DELETE", "servers/first?purge=true", &[("if-match", "*")], None).expect(204);
    api.get("servers/first").expect(404);
    assert_eq!(scene.count("select count(*) from powa_servers where id > 0"), 0);
    let done = |action: &str| (action.to_owned(), None);
    let expected = ["add server", "change server", "disable server", "enable server", "remove server"].map(done);
    assert_eq!(audited(scene), expected);
    let row = scene.row(
        "select role, client, srvid, details::text from powa_collector.audit_log where action = 'add server'",
        &[],
    );
    let (role, client, server, details): (String, String, i32, String) =
        (row.get(0), row.get(1), row.get(2), row.get(3));
    assert!(role.starts_with("admin_") && client.starts_with("127.0.0.1:") && server == id, "{role} {client} {server}");
    assert!(details.contains("\"password\": true") && !details.contains(SECRET), "{details}");
    assert_eq!(collector.logged("changed by HTTP").len(), 5);
}

fn a_snapshot_is_taken_and_waited_for(scene: &Scene) {
    let server = scene.register_as(Registration { frequency: 3600, ..Registration::of(scene.remote_server()) });
    let (_collector, api) = scene.with_api(json!({}));
    let operator = api.role(&scene.user("operator", "operator"));
    scene.wait_for_snapshots(server, 1);
    let path = format!("servers/{server}/snapshot");
    let take = || operator.call("POST", &format!("{path}?wait=60"));
    let taken = crate::support::wait_for("a snapshot to be possible", || {
        let reply = take();
        if reply.status == 409 {
            assert!(!reply.detail().is_empty());
            return None;
        }
        Some(reply.expect(200))
    });
    assert_eq!(taken.body["stored"], true);
    assert!(taken.body["datasources"].as_u64().unwrap() > 3 && taken.body["begun_at"].is_string(), "{:#}", taken.body);
    assert_eq!(scene.snapshots(server), 2);
    let refused = take().expect(409);
    assert!(refused.detail().contains("10 s ago") && !refused.header("retry-after").is_empty(), "{:#}", refused.body);
    operator.call("POST", "servers/999/snapshot").expect(404);
    operator.call("POST", &format!("{path}?wait=601")).expect(400);
    operator.call("POST", &format!("{path}?weit=1")).expect(400);
}

fn a_check_has_the_findings_of_the_command(scene: &Scene) {
    let server = scene.register();
    let (_collector, api) = scene.with_api(json!({}));
    let operator = api.role(&scene.user("operator", "operator"));
    let checked = operator.call("POST", &format!("servers/{server}/check")).expect(200);
    assert_eq!(checked.body["mark"], "well", "{:#}", checked.body);
    let whats: Vec<_> =
        checked.body["findings"].as_array().unwrap().iter().map(|one| one["what"].as_str().unwrap()).collect();
    assert!(["registration", "login", "datasources", "clock"].iter().all(|what| whats.contains(what)), "{whats:?}");
    let broken = "update powa_servers set dbname = 'nowhere' where id = $1";
    scene.repository().execute(broken, &[&server]).unwrap();
    let checked = operator.call("POST", &format!("servers/{server}/check")).expect(200);
    assert_eq!(checked.body["mark"], "wrong");
    let wrong = checked.body["findings"].as_array().unwrap().iter().find(|one| one["mark"] == "wrong").unwrap();
    assert_eq!(wrong["what"], "database", "{wrong:#}");
}

pub(crate) fn registered(scene: &Scene, number: usize) {
    for n in 1..=number {
        let alias = format!("al{n}");
        // Nobody listens there.
        let sql = "select powa_register_server(hostname => '127.0.0.1', port => $1, alias => $2, frequency => 3600)";
        scene.repository().query(sql, &[&i32::try_from(n).unwrap(), &alias]).unwrap();
    }
}

fn the_list_is_filtered_and_comes_in_pages(scene: &Scene) {
    registered(scene, 25);
    let (_collector, api) = scene.with_api(json!({}));
    let viewer = api.role(&scene.user("viewer", "viewer"));
    let ids = |path: &str| -> Vec<i64> {
        viewer.get(path).expect(200).items().iter().map(|server| server["id"].as_i64().unwrap()).collect()
    };
    assert_eq!(ids("servers").len(), 25);
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let page = viewer.get(&format!("servers?limit=10{after}")).expect(200);
        all.extend(page.items().iter().map(|server| server["id"].as_i64().unwrap()));
        let Some(next) = page.body["next_after"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert_eq!(all, ids("servers"));
    assert_eq!(ids("servers?name=al1*").len(), 11);
    assert_eq!(ids("servers?name=al1"), [1]);
    assert_eq!(ids("servers?name=127.0.0.1:2*").len(), 7);
    assert_eq!(ids("servers?name=*:3&limit=1"), [3]);
    wait_until("all to fail", || ids("servers?state=failing").len() == 25);
    assert_eq!(ids("servers?state=running"), [0; 0]);
    let failing = viewer.get("servers/al1").expect(200).body;
    assert!(failing["last_error"].as_str().unwrap().contains("127.0.0.1"), "{failing:#}");
    for wrong in ["state=broken", "limit=0", "limit=1001", "limit=x", "after=x", "name=[", "name=", "sate=failing"] {
        viewer.get(&format!("servers?{wrong}")).expect(400);
    }
}

fn a_server_is_found_by_id_alias_or_address(scene: &Scene) {
    registered(scene, 2);
    let odd = "é/ä \"quoted\"\n..";
    scene.repository().execute("update powa_servers set alias = $1 where id = 2", &[&odd]).unwrap();
    let (collector, api) = scene.with_api(json!({}));
    let viewer = api.role(&scene.user("viewer", "viewer"));
    for (path, id) in [
        ("servers/1", 1),
        ("servers/al1", 1),
        ("servers/127.0.0.1:1", 1),
        ("servers/127.0.0.1%3A2", 2),
        ("servers/%C3%A9%2F%C3%A4%20%22quoted%22%0A..", 2),
    ] {
        assert_eq!(viewer.get(path).expect(200).body["id"], id, "{path}");
    }
    for path in [
        "servers/3",
        "servers/nope",
        "servers/127.0.0.1",
        "servers/%FF",
        "servers/%00",
        "servers/1%27--",
        "servers/..%2F1",
    ] {
        let refused = viewer.get(path).expect(404);
        assert!(!refused.detail().contains('\n'), "{path}");
    }
    let close = viewer.get("servers/al11").expect(404);
    assert!(close.body["hint"].as_str().unwrap().contains("al1"), "{:#}", close.body);
    assert!(collector.is_running());
}

fn a_change_needs_the_version_that_was_read(scene: &Scene) {
    scene.set_up();
    registered(scene, 1);
    let (_collector, api) = scene.with_api(json!({}));
    let api = admin(scene, &api);
    let change = |tag: Option<&str>, port: i32| {
        let headers: Vec<_> = tag.iter().map(|tag| ("if-match", *tag)).collect();
        api.send("PATCH", "servers/1", &headers, Some(json!({"port": port})))
    };
    let refused = change(None, 7).expect(428);
    assert!(refused.body["hint"].as_str().unwrap().contains("ETag"), "{:#}", refused.body);
    let first = api.get("servers/1").expect(200);
    let tag = first.header("etag");
    assert_eq!(api.get("servers/1").header("etag"), tag, "it stays without a change");
    change(Some(tag), 7).expect(200);
    change(Some(tag), 8).expect(412);
    api.send("DELETE", "servers/1?purge=true", &[("if-match", tag)], None).expect(412);
    api.send("DELETE", "servers/1?purge=true", &[], None).expect(428);
    // By other means, too.
    let second = api.get("servers/1").expect(200);
    scene.repository().batch_execute("update powa_servers set dbname = 'other' where id = 1").unwrap();
    change(Some(second.header("etag")), 9).expect(412);
    change(Some("*"), 9).expect(200);
    assert_eq!(api.get("servers/1").body["port"], 9);
}

fn what_cannot_be_registered_is_refused_with_the_reason(scene: &Scene) {
    scene.set_up();
    registered(scene, 1);
    let (_collector, api) = scene.with_api(json!({}));
    let api = admin(scene, &api);
    for (body, status, expected) in [
        (json!({}), 422, "missing field `host`"),
        (json!({"host": "db1", "prot": 1}), 422, "unknown field `prot`"),
        (json!({"host": "db1:5433"}), 422, "use host db1, and give port 5433"),
        (json!({"host": "db\n1"}), 422, "control characters"),
        (json!({"host": "db1", "port": 0}), 422, "a port must be an integer from 1 to 65535"),
        (json!({"host": "db1", "port": 65536}), 422, "\"port\" must be"),
        (json!({"host": "db1", "frequency": 4}), 422, "a frequency must be an integer of at least 5"),
        (json!({"host": "db1", "coalesce": 4}), 422, "a coalesce must be an integer of at least 5"),
        (json!({"host": "db1", "alias": "12"}), 422, "must not consist of digits only"),
        (json!({"host": "db1", "alias": ""}), 422, "\"alias\" must not be empty"),
        (json!({"host": "db1", "user": "a\u{0}"}), 422, "NUL"),
        (json!({"host": "db1", "retention": "3"}), 422, "needs a unit"),
        (json!({"host": "db1", "retention": "1 minute"}), 422, "too short"),
        (json!({"host": "db1", "retention": "for ever"}), 422, "invalid input syntax for type interval"),
        (json!({"host": "db1", "extensions": ["pg_nonsense"]}), 422, "PoWA does not know \"pg_nonsense\""),
        (json!({"host": "127.0.0.1", "port": 1}), 409, "already registered as server 1"),
        (json!({"host": "db1", "alias": "al1"}), 409, "already belongs to server 1"),
        (json!({"host": "db1", "password": 5}), 422, "\"password\" must be a string"),
    ] {
        let refused = api.post("servers", body.clone()).expect(status);
        assert!(refused.detail().contains(expected), "{body}: {:#}", refused.body);
    }
    let refused = api.post("servers?check=true", json!({"host": "127.0.0.1", "port": 2})).expect(422);
    assert!(refused.detail().contains("the check failed"), "{:#}", refused.body);
    assert_eq!(scene.count("select count(*) from powa_servers where id > 0"), 1);
    let outcomes = audited(scene);
    assert!(!outcomes.is_empty() && outcomes.iter().all(|(_, error)| error.is_some()), "{outcomes:?}");
}

fn the_errors_of_a_server_are_kept_once_with_their_times(scene: &Scene) {
    scene.set_up();
    registered(scene, 1);
    scene.repository().batch_execute("update powa_servers set frequency = 5").unwrap();
    let (_collector, api) = scene.with_api(json!({}));
    let viewer = api.role(&scene.user("viewer", "viewer"));
    let errors = || viewer.get("servers/1/errors").expect(200);
    wait_until("an error to be stored twice", || {
        errors().items().iter().any(|error| error["number"].as_i64() > Some(1))
    });
    let stored = errors();
    let error = &stored.items()[0];
    assert!(error["message"].as_str().unwrap().contains("127.0.0.1:1"), "{error:#}");
    assert!(error["first_at"].as_str() < error["last_at"].as_str(), "{error:#}");
    let number = scene.count("select count(*) from powa_collector.errors");
    assert_eq!(usize::try_from(number).unwrap(), stored.items().len());
    let more = "insert into powa_collector.errors (srvid, message, first_at, last_at)
        select 1, 'old ' || n, now() - '1 day'::interval, now() - n * '1 hour'::interval from generate_series(1, 30) n";
    scene.repository().batch_execute(more).unwrap();
    let first = viewer.get("servers/1/errors?limit=20").expect(200);
    let second = viewer.get(&format!("servers/1/errors?limit=20&after={}", first.body["next_after"].as_str().unwrap()));
    let messages = |reply: &crate::support::Reply| -> Vec<String> {
        reply.items().iter().map(|error| error["message"].as_str().unwrap().to_owned()).collect()
    };
    let (first, second) = (messages(&first), messages(&second.expect(200)));
    assert!(first.iter().all(|message| !second.contains(message)) && second.last().unwrap() == "old 30", "{second:?}");
}

fn catalogs_are_read_again(scene: &Scene) {
    let server = scene.register();
    let (_collector, api) = scene.with_api(json!({}));
    let operator = api.role(&scene.user("operator", "operator"));
    scene.wait_for_snapshots(server, 1);
    let path = format!("servers/{server}/refresh-catalogs");
    operator.call("POST", &path).expect(200);
    let refreshed = operator.post(&path, json!({"databases": ["powa"]})).expect(200);
    assert_eq!(refreshed.body, json!({"databases": ["powa"]}));
    let refused = operator.post(&path, json!({"databases": ["nowhere"]})).expect(422);
    assert!(refused.detail().contains("\"nowhere\""), "{:#}", refused.body);
}
