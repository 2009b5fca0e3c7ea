//! Who may use the API: passwords that a login to the repository verifies, tokens, and what is revoked.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::permissions::granted;
use crate::support::{
    ApiClient, Certificates, Reply, SECRET, Scene, Watcher, output, program, tests, wait_for, wait_until,
};

tests![
    a_password_is_verified_and_the_role_decides_what_it_may,
    rights_that_are_revoked_are_gone_with_the_next_request,
    a_token_does_what_its_role_and_its_owner_may_until_it_is_deleted,
    a_collector_with_the_grants_of_the_readme_and_of_setup_serves_it;
    since 5:
    #[of_any_powa] #[timed] a_login_that_fails_is_answered_alike_whatever_the_reason,
    #[of_any_powa] a_repository_that_trusts_a_role_has_verified_nothing,
    #[of_any_powa] a_repository_that_is_away_is_no_failed_login,
    #[of_any_powa] a_repository_that_hangs_is_not_waited_for_long,
    #[of_any_powa] #[timed] after_many_failures_only_those_who_were_verified_get_in,
    #[of_any_powa] a_token_expires_and_is_stored_as_a_digest,
    #[of_any_powa] a_token_makes_no_other_token_and_no_one_has_any_number,
    #[of_any_powa] a_password_that_was_changed_changes_nothing_any_more,
    #[of_any_powa] what_is_encrypted_is_for_everybody,
    #[of_any_powa] tokens_of_a_file_have_roles,
    #[of_any_powa] without_the_schema_only_what_needs_it_is_unavailable,
    #[of_any_powa] what_is_not_encrypted_is_for_this_machine_only,
    #[of_any_powa] #[long] an_api_that_nobody_uses_has_no_sessions,
];

/// A name in the words of [`Scene::user`].
const ROLES: [&str; 3] = ["viewer", "operator", "admin"];

fn a_password_is_verified_and_the_role_decides_what_it_may(scene: &Scene) {
    let users = ROLES.map(|role| scene.user(role, role));
    let nobody = scene.user("nobody", "");
    scene.set_up();
    let (collector, api) = scene.with_api(json!({}));
    for (user, allowed) in users.iter().zip([[200, 403, 403], [200, 200, 403], [200, 200, 200]]) {
        let api = api.role(user);
        let paths = [("GET", "servers"), ("POST", "reload"), ("GET", "users")];
        for ((method, path), status) in paths.into_iter().zip(allowed) {
            assert_eq!(api.call(method, path).status, status, "{user} {path}");
        }
    }
    let refused = api.role(&nobody).get("servers").expect(403);
    assert!(
        refused.detail().contains(&format!("the role \"{nobody}\" may not read PoWA's data")),
        "{:#}",
        refused.body
    );
    // A refusal is in the audit log, too.
    let sql =
        "select count(*) from powa_collector.audit_log where action = 'refused' and role = $1 and error is not null";
    let refusals: i64 = scene.row(sql, &[&users[0]]).get(0);
    assert!(refusals > 0, "{:?}", collector.logged("refused"));
    assert!(collector.logged("HTTP request refused").iter().any(|line| line.contains(&users[0])));
}

fn rights_that_are_revoked_are_gone_with_the_next_request(scene: &Scene) {
    let admin = scene.user("admin", "admin");
    let (_collector, api) = scene.with_api(json!({}));
    let api = api.role(&admin);
    api.get("users").expect(200);
    let revoke = match scene.generation().powa_major() {
        4 => format!("revoke insert on powa_servers from {admin}; revoke insert on powa_statements from {admin}"),
        _ => format!("revoke powa_admin from {admin}; grant powa_read_all_data to {admin}"),
    };
    scene.repository().batch_execute(&revoke).unwrap();
    api.get("users").expect(403);
    api.get("servers").expect(200);
    scene.repository().batch_execute(&format!("alter role {admin} nologin")).unwrap();
    api.get("servers").expect(403);
}

fn a_token_does_what_its_role_and_its_owner_may_until_it_is_deleted(scene: &Scene) {
    let admin = scene.user("admin", "admin");
    let other = scene.user("other", "viewer");
    scene.set_up();
    let (_collector, api) = scene.with_api(json!({}));
    let owner = api.role(&admin);
    let made = owner.post("token", json!({"name": "ci", "role": "operator", "expires_in": 3600})).expect(201);
    let token = made.body["token"].as_str().unwrap();
    assert!(token.starts_with("pc_") && token.len() == 46, "{token}");
    let holder = api.bearer(token);
    holder.call("POST", "reload").expect(200);
    holder.get("users").expect(403);
    // A token of all that the owner may.
    let made = owner.call("POST", "token").expect(201);
    assert_eq!(made.body["role"], "admin");
    let of_admin = api.bearer(made.body["token"].as_str().unwrap());
    of_admin.get("users").expect(200);
    assert_eq!(owner.get("tokens").expect(200).items().len(), 2);
    // Somebody else sees none of them, and deletes none.
    let of_other = api.role(&other);
    assert_eq!(of_other.get("tokens").expect(200).items().len(), 0);
    let id = made.body["id"].as_i64().unwrap();
    of_other.call("DELETE", &format!("tokens/{id}")).expect(404);
    of_admin.call("DELETE", "token").expect(204);
    of_admin.get("servers").expect(401);
    let listed = owner.get("tokens").expect(200);
    assert_eq!((listed.items().len(), &listed.items()[0]["name"]), (1, &json!("ci")));
    assert_eq!(listed.items()[0]["owner"], admin.as_str());
    owner.call("DELETE", &format!("tokens/{}", listed.items()[0]["id"])).expect(204);
    holder.get("servers").expect(401);
    // A role that is gone has no tokens.
    let made = of_other.call("POST", "token").expect(201);
    let orphan = api.bearer(made.body["token"].as_str().unwrap());
    orphan.get("servers").expect(200);
    let gone = format!("drop owned by {other}; drop role {other}");
    scene.repository().batch_execute(&gone).unwrap();
    orphan.get("servers").expect(401);
    // Nor has another role that gets its name.
    assert_eq!(scene.user("other", "viewer"), other);
    of_other.get("servers").expect(200);
    orphan.get("servers").expect(401);
    // One that may not connect to the database may not use a token either.
    let made = of_other.call("POST", "token").expect(201);
    let locked_out = api.bearer(made.body["token"].as_str().unwrap());
    locked_out.get("servers").expect(200);
    let database = scene.database.replace('"', "\"\"");
    scene.repository().batch_execute(&format!("revoke connect on database \"{database}\" from public")).unwrap();
    locked_out.get("servers").expect(403);
}

fn a_collector_with_the_grants_of_the_readme_and_of_setup_serves_it(scene: &Scene) {
    let collector = granted(scene).collector;
    let mut setup = program();
    setup.arg("-c").arg(scene.config(json!({}))).args(["setup", "--collector-role", &collector]);
    assert!(output(&setup).status.success());
    let config = json!({"repository": {"dsn": scene.dsn(&collector)}, "http": {"listen": "127.0.0.1:0"}});
    let running = scene.collector_with(config);
    let api = ApiClient::of(&running);
    let [viewer, operator, admin] = ROLES.map(|role| api.role(&scene.user(role, role)));
    for path in ["servers", "status", "collectors", "tokens"] {
        viewer.get(path).expect(200);
    }
    operator.call("POST", "reload").expect(200);
    admin.get("users").expect(200);
    let made = admin.call("POST", "token").expect(201);
    let holder = api.bearer(made.body["token"].as_str().unwrap());
    holder.get("servers").expect(200);
    // The collector's own role may not register servers, and says what it takes.
    let refused = holder.post("servers", json!({"host": "db1"})).expect(403);
    assert!(refused.detail().contains("grant") && refused.detail().contains(&collector), "{:#}", refused.body);
    holder.call("DELETE", "token").expect(204);
    let outcomes =
        "select count(*) filter (where error is null), count(*) filter (where error like 'the role may not%')
        from powa_collector.audit_log where action <> 'refused'";
    let row = scene.row(outcomes, &[]);
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (3, 1));
    assert!(running.logged("audit log").is_empty(), "{:?}", running.logged("audit log"));
}

/// Without what differs from request to request.
fn comparable(reply: &Reply) -> (u16, Vec<(String, String)>, Value) {
    let headers = reply.headers.iter().filter(|(name, _)| *name != "date");
    let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
    (reply.status, headers, reply.body.clone())
}

fn a_login_that_fails_is_answered_alike_whatever_the_reason(scene: &Scene) {
    let viewer = scene.user("viewer", "viewer");
    let away = scene.user("away", "viewer");
    let expired = scene.user("expired", "viewer");
    let disabled = scene.user("disabled", "viewer");
    let database = scene.database.replace('"', "\"\"");
    let prepare = format!(
        "revoke connect on database \"{database}\" from public; grant connect on database \"{database}\" to {viewer}, {expired}, {disabled};
         alter role {expired} valid until '2020-01-01'; alter role {disabled} nologin"
    );
    scene.repository().batch_execute(&prepare).unwrap();
    let (collector, api) = scene.with_api(json!({}));
    api.role(&viewer).get("servers").expect(200);
    let logins = [
        (viewer.as_str(), "wrong"),
        ("nobody_there", SECRET),
        (away.as_str(), SECRET),
        (expired.as_str(), SECRET),
        (disabled.as_str(), SECRET),
        ("postgres", SECRET),
        ("", SECRET),
        (viewer.as_str(), ""),
        (&"n".repeat(300), SECRET),
    ];
    let mut replies = Vec::new();
    for (name, password) in logins {
        let started = Instant::now();
        let reply = api.basic(name, password).get("servers").expect(401);
        let took = started.elapsed();
        assert!((500..1500).contains(&took.as_millis()), "{name}: {took:?}");
        replies.push(comparable(&reply));
    }
    assert!(replies.iter().all(|reply| *reply == replies[0]), "{replies:#?}");
    assert_eq!(replies[0], comparable(&api.get("servers").expect(401)), "without credentials");
    assert!(collector.logged("HTTP login refused").iter().all(|line| line.contains("WARN")));
}

fn a_repository_that_trusts_a_role_has_verified_nothing(scene: &Scene) {
    let (collector, api) = scene.with_api(json!({}));
    // The superuser gets into this repository with any password.
    for password in [SECRET, "anything"] {
        api.basic("postgres", password).get("servers").expect(401);
    }
    let line = collector.wait_for_log("HTTP login refused");
    assert!(line.contains("does not request authentication"), "{line}");
}

fn a_repository_that_is_away_is_no_failed_login(scene: &Scene) {
    let scene = &scene.apart(&[]);
    let viewer = scene.user("viewer", "viewer");
    let (_collector, api) = scene.with_api(json!({}));
    let api = api.role(&viewer);
    api.get("servers").expect(200);
    scene.repository_server().crash().unwrap();
    // More often than a wrong password may be sent.
    for _ in 0..15 {
        api.get("servers").expect(503);
        let other = api.basic("nobody", "nothing").get("servers").expect(503);
        assert!(other.detail().starts_with("the repository cannot be reached"), "{:#}", other.body);
        assert!(!other.body.to_string().contains(&scene.repository_server().port().to_string()), "{:#}", other.body);
    }
    scene.repository_server().start_again().unwrap();
    wait_until("the API to be back", || api.get("servers").status == 200);
}

fn a_repository_that_hangs_is_not_waited_for_long(scene: &Scene) {
    let scene = &scene.apart(&[]);
    let viewer = scene.user("viewer", "viewer");
    let http = json!({"listen": "127.0.0.1:0"});
    let collector = scene.collector_with(json!({"http": http, "timeouts": {"connect": 1}}));
    let api = ApiClient::of(&collector);
    // No new session can be opened.
    let postmaster = Pid::from_raw(i32::try_from(scene.repository_server().pid().unwrap()).unwrap()).unwrap();
    kill_process(postmaster, Signal::STOP).unwrap();
    let started = Instant::now();
    api.role(&viewer).get("servers").expect(503);
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    kill_process(postmaster, Signal::CONT).unwrap();
    wait_until("the API to be back", || api.role(&viewer).get("servers").status == 200);
}

fn after_many_failures_only_those_who_were_verified_get_in(scene: &Scene) {
    let viewer = scene.user("viewer", "viewer");
    scene.set_up();
    let (_collector, api) = scene.with_api(json!({}));
    let verified = api.role(&viewer);
    let made = verified.call("POST", "token").expect(201);
    let holder = api.bearer(made.body["token"].as_str().unwrap());
    holder.get("servers").expect(200);
    let attempt = |name: String, number: usize| {
        let api = api.basic(&name, &format!("wrong {number}"));
        std::thread::spawn(move || api.get("servers").status)
    };
    let failed = |attempts: Vec<std::thread::JoinHandle<u16>>| {
        let statuses: Vec<_> = attempts.into_iter().map(|attempt| attempt.join().unwrap()).collect();
        assert!(statuses.iter().all(|status| [401, 429].contains(status)), "{statuses:?}");
        statuses.into_iter().filter(|status| *status == 401).count()
    };
    // A role is limited by itself, and an address whatever the role.
    let of_role = failed((0..20).map(|number| attempt(viewer.clone(), number)).collect());
    assert!((10..=14).contains(&of_role), "{of_role}");
    let of_address = of_role + failed((0..20).map(|number| attempt(format!("nobody{number}"), number)).collect());
    assert!((20..=28).contains(&of_address), "{of_address}");
    // Each failure that is still allowed is one less.
    let unknown = api.bearer(&format!("pc_{}", "x".repeat(43)));
    let refused = wait_for("the address to be refused", || {
        let reply = unknown.get("servers");
        (reply.status == 429).then_some(reply)
    });
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=7).contains(&wait), "{wait}");
    verified.get("servers").expect(200);
    holder.get("servers").expect(200);
}

fn a_token_expires_and_is_stored_as_a_digest(scene: &Scene) {
    let viewer = scene.user("viewer", "viewer");
    scene.set_up();
    let (collector, api) = scene.with_api(json!({}));
    let made = api.role(&viewer).call("POST", "token").expect(201);
    let token = made.body["token"].as_str().unwrap();
    let holder = api.bearer(token);
    holder.get("servers").expect(200);
    let row = scene.row(
        "select t::text, last_used_at is not null, expires_at - created_at = '30 days' from powa_collector.tokens t",
        &[],
    );
    let (text, is_used, is_a_month): (String, bool, bool) = (row.get(0), row.get(1), row.get(2));
    assert!(!text.contains(&token[3..20]) && is_used && is_a_month, "{text}");
    scene.repository().batch_execute("update powa_collector.tokens set expires_at = now()").unwrap();
    holder.get("servers").expect(401);
    assert_eq!(api.role(&viewer).get("tokens").expect(200).items().len(), 0);
    let audited: String = scene.row("select string_agg(a::text, ' ') from powa_collector.audit_log a", &[]).get(0);
    assert!(audited.contains("create token") && !audited.contains(&token[3..20]), "{audited}");
    assert!(collector.logged(&token[3..20]).is_empty());
}

fn a_token_makes_no_other_token_and_no_one_has_any_number(scene: &Scene) {
    let viewer = scene.user("viewer", "viewer");
    scene.set_up();
    let (_collector, api) = scene.with_api(json!({}));
    let owner = api.role(&viewer);
    let made = owner.call("POST", "token").expect(201);
    let holder = api.bearer(made.body["token"].as_str().unwrap());
    let refused = holder.call("POST", "token").expect(403);
    assert!(refused.detail().contains("only a password"), "{:#}", refused.body);
    owner.post("token", json!({"role": "admin"})).expect(403);
    for body in
        [json!({"expires_in": 59}), json!({"expires_in": 31_622_401}), json!({"name": "a\nb"}), json!({"nmae": "x"})]
    {
        owner.post("token", body).expect(422);
    }
    owner.call("DELETE", "token").expect(409);
    let sql = "insert into powa_collector.tokens (digest, name, owner, owner_oid, role, expires_at)
        select sha256(n::text::bytea), '', r.rolname, r.oid, 'viewer', now() + '1 hour'
        from generate_series(1, 99) n cross join pg_roles r where r.rolname = $1";
    scene.repository().execute(sql, &[&viewer]).unwrap();
    let refused = owner.call("POST", "token").expect(409);
    assert!(refused.detail().contains("too many tokens"), "{:#}", refused.body);
    // In pages.
    let first = owner.get("tokens?limit=60").expect(200);
    let after = first.body["next_after"].as_str().unwrap();
    let second = owner.get(&format!("tokens?limit=60&after={after}")).expect(200);
    assert_eq!((first.items().len(), second.items().len(), &second.body["next_after"]), (60, 40, &Value::Null));
}

fn a_password_that_was_changed_changes_nothing_any_more(scene: &Scene) {
    let admin = scene.user("admin", "admin");
    scene.set_up();
    let server = scene.register();
    let (_collector, api) = scene.with_api(json!({}));
    let api = api.role(&admin);
    api.get("servers").expect(200);
    scene.repository().batch_execute(&format!("alter role {admin} password 'another'")).unwrap();
    // It is remembered for half a minute, which is good for reading.
    api.get("servers").expect(200);
    let path = format!("servers/{server}");
    api.send("PATCH", &path, &[("if-match", "*")], Some(json!({"port": 1}))).expect(401);
    assert_ne!(api.get(&path).body["port"], 1);
}

fn what_is_encrypted_is_for_everybody(scene: &Scene) {
    let certificates = Certificates::of(scene);
    let served = certificates.server(&["127.0.0.1"]);
    let (collector, _) = scene.with_api(json!({
        "listen": "0.0.0.0:0", "open_to_all": true, "certificate": served.file(), "key": served.key(),
    }));
    let answer = Watcher::of(&collector).get_encrypted("/api/v1/servers", &certificates.root.file()).unwrap();
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
}

fn tokens_of_a_file_have_roles(scene: &Scene) {
    let (_collector, api) = with_file_tokens(scene);
    for (token, allowed) in ["v", "o", "a"].into_iter().zip([[200, 403, 403], [200, 200, 403], [200, 200, 200]]) {
        let api = api.bearer(&format!("{token}123456789abcdef"));
        assert_eq!(["servers", "status"].map(|path| api.get(path).status), [200; 2]);
        assert_eq!(
            [api.get("collectors"), api.call("POST", "reload"), api.get("users")].map(|reply| reply.status),
            allowed
        );
        let refused = api.call("POST", "token").expect(403);
        assert!(refused.detail().contains("password"), "{:#}", refused.body);
    }
    api.basic("bob", "o123456789abcdef").call("POST", "reload").expect(200);
    api.basic("ada", "o123456789abcdef").get("servers").expect(401);
}

fn with_file_tokens(scene: &Scene) -> (crate::support::Collector, ApiClient) {
    use std::os::unix::fs::PermissionsExt;
    let file = scene.directory().join("tokens");
    let lines = "ada:v123456789abcdef\nbob:operator:o123456789abcdef\ncat:admin:a123456789abcdef\n";
    std::fs::write(&file, lines).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    scene.with_api(json!({"tokens_file": file}))
}

fn without_the_schema_only_what_needs_it_is_unavailable(scene: &Scene) {
    let server = scene.register();
    let admin = scene.user("admin", "admin");
    let (_collector, api) = scene.with_api(json!({}));
    let api = api.role(&admin);
    for path in ["servers", "status", "collectors", "users", &format!("servers/{server}")] {
        api.get(path).expect(200);
    }
    api.call("POST", "reload").expect(200);
    for (method, path) in [
        ("POST", "token"),
        ("GET", "tokens"),
        ("DELETE", "tokens/1"),
        ("GET", &format!("servers/{server}/errors")),
        ("POST", &format!("servers/{server}/disable")),
    ] {
        let refused = api.call(method, path).expect(503);
        assert!(refused.body["hint"].as_str().unwrap().contains("powa-collector setup"), "{path}: {:#}", refused.body);
    }
    scene.set_up();
    api.call("POST", "token").expect(201);
    api.call("POST", &format!("servers/{server}/disable")).expect(200);
}

fn what_is_not_encrypted_is_for_this_machine_only(scene: &Scene) {
    let viewer = scene.user("viewer", "viewer");
    let (collector, api) = scene.with_api(json!({"listen": "0.0.0.0:0", "open_to_all": true}));
    let refused = api.role(&viewer).get("servers").expect(403);
    assert!(refused.body["hint"].as_str().unwrap().contains("http.api_without_tls"), "{:#}", refused.body);
    api.get("openapi.json").expect(200);
    scene.config(json!({"http": {"listen": "0.0.0.0:0", "open_to_all": true, "api_without_tls": true}}));
    assert_eq!(scene.ask("RELOAD", ""), "RELOAD OK OK");
    api.role(&viewer).get("servers").expect(200);
    scene.config(json!({"http": {"listen": "0.0.0.0:0", "open_to_all": true, "api": false}}));
    assert_eq!(scene.ask("RELOAD", ""), "RELOAD OK OK");
    assert_eq!(crate::support::Watcher::of(&collector).get("/api/v1/servers").status, 404);
}

fn an_api_that_nobody_uses_has_no_sessions(scene: &Scene) {
    let viewer = scene.user("viewer", "viewer");
    let (_collector, api) = scene.with_api(json!({}));
    let mut repository = scene.repository();
    assert_eq!(scene.sessions_of(&mut repository, "API"), 0);
    let requests: Vec<_> = (0..20)
        .map(|_| {
            let api = api.role(&viewer);
            std::thread::spawn(move || api.get("servers").expect(200))
        })
        .collect();
    // Many at once with the same password are one login.
    requests.into_iter().for_each(|request| drop(request.join().unwrap()));
    let sessions = scene.sessions_of(&mut repository, "API");
    assert!((1..=2).contains(&sessions), "{sessions}");
    wait_until("its sessions to be closed", || {
        std::thread::sleep(Duration::from_millis(500));
        scene.sessions_of(&mut repository, "API") == 0
    });
}
