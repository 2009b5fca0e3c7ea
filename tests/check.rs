//! `powa-collector check` changes nothing, and always ends.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use lab::{Act, Proxy, Registration};
use serde_json::{Value, json};

use crate::permissions::{Granted, granted};
use crate::support::check::{assert_well, check, check_json, complaints, cures, mend_powa, server};
use crate::support::{
    Certificates, Collector, SECRET, Scene, Terminal, Watcher, output, program, replacing, tests, with_powa,
};

tests![
    with_the_grants_of_the_readme_all_is_well_and_nothing_is_changed,
    one_that_falls_silent_while_it_is_read_is_given_up,
    a_server_that_is_not_active_is_looked_at_when_it_is_named,
    what_cannot_be_looked_at_is_told_with_the_reason,
    what_a_configuration_says_in_vain_is_told,
    what_servers_are_called_stays_on_its_line,
    a_password_file_that_is_left_alone_is_told,
    whether_a_collector_runs_is_told_and_that_there_are_two,
    a_collector_whose_place_is_taken_is_not_complained_of,
    a_role_that_only_commands_is_not_judged_as_the_collectors,
    on_a_terminal_it_tells_how_far_it_is;
    since 5:
    files_that_the_collector_does_not_start_with_are_told,
    what_powa_has_a_role_for_takes_one_grant,
];

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
    let Granted { remote, reader, collector } = granted(scene);
    let mut repository = scene.repository();
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
    let output = check_json(scene, config(), &[]);
    assert_well(&output);
    let shop = server(&output.1, id);
    assert_eq!(
        (&shop["alias"], &shop["active"], &shop["encrypted"]),
        (&json!("the shop"), &json!(true), &json!(false))
    );
    assert_eq!(shop["powa"], json!(scene.generation().powa_version()));
    assert!(shop["datasources"].as_u64().unwrap() > 5 && shop["rows"].as_u64().unwrap() > 5, "{shop:#}");
    assert!(shop["round_trip_ms"].as_f64().unwrap() > 0.0 && shop["clock_ahead_ms"].is_f64(), "{shop:#}");
    assert!(shop["findings"].as_array().unwrap().iter().all(|finding| finding["mark"] == "well"), "{shop:#}");
    assert!(humantime::parse_rfc3339(output.1["time"].as_str().unwrap()).is_ok(), "{}", output.1["time"]);
    assert_eq!(complaints(&output.1["repository"]), [&Value::Null; 0]);

    // Another word for it: one line for each thing, and nothing of it on standard error.
    mend_powa(scene);
    let output = check(scene, config(), &[]);
    assert_eq!((output.code, output.err.as_str()), (0, ""), "{}", output.out);
    let lines: Vec<_> = output.out.lines().collect();
    assert_eq!(lines.len(), 6, "{}", output.out);
    assert!(
        lines[3].starts_with(&format!("{id} the shop (127.0.0.1:")) && lines[3].contains("  well  "),
        "{}",
        output.out
    );
    assert_eq!(lines[5], "1 server: well");
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
    let (code, output) = check_json(scene, config(), &[]);
    assert_eq!((code, &output["result"]), (1, &json!("wrong")), "{output:#}");
    let grants = cures(&output["repository"], "repository");
    assert_eq!(grants.len(), 4, "{output:#}");
    for grant in grants {
        repository.batch_execute(grant).unwrap_or_else(|error| panic!("{grant}: {error}"));
    }
    assert_well(&check_json(scene, config(), &[]));
    // Without the list of servers, none of them can be looked at.
    repository.batch_execute(&format!("revoke select on {schema}.powa_servers from {own}")).unwrap();
    let (code, output) = check_json(scene, config(), &[]);
    assert_eq!((code, &output["result"]), (2, &json!("not checked")), "{output:#}");
    assert!(output["unchecked"].as_str().unwrap().contains("permission denied"), "{output:#}");
    for grant in cures(&output["repository"], "repository") {
        repository.batch_execute(grant).unwrap_or_else(|error| panic!("{grant}: {error}"));
    }
    assert_well(&check_json(scene, config(), &[]));
    repository
        .batch_execute(&format!("grant execute on function {schema}.powa_take_snapshot(integer) to public"))
        .unwrap();
}

fn a_server_that_is_not_active_is_looked_at_when_it_is_named(scene: &Scene) {
    scene.without_databases();
    let remote = scene.own_remote();
    let id = scene.register_as(Registration { alias: Some("resting"), ..remote.registration() });
    scene.repository().batch_execute(&format!("select powa_deactivate_server({id})")).unwrap();
    let (code, output) = check_json(scene, json!({}), &[]);
    assert_eq!((code, &output["servers"], &output["left_out"]), (0, &json!([]), &json!(1)));
    let output = check(scene, json!({}), &[]);
    assert!(output.out.contains("no server is enabled; \"powa-collector servers list\""), "{}", output.out);
    assert!(output.out.ends_with("\n1 server is disabled and was not checked\n"), "{}", output.out);
    let (code, output) = check_json(scene, json!({}), &["resting", &id.to_string()]);
    assert_eq!((code, output["servers"].as_array().unwrap().len(), &output["left_out"]), (0, 1, &json!(0)));
    let found = server(&output, id);
    assert_eq!((&found["active"], &found["mark"]), (&json!(false), &json!("well")), "{found:#}");
    assert!(found["findings"][0]["said"].as_str().unwrap().contains("the server is disabled"), "{found:#}");
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
    let (code, output) = check_json(scene, json!({"timeouts": {"connect": 5, "query": 2}}), &[]);
    assert!(proxy.has_sprung());
    assert_eq!((code, &server(&output, other)["mark"]), (1, &json!("well")), "{output:#}");
    let complaint = complaints(server(&output, frozen))[0];
    assert_eq!(complaint["what"], "datasources", "{output:#}");
    assert!(complaint["said"].as_str().unwrap().contains("no answer within 7 s"), "{output:#}");
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
    for violation in
        ["has 2 errors", "\"limits.loads\" must be an integer from 1 to 1000, got 0", "\"debug\" must be true or false"]
    {
        assert!(told.err.contains(violation), "{}", told.err);
    }
    assert!(told.out.contains("configuration  wrong"), "{}", told.out);
    let (code, told) = check_json(scene, broken, &[]);
    assert_eq!((code, &told["configuration"]["mark"], &told["repository"]), (2, &json!("wrong"), &Value::Null));
    assert!(
        told["configuration"]["said"].as_str().unwrap().contains("\"limits.loads\" must be an integer"),
        "{told:#}"
    );

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

fn files_that_the_collector_does_not_start_with_are_told(scene: &Scene) {
    let certificates = Certificates::of(scene);
    let [own, other] = ["127.0.0.1", "127.0.0.2"].map(|name| certificates.server(&[name]));
    let file = |name: &str, text: &str, mode: u32| {
        let file = scene.directory().join(name);
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        file
    };
    let good = file("good", &format!("ada:{SECRET}-0123456789abcdef"), 0o600);
    let config = |mut http: Value| {
        http["listen"] = json!("127.0.0.1:0");
        json!({"http": http})
    };
    let tokens = |tokens: PathBuf| config(json!({"tokens_file": tokens, "certificate": own.file(), "key": own.key()}));
    assert_well(&check_json(scene, tokens(good.clone()), &[]));
    let with =
        |certificate: &Path, key: &Path| config(json!({"tokens_file": good, "certificate": certificate, "key": key}));
    for (config, key, message) in [
        (tokens(file("open", &format!("ada:{SECRET}-0123456789abcdef"), 0o644)), "http.tokens_file", "read by others"),
        (tokens(scene.directory().join("missing")), "http.tokens_file", "cannot be read"),
        (tokens(file("short", "ada:short", 0o600)), "http.tokens_file", "too short"),
        (with(own.key(), own.key()), "http.certificate", "contains no certificate"),
        (with(own.file(), other.key()), "http.key", "is not the key of \"http.certificate\""),
    ] {
        let (code, output) = check_json(scene, config, &[]);
        let [complaint] = complaints(&output["configuration"])[..] else { panic!("{output:#}") };
        assert_eq!((code, &complaint["what"], &complaint["mark"]), (1, &json!("http"), &json!("wrong")), "{output:#}");
        assert!(complaint["said"].as_str().unwrap().contains(message), "{output:#}");
        assert!(cures(&output["configuration"], "configuration")[0].starts_with(key), "{output:#}");
    }
}

fn what_servers_are_called_stays_on_its_line(scene: &Scene) {
    let odd = Registration { port: 1, alias: Some("a\nwell\x1b[0m"), ..Registration::of(scene.remote_server()) };
    scene.register_as(odd);
    let output = check(scene, json!({}), &[]);
    assert!(output.out.contains("a\\nwell\\u{1b}[0m (127.0.0.1:1)"), "{}", output.out);
    assert!(!output.out.contains('\x1b'), "{}", output.out);
}

fn what_a_configuration_says_in_vain_is_told(scene: &Scene) {
    let config = json!({
        "remote": {"servers": {"mian": {"sslmode": "disable"}}},
        "spool": {"directory": "/nowhere/at/all"},
    });
    let (code, output) = check_json(scene, config.clone(), &[]);
    assert_eq!((code, &output["result"]), (1, &json!("wrong")), "{output:#}");
    let complaints = complaints(&output["configuration"]);
    let found: Vec<_> = complaints.iter().map(|complaint| [&complaint["what"], &complaint["mark"]]).collect();
    assert_eq!(found, [["overrides", "warning"], ["spool", "wrong"]]);
    let cure = cures(&output["configuration"], "configuration")[1];
    assert!(cure.starts_with("spool.directory: a directory"), "{cure}");
    let output = check(scene, config, &[]);
    assert!(output.out.contains("sections for servers that are not registered: [\"mian\"]"), "{}", output.out);
    assert!(
        output.out.contains("no server is registered; register one with \"powa-collector servers add\""),
        "{}",
        output.out
    );
    assert!(output.out.contains("spool.directory must be a writable directory"), "{}", output.out);
}

fn a_password_file_that_is_left_alone_is_told(scene: &Scene) {
    scene.without_databases();
    let remote = scene.own_remote();
    // Without a password of its own, it is looked for in the file.
    remote.registration().register(scene.repository_server(), &scene.database).unwrap();
    let file = scene.directory().join("open.pgpass");
    std::fs::write(&file, format!("*:*:*:*:{SECRET}\n")).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let output = check(scene, json!({"remote": {"passfile": file}}), &[]);
    assert_eq!(output.code, 0, "{}", output.out);
    assert!(output.err.contains("WARN") && output.err.contains("open.pgpass"), "{}", output.err);

    // One that cannot be used is no matter of the role.
    let dsn = "host=127.0.0.1 port=1 user=powa dbname=powa";
    let config = json!({"repository": {"dsn": dsn, "password_file": file}});
    let (code, found) = check_json(scene, config, &[]);
    let complaint = complaints(&found["repository"])[0];
    assert_eq!((code, &complaint["what"]), (2, &json!("parameters")), "{found:#}");
    assert!(complaint["said"].as_str().unwrap().contains("can be read by others"), "{found:#}");
    assert!(complaint["cures"][0]["text"].as_str().unwrap().contains("repository.password_file"), "{found:#}");
}

fn on_a_terminal_it_tells_how_far_it_is(scene: &Scene) {
    scene.register_as(Registration { port: 1, ..Registration::of(scene.remote_server()) });
    let mut command = program();
    command.arg("check").arg("--config").arg(scene.config(json!({})));
    for columns in [46, 200] {
        let (status, screen) = Terminal::run(&command, columns).end();
        assert_eq!(status.code(), Some(1), "{screen}");
        let drawn: Vec<_> = screen.split("\x1b[2K").filter(|line| line.contains(" of 1 servers, ")).collect();
        assert!(drawn.len() > 1 && drawn[0].contains("░ 0 of 1") && drawn[1].contains("█ 1 of 1"), "{screen:?}");
        // It fills a line, and no more than one.
        let is_one = |line: &&str| line.trim_end_matches('\r').chars().count() <= columns.into();
        assert!(drawn.iter().all(is_one), "{screen:?}");
        // Details are as long as they are, for copying; the table is not.
        let table = screen.split("\r\n\r\n").next().unwrap();
        assert!(table.contains("connection"), "{screen}");
    }
}

/// What is told of the collectors that are connected.
fn collectors(output: &Value) -> &Value {
    let findings = output["repository"]["findings"].as_array().unwrap();
    findings.iter().find(|finding| finding["what"] == "collectors").unwrap()
}

fn a_role_that_only_commands_is_not_judged_as_the_collectors(scene: &Scene) {
    mend_powa(scene);
    let dsn = scene.dsn(&scene.create_role("commander", "in role pg_signal_backend"));
    let as_commander =
        || check_json(scene, json!({"repository": {"dsn": dsn}}), &["nobody at all"]).1["repository"].take();
    let advice = cures(&as_commander(), "advice").concat();
    assert!(advice.contains("if the collector connects as another role than"), "{advice}");
    let _collector = scene.collector();
    let repository = as_commander();
    let [complaint] = complaints(&repository)[..] else { panic!("{repository:#}") };
    assert_eq!((&complaint["what"], &complaint["mark"]), (&json!("privileges"), &json!("warning")), "{repository:#}");
    assert!(
        complaint["said"].as_str().unwrap().contains("the collector is connected as \"postgres\""),
        "{repository:#}"
    );
    assert!(cures(&repository, "repository").is_empty(), "{repository:#}");
}

fn whether_a_collector_runs_is_told_and_that_there_are_two(scene: &Scene) {
    let output = check_json(scene, json!({}), &[]);
    assert_well(&output);
    assert!(collectors(&output.1)["said"].as_str().unwrap().contains("no collector is connected"), "{:#}", output.1);
    let first = scene.collector_with(json!({"http": {"listen": "127.0.0.1:0"}}));
    let output = check_json(scene, json!({}), &[]);
    assert_well(&output);
    let one = collectors(&output.1)["said"].as_str().unwrap();
    assert!(one.starts_with("PoWA collector - main thread (") && one.contains(" from 127.0.0.1 since 2"), "{one}");

    let second = Collector::start(&scene.config(json!({})));
    second.wait_for_log("ready");
    let (code, output) = check_json(scene, json!({}), &[]);
    assert_eq!((code, &output["result"]), (0, &json!("warning")), "{output:#}");
    let two = collectors(&output);
    assert_eq!((&two["mark"], &two["cures"][0]["where"]), (&json!("warning"), &json!("advice")), "{output:#}");
    let message = two["said"].as_str().unwrap();
    assert!(
        message.starts_with("2 collectors are connected") && message.matches(" from 127.0.0.1 since 2").count() == 2
    );
    let printed = check(scene, json!({}), &[]);
    assert!(printed.out.contains("  warning   collectors   2 collectors are connected"), "{}", printed.out);

    let warning = second.wait_for_log("another collector is connected to this repository");
    assert!(warning.contains("WARN") && warning.matches("PoWA collector - main thread (").count() == 1, "{warning}");
    // The one that was there before learns of it too, and that it is alone again.
    let warning = first.wait_for_log("another collector is connected to this repository");
    assert!(warning.contains("WARN") && warning.matches("PoWA collector - main thread (").count() == 1, "{warning}");
    let watcher = Watcher::of(&first);
    watcher.wait_for_metric("powa_collector_other_collectors", |others| others == 1.0);
    let trouble = watcher.open_events().next("everything")["trouble"].clone();
    assert!(trouble.as_str().unwrap().contains("Another collector is connected"), "{trouble}");
    second.stop();
    assert_eq!(second.logged("WARN").len(), 1, "{:?}", second.log());
    first.wait_for_log("no other collector is connected to this repository any more");
    watcher.wait_for_metric("powa_collector_other_collectors", |others| others == 0.0);
    assert_eq!(first.logged("another collector is connected").len(), 1, "{:?}", first.log());
}

fn a_collector_whose_place_is_taken_is_not_complained_of(scene: &Scene) {
    let first = scene.collector();
    let mut command = program();
    command.arg("--config").arg(scene.config(json!({}))).env("RUST_LOG", "powa_collector=debug");
    let second = Collector::run(command);
    second.wait_for_log("ready");
    first.stop();
    second.wait_for_log("no other collector is connected");
    assert_eq!(second.logged("WARN"), [""; 0]);
}

fn what_powa_has_a_role_for_takes_one_grant(scene: &Scene) {
    let mut repository = scene.repository();
    let of_powa = scene.powa_roles(&mut repository, "powa_snapshot");
    // As PoWA makes it.
    repository.batch_execute(&format!("alter role {of_powa} nologin")).unwrap();
    let stranger = scene.create_role("stranger", "");
    let config = || json!({"repository": {"dsn": scene.dsn(&stranger)}});
    let (code, output) = check_json(scene, config(), &[]);
    assert_eq!(code, 2, "{output:#}");
    let grants = cures(&output["repository"], "repository");
    let grant = format!("grant \"{of_powa}\" to \"{stranger}\";");
    assert_eq!(grants[0], grant, "{output:#}");
    // What that role has not is all that is told beside it.
    let beside = ["version", "config", "pg_track_settings", "pg_signal_backend"];
    let is_beside = |grant: &&str| beside.iter().any(|word| grant.contains(word));
    assert!(grants[1..].iter().all(is_beside), "{output:#}");
    let command = format!("grant pg_signal_backend to \"{stranger}\";");
    assert!(grants.len() < 8 && grants.last() == Some(&command.as_str()), "{output:#}");
    for grant in grants {
        repository.batch_execute(grant).unwrap_or_else(|error| panic!("{grant}: {error}"));
    }
    assert_well(&check_json(scene, config(), &[]));

    // Membership is no cure for one who does not inherit, nor for one who is a member.
    for sql in [
        format!("revoke \"{of_powa}\" from {stranger}; alter role {stranger} noinherit"),
        format!("grant \"{of_powa}\" to {stranger}"),
    ] {
        repository.batch_execute(&sql).unwrap();
        let (_, output) = check_json(scene, config(), &[]);
        let grants = cures(&output["repository"], "repository");
        assert!(grants.iter().all(|output| **output != grant), "{sql}: {output:#}");
        assert!(grants.iter().any(|output| output.contains("_src_tmp")), "{sql}: {output:#}");
    }
}
