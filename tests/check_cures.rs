//! `powa-collector check`: every problem of a server is reported with a cure, and the cure works.

use std::net::TcpListener;

use lab::{Cluster, Registration};
use serde_json::json;

use crate::permissions::grants;
use crate::support::check::{assert_well, check, check_json, complaints, cures, server};
use crate::support::{Certificates, OwnRemote, SECRET, Scene, output, program, raising, replacing, tests};

tests![
    what_is_in_the_way_of_a_session_is_told_at_the_step_where_it_is,
    a_line_of_pg_hba_is_printed_for_the_one_who_was_refused,
    a_role_that_may_not_do_enough_is_cured_by_what_is_printed,
    an_extension_that_is_missing_is_created_or_left_alone,
    a_library_that_is_not_loaded_is_told_with_all_of_the_setting,
    a_datasource_that_raises_is_told_by_name,
    a_datasource_that_takes_too_long_is_told_with_the_limit,
    another_version_of_powa_is_told_with_the_side_to_update,
    a_row_that_is_no_server_is_told,
    what_is_in_the_way_of_the_repository_is_told_at_the_step_where_it_is,
    #[hurried] with_what_is_printed_for_the_repository_snapshots_are_taken;
    since 5: a_database_that_is_closed_to_the_role_is_told,
    #[hurried] where_powa_has_its_roles_not_set_up_that_is_a_cure,
];

fn what_is_in_the_way_of_a_session_is_told_at_the_step_where_it_is(scene: &Scene) {
    let remote = scene.remote_server();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_port = silent.local_addr().unwrap().port();
    let role = format!("locked_out_{}", scene.number());
    let sql = format!(
        "drop role if exists {role}; create role {role} login password '{SECRET}-right' in role password_required"
    );
    scene.remote("postgres").batch_execute(&sql).unwrap();
    let barred_role = format!("barred_{}", scene.number());
    let sql = format!("drop role if exists {barred_role}; create role {barred_role} nologin");
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
    let barred = register("barred", Registration { username: &barred_role, ..as_it_is() });
    let plain = register("plain", as_it_is());
    let mute = register("mute", Registration { port: silent_port, ..as_it_is() });
    let elsewhere = register("elsewhere", Registration { dbname: "gone", ..as_it_is() });
    let own = scene.own_remote();
    let revoke = format!("revoke connect on database \"{}\" from public", own.name);
    own.connect().batch_execute(&revoke).unwrap();
    let right = format!("{SECRET}-right");
    let closed = Registration { username: &role, password: Some(&right), ..own.registration() };
    let closed = register("closed", closed);
    let unnamed = register("unnamed", as_it_is());
    let config = json!({
        "timeouts": {"connect": 5},
        "remote": {"servers": {
            "plain": {"sslmode": "require"},
            "mute": {"connect_timeout": 1},
            "unnamed": {"service": "gone"},
        }},
    });
    let (code, output) = check_json(scene, config.clone(), &[]);
    assert_eq!(code, 1, "{output:#}");
    let set = |id: i32, option: &str| format!("powa-collector servers set {id} {option}");
    let cases = [
        (nobody, "connection", "Connection refused", "advice", "listen_addresses".to_owned()),
        (unknown, "name", "failed to lookup address", "advice", set(unknown, "--host ...")),
        (refused, "login", "password authentication failed", "advice", set(refused, "--ask-password")),
        (asked, "login", "asks for a password, but none is configured", "advice", set(asked, "--ask-password")),
        (nameless, "login", "does not exist", "remote server", "create role \"nobody_at_all\" login".into()),
        (barred, "login", "not permitted to log in", "remote server", format!("alter role \"{barred_role}\" login")),
        (unnamed, "parameters", "service \"gone\"", "configuration", format!("remote.servers.{unnamed}")),
        (plain, "tls", "does not offer TLS", "postgresql.conf", "ssl = on".into()),
        (mute, "connection", "no answer within 1 s", "advice", "firewall".into()),
        (elsewhere, "database", "does not exist", "advice", set(elsewhere, "--dbname ...")),
        (closed, "database", "permission denied for database", "remote server", "grant connect on database ".into()),
    ];
    for (id, what, message, place, cure) in cases {
        let server = server(&output, id);
        let [complaint] = complaints(server)[..] else { panic!("{server:#}") };
        assert_eq!(complaint["what"], what, "{server:#}");
        assert!(complaint["said"].as_str().unwrap().contains(message), "{server:#}");
        assert!(cures(server, place).iter().any(|text| text.contains(&cure)), "{cure}: {server:#}");
        // What comes behind it is not tried, and what comes before it is well.
        let marks: Vec<_> = server["findings"].as_array().unwrap().iter().map(|finding| &finding["mark"]).collect();
        let at = marks.iter().position(|mark| **mark == "wrong").unwrap();
        assert!(marks[..at].iter().all(|mark| **mark == "well"), "{server:#}");
        assert!(marks[at + 1..].iter().all(|mark| **mark == "not tried"), "{server:#}");
    }
    let output = check(scene, config, &["nobody", "plain"]);
    assert_eq!(output.code, 1);
    assert!(output.out.ends_with("2 servers: 2 wrong\n"), "{}", output.out);
    assert!(output.out.contains("\n            postgresql.conf: ssl = on"), "{}", output.out);
    assert!(!output.out.contains("not tried"), "{}", output.out);
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
    let (code, output) = check_json(scene, json!({}), &[]);
    let found = server(&output, id);
    assert_eq!((code, &found["mark"]), (1, &json!("wrong")), "{output:#}");
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
    let (code, output) = check_json(scene, json!({}), &[]);
    assert_eq!((code, &output["result"]), (0, &json!("warning")), "{output:#}");
    let grant = format!("grant pg_read_all_settings to \"{reader}\";");
    // What is loaded cannot be seen either, for the same reason.
    let what: Vec<_> = complaints(server(&output, id)).iter().map(|complaint| complaint["what"].clone()).collect();
    assert_eq!(what, ["libraries", "privileges"], "{output:#}");
    assert_eq!(cures(server(&output, id), "remote server"), [&grant, &grant]);
    let printed = check(scene, json!({}), &[]).out;
    assert_eq!((printed.matches(&grant).count(), printed.matches("see the cure above").count()), (1, 1), "{printed}");
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
    assert_eq!(create, ["create extension \"pg_qualstats\";", "create extension \"pg_track_settings\";"]);
    remote.connect().batch_execute(create[0]).unwrap();
    let leave = cures(found, "advice").into_iter().find(|command| command.contains("pg_track_settings")).unwrap();
    let mut words = leave.split(' ');
    assert_eq!(words.next(), Some("powa-collector"));
    let mut command = program();
    command.args(words).arg("--config").arg(scene.config(json!({})));
    assert!(output(&command).status.success(), "{leave}");
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
    let (code, output) = check_json(scene, json!({}), &[]);
    let found = server(&output, id);
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
    let (code, output) = check_json(scene, json!({}), &[]);
    let [complaint] = complaints(server(&output, id))[..] else { panic!("{output:#}") };
    assert_eq!((code, &complaint["what"]), (1, &json!("datasources")));
    assert_eq!(complaint["about"], "pg_stat_statements (powa_statements_src)");
    let message = complaint["said"].as_str().unwrap();
    assert!(message.contains("no luck\\ntoday") && message.contains("(remote server)"), "{message}");
    let output = check(scene, json!({}), &[]);
    assert!(
        output.out.contains("  wrong     datasources  pg_stat_statements (powa_statements_src): "),
        "{}",
        output.out
    );
}

fn another_version_of_powa_is_told_with_the_side_to_update(scene: &Scene) {
    let (older, newer, none) = (scene.own_remote(), scene.own_remote(), scene.own_remote());
    let is_4 = scene.generation().powa_major() == 4;
    // From one version of PoWA 4 to the next there is an update; from 4 to 5 there is none.
    let old = if is_4 { "4.0.1" } else { "4.1.4" };
    for (remote, version) in [(&older, old), (&newer, "9.9.9")] {
        let sql = "update pg_extension set extversion = $1 where extname = 'powa'";
        remote.connect().execute(sql, &[&version]).unwrap();
    }
    none.connect().batch_execute("drop extension powa cascade").unwrap();
    let register = |alias, remote: &OwnRemote| {
        scene.register_beside_others(Registration { alias: Some(alias), ..remote.registration() })
    };
    let old_remote = &older;
    let (older, newer, none) = (register("older", &older), register("newer", &newer), register("none", &none));
    let (code, output) = check_json(scene, json!({}), &[]);
    assert_eq!(code, 1);
    let version = scene.generation().powa_version();
    let here = match is_4 {
        true => format!("alter extension powa update to '{version}';"),
        false => format!("drop extension powa; create extension powa version '{version}' cascade;"),
    };
    let major = version.split('.').take(2).collect::<Vec<_>>().join(".");
    let elsewhere = format!(
        "PoWA has no update from {major} to 9.9, and dropping the extension would delete the history: install PoWA 9.9 in a \
         new database, set repository.dsn to it and register the servers in it; or install PoWA {major} on the remote server"
    );
    for (id, place, cure) in [
        (older, "remote server", here.as_str()),
        (newer, "advice", &elsewhere),
        (none, "remote server", "create extension powa cascade;"),
    ] {
        let found = server(&output, id);
        let [complaint] = complaints(found)[..] else { panic!("{found:#}") };
        assert_eq!(complaint["what"], "powa", "{found:#}");
        assert_eq!(cures(found, place), [cure], "{found:#}");
    }
    // Where the extension is created anew, the cure is one. The version of the other was made up.
    if !is_4 {
        old_remote.connect().batch_execute(&here).unwrap();
        assert_well(&check_json(scene, json!({}), &["older"]));
    }
}

fn a_row_that_is_no_server_is_told(scene: &Scene) {
    scene.without_databases();
    let (odd, lost) = (scene.own_remote(), scene.own_remote());
    let odd = scene.register_beside_others(Registration { alias: Some("odd"), ..odd.registration() });
    let lost = scene.register_beside_others(Registration { alias: Some("lost"), ..lost.registration() });
    let mut repository = scene.repository();
    repository.execute("update powa_servers set port = 70000 where id = $1", &[&odd]).unwrap();
    repository.execute("delete from powa_snapshot_metas where srvid = $1", &[&lost]).unwrap();
    // What is configured for it is not in vain.
    let overrides = json!({"remote": {"servers": {"odd": {}, "lost": {}, odd.to_string(): {}}}});
    let (code, output) = check_json(scene, overrides, &[]);
    assert_eq!(code, 1);
    assert_eq!(output["configuration"]["mark"], "well", "{output:#}");
    let found = server(&output, odd);
    assert!(
        complaints(found)[0]["said"].as_str().unwrap().contains("port must be from 1 to 65535, got 70000"),
        "{found:#}"
    );
    let set = format!("powa-collector servers set {odd} --port ...");
    assert_eq!(cures(found, "advice"), [&set], "{found:#}");
    let cure = cures(server(&output, lost), "repository");
    assert_eq!(cure.len(), 1, "{output:#}");
    repository.batch_execute(cure[0]).unwrap();
    assert_well(&check_json(scene, json!({}), &["lost"]));
}

fn a_line_of_pg_hba_is_printed_for_the_one_who_was_refused(scene: &Scene) {
    scene.without_databases();
    let certificates = Certificates::of(scene);
    let certificate = certificates.server(&["127.0.0.1"]);
    let gate = certificates.gate(scene);
    gate.show(Some(&certificate));
    let role = format!("create role by_only_tls login superuser password '{SECRET}-right' in role only_tls");
    gate.cluster.connect("postgres").unwrap().batch_execute(&role).unwrap();
    let password = format!("{SECRET}-right");
    let registration = Registration { username: "by_only_tls", ..Registration::of(&gate.cluster) };
    let id = scene.register_as(Registration { password: Some(&password), ..registration });
    let (_, output) = check_json(scene, json!({"remote": {"sslmode": "require"}}), &[]);
    assert_eq!(
        (&server(&output, id)["mark"], &server(&output, id)["encrypted"]),
        (&json!("well"), &json!(true)),
        "{output:#}"
    );
    // What there is against a certificate is not cured by TLS, which there is.
    let (_, output) = check_json(scene, json!({"remote": {"sslmode": "verify-full", "sslrootcert": "/nowhere"}}), &[]);
    assert_eq!(complaints(server(&output, id))[0]["what"], "tls", "{output:#}");
    assert!(cures(server(&output, id), "postgresql.conf").is_empty(), "{output:#}");
    assert_eq!(cures(server(&output, id), "configuration").len(), 1, "{output:#}");
    let plain = || json!({"remote": {"sslmode": "disable"}});
    let (code, output) = check_json(scene, plain(), &[]);
    let line = cures(server(&output, id), "pg_hba.conf");
    assert_eq!((code, line.len()), (1, 1), "{output:#}");
    assert!(line[0].starts_with("host  \"powa\"  \"by_only_tls\"  127.0.0.1/32  scram-sha-256"), "{output:#}");
    gate.cluster.admit(&line).unwrap();
    let output = check_json(scene, plain(), &[]);
    assert_well(&output);
    assert_eq!(server(&output.1, id)["encrypted"], false);
}

fn a_datasource_that_takes_too_long_is_told_with_the_limit(scene: &Scene) {
    scene.without_databases();
    let remote = scene.own_remote();
    remote.connect().batch_execute(&replacing("powa_databases_src", "perform pg_sleep(600);")).unwrap();
    let id = scene.register_as(remote.registration());
    let (code, output) = check_json(scene, json!({"timeouts": {"query": 2}}), &[]);
    let found = complaints(server(&output, id));
    assert_eq!((code, found.len(), &found[0]["what"]), (1, 1, &json!("datasources")), "{output:#}");
    assert!(found[0]["about"].as_str().unwrap().contains("powa_databases_src"), "{output:#}");
    assert!(cures(server(&output, id), "configuration")[0].starts_with("timeouts.query"), "{output:#}");
}

fn a_database_that_is_closed_to_the_role_is_told(scene: &Scene) {
    let remote = scene.own_remote();
    let closed = scene.own_remote();
    let reader = granted(scene, &remote);
    let sql = format!("revoke connect on database \"{}\" from public", closed.name);
    remote.connect().batch_execute(&sql).unwrap();
    let id = scene.register_as(Registration { username: &reader, ..remote.registration() });
    let (code, output) = check_json(scene, json!({}), &[]);
    let found = server(&output, id);
    let complaint = complaints(found).into_iter().find(|complaint| complaint["about"] == closed.name.as_str());
    assert_eq!(complaint.map(|complaint| &complaint["what"]), Some(&json!("databases")), "{found:#}");
    let grant = format!("grant connect on database \"{}\" to \"{reader}\";", closed.name);
    assert!(code == 1 && cures(found, "remote server").contains(&grant.as_str()), "{found:#}");
    remote.connect().batch_execute(&grant).unwrap();
    let (_, output) = check_json(scene, json!({}), &[]);
    assert!(
        complaints(server(&output, id)).iter().all(|complaint| complaint["about"] != closed.name.as_str()),
        "{output:#}"
    );
}

fn what_is_in_the_way_of_the_repository_is_told_at_the_step_where_it_is(scene: &Scene) {
    let server = scene.repository_server();
    let (role, closed) = (scene.create_role("known", ""), format!("closed_{}", scene.number()));
    let mut repository = scene.repository();
    repository.batch_execute(&format!("alter role {role} password '{SECRET}-right'")).unwrap();
    repository.batch_execute(&format!("grant password_required to {role}")).unwrap();
    repository.batch_execute(&format!("create database {closed} allow_connections false")).unwrap();
    let (host, port) = (server.host(), server.port());
    let at = |more: &str| format!("host={host} port={port} {more}");
    let cases = [
        (
            "host=nowhere.invalid".to_owned(),
            "name",
            "failed to lookup address",
            "configuration",
            "repository.dsn".into(),
        ),
        (
            format!("host={host} port=1"),
            "connection",
            "Connection refused",
            "advice",
            "start PostgreSQL on that machine".into(),
        ),
        (at("user=postgres sslmode=require"), "tls", "does not offer TLS", "postgresql.conf", "ssl = on".into()),
        (
            at(&format!("user={role} password={SECRET}-wrong")),
            "login",
            "password authentication failed",
            "advice",
            format!("\\password \"{role}\""),
        ),
        (at("user=nobody_here"), "login", "does not exist", "repository", "create role \"nobody_here\" login;".into()),
        (at("user=postgres dbname=gone"), "database", "does not exist", "configuration", "repository.dsn".into()),
        (
            at(&format!("user=postgres dbname={closed}")),
            "database",
            "not currently accepting connections",
            "repository",
            format!("alter database \"{closed}\" allow_connections true;"),
        ),
        (
            at("user=postgres dbname=postgres"),
            "powa",
            "is not installed",
            "repository",
            "create extension powa cascade;".into(),
        ),
    ];
    for (dsn, what, message, place, cure) in cases {
        let (code, output) = check_json(scene, json!({"repository": {"dsn": dsn}}), &[]);
        let [complaint] = complaints(&output["repository"])[..] else { panic!("{output:#}") };
        assert_eq!((code, &complaint["what"]), (2, &json!(what)), "{output:#}");
        let words = complaint["said"].as_str().unwrap();
        assert!(words.contains(message) && !words.contains("what the role may do"), "{words}");
        assert!(cures(&output["repository"], place).iter().any(|text| text.contains(&cure)), "{cure}: {output:#}");
    }
    repository.batch_execute(&format!("drop database {closed}")).unwrap();
}

/// Does what is printed for the repository and its role, with the last of several statements or the first, and has a collector
/// of that role take snapshots.
fn cure_and_collect(scene: &Scene, role: &str, server: i32, takes_last: bool) {
    let config = || json!({"repository": {"dsn": scene.dsn(role)}});
    let (_, output) = check_json(scene, config(), &[]);
    for complaint in complaints(&output["repository"]) {
        let cures = complaint["cures"].as_array().unwrap().iter();
        let mut cures = cures.filter(|cure| cure["where"] == "repository");
        let cure = if takes_last { cures.next_back() } else { cures.next() };
        let cure = cure.unwrap_or_else(|| panic!("{complaint:#}"));
        let sql = cure["text"].as_str().unwrap();
        assert!(sql.ends_with(';'), "{sql}");
        scene.repository().batch_execute(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    assert_well(&check_json(scene, config(), &[]));
    // The next snapshots aggregate, and purge.
    let soon = format!(
        "update powa_servers set powa_coalesce = 5, retention = '1 second' where id = {server};
        update powa_snapshot_metas set coalesce_seq = 4 - {server} % 20 + 20 where srvid = {server}"
    );
    scene.repository().batch_execute(&soon).unwrap();
    let before = scene.snapshots(server);
    let collector = scene.collector_with(config());
    scene.wait_for_snapshots(server, before + 3);
    assert_eq!(scene.errors(server), [""; 0]);
    // What no right helps against is told where the README's are tried.
    let denied: Vec<_> = collector.log().into_iter().filter(|line| line.contains("permission denied")).collect();
    assert_eq!(denied, [""; 0]);
}

fn with_what_is_printed_for_the_repository_snapshots_are_taken(scene: &Scene) {
    scene.without_databases();
    if scene.generation().powa_major() > 4 {
        let forget = "select powa_revoke(); update powa_roles set rolname = null";
        scene.repository().batch_execute(forget).unwrap();
    }
    let remote = scene.own_remote();
    let server = scene.register_as(remote.registration());
    cure_and_collect(scene, &scene.create_role("single", ""), server, true);
}

fn where_powa_has_its_roles_not_set_up_that_is_a_cure(scene: &Scene) {
    scene.without_databases();
    scene.repository().batch_execute("select powa_revoke(); update powa_roles set rolname = null").unwrap();
    let remote = scene.own_remote();
    let server = scene.register_as(remote.registration());
    let role = scene.create_role("member", "");
    cure_and_collect(scene, &role, server, false);
    let is_member = format!("select pg_has_role('{role}', 'powa_snapshot', 'member')::int::bigint");
    assert_eq!(scene.count(&is_member), 1);
}
