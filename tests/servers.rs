//! `powa-collector servers`: lists, adds, changes and removes servers, and the collector applies it at once.

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::permissions::grants;
use crate::support::{SECRET, Scene, Terminal, assert_no_secret, output, program, tests, wait_until};

tests![
    a_server_that_is_added_is_collected_at_once_and_changed_and_removed,
    a_server_is_listed_for_people_and_for_programs,
    an_address_and_an_alias_are_one_servers_only,
    what_cannot_be_is_refused_and_nothing_is_registered,
    with_check_only_a_server_that_a_worker_gets_along_with_is_registered,
    with_check_all_is_told_that_check_would_tell,
    no_password_is_in_what_is_said_or_logged,
    a_password_is_asked_for_without_an_echo,
    a_question_that_is_not_answered_leaves_the_echo,
    nothing_is_removed_that_was_not_meant,
    a_snapshot_that_is_being_loaded_is_waited_for,
    what_cannot_be_removed_in_time_is_disabled_and_whole,
    a_role_that_may_not_is_told_the_way_out,
    a_collector_that_may_not_be_told_is_no_reason_to_fail,
    the_grants_of_the_readme_are_enough_to_administer;
    since 5:
    modules_are_switched_as_extensions_are,
];

/// The program, with what comes after `servers`.
fn servers(scene: &Scene, arguments: &[&str]) -> Command {
    let mut command = program();
    command.arg("-c").arg(scene.config(json!({}))).arg("servers").args(arguments);
    command
}

/// What it said, on both ways together, and how it ended.
fn ended(output: &Output) -> (Option<i32>, String) {
    let message = [&output.stdout, &output.stderr].map(|text| String::from_utf8(text.clone()).unwrap()).concat();
    assert_no_secret("what was said", [message.as_str()]);
    (output.status.code(), message)
}

/// Has it do something, and gives what it said.
fn done(scene: &Scene, arguments: &[&str]) -> String {
    let (code, message) = ended(&output(&servers(scene, arguments)));
    assert_eq!(code, Some(0), "{arguments:?}: {message}");
    message
}

/// Has it refuse something, and gives what it said.
fn refused(scene: &Scene, arguments: &[&str]) -> String {
    let (code, message) = ended(&output(&servers(scene, arguments)));
    assert_eq!(code, Some(1), "{arguments:?}: {message}");
    message
}

/// With something on its standard input.
fn given(mut program: Command, text: &str) -> (Option<i32>, String) {
    let mut child = program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    ended(&child.wait_with_output().unwrap())
}

fn listed(scene: &Scene) -> Vec<Value> {
    let listed: Value = serde_json::from_str(&done(scene, &["list", "--json"])).unwrap();
    listed["servers"].as_array().unwrap().clone()
}

/// The arguments by which the scene's remote server is registered.
fn add<'a>(port: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["add", "--host", "127.0.0.1", "--port", port, "--user", "postgres", "--frequency", "5"];
    arguments.extend(more);
    arguments
}

fn remote_port(scene: &Scene) -> String {
    assert_eq!(scene.remote_server().host(), "127.0.0.1");
    scene.remote_server().port().to_string()
}

fn password_of(scene: &Scene, server: i32) -> Option<String> {
    scene.repository().query_one("select password from powa_servers where id = $1", &[&server]).unwrap().get(0)
}

const RELOADED: &str = "the collector has reloaded";

fn a_server_that_is_added_is_collected_at_once_and_changed_and_removed(scene: &Scene) {
    scene.without_databases();
    let collector = scene.collector();
    let port = remote_port(scene);
    let message = done(scene, &add(&port, &["--alias", "first", "--extension", "pg_qualstats", "--no-password"]));
    assert!(message.contains("is registered as server 1") && message.contains(RELOADED), "{message}");
    // It has it by now, without a look at the servers of its own.
    assert!(scene.ask("WORKERS_STATUS", "1").contains("\"1\""));
    scene.wait_for_snapshots(1, 1);

    let message = done(scene, &["set", "first", "--alias", "main", "--retention", "2 days", "--coalesce", "7"]);
    assert!(
        message.contains("server 1, main (127.0.0.1:") && message.contains("is changed") && message.contains(RELOADED)
    );
    let server = &listed(scene)[0];
    assert_eq!(
        (&server["alias"], &server["retention"], &server["coalesce"]),
        (&json!("main"), &json!("2 days"), &json!(7))
    );
    done(scene, &["set", "main", "--no-alias", "--allow-ui-connection", "false"]);
    let server = &listed(scene)[0];
    assert_eq!((&server["alias"], &server["allow_ui_connection"]), (&Value::Null, &json!(false)));

    let message = done(scene, &["disable", "1"]);
    assert!(
        message.contains("is disabled") && message.contains("every 5 s") && message.contains(RELOADED),
        "{message}"
    );
    assert_eq!(scene.ask("WORKERS_STATUS", ""), "WORKERS_STATUS OK {}");
    assert_eq!(listed(scene)[0]["active"], json!(false));
    // Nobody needs to be told of what was so already.
    let address = format!("server 1, 127.0.0.1:{port}");
    assert_eq!(done(scene, &["disable", "1"]), format!("{address} is already disabled\n"));
    let history = "select count(*) from powa_statements where srvid = 1";
    assert!(scene.count(history) > 0);
    let message = done(scene, &["enable", "1"]);
    assert!(message.contains("is enabled: a snapshot every 300 s") && message.contains(RELOADED), "{message}");
    let message = done(scene, &["enable", "1", "--frequency", "300"]);
    assert_eq!(message, format!("{address} is already enabled: a snapshot every 300 s\n"));
    assert!(scene.ask("WORKERS_STATUS", "").contains("\"1\""));

    let extensions = done(scene, &["extensions", "1"]);
    let state = |name: &str| extensions.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    assert!(state("pg_qualstats").ends_with("active"), "{extensions}");
    let message = done(scene, &["extensions", "1", "--deactivate", "pg_qualstats", "--activate", "pg_stat_kcache"]);
    assert!(message.contains("pg_stat_kcache activated") && message.contains("pg_qualstats deactivated"), "{message}");
    let active: Vec<_> = listed(scene)[0]["extensions"].as_array().unwrap().clone();
    assert!(active.contains(&json!("pg_stat_kcache")) && !active.contains(&json!("pg_qualstats")), "{active:?}");

    let message = done(scene, &["remove", "1", "--yes"]);
    assert!(message.contains("and its history were removed") && message.contains(RELOADED), "{message}");
    assert_eq!(scene.count("select count(*) from powa_servers where id > 0"), 0);
    assert_eq!(scene.count(history), 0);
    assert_eq!(scene.ask("WORKERS_STATUS", ""), "WORKERS_STATUS OK {}");
    collector.stop();
    assert_eq!(collector.logged("ERROR"), [""; 0]);
}

fn a_server_is_listed_for_people_and_for_programs(scene: &Scene) {
    let message = done(scene, &["list"]);
    assert!(message.contains("no server is registered"), "{message}");
    assert_eq!(listed(scene), [Value::Null; 0]);
    let port = remote_port(scene);
    let message = done(scene, &add(&port, &["--alias", "first", "--no-password"]));
    assert!(
        message.contains("no collector is connected to the repository; the change takes effect when one is started"),
        "{message}"
    );
    done(scene, &["add", "--host", "db2.example", "--no-password", "--retention", "1 month"]);
    let expected = json!([
        {
            "id": 1, "alias": "first", "host": "127.0.0.1", "address": format!("127.0.0.1:{}", scene.remote_server().port()), "port": scene.remote_server().port(), "user": "postgres",
            "has_password": false, "database": "powa", "active": true, "frequency": 5, "coalesce": 100,
            "retention": "1 day", "allow_ui_connection": true, "postgresql": null, "extensions": ["pg_stat_statements"],
            "schedule": null, "time_zone": null, "start": null, "paused_until": null, "tags": {},
        },
        {
            "id": 2, "alias": null, "host": "db2.example", "address": "db2.example:5432", "port": 5432, "user": "powa",
            "has_password": false, "database": "powa", "active": true, "frequency": 300, "coalesce": 100,
            "retention": "1 mon", "allow_ui_connection": true, "postgresql": null, "extensions": ["pg_stat_statements"],
            "schedule": null, "time_zone": null, "start": null, "paused_until": null, "tags": {},
        },
    ]);
    assert_eq!(Value::from(listed(scene)), expected);
    done(scene, &["disable", "db2.example"]);
    let table = done(scene, &["list"]);
    let words: Vec<_> = table.lines().nth(2).unwrap().split_whitespace().collect();
    assert_eq!(words[..6], ["2", "-", "db2.example:5432", "powa", "powa", "off"], "{table}");

    // It fits a terminal, in colours only where they are wanted.
    let mut coloured = servers(scene, &["list"]);
    let (status, screen) = Terminal::run(coloured.env_remove("NO_COLOR"), 60).end();
    assert!(status.success() && screen.contains("\x1b["), "{screen:?}");
    let mut plain = servers(scene, &["list"]);
    let (_, screen) = Terminal::run(plain.env("NO_COLOR", "1"), 60).end();
    assert!(!screen.contains('\x1b') && screen.lines().count() > 3, "{screen:?}");
    assert!(screen.lines().all(|line| line.chars().count() <= 60), "{screen}");
}

fn an_address_and_an_alias_are_one_servers_only(scene: &Scene) {
    done(scene, &["add", "--no-password", "--host", "db1", "--alias", "first"]);
    done(scene, &["add", "--no-password", "--host", "db2", "--alias", "second"]);
    let twice = refused(scene, &["add", "--no-password", "--host", "db1", "--alias", "third"]);
    assert!(twice.contains("db1:5432 is already registered as server 1"), "{twice}");
    let twice = refused(scene, &["add", "--no-password", "--host", "db3", "--alias", "second"]);
    assert!(twice.contains("the name \"second\" already belongs to server 2, db2:5432"), "{twice}");
    let twice = refused(scene, &["set", "second", "--host", "db1"]);
    assert!(twice.contains("db1:5432 is already registered"), "{twice}");
    let unknown = refused(scene, &["set", "secnod", "--frequency", "60"]);
    assert!(unknown.contains("did you mean \"second\"?"), "{unknown}");
    // What it has already is its own.
    done(scene, &["set", "second", "--host", "db2", "--alias", "second"]);
    assert_eq!(listed(scene).len(), 2);
}

fn what_cannot_be_is_refused_and_nothing_is_registered(scene: &Scene) {
    for (arguments, reason) in [
        (&["--frequency", "4"][..], "a frequency must be an integer of at least 5"),
        (&["--coalesce", "0"], "a coalesce must be an integer of at least 5"),
        (&["--port", "0"], "a port must be an integer from 1 to 65535"),
        (&["--alias", "12"], "an alias must not consist of digits only"),
        (&["--user", ""], "--user"),
        (&["--retention", "3"], "for example \"3 days\" or \"3 hours\""),
    ] {
        let arguments = [&["add", "--host", "db1", "--no-password"], arguments].concat();
        let (code, message) = ended(&output(&servers(scene, &arguments)));
        assert!(code == Some(2) && message.contains(reason), "{arguments:?}: {message}");
    }
    for (arguments, reason) in [
        (&["--no-password", "--retention", "for ever"][..], "invalid input syntax for type interval"),
        (
            &["--no-password", "--retention", "-1 day"],
            "a retention of -1 day is too short; it must be at least one hour",
        ),
        (&["--no-password", "--frequency", "7200", "--retention", "119 minutes"], "which is 7200 s"),
        // Nobody is asked for a password, and no server looked at, for nothing.
        (&["--check", "--retention", "59 minutes"], "a retention of 59 minutes is too short"),
        (&["--no-password", "--extension", "pg_nonsense"], "PoWA does not know \"pg_nonsense\""),
        (&["--password-file", "/nonexistent"], "could not read the password file \"/nonexistent\": No such file"),
        (&["--password-file", "/dev/null"], "is empty; use --no-password"),
        (&[], "standard input is not a terminal, so the password cannot be asked for"),
    ] {
        let arguments = [&["add", "--host", "db1"], arguments].concat();
        let message = refused(scene, &arguments);
        assert!(message.contains(reason), "{arguments:?}: {message}");
    }
    assert_eq!(scene.count("select count(*) from powa_servers where id > 0"), 0);
    done(scene, &["add", "--host", "db1", "--no-password"]);
    let before = listed(scene);
    let (code, message) = ended(&output(&servers(scene, &["set", "db1"])));
    assert!(code == Some(2) && message.contains("required"), "{message}");
    refused(scene, &["set", "db1", "--port", "6543", "--retention", "0 days"]);
    for arguments in [["set", "db1", "--frequency", "86401"], ["enable", "db1", "--frequency", "86401"]] {
        let message = refused(scene, &arguments);
        assert!(
            message.contains("a retention of 1 day is too short") && message.contains("which is 86401 s"),
            "{message}"
        );
    }
    refused(scene, &["extensions", "db1", "--activate", "pg_qualstats,pg_nonsense"]);
    refused(scene, &["extensions", "db1", "--deactivate", "pg_nonsense"]);
    assert_eq!(listed(scene), before);
}

fn with_check_only_a_server_that_a_worker_gets_along_with_is_registered(scene: &Scene) {
    scene.without_databases();
    let remote = scene.own_remote();
    let [role, good] = [format!("checked_{}", scene.number()), format!("{SECRET}-good")];
    let create = format!("create role {role} login superuser password '{good}' in role password_required");
    remote.connect().batch_execute(&create).unwrap();
    let port = remote_port(scene);
    let arguments = |dbname, more: &[&'static str]| {
        let mut arguments = vec!["add", "--check", "--host", "127.0.0.1", "--port", &port, "--user", &role];
        arguments.extend(["--dbname", dbname, "--password-file", "-"]);
        arguments.extend(more);
        servers(scene, &arguments)
    };
    let (code, message) = given(arguments(&remote.name, &[]), &format!("{SECRET}-bad\n"));
    assert!(
        code == Some(1)
            && message.contains("password authentication failed")
            && message.contains("nothing was registered")
    );
    let (code, message) = given(arguments("postgres", &[]), &good);
    assert!(code == Some(1) && message.contains("extension \"powa\" is not installed"), "{message}");
    remote.connect().batch_execute("drop extension pg_qualstats cascade").unwrap();
    let (code, message) = given(arguments(&remote.name, &["--extension", "pg_qualstats"]), &good);
    assert_eq!(code, Some(1), "{message}");
    for part in
        ["\"pg_qualstats\" is collected", "create extension \"pg_qualstats\"", "remove --extension pg_qualstats"]
    {
        assert!(message.contains(part), "{part}: {message}");
    }
    let nobody = refused(scene, &["add", "--check", "--host", "127.0.0.1", "--port", "1", "--no-password"]);
    assert!(nobody.contains("could not connect to 127.0.0.1:1"), "{nobody}");
    assert_eq!(scene.count("select count(*) from powa_servers where id > 0"), 0);

    let (code, message) = given(arguments(&remote.name, &["--extension", "pg_stat_kcache"]), &format!("{good}\r\n"));
    assert_eq!(code, Some(0), "{message}");
    assert_eq!(password_of(scene, 1).as_deref(), Some(good.as_str()));
    // What is not changed is looked at as it is registered, with its password.
    done(scene, &["set", "1", "--check", "--retention", "2 days"]);
    let (code, message) =
        given(servers(scene, &["set", "1", "--check", "--password-file", "-"]), &format!("{SECRET}-bad"));
    assert!(code == Some(1) && message.contains("password authentication failed"), "{message}");
    assert!(message.contains("nothing was registered or changed"), "{message}");
    assert_eq!(password_of(scene, 1).as_deref(), Some(good.as_str()));
    let other = "update pg_extension set extversion = '99.0' where extname = 'powa'";
    remote.connect().batch_execute(other).unwrap();
    done(scene, &["remove", "1", "--yes"]);
    let (code, message) = given(arguments(&remote.name, &[]), &good);
    assert!(code == Some(1) && message.contains("incompatible PoWA versions") && message.contains("99.0"), "{message}");
    assert_eq!(scene.count("select count(*) from powa_servers where id > 0"), 0);
}

fn with_check_all_is_told_that_check_would_tell(scene: &Scene) {
    scene.without_databases();
    let remote = scene.own_remote();
    let (sql, _, reader) = grants(scene, "remote");
    remote.connect().batch_execute(&format!("{sql}; revoke pg_read_all_stats from {reader}")).unwrap();
    let port = remote_port(scene);
    let mut adding = vec!["add", "--check", "--host", "127.0.0.1", "--port", &port, "--user", &reader];
    adding.extend(["--dbname", &remote.name, "--no-password", "--frequency", "5", "--alias", "looked at"]);
    let message = refused(scene, &adding);
    let grant = format!("grant pg_read_all_stats to \"{reader}\";");
    assert!(
        message.contains("  wrong     privileges   ") && message.contains(&format!(" remote server: {grant}\n")),
        "{message}"
    );
    assert!(message.contains("nothing was registered"), "{message}");
    assert_eq!(listed(scene), [Value::Null; 0]);

    remote.connect().batch_execute(&format!("{grant} revoke pg_read_all_settings from {reader}")).unwrap();
    let message = done(scene, &adding);
    // To have looked has taken nobody's number.
    assert!(message.contains("  warning   libraries ") && message.contains("is registered as server 1\n"), "{message}");
    assert!(message.contains(" datasources, "), "{message}");

    let before = listed(scene);
    for (change, told) in [
        (["--dbname", "postgres"], "extension \"powa\" is not installed"),
        (["--user", "nobody_at_all"], "advice: powa-collector servers set 1 --user ..."),
        (["--port", "1"], "  wrong     connection "),
    ] {
        let message = refused(scene, &[&["set", "looked at", "--check"], &change[..]].concat());
        assert!(message.contains(told) && message.contains("nothing was registered or changed"), "{message}");
    }
    assert_eq!(listed(scene), before);
    let message = done(scene, &["set", "looked at", "--check", "--user", "postgres", "--no-alias"]);
    assert!(message.contains("is changed") && !message.contains("warning"), "{message}");
    assert_eq!(listed(scene)[0]["user"], json!("postgres"));
    let (code, message) = ended(&output(&servers(scene, &["set", "1", "--check"])));
    assert!(code == Some(2) && message.contains("required"), "{message}");
}

fn no_password_is_in_what_is_said_or_logged(scene: &Scene) {
    let all = [("log_statement", "all"), ("log_min_duration_statement", "0"), ("log_min_error_statement", "debug5")];
    let scene = &scene.apart(&all);
    let file = scene.directory().join("password");
    std::fs::write(&file, format!("{SECRET}-file\n")).unwrap();
    let file = file.to_str().unwrap();
    done(scene, &["add", "--host", "db1", "--password-file", file]);
    assert_eq!(password_of(scene, 1).unwrap(), format!("{SECRET}-file"));
    let (code, message) = given(servers(scene, &["set", "1", "--password-file", "-", "--user", "other"]), "s3cret-set");
    assert_eq!(code, Some(0), "{message}");
    assert_eq!(password_of(scene, 1).unwrap(), "s3cret-set");
    // What goes wrong beside it has PostgreSQL quote what it was about.
    scene.repository().batch_execute("alter table powa_servers add constraint odd check (username <> 'odd')").unwrap();
    refused(scene, &["set", "1", "--password-file", file, "--user", "odd"]);
    refused(scene, &["add", "--host", "db2", "--password-file", file, "--user", "odd"]);
    assert_eq!(password_of(scene, 1).unwrap(), "s3cret-set");
    done(scene, &["set", "1", "--no-password"]);
    assert_eq!(password_of(scene, 1), None);
    done(scene, &["set", "1", "--password-file", file]);
    for look in [&["list"][..], &["list", "--json"], &["extensions", "1"], &["disable", "1"], &["remove", "1", "--yes"]]
    {
        done(scene, look);
    }
    let log = std::fs::read_to_string(scene.repository_server().log()).unwrap();
    assert!(log.contains("powa_configure_server") && log.contains("violates check constraint"), "it logs all there is");
    assert_no_secret("the log of the repository", log.lines());
}

fn a_password_is_asked_for_without_an_echo(scene: &Scene) {
    let mut terminal = Terminal::run(&servers(scene, &["add", "--host", "db1", "--user", "reader"]), 80);
    terminal.answer("Password of role reader on db1:5432 (empty for none): ", "s3cret-typed");
    let (status, screen) = terminal.end();
    assert!(status.success() && screen.contains("is registered as server 1"), "{screen}");
    assert_no_secret("the screen", [screen.as_str()]);
    assert_eq!(password_of(scene, 1).as_deref(), Some("s3cret-typed"));
    let mut terminal = Terminal::run(&servers(scene, &["set", "1", "--ask-password"]), 80);
    terminal.answer("Password of role reader on db1:5432", "");
    let (status, screen) = terminal.end();
    assert!(status.success() && screen.contains("is changed"), "{screen}");
    assert_eq!(password_of(scene, 1), None);
}

fn a_question_that_is_not_answered_leaves_the_echo(scene: &Scene) {
    let asking = servers(scene, &["add", "--host", "db1"]);
    let words: Vec<_> = std::iter::once(asking.get_program()).chain(asking.get_args()).collect();
    let mut shell = Command::new("sh");
    // The shell is there to see what is left of the terminal; the keys are for both.
    shell.args(["-c", "trap : INT; \"$@\"; echo \"ended by $?\"; stty --all", "sh"]).args(words);
    let mut terminal = Terminal::run(&shell, 80);
    terminal.wait_to_show("Password of role powa on db1:5432");
    terminal.press("\u{3}");
    let (_, screen) = terminal.end();
    assert!(screen.contains("ended by 130"), "{screen}");
    assert!(screen.contains(" echo ") && !screen.contains(" -echo "), "{screen}");
    assert_eq!(listed(scene), [Value::Null; 0]);
}

fn nothing_is_removed_that_was_not_meant(scene: &Scene) {
    done(scene, &["add", "--host", "db1", "--no-password", "--alias", "first"]);
    let message = refused(scene, &["remove", "first"]);
    assert!(message.contains("use --yes") && message.contains("nothing was removed"), "{message}");
    let mut terminal = Terminal::run(&servers(scene, &["remove", "first"]), 80);
    terminal.answer("Type first to remove it: ", "yes");
    let (status, screen) = terminal.end();
    assert!(status.code() == Some(1) && screen.contains("nothing was removed"), "{screen}");
    let server = &listed(scene)[0];
    assert_eq!((&server["alias"], &server["active"]), (&json!("first"), &json!(true)));
    let mut terminal = Terminal::run(&servers(scene, &["remove", "1"]), 80);
    terminal.answer("and deletes its history", "first");
    let (status, screen) = terminal.end();
    assert!(status.success() && screen.contains("and its history were removed"), "{screen}");
    assert_eq!(listed(scene), [Value::Null; 0]);
}

fn a_snapshot_that_is_being_loaded_is_waited_for(scene: &Scene) {
    done(scene, &["add", "--host", "db1", "--no-password"]);
    let mut loading = scene.repository();
    loading.batch_execute("begin; select from powa_servers where id = 1 for key share").unwrap();
    let removing = servers(scene, &["remove", "1", "--yes"]);
    std::thread::scope(|scope| {
        let removed = scope.spawn(|| ended(&output(&removing)));
        let waiting = "select count(*) from pg_stat_activity
            where application_name = 'powa-collector servers remove' and wait_event_type = 'Lock'";
        wait_until("it to wait", || scene.count(waiting) == 1);
        // Longer than sessions wait for a lock otherwise.
        std::thread::sleep(Duration::from_millis(2500));
        loading.batch_execute("commit").unwrap();
        let (code, message) = removed.join().unwrap();
        assert_eq!(code, Some(0), "{message}");
    });
    assert_eq!(listed(scene), [Value::Null; 0]);
}

fn what_cannot_be_removed_in_time_is_disabled_and_whole(scene: &Scene) {
    done(scene, &["add", "--host", "db1", "--no-password"]);
    let mut client = scene.repository();
    client.batch_execute("begin; select from powa_snapshot_metas where srvid = 1 for update").unwrap();
    let mut removing = servers(scene, &["remove", "1", "--yes"]);
    let (code, message) = ended(&output(removing.env("POWA_COLLECTOR__TIMEOUTS__SNAPSHOT", "1")));
    assert_eq!(code, Some(1), "{message}");
    assert!(
        message.contains("was disabled, but not removed; its history is unchanged")
            && message.contains("raise timeouts.snapshot"),
        "{message}"
    );
    client.batch_execute("commit").unwrap();
    let server = &listed(scene)[0];
    assert_eq!((&server["active"], &server["extensions"]), (&json!(false), &json!(["pg_stat_statements"])));
    done(scene, &["remove", "1", "--yes"]);
}

fn a_role_that_may_not_is_told_the_way_out(scene: &Scene) {
    let role = scene.create_role("stranger", "");
    scene.repository().batch_execute(&format!("grant select on powa_servers to {role}")).unwrap();
    let mut adding = servers(scene, &["add", "--host", "db1", "--no-password"]);
    adding.env("POWA_COLLECTOR__REPOSITORY__DSN", scene.dsn(&role));
    let (code, message) = ended(&output(&adding));
    assert_eq!(code, Some(1), "{message}");
    for part in ["the role may not register a server", "\n  grant usage on ", "POWA_COLLECTOR__REPOSITORY__DSN="] {
        assert!(message.contains(part), "{part}: {message}");
    }
    let mut adding = servers(scene, &["add", "--host", "db1", "--no-password"]);
    adding.env("POWA_COLLECTOR__REPOSITORY__DSN", scene.dsn("postgres"));
    assert_eq!(ended(&output(&adding)).0, Some(0));
}

fn a_collector_that_may_not_be_told_is_no_reason_to_fail(scene: &Scene) {
    done(scene, &["add", "--host", "127.0.0.1", "--port", "1", "--no-password"]);
    let _collector = scene.collector();
    let role = scene.create_role("editor", "");
    scene.repository().batch_execute(&format!("grant select, update on powa_servers to {role}")).unwrap();
    let mut setting = servers(scene, &["set", "1", "--retention", "2 days"]);
    let (code, message) = ended(&output(setting.env("POWA_COLLECTOR__REPOSITORY__DSN", scene.dsn(&role))));
    assert_eq!(code, Some(0), "{message}");
    assert!(
        message.contains("is changed") && message.contains("the collector refused: permission denied"),
        "{message}"
    );
    assert!(message.contains("takes effect within a minute"), "{message}");
    assert_eq!(listed(scene)[0]["retention"], json!("2 days"));
}

fn the_grants_of_the_readme_are_enough_to_administer(scene: &Scene) {
    scene.without_databases();
    let _collector = scene.collector();
    let dsn = scene.dsn(&scene.create_operator());
    let done = |arguments: &[&str]| {
        let (code, message) = ended(&output(servers(scene, arguments).env("POWA_COLLECTOR__REPOSITORY__DSN", &dsn)));
        assert_eq!(code, Some(0), "{arguments:?}: {message}");
        message
    };
    let port = remote_port(scene);
    let all = "pg_qualstats,pg_stat_kcache,pg_wait_sampling,pg_track_settings";
    assert!(done(&add(&port, &["--check", "--no-password", "--extension", all])).contains(RELOADED));
    scene.wait_for_snapshots(1, 1);
    assert!(done(&["list"]).contains("pg_track_settings"));
    let file = scene.directory().join("password");
    std::fs::write(&file, SECRET).unwrap();
    done(&["set", "1", "--alias", "x", "--coalesce", "9", "--password-file", file.to_str().unwrap()]);
    done(&["extensions", "x", "--deactivate", "pg_qualstats"]);
    done(&["extensions", "x", "--activate", "pg_qualstats"]);
    assert!(done(&["extensions", "x"]).contains("pg_qualstats"));
    done(&["disable", "x"]);
    done(&["enable", "x", "--frequency", "5"]);
    assert!(done(&["remove", "x", "--yes"]).contains(RELOADED));
    assert_eq!(scene.count("select count(*) from powa_servers where id > 0"), 0);
}

fn modules_are_switched_as_extensions_are(scene: &Scene) {
    done(scene, &["add", "--host", "db1", "--no-password"]);
    let states = || {
        let table = done(scene, &["extensions", "db1"]);
        let of = |name: &str| {
            let line = table.lines().find(|line| line.split_whitespace().next() == Some(name));
            line.unwrap_or_else(|| panic!("no {name} in\n{table}")).split_whitespace().last().unwrap().to_owned()
        };
        [of("pg_role"), of("pg_stat_all_tables"), of("hypopg")]
    };
    assert_eq!(states(), ["active", "active", "off"]);
    done(scene, &["extensions", "db1", "--deactivate", "pg_role,pg_stat_all_tables", "--activate", "hypopg"]);
    assert_eq!(states(), ["off", "off", "active"]);
    // Of which nothing is collected but its version.
    assert_eq!(listed(scene)[0]["extensions"], json!(["pg_stat_statements"]));
    done(scene, &["extensions", "db1", "--activate", "pg_role", "--activate", "pg_stat_all_tables"]);
    assert_eq!(states(), ["active", "active", "active"]);
}
