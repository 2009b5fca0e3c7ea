//! `powa-collector check`: what is wrong is told with its cure, and nothing is changed by looking.

use std::net::TcpListener;

use lab::{Act, Cluster, Proxy, Registration, Workload};
use serde_json::{Value, json};

use crate::permissions::grants;
use crate::support::{
    OwnRemote, SECRET, Scene, assert_no_secret, output, program, raising, replacing, tests, with_powa,
};

tests![
    with_the_grants_of_the_readme_all_is_well_and_nothing_is_changed,
    what_is_in_the_way_of_a_session_is_told_at_the_step_where_it_is,
    one_that_falls_silent_while_it_is_read_is_given_up,
    a_role_that_may_not_do_enough_is_cured_by_what_is_printed,
    an_extension_that_is_missing_is_created_or_left_alone,
    a_library_that_is_not_loaded_is_told_with_all_of_the_setting,
    a_datasource_that_raises_is_told_by_name,
    another_version_of_powa_is_told_with_the_side_to_update,
    a_server_that_is_not_active_is_looked_at_when_it_is_named,
    a_row_that_is_no_server_is_told,
    what_cannot_be_looked_at_is_told_with_the_reason,
    what_servers_are_called_stays_on_its_line;
    since 5: a_database_that_is_closed_to_the_role_is_told,
];

/// What a check has told.
struct Told {
    code: i32,
    out: String,
    err: String,
}

fn check(scene: &Scene, config: Value, arguments: &[&str]) -> Told {
    let mut command = program();
    command.arg("check").arg("--config").arg(scene.config(config)).args(arguments);
    let output = output(&command);
    let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert_no_secret("what is told", [out.as_str(), err.as_str()]);
    Told { code: output.status.code().unwrap(), out, err }
}

fn check_json(scene: &Scene, config: Value, arguments: &[&str]) -> (i32, Value) {
    let told = check(scene, config, &[arguments, &["--json"]].concat());
    let object = serde_json::from_str(&told.out).unwrap_or_else(|error| panic!("{error}: {}{}", told.out, told.err));
    (told.code, object)
}

/// The server with that id.
fn server(told: &Value, id: i32) -> &Value {
    told["servers"].as_array().unwrap().iter().find(|server| server["id"] == id).unwrap_or_else(|| panic!("{told:#}"))
}

/// Those that are not well, and not left out because of one that is not.
fn complaints(subject: &Value) -> Vec<&Value> {
    let is_one = |finding: &&Value| ["wrong", "warning"].contains(&finding["mark"].as_str().unwrap());
    subject["findings"].as_array().unwrap().iter().filter(is_one).collect()
}

/// What is to be done at a place.
fn cures<'a>(subject: &'a Value, place: &str) -> Vec<&'a str> {
    let all = complaints(subject).into_iter().flat_map(|finding| finding["cures"].as_array().unwrap());
    all.filter(|cure| cure["where"] == place).map(|cure| cure["text"].as_str().unwrap()).collect()
}

fn assert_well(told: &(i32, Value)) {
    assert_eq!((told.0, &told.1["result"]), (0, &json!("well")), "{:#}", told.1);
}

/// All that rows pass through, and what is known of snapshots.
fn contents(scene: &Scene) -> Vec<String> {
    let tables =
        "select format('select %L || count(*) || coalesce(max(t::text), $$$$) from %s t', c.relname, c.oid::regclass)
        from pg_class c where relkind = 'r' and (relname like '%\\_src\\_tmp' or relname in ('powa_snapshot_metas',
        'powa_servers', 'powa_statements')) order by 1";
    let mut repository = scene.repository();
    let queries: Vec<String> = repository.query(tables, &[]).unwrap().iter().map(|row| row.get(0)).collect();
    queries.iter().map(|query| repository.query_one(query.as_str(), &[]).unwrap().get(0)).collect()
}

fn with_the_grants_of_the_readme_all_is_well_and_nothing_is_changed(scene: &Scene) {
    let remote = Cluster::start(scene.generation(), "checked").unwrap();
    remote.create_powa_database("powa").unwrap();
    Workload::create(&remote, &["shop"]).unwrap();
    let (sql, _, reader) = grants(scene, "remote");
    with_powa(remote.connect("powa").unwrap()).batch_execute(&sql).unwrap();
    let mut repository = scene.repository();
    let (sql, collector, _) = grants(scene, "repository");
    if scene.generation().powa_major() >= 5 {
        let own = scene.powa_roles(&mut repository, "powa_snapshot");
        repository.batch_execute(&sql.replace("powa_snapshot", &own)).unwrap();
    } else {
        repository.batch_execute(&sql).unwrap();
    }
    repository.batch_execute(&format!("alter role {collector} password '{SECRET}'")).unwrap();
    repository.batch_execute(&format!("grant password_required to {collector}")).unwrap();
    let id =
        scene.register_as(Registration { username: &reader, alias: Some("the shop"), ..Registration::of(&remote) });
    remote.connect("shop").unwrap().batch_execute("select * from customer where id = 7 and name = 'x'").unwrap();
    let quals = || -> i64 {
        let count = "select count(*) from pg_qualstats()";
        with_powa(remote.connect("powa").unwrap()).query_one(count, &[]).unwrap().get(0)
    };
    let (quals_before, contents_before) = (quals(), contents(scene));
    assert!(quals_before > 0);

    let config = || json!({"repository": {"dsn": scene.dsn(&collector)}});
    let told = check_json(scene, config(), &[]);
    assert_well(&told);
    let shop = server(&told.1, id);
    assert_eq!(
        (&shop["alias"], &shop["active"], &shop["encrypted"]),
        (&json!("the shop"), &json!(true), &json!(false))
    );
    assert_eq!(shop["powa"], json!(scene.generation().powa_version()));
    assert!(shop["datasources"].as_u64().unwrap() > 5 && shop["rows"].as_u64().unwrap() > 5, "{shop:#}");
    assert!(shop["round_trip_ms"].as_f64().unwrap() > 0.0 && shop["clock_ahead_ms"].is_f64(), "{shop:#}");
    assert!(shop["findings"].as_array().unwrap().iter().all(|finding| finding["mark"] == "well"), "{shop:#}");
    assert!(humantime::parse_rfc3339(told.1["time"].as_str().unwrap()).is_ok(), "{}", told.1["time"]);
    assert_eq!(complaints(&told.1["repository"]), [&Value::Null; 0]);

    // Another word for it: one line for each thing, and nothing of it on standard error.
    let told = check(scene, config(), &[]);
    assert_eq!((told.code, told.err.as_str()), (0, ""), "{}", told.out);
    let lines: Vec<_> = told.out.lines().collect();
    assert_eq!(lines.len(), 6, "{}", told.out);
    assert!(
        lines[3].starts_with(&format!("{id} the shop (127.0.0.1:")) && lines[3].contains("  well  "),
        "{}",
        told.out
    );
    assert_eq!(lines[5], "1 server, and all is well");
    let verbose = check(scene, config(), &["the shop", "--verbose"]);
    assert!(verbose.out.contains("  well      privileges   of the role"), "{}", verbose.out);
    // What was asked meanwhile has quals too.
    assert!(quals() >= quals_before, "{} of {quals_before}", quals());
    assert_eq!(contents(scene), contents_before);

    // What is missing in the repository is granted as it is printed.
    let schema: String = repository
        .query_one(
            "select quote_ident(nspname) from pg_namespace n join pg_extension e on e.extnamespace = n.oid
            where extname = 'powa'",
            &[],
        )
        .unwrap()
        .get(0);
    let own =
        if scene.generation().powa_major() >= 5 { format!("{collector}, powa_snapshot") } else { collector.clone() };
    let own = own.replace("powa_snapshot", &format!("snapshot_{0}_{0}", scene.number()));
    repository
        .batch_execute(&format!(
            "revoke insert, truncate on {schema}.powa_statements_src_tmp, {schema}.powa_databases_src_tmp from {own};
            revoke update on {schema}.powa_servers from {own};
            revoke update (version) on {schema}.powa_servers from {own};
            revoke execute on function {schema}.powa_take_snapshot(integer) from public"
        ))
        .unwrap();
    let (code, told) = check_json(scene, config(), &[]);
    assert_eq!((code, &told["result"]), (1, &json!("wrong")), "{told:#}");
    let grants = cures(&told["repository"], "repository");
    assert_eq!(grants.len(), 4, "{told:#}");
    for grant in grants {
        repository.batch_execute(grant).unwrap_or_else(|error| panic!("{grant}: {error}"));
    }
    assert_well(&check_json(scene, config(), &[]));
    repository
        .batch_execute(&format!("grant execute on function {schema}.powa_take_snapshot(integer) to public"))
        .unwrap();
}

fn what_is_in_the_way_of_a_session_is_told_at_the_step_where_it_is(scene: &Scene) {
    let remote = scene.remote_server();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_port = silent.local_addr().unwrap().port();
    let role = format!("locked_out_{}", scene.number());
    let sql = format!(
        "drop role if exists {role}; create role {role} login password '{SECRET}-right' in role password_required"
    );
    scene.remote("postgres").batch_execute(&sql).unwrap();
    let wrong = format!("{SECRET}-wrong");
    let as_it_is = || Registration { password: Some(SECRET), ..Registration::of(remote) };
    let register = |alias: &'static str, registration| {
        scene.register_beside_others(Registration { alias: Some(alias), ..registration })
    };
    let nobody = register("nobody", Registration { port: 1, ..as_it_is() });
    let unknown = register("unknown", Registration { hostname: "nowhere.invalid", ..as_it_is() });
    let refused = register("refused", Registration { username: &role, password: Some(&wrong), ..as_it_is() });
    let asked = register("asked", Registration { username: &role, password: None, ..as_it_is() });
    let nameless = register("nameless", Registration { username: "nobody_at_all", ..as_it_is() });
    let plain = register("plain", as_it_is());
    let mute = register("mute", Registration { port: silent_port, ..as_it_is() });
    let elsewhere = register("elsewhere", Registration { dbname: "gone", ..as_it_is() });
    let config = json!({
        "timeouts": {"connect": 5},
        "remote": {"servers": {"plain": {"sslmode": "require"}, "mute": {"connect_timeout": 1}}},
    });
    let (code, told) = check_json(scene, config.clone(), &[]);
    assert_eq!(code, 1, "{told:#}");
    let configure = |id: i32, column: &str| format!("powa_configure_server({id}, '{{\"{column}\": \"...\"}}')");
    let cases = [
        (nobody, "connection", "Connection refused", "advice", "listen_addresses".to_owned()),
        (unknown, "name", "failed to lookup address", "repository", configure(unknown, "hostname")),
        (refused, "login", "password authentication failed", "repository", configure(refused, "password")),
        (asked, "login", "asks for a password, and there is none", "repository", configure(asked, "password")),
        (nameless, "login", "does not exist", "remote server", "create role \"nobody_at_all\" login".into()),
        (plain, "tls", "does not offer TLS", "postgresql.conf", "ssl = on".into()),
        (mute, "connection", "no answer within 1 s", "advice", "firewall".into()),
        (elsewhere, "database", "does not exist", "repository", configure(elsewhere, "dbname")),
    ];
    for (id, what, said, place, cure) in cases {
        let server = server(&told, id);
        let [complaint] = complaints(server)[..] else { panic!("{server:#}") };
        assert_eq!(complaint["what"], what, "{server:#}");
        assert!(complaint["said"].as_str().unwrap().contains(said), "{server:#}");
        assert!(cures(server, place).iter().any(|text| text.contains(&cure)), "{cure}: {server:#}");
        // What comes behind it is not tried, and what comes before it is well.
        let marks: Vec<_> = server["findings"].as_array().unwrap().iter().map(|finding| &finding["mark"]).collect();
        let at = marks.iter().position(|mark| **mark == "wrong").unwrap();
        assert!(marks[..at].iter().all(|mark| **mark == "well"), "{server:#}");
        assert!(marks[at + 1..].iter().all(|mark| **mark == "not tried"), "{server:#}");
    }
    let told = check(scene, config, &["nobody", "plain"]);
    assert_eq!(told.code, 1);
    assert!(told.out.ends_with("2 of 2 servers with something wrong\n"), "{}", told.out);
    assert!(told.out.contains("\n            postgresql.conf: ssl = on"), "{}", told.out);
    assert!(!told.out.contains("not tried"), "{}", told.out);
}

fn one_that_falls_silent_while_it_is_read_is_given_up(scene: &Scene) {
    scene.without_databases();
    let remote = scene.own_remote();
    let proxy = Proxy::to(scene.remote_server()).unwrap();
    let body = "return query select 1::oid, ''half of this arrives''::name;";
    remote.connect().batch_execute(&replacing("powa_databases_src", body)).unwrap();
    proxy.when_server_says(b"half of th", Act::Freeze);
    let frozen = Registration { hostname: proxy.host(), port: proxy.port(), ..remote.registration() };
    let frozen = scene.register_as(frozen);
    let other = scene.own_remote();
    let other = scene.register_as(other.registration());
    let (code, told) = check_json(scene, json!({"timeouts": {"connect": 5, "query": 2}}), &[]);
    assert!(proxy.has_sprung());
    assert_eq!((code, &server(&told, other)["mark"]), (1, &json!("well")), "{told:#}");
    let complaint = complaints(server(&told, frozen))[0];
    assert_eq!(complaint["what"], "datasources", "{told:#}");
    assert!(complaint["said"].as_str().unwrap().contains("no answer within 7 s"), "{told:#}");
}

/// A role as the README has it, in a database of one test's own.
fn granted(scene: &Scene, remote: &OwnRemote) -> String {
    let (sql, _, reader) = grants(scene, "remote");
    remote.connect().batch_execute(&sql).unwrap();
    reader
}

fn a_role_that_may_not_do_enough_is_cured_by_what_is_printed(scene: &Scene) {
    scene.without_databases();
    let remote = scene.own_remote();
    let reader = granted(scene, &remote);
    let id = scene.register_as(Registration { username: &reader, ..remote.registration() });
    assert_well(&check_json(scene, json!({}), &[]));
    let sql = format!(
        "revoke pg_read_all_stats from {reader};
        revoke execute on function powa_statements_src(integer) from public;
        revoke execute on function pg_qualstats_reset() from {reader};
        revoke select on powa_databases from {reader}"
    );
    remote.connect().batch_execute(&sql).unwrap();
    let (code, told) = check_json(scene, json!({}), &[]);
    let found = server(&told, id);
    assert_eq!((code, &found["mark"]), (1, &json!("wrong")), "{told:#}");
    let of_privileges = complaints(found).iter().filter(|complaint| complaint["what"] == "privileges").count();
    assert_eq!(of_privileges, 4, "{found:#}");
    let about = "pg_stat_statements (powa_statements_src)";
    let datasource = complaints(found).into_iter().find(|complaint| complaint["about"] == about).unwrap();
    assert!(datasource["cures"][0]["text"].as_str().unwrap().contains("powa_statements_src"), "{found:#}");
    let printed = check(scene, json!({}), &[]).out;
    for cure in cures(found, "remote server") {
        assert!(printed.contains(&format!("\n            remote server: {cure}\n")), "{cure}: {printed}");
        remote.connect().batch_execute(cure).unwrap_or_else(|error| panic!("{cure}: {error}"));
    }
    assert_well(&check_json(scene, json!({}), &[]));

    let sql = format!("revoke pg_read_all_settings from {reader}");
    remote.connect().batch_execute(&sql).unwrap();
    let (code, told) = check_json(scene, json!({}), &[]);
    assert_eq!((code, &told["result"]), (0, &json!("warning")), "{told:#}");
    let grant = format!("grant pg_read_all_settings to \"{reader}\"");
    assert_eq!(cures(server(&told, id), "remote server"), [grant]);
}

fn an_extension_that_is_missing_is_created_or_left_alone(scene: &Scene) {
    scene.without_databases();
    let remote = scene.own_remote();
    remote.connect().batch_execute("drop extension pg_qualstats; drop extension pg_track_settings").unwrap();
    let id = scene.register_as(remote.registration());
    let (code, told) = check_json(scene, json!({}), &[]);
    let found = server(&told, id);
    assert_eq!(code, 1, "{told:#}");
    let about: Vec<_> = complaints(found).iter().map(|complaint| (&complaint["what"], &complaint["about"])).collect();
    let extensions = json!("extensions");
    assert_eq!(about, [(&extensions, &json!("pg_qualstats")), (&extensions, &json!("pg_track_settings"))], "{found:#}");
    let create = cures(found, "remote server");
    assert_eq!(create, ["create extension \"pg_qualstats\"", "create extension \"pg_track_settings\""]);
    remote.connect().batch_execute(create[0]).unwrap();
    let leave: Vec<_> =
        cures(found, "repository").into_iter().filter(|sql| sql.contains("pg_track_settings")).collect();
    scene.repository().batch_execute(leave[0]).unwrap();
    assert_well(&check_json(scene, json!({}), &[]));
}

fn a_library_that_is_not_loaded_is_told_with_all_of_the_setting(scene: &Scene) {
    scene.without_databases();
    let remote = Cluster::start(scene.generation(), "unloaded").unwrap();
    remote.create_powa_database("powa").unwrap();
    let restart_with = |setting: &str| {
        let sql = format!("alter system set {setting}");
        remote.connect("postgres").unwrap().batch_execute(&sql).unwrap();
        remote.stop().unwrap();
        remote.start_again().unwrap();
    };
    restart_with("shared_preload_libraries = pg_stat_statements, pg_stat_kcache, pg_wait_sampling");
    let id = scene.register_as(Registration::of(&remote));
    let (code, told) = check_json(scene, json!({}), &[]);
    let found = server(&told, id);
    let complaint = complaints(found).into_iter().find(|complaint| complaint["what"] == "libraries").unwrap();
    assert_eq!((code, &complaint["mark"]), (1, &json!("wrong")), "{found:#}");
    assert!(complaint["said"].as_str().unwrap().ends_with(": pg_qualstats"), "{found:#}");
    let cure = cures(found, "postgresql.conf")[0];
    // As `alter system` takes it, a list has no quotes around it.
    let list = cure.split('\'').nth(1).unwrap();
    restart_with(&format!("shared_preload_libraries = {list}"));
    assert_well(&check_json(scene, json!({}), &[]));
}

fn a_datasource_that_raises_is_told_by_name(scene: &Scene) {
    scene.without_databases();
    let remote = scene.own_remote();
    remote.connect().batch_execute(&raising("powa_statements_src", "no luck\ntoday")).unwrap();
    let id = scene.register_as(remote.registration());
    let (code, told) = check_json(scene, json!({}), &[]);
    let [complaint] = complaints(server(&told, id))[..] else { panic!("{told:#}") };
    assert_eq!((code, &complaint["what"]), (1, &json!("datasources")));
    assert_eq!(complaint["about"], "pg_stat_statements (powa_statements_src)");
    let said = complaint["said"].as_str().unwrap();
    assert!(said.contains("no luck\\ntoday") && said.contains("(remote server)"), "{said}");
    let told = check(scene, json!({}), &[]);
    assert!(told.out.contains("  wrong     datasources  pg_stat_statements (powa_statements_src): "), "{}", told.out);
}

fn another_version_of_powa_is_told_with_the_side_to_update(scene: &Scene) {
    let (older, newer, none) = (scene.own_remote(), scene.own_remote(), scene.own_remote());
    for (remote, version) in [(&older, "4.0.7"), (&newer, "9.9.9")] {
        let sql = "update pg_extension set extversion = $1 where extname = 'powa'";
        remote.connect().execute(sql, &[&version]).unwrap();
    }
    none.connect().batch_execute("drop extension powa cascade").unwrap();
    let register = |alias, remote: &OwnRemote| {
        scene.register_beside_others(Registration { alias: Some(alias), ..remote.registration() })
    };
    let (older, newer, none) = (register("older", &older), register("newer", &newer), register("none", &none));
    let (code, told) = check_json(scene, json!({}), &[]);
    assert_eq!(code, 1);
    let here = format!("alter extension powa update to '{}'", scene.generation().powa_version());
    for (id, place, cure) in [
        (older, "remote server", here.as_str()),
        (newer, "repository", "alter extension powa update to '9.9.9'"),
        (none, "remote server", "create extension powa cascade"),
    ] {
        let found = server(&told, id);
        let [complaint] = complaints(found)[..] else { panic!("{found:#}") };
        assert_eq!(complaint["what"], "powa", "{found:#}");
        assert_eq!(cures(found, place), [cure], "{found:#}");
    }
}

fn a_server_that_is_not_active_is_looked_at_when_it_is_named(scene: &Scene) {
    scene.without_databases();
    let remote = scene.own_remote();
    let id = scene.register_as(Registration { alias: Some("resting"), ..remote.registration() });
    scene.repository().batch_execute(&format!("select powa_deactivate_server({id})")).unwrap();
    let (code, told) = check_json(scene, json!({}), &[]);
    assert_eq!((code, &told["servers"]), (0, &json!([])));
    let told = check(scene, json!({}), &[]);
    assert!(told.out.contains("no server is active"), "{}", told.out);
    let (code, told) = check_json(scene, json!({}), &["resting", &id.to_string()]);
    assert_eq!((code, told["servers"].as_array().unwrap().len()), (0, 1));
    let found = server(&told, id);
    assert_eq!((&found["active"], &found["mark"]), (&json!(false), &json!("well")), "{found:#}");
    assert!(found["findings"][0]["said"].as_str().unwrap().contains("not active"), "{found:#}");
}

fn a_row_that_is_no_server_is_told(scene: &Scene) {
    scene.without_databases();
    let (odd, lost) = (scene.own_remote(), scene.own_remote());
    let odd = scene.register_beside_others(Registration { alias: Some("odd"), ..odd.registration() });
    let lost = scene.register_beside_others(Registration { alias: Some("lost"), ..lost.registration() });
    let mut repository = scene.repository();
    repository.execute("update powa_servers set port = 70000 where id = $1", &[&odd]).unwrap();
    repository.execute("delete from powa_snapshot_metas where srvid = $1", &[&lost]).unwrap();
    let (code, told) = check_json(scene, json!({}), &[]);
    assert_eq!(code, 1);
    let found = server(&told, odd);
    assert!(complaints(found)[0]["said"].as_str().unwrap().contains("port is 70000"), "{found:#}");
    let cure = cures(server(&told, lost), "repository");
    assert_eq!(cure.len(), 1, "{told:#}");
    repository.batch_execute(cure[0]).unwrap();
    assert_well(&check_json(scene, json!({}), &["lost"]));
}

fn what_cannot_be_looked_at_is_told_with_the_reason(scene: &Scene) {
    let told = check(scene, json!({}), &["nowhere"]);
    assert_eq!(told.code, 2, "{}", told.out);
    assert!(told.err.contains("no server \"nowhere\" is registered"), "{}", told.err);
    assert!(told.out.contains("repository     well"), "{}", told.out);
    let (code, told) = check_json(scene, json!({}), &["nowhere"]);
    assert_eq!((code, &told["result"]), (2, &json!("not checked")));
    assert!(told["unchecked"].as_str().unwrap().contains("nowhere"), "{told:#}");

    let broken = json!({"limits": {"loads": 0}, "debug": "yes"});
    let told = check(scene, broken.clone(), &[]);
    assert_eq!(told.code, 2);
    for violation in ["has 2 things to correct", "\"limits.loads\" is 0", "\"debug\" is \"yes\""] {
        assert!(told.err.contains(violation), "{}", told.err);
    }
    assert!(told.out.contains("configuration  wrong"), "{}", told.out);
    let (code, told) = check_json(scene, broken, &[]);
    assert_eq!((code, &told["configuration"]["mark"], &told["repository"]), (2, &json!("wrong"), &Value::Null));
    assert!(told["configuration"]["said"].as_str().unwrap().contains("\"limits.loads\" is 0"), "{told:#}");

    let away = || json!({"repository": {"dsn": format!("host=127.0.0.1 port=1 user=nobody password={SECRET}")}});
    let told = check(scene, away(), &[]);
    assert_eq!(told.code, 2);
    assert!(told.out.contains("configuration  well") && told.out.contains("repository     wrong"), "{}", told.out);
    assert!(told.out.contains("Connection refused") && told.out.contains("repository.dsn"), "{}", told.out);
    let (code, told) = check_json(scene, away(), &[]);
    assert_eq!((code, &told["repository"]["mark"], &told["servers"]), (2, &json!("wrong"), &json!([])));

    let server = scene.repository_server();
    let none = format!("host={} port={} user=postgres dbname=postgres", server.host(), server.port());
    let (code, told) = check_json(scene, json!({"repository": {"dsn": none}}), &[]);
    assert_eq!((code, &complaints(&told["repository"])[0]["what"]), (2, &json!("powa")), "{told:#}");

    let mut command = program();
    command.args(["check", "--config", "/nowhere/at/all"]);
    let output = output(&command);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("could not read configuration file"));
}

fn what_servers_are_called_stays_on_its_line(scene: &Scene) {
    let odd = Registration { port: 1, alias: Some("a\nwell\x1b[0m"), ..Registration::of(scene.remote_server()) };
    scene.register_as(odd);
    let told = check(scene, json!({}), &[]);
    assert!(told.out.contains("a\\nwell\\u{1b}[0m (127.0.0.1:1)"), "{}", told.out);
    assert!(!told.out.contains('\x1b'), "{}", told.out);
}

fn a_database_that_is_closed_to_the_role_is_told(scene: &Scene) {
    let remote = scene.own_remote();
    let closed = scene.own_remote();
    let reader = granted(scene, &remote);
    let sql = format!("revoke connect on database \"{}\" from public", closed.name);
    remote.connect().batch_execute(&sql).unwrap();
    let id = scene.register_as(Registration { username: &reader, ..remote.registration() });
    let (code, told) = check_json(scene, json!({}), &[]);
    let found = server(&told, id);
    let complaint = complaints(found).into_iter().find(|complaint| complaint["about"] == closed.name.as_str());
    assert_eq!(complaint.map(|complaint| &complaint["what"]), Some(&json!("databases")), "{found:#}");
    let grant = format!("grant connect on database \"{}\" to \"{reader}\"", closed.name);
    assert!(code == 1 && cures(found, "remote server").contains(&grant.as_str()), "{found:#}");
    remote.connect().batch_execute(&grant).unwrap();
    let (_, told) = check_json(scene, json!({}), &[]);
    assert!(
        complaints(server(&told, id)).iter().all(|complaint| complaint["about"] != closed.name.as_str()),
        "{told:#}"
    );
}
