//! Schedules and pauses by the API, in whose session operators make changes, and what the collector makes of them.

use serde_json::{Value, json};

use crate::api_servers::{admin, audited, registered};
use crate::support::{ApiClient, Scene, tests, wait_for, wait_until};

tests![
    a_server_is_scheduled_paused_and_resumed_by_an_operator;
    since 5:
    #[of_any_powa] what_cannot_be_a_schedule_or_a_pause_is_refused_with_the_reason,
    #[of_any_powa] without_the_schema_schedules_answer_with_the_cure,
    #[of_any_powa] an_operator_changes_as_the_role_for_changes_and_an_admin_as_themselves,
];

fn put(api: &ApiClient, path: &str, body: Value) -> crate::support::Reply {
    api.send("PUT", path, &[], Some(body))
}

/// With the privileges that the collector's role has in a test.
fn a_server_is_scheduled_paused_and_resumed_by_an_operator(scene: &Scene) {
    scene.set_up();
    scene.without_databases();
    let server = scene.register();
    let (collector, api) = scene.with_api(json!({}));
    let operator = api.role(&scene.user("operator", "operator"));
    let viewer = api.role(&scene.user("viewer", "viewer"));
    let path = format!("servers/{server}");
    let schedule = format!("{path}/schedule");
    scene.wait_for_snapshots(server, 1);
    assert_eq!(viewer.get(&schedule).expect(404).detail(), "the server has no schedule");

    let wanted = json!({"cron": "0 3 * * *", "time_zone": "Europe/Paris", "start": "2100-05-07T18:00"});
    let set = put(&operator, &schedule, wanted).expect(200).body;
    let stored = json!({"cron": "0 3 * * *", "time_zone": "Europe/Paris", "start": "2100-05-07T16:00:00.000Z"});
    for key in ["cron", "time_zone", "start"] {
        assert_eq!(set[key], stored[key], "{set:#}");
    }
    let next: Vec<_> = set["next"].as_array().unwrap().iter().map(|next| next.as_str().unwrap()).collect();
    assert_eq!((next.len(), next[0], next[1]), (5, "2100-05-08T01:00:00.000Z", "2100-05-09T01:00:00.000Z"));
    assert_eq!(viewer.get(&schedule).expect(200).body, set);
    let shown = viewer.get(&path).expect(200).body;
    assert_eq!((&shown["schedule"], &shown["state"]), (&stored, &json!("paused")), "{shown:#}");
    // What is shown can be sent back.
    assert_eq!(put(&operator, &schedule, shown["schedule"].clone()).expect(200).body, set);
    collector.wait_for_log("server changed");
    wait_until("the worker to know", || viewer.get(&path).body["next_snapshot"] == "2100-05-08T01:00:00.000Z");
    operator.call("DELETE", &schedule).expect(204);
    operator.call("DELETE", &schedule).expect(204);
    assert_eq!(viewer.get(&path).expect(200).body["schedule"], Value::Null);

    let paused = operator.post(&format!("{path}/pause"), json!({"for": "2h"})).expect(200);
    assert!(paused.body["paused_until"].is_string() && !paused.header("etag").is_empty(), "{:#}", paused.body);
    assert_eq!(paused.body["state"], "paused");
    let before = wait_for("the snapshot in progress", || {
        (viewer.get(&path).body["next_snapshot"] == paused.body["paused_until"]).then(|| scene.snapshots(server))
    });
    let until = json!({"until": "2100-01-01T00:00+01:00"});
    let paused = operator.post(&format!("{path}/pause"), until).expect(200).body;
    assert_eq!(paused["paused_until"], "2099-12-31T23:00:00.000Z");
    assert_eq!(viewer.get("servers?state=paused").expect(200).items().len(), 1);
    assert_eq!(scene.snapshots(server), before);
    assert_eq!(operator.call("POST", &format!("{path}/resume")).expect(200).body["paused_until"], Value::Null);
    operator.call("POST", &format!("{path}/resume")).expect(200);
    scene.wait_for_snapshots(server, before + 1);
    assert_eq!(scene.count("select count(*) from powa_collector.schedules"), 0);

    let done = |action: &str| (action.to_owned(), None);
    let expected = [
        "set schedule",
        "set schedule",
        "remove schedule",
        "remove schedule",
        "pause server",
        "pause server",
        "resume server",
        "resume server",
    ];
    assert_eq!(audited(scene), expected.map(done));
    let details: String = scene
        .row("select details::text from powa_collector.audit_log where action = 'set schedule' limit 1", &[])
        .get(0);
    assert_eq!(serde_json::from_str::<Value>(&details).unwrap(), stored);
}

fn what_cannot_be_a_schedule_or_a_pause_is_refused_with_the_reason(scene: &Scene) {
    scene.set_up();
    registered(scene, 1);
    let (_collector, api) = scene.with_api(json!({}));
    let operator = api.role(&scene.user("operator", "operator"));
    for (body, reason) in [
        (json!({}), "missing field `cron`"),
        (json!({"cron": "0 0 30 2 *"}), "the schedule never runs"),
        (json!({"cron": "* * * *"}), "got 4"),
        (json!({"cron": "@daily"}), "got 1"),
        (json!({"cron": "*/2 * * * * *"}), "the least is 5 s"),
        (json!({"cron": "0 0 * * *", "time_zone": "Europe/Pariss"}), "did you mean \"Europe/Paris\"?"),
        (json!({"cron": "0 0 * * *", "start": "soon"}), "\"start\": a time must be like 2026-05-07T18:00"),
        (json!({"cron": "0 0 * * *", "start": 5}), "\"start\" must be a string"),
        (json!({"cron": "0 0 * * *", "zone": "UTC"}), "unknown field `zone`"),
    ] {
        let refused = put(&operator, "servers/1/schedule", body.clone()).expect(422);
        assert!(refused.detail().contains(reason), "{body}: {:#}", refused.body);
    }
    for (body, reason) in [
        (json!({}), "either \"for\" or \"until\""),
        (json!({"for": "2h", "until": "2100-01-01T00:00"}), "either \"for\" or \"until\""),
        (json!({"for": "2"}), "\"for\": a pause must be a duration"),
        (json!({"for": "0s"}), "longer than zero"),
        (json!({"for": "11years"}), "at most ten years"),
        (json!({"until": "2020-01-01T00:00"}), "the end of the pause is in the past"),
        (json!({"until": "tomorrow"}), "\"until\": a time must be like"),
        (json!({"for": 7200}), "\"for\" must be a string"),
    ] {
        let refused = operator.post("servers/1/pause", body.clone()).expect(422);
        assert!(refused.detail().contains(reason), "{body}: {:#}", refused.body);
    }
    put(&operator, "servers/9/schedule", json!({"cron": "0 0 * * *"})).expect(404);
    operator.post("servers/9/pause", json!({"for": "2h"})).expect(404);
    operator.call("POST", "servers/9/resume").expect(404);
    assert_eq!(scene.count("select count(*) from powa_collector.schedules"), 0);
    // A row that was changed by hand.
    let insert = "insert into powa_collector.schedules (srvid, cron, time_zone) values (1, 'every day', 'UTC')";
    scene.repository().batch_execute(insert).unwrap();
    let refused = operator.get("servers/1/schedule").expect(404);
    assert!(refused.detail().contains("invalid cron") && refused.detail().contains("by its frequency"));
    let shown = operator.get("servers/1").expect(200).body;
    assert!(shown["invalid_schedule"].as_str().unwrap().contains("invalid cron"), "{shown:#}");
    assert_eq!(shown["schedule"], Value::Null);
}

fn without_the_schema_schedules_answer_with_the_cure(scene: &Scene) {
    registered(scene, 1);
    let (_collector, api) = scene.with_api(json!({}));
    let operator = api.role(&scene.user("operator", "operator"));
    for refused in [
        operator.get("servers/1/schedule"),
        put(&operator, "servers/1/schedule", json!({"cron": "0 0 * * *"})),
        operator.call("DELETE", "servers/1/schedule"),
        operator.post("servers/1/pause", json!({"for": "2h"})),
        operator.call("POST", "servers/1/resume"),
    ] {
        let refused = refused.expect(503);
        assert!(refused.body["hint"].as_str().unwrap().contains("powa-collector setup"), "{:#}", refused.body);
    }
    assert_eq!(operator.get("servers/1").expect(200).body["schedule"], Value::Null);
}

fn an_operator_changes_as_the_role_for_changes_and_an_admin_as_themselves(scene: &Scene) {
    scene.set_up();
    registered(scene, 1);
    let changer = scene.user("changer", "admin");
    scene.repository().batch_execute(&format!("alter role {changer} superuser")).unwrap();
    let (_collector, api) = scene.with_api(json!({"admin_dsn": scene.dsn(&changer)}));
    let (operator, boss) = (scene.user("operator", "operator"), admin(scene, &api));
    let by = |what: &str| -> String { scene.row(&format!("select changed_by from powa_collector.{what}"), &[]).get(0) };
    api.role(&operator).post("servers/1/pause", json!({"for": "2h"})).expect(200);
    assert_eq!(by("schedules"), changer);
    boss.post("servers/1/pause", json!({"for": "3h"})).expect(200);
    assert_eq!(by("schedules"), format!("admin_{}", scene.number()));
    let audit =
        scene.row("select role from powa_collector.audit_log where action = 'pause server' order by id limit 1", &[]);
    assert_eq!(audit.get::<_, String>(0), operator);
    // A right that was revoked counts at once, whatever the role for changes may do.
    api.role(&operator).call("POST", "servers/1/disable").expect(200);
    api.role(&operator).call("POST", "servers/1/enable").expect(200);
    let revoke = "do $$ declare r record; begin for r in select g.rolname from pg_auth_members m join pg_roles g on g.oid = m.roleid
        join powa_roles p on p.rolname = g.rolname where p.powa_role = 'powa_signal_backend' and m.member = 'OPERATOR'::regrole
        loop execute format('revoke %I from OPERATOR', r.rolname); end loop; end $$";
    scene.repository().batch_execute(&revoke.replace("OPERATOR", &operator)).unwrap();
    api.role(&operator).call("POST", "servers/1/disable").expect(403);
    api.role(&operator).post("servers/1/pause", json!({"for": "2h"})).expect(403);
    api.role(&operator).get("servers/1").expect(200);
}
