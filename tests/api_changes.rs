//! Users, and what all changes by the API have in common: in whose session they are made, and what stays of them.

use serde_json::json;

use crate::api_servers::{admin, audited, registered};
use crate::support::{SECRET, Scene, tests, wait_until};

tests![;
    since 5:
    users_are_made_changed_and_dropped,
    #[of_any_powa] a_change_is_made_by_the_caller_or_by_the_role_for_changes,
    #[of_any_powa] a_reload_that_fails_says_why,
    #[of_any_powa] a_removal_goes_on_if_the_client_leaves,
    #[of_any_powa] old_rows_are_deleted,
];

fn users_are_made_changed_and_dropped(scene: &Scene) {
    scene.set_up();
    let (_collector, api) = scene.with_api(json!({}));
    let boss = admin(scene, &api);
    let name = format!("made \"by\" API {}", scene.number());
    let encoded = name.replace('"', "%22").replace(' ', "%20");
    let body = json!({"name": name, "role": "viewer", "password": SECRET});
    let made = boss.post("users", body.clone()).expect(201);
    assert_eq!(made.header("location"), format!("/api/v1/users/{encoded}"));
    assert_eq!((&made.body["role"], &made.body["enabled"]), (&json!("viewer"), &json!(true)));
    boss.post("users", body).expect(409);
    let quoted = name.replace('"', "\"\"");
    scene.repository().batch_execute(&format!("grant password_required to \"{quoted}\"")).unwrap();
    api.role(&name).get("servers").expect(200);
    api.role(&name).call("POST", "reload").expect(403);
    // Any time that PostgreSQL knows can be shown.
    for (until, shown) in
        [("9999-12-31 23:59:59-05", "9999-12-31T23:59:59.999Z"), ("1960-01-01", "1970-01-01T00:00:00.000Z")]
    {
        scene.repository().batch_execute(&format!("alter role \"{quoted}\" valid until '{until}'")).unwrap();
        let users = boss.get("users").expect(200);
        let listed = users.items().iter().find(|user| user["name"] == name.as_str()).unwrap().clone();
        assert_eq!(listed["valid_until"], shown);
    }
    scene.repository().batch_execute(&format!("alter role \"{quoted}\" valid until 'infinity'")).unwrap();
    boss.get("users").expect(200);
    // What a role may by other roles is not taken from it, and that is said.
    let groups =
        format!("create role \"by {quoted}\" in role pg_signal_backend; grant \"by {quoted}\" to \"{quoted}\"");
    scene.repository().batch_execute(&groups).unwrap();
    let refused = boss.send("PATCH", &format!("users/{encoded}"), &[], Some(json!({"role": "viewer"}))).expect(409);
    assert!(refused.detail().contains("the role stays operator, as a member of other roles"), "{}", refused.detail());
    scene.repository().batch_execute(&format!("drop role \"by {quoted}\"")).unwrap();
    let path = format!("users/{encoded}");
    let changed = boss.send("PATCH", &path, &[], Some(json!({"role": "operator"}))).expect(200);
    assert_eq!(changed.body["powa_roles"], json!(["powa_read_all_metrics", "powa_signal_backend"]));
    api.role(&name).call("POST", "reload").expect(200);
    let changed = boss.send("PATCH", &path, &[], Some(json!({"role": "admin", "enabled": false}))).expect(200);
    assert_eq!((&changed.body["powa_roles"], &changed.body["enabled"]), (&json!(["powa_admin"]), &json!(false)));
    assert!(boss.get("users").expect(200).items().iter().any(|user| user["name"] == name.as_str()));
    // Nobody changes themselves or a superuser by mistake, and a token is not enough.
    boss.send("PATCH", "users/postgres", &[], Some(json!({"enabled": false}))).expect(409);
    let token = boss.call("POST", "token").expect(201).body["token"].as_str().unwrap().to_owned();
    let refused = api.bearer(&token).call("DELETE", &path).expect(403);
    assert!(refused.detail().contains("needs a password"), "{:#}", refused.body);
    boss.call("DELETE", &path).expect(204);
    boss.call("DELETE", &path).expect(404);
    // PostgreSQL decides who may make roles.
    let weak = api.role(&scene.user("weak", "admin"));
    weak.post("users", json!({"name": "x", "role": "viewer"})).expect(403);
    for body in [
        json!({"name": "", "role": "viewer"}),
        json!({"name": "pg_x", "role": "viewer"}),
        json!({"name": "x", "role": "root"}),
    ] {
        boss.post("users", body).expect(422);
    }
}

fn a_change_is_made_by_the_caller_or_by_the_role_for_changes(scene: &Scene) {
    scene.set_up();
    registered(scene, 1);
    let who = "create function who() returns trigger language plpgsql as
        'begin raise log ''changed by %'', session_user; return new; end';
        create trigger who before update on powa_servers for each row execute function who()";
    scene.repository().batch_execute(who).unwrap();
    let changer = scene.user("changer", "admin");
    scene.repository().batch_execute(&format!("alter role {changer} superuser")).unwrap();
    let (_collector, api) = scene.with_api(json!({"admin_dsn": scene.dsn(&changer)}));
    let boss = admin(scene, &api);
    let length = scene.repository_server().logged();
    boss.call("POST", "servers/1/disable").expect(200);
    let logged = scene.repository_server().logged_since(length);
    assert!(logged.contains(&format!("changed by admin_{}", scene.number())), "{logged}");
    let token = boss.call("POST", "token").expect(201).body["token"].as_str().unwrap().to_owned();
    let length = scene.repository_server().logged();
    api.bearer(&token).call("POST", "servers/1/enable").expect(200);
    let logged = scene.repository_server().logged_since(length);
    assert!(logged.contains(&format!("changed by {changer}")), "{logged}");
    // An operator has no privilege to change rows, so with or without a password those of the role for changes are used.
    let operator = scene.user("operator", "operator");
    let length = scene.repository_server().logged();
    api.role(&operator).call("POST", "servers/1/disable").expect(200);
    let logged = scene.repository_server().logged_since(length);
    assert!(logged.contains(&format!("changed by {changer}")), "{logged}");
    api.role(&operator).call("POST", "servers/1/enable").expect(200);
    let token = api.role(&operator).call("POST", "token").expect(201).body["token"].as_str().unwrap().to_owned();
    api.bearer(&token).call("POST", "servers/1/disable").expect(200);
}

fn a_reload_that_fails_says_why(scene: &Scene) {
    let (_collector, api) = scene.with_api(json!({}));
    let operator = api.role(&scene.user("operator", "operator"));
    operator.call("POST", "reload").expect(200);
    scene.config_file("{\"repository\": {\"dsn\": \"host=h\"}, \"nonsense\": 1}");
    let refused = operator.call("POST", "reload").expect(409);
    assert!(refused.detail().contains("\"nonsense\""), "{:#}", refused.body);
    operator.get("status").expect(200);
}

fn a_removal_goes_on_if_the_client_leaves(scene: &Scene) {
    use std::io::Write;
    scene.set_up();
    registered(scene, 1);
    let (_collector, api) = scene.with_api(json!({}));
    drop(admin(scene, &api));
    let mut repository = scene.repository();
    // As a load locks it.
    let mut loading = repository.transaction().unwrap();
    loading.execute("select from powa_servers where id = 1 for key share", &[]).unwrap();
    let credentials = openssl::base64::encode_block(format!("admin_{}:{SECRET}", scene.number()).as_bytes());
    let mut client = std::net::TcpStream::connect(&api.address).unwrap();
    let head = format!(
        "DELETE /api/v1/servers/1?purge=true HTTP/1.1\r\nhost: localhost\r\nif-match: *\r\nauthorization: Basic {credentials}\r\n\r\n"
    );
    client.write_all(head.as_bytes()).unwrap();
    let begun = "select count(*) from powa_collector.audit_log where error = 'the outcome is not known'";
    wait_until("it to be begun", || scene.count(begun) == 1);
    drop(client);
    std::thread::sleep(std::time::Duration::from_millis(500));
    loading.rollback().unwrap();
    wait_until("it to be removed", || scene.count("select count(*) from powa_servers where id > 0") == 0);
    wait_until("its outcome to be known", || audited(scene) == [("remove server".to_owned(), None)]);
}

fn old_rows_are_deleted(scene: &Scene) {
    scene.set_up();
    registered(scene, 1);
    let fill = "insert into powa_collector.errors (srvid, message, first_at, last_at)
            select 1, 'error ' || n, now(), now() - n * interval '1 minute' from generate_series(1, 150) n;
        insert into powa_collector.errors (srvid, message, first_at, last_at) values
            (1, 'old', now(), now() - interval '91 days'), (99, 'of one that is gone', now(), now());
        insert into powa_collector.tokens (digest, name, owner, owner_oid, role, expires_at) values
            (sha256('a'), 'expired', 'x', 10, 'viewer', now() - interval '1 s'),
            (sha256('b'), 'good', 'x', 10, 'viewer', now() + interval '1 h');
        insert into powa_collector.audit_log (at, role, client, action) values
            (now() - interval '91 days', 'x', '', 'old'), (now(), 'x', '', 'new')";
    scene.repository().batch_execute(fill).unwrap();
    let (_collector, _) = scene.with_api(json!({}));
    let left = "select (select count(*) from powa_collector.audit_log)";
    wait_until("old rows to be deleted", || scene.count(left) == 1);
    assert_eq!(scene.count("select count(*) from powa_collector.tokens where name = 'good'"), 1);
    assert_eq!(scene.count("select count(*) from powa_collector.tokens"), 1);
    let errors = scene.row(
        "select count(*), min(srvid), max(srvid), bool_or(message = 'error 1') from powa_collector.errors
        where message like 'error %' or message in ('old', 'of one that is gone')",
        &[],
    );
    assert_eq!((errors.get::<_, i64>(0), errors.get::<_, i32>(1), errors.get::<_, i32>(2)), (100, 1, 1));
    assert!(errors.get::<_, bool>(3), "the latest ones stay");
}
