//! The command line and the configuration file, from outside.

use std::process::Output;

use lab::Registration;
use serde_json::{Value, json};

use crate::support::{Collector, SECRET, Scene, assert_no_secret, output, program, tests, wait_until};

tests![
    help_and_version_go_to_standard_output,
    without_a_file_it_says_where_it_looked,
    a_broken_file_is_named_with_all_that_is_wrong,
    a_file_in_the_home_folder_is_found,
    the_environment_overrides_the_file,
    a_wrong_variable_is_named_and_not_the_file,
    variables_that_look_like_settings_are_warned_of,
    what_is_not_json_is_told_with_its_place,
    a_reload_with_what_is_not_json_is_refused_with_its_place,
    a_variable_in_the_connection_string_is_replaced,
    the_environment_redirects_no_remote_server,
    overrides_of_nobody_are_named_at_the_start_and_by_each_reload,
    a_repository_that_cannot_be_as_the_environment_has_it_is_refused,
    a_repository_without_powa_is_refused,
    a_repository_with_a_powa_too_old_is_refused,
];

fn run(arguments: &[&str], scene: &Scene) -> Output {
    let mut collector = program();
    collector.args(arguments).env("HOME", scene.directory()).current_dir(scene.directory());
    output(&collector)
}

fn refusal(output: &Output) -> String {
    let message = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(1), "{message}");
    message
}

fn help_and_version_go_to_standard_output(scene: &Scene) {
    for flag in ["-?", "-h", "--help", "-V", "--version"] {
        let output = run(&[flag], scene);
        assert!(output.status.success(), "{flag}");
        let message = String::from_utf8(output.stdout).unwrap();
        let expected = if flag.contains('V') || flag.contains("version") { "powa-collector 0" } else { "--config" };
        assert!(message.contains(expected), "{flag}: {message}");
    }
}

fn without_a_file_it_says_where_it_looked(scene: &Scene) {
    let message = refusal(&run(&[], scene));
    let home = scene.directory();
    for place in [
        "/etc/powa-collector.conf",
        home.join(".config/powa-collector.conf").to_str().unwrap(),
        home.join(".powa-collector.conf").to_str().unwrap(),
        "./powa-collector.conf",
        "\"dsn\": \"postgresql://",
    ] {
        assert!(message.contains(place), "{place} is missing in: {message}");
    }
}

fn a_broken_file_is_named_with_all_that_is_wrong(scene: &Scene) {
    let file = scene.config_file(r#"{"repositry": {}, "debug": 3}"#);
    let message = refusal(&run(&["-c", file.to_str().unwrap()], scene));
    for part in [
        "powa-collector.conf",
        "unknown key \"repositry\"",
        "did you mean \"repository\"",
        "\"debug\" must be true or false, got 3",
    ] {
        assert!(message.contains(part), "{part} is missing in: {message}");
    }
    let message = refusal(&run(&["--config", "/nowhere/at/all"], scene));
    assert!(message.contains("/nowhere/at/all"), "{message}");
}

fn a_file_in_the_home_folder_is_found(scene: &Scene) {
    std::fs::create_dir(scene.directory().join(".config")).unwrap();
    std::fs::write(scene.directory().join(".config/powa-collector.conf"), "{}").unwrap();
    let message = refusal(&run(&[], scene));
    assert!(message.contains(".config/powa-collector.conf") && message.contains("repository.dsn"), "{message}");
}

fn the_environment_overrides_the_file(scene: &Scene) {
    let file = scene.config_file(r#"{"repository": {"dsn": "host=127.0.0.1 port=1"}}"#);
    let mut command = program();
    command.arg("-c").arg(file).env("POWA_COLLECTOR__REPOSITORY__DSN", scene.dsn("postgres"));
    let collector = Collector::run(command);
    scene.wait_until_listening(&collector);
}

fn a_wrong_variable_is_named_and_not_the_file(scene: &Scene) {
    let file = scene.config(json!({"limits": {"loads": 3}}));
    for (name, value, problem) in [
        (
            "POWA_COLLECTOR__LIMIT__LOADS",
            "3",
            "unknown key \"limit.loads\"; did you mean \"POWA_COLLECTOR__LIMITS__LOADS\"?",
        ),
        ("POWA_COLLECTOR__LIMITS__LOADS", "many", "\"limits.loads\" must be an integer from 1 to 1000, got \"many\""),
        ("POWA_COLLECTOR__REPOSITORY", SECRET, "\"repository\" must be an object, got a value of another type"),
    ] {
        let expected = format!("the environment has one error:\n  - environment variable \"{name}\": {problem}\n");
        for (arguments, begins, code) in [(&[][..], "powa-collector: ", 1), (&["status"], "powa-collector status: ", 1)]
        {
            let mut command = program();
            let output = output(command.args(arguments).arg("-c").arg(&file).env(name, value));
            let message = String::from_utf8(output.stderr).unwrap();
            assert_eq!((message, output.status.code()), (format!("{begins}{expected}"), Some(code)));
        }
        let mut check = program();
        let output = output(check.args(["check", "--json", "-c"]).arg(&file).env(name, value));
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(told["configuration"]["said"].as_str().unwrap(), expected.trim_end());
    }
}

fn variables_that_look_like_settings_are_warned_of(scene: &Scene) {
    let file = scene.config(json!({}));
    let name = "POWA_COLLECTOR_LIMITS__LOADS";
    let warning =
        format!("environment variable \"{name}\" is ignored; did you mean \"POWA_COLLECTOR__LIMITS__LOADS\"?");
    let mut command = program();
    command.arg("-c").arg(&file).env(name, SECRET);
    let collector = Collector::run(command);
    scene.wait_until_listening(&collector);
    assert_eq!(collector.logged(&warning).len(), 1);
    assert!(collector.logged(&warning)[0].contains("WARN"));
    assert_eq!(scene.ask("RELOAD", ""), "RELOAD OK OK");
    wait_until("the reload to warn, too", || collector.logged(&warning).len() == 2);

    let mut check = program();
    let output = output(check.args(["check", "--json", "-c"]).arg(&file).env(name, SECRET));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = told["configuration"]["findings"].as_array().unwrap();
    let finding = findings.iter().find(|finding| finding["what"] == "environment").unwrap();
    assert_eq!((&finding["mark"], finding["said"].as_str()), (&json!("warning"), Some(warning.as_str())));
    assert_eq!(output.status.code(), Some(0), "{told:#}");
    assert_no_secret("what check tells", [told.to_string().as_str()]);

    // Also by a command, which would work on another repository than its user means.
    let mut list = program();
    let listed = crate::support::output(
        list.args(["servers", "list", "-c"]).arg(&file).env("POWA_COLLECTOR_REPOSITORY__DSN", format!("host={SECRET}")),
    );
    let message = String::from_utf8(listed.stderr).unwrap();
    assert!(
        message.contains("WARN ") && message.contains("did you mean \"POWA_COLLECTOR__REPOSITORY__DSN\"?"),
        "{message}"
    );
    assert!(listed.status.success() && message.matches("WARN ").count() == 1, "{message}");
    assert_no_secret("what a command tells", [message.as_str()]);
    collector.stop();
}

fn what_is_not_json_is_told_with_its_place(scene: &Scene) {
    let file = scene.directory().join("powa-collector.conf");
    let cases = [
        (&br#"{"spool": {"directory": /var/tmp}}"#[..], "line 1, column 25: a string must be in double quotes"),
        (b"{}\n/* open", "line 2, column 1: the comment that begins here is not closed: \"*/\" is missing"),
        (b"{\"debug\":\n true\0}", "line 2, column 6: a NUL character is not allowed; the file may be damaged"),
        (b"", "line 1, column 1: the file is empty; it must hold a JSON object in braces: {...}"),
        (b"\xff\xfe{\0}\0", "the file is in UTF-16; save it in UTF-8"),
        (
            b"{\"debug\": true,\n \"debug\": false}",
            "line 2, column 2: the key \"debug\" appears a second time; the first one is on line 1",
        ),
    ];
    for (text, reason) in cases {
        std::fs::write(&file, text).unwrap();
        let message = refusal(&run(&["-c", file.to_str().unwrap()], scene));
        let expected = format!("configuration file \"{}\" is not valid JSON: {reason}\n", file.display());
        assert_eq!(message, format!("powa-collector: {expected}"));
        let message = String::from_utf8(run(&["check", "-c", file.to_str().unwrap()], scene).stderr).unwrap();
        assert!(message.contains(expected.trim_end()), "{message}");
    }
}

fn a_reload_with_what_is_not_json_is_refused_with_its_place(scene: &Scene) {
    let file = scene.config(json!({"limits": {"loads": 3}}));
    let valid = std::fs::read_to_string(&file).unwrap();
    let collector = scene.collector_with(json!({"limits": {"loads": 3}}));
    std::fs::write(&file, r#"{"spool": {"directory": /var/tmp}}"#).unwrap();
    let reason = format!(
        "configuration file \"{}\" is not valid JSON: line 1, column 25: a string must be in double quotes",
        file.display()
    );
    assert_eq!(scene.ask("RELOAD", ""), format!("RELOAD KO {reason}"));
    collector.wait_for_log(&format!("{reason}; keeping the previous configuration"));
    // As some editors write it.
    std::fs::write(&file, format!("\u{feff}{valid}")).unwrap();
    assert_eq!(scene.ask("RELOAD", ""), "RELOAD OK OK");
    collector.stop();
}

fn a_variable_in_the_connection_string_is_replaced(scene: &Scene) {
    let dsn = scene.dsn("postgres").replace(&scene.database, "${A_DATABASE}");
    let file = scene.config(json!({"repository": {"dsn": dsn}}));
    let message = refusal(&run(&["-c", file.to_str().unwrap()], scene));
    assert!(message.contains("\"repository.dsn\" needs the environment variable \"A_DATABASE\""), "{message}");
    let mut command = program();
    command.arg("-c").arg(file).env("A_DATABASE", &scene.database);
    let collector = Collector::run(command);
    scene.wait_until_listening(&collector);
}

fn the_environment_redirects_no_remote_server(scene: &Scene) {
    // Nobody listens there.
    const ELSEWHERE: &str = "127.0.0.9";
    let server = scene.register();
    let services = scene.directory().join("services");
    std::fs::write(&services, format!("[elsewhere]\nhostaddr={ELSEWHERE}\n")).unwrap();
    let dsn = format!("{} hostaddr={}", scene.dsn("postgres"), scene.repository_server().host());
    let file = scene.config(json!({"repository": {"dsn": dsn}}));
    for (name, value) in [("PGHOSTADDR", ELSEWHERE), ("PGSERVICE", "elsewhere")] {
        let before = scene.snapshots(server);
        let mut command = program();
        command.arg("-c").arg(&file).env("PGSERVICEFILE", &services).env(name, value);
        let collector = Collector::run(command);
        scene.wait_for_snapshots(server, before + 1);
        collector.stop();
    }
}

fn overrides_of_nobody_are_named_at_the_start_and_by_each_reload(scene: &Scene) {
    let alias = "db1.paris";
    let server = scene.register_as(Registration { alias: Some(alias), ..Registration::of(scene.remote_server()) });
    let remote = |slip: &str| json!({"remote": {"servers": {slip: {}, alias: {}, (server.to_string()): {}}}});
    let collector = scene.collector_with(remote("db1.pariss"));
    assert!(collector.wait_for_log("id or alias: [\"db1.pariss\"]").contains("WARN"));

    let warnings_after_reload = |number: usize| {
        assert_eq!(scene.ask("RELOAD", ""), "RELOAD OK OK");
        wait_until("the reload to be in the log", || collector.logged("reloaded").len() == number);
        collector.logged("\"remote.servers\" has names").len()
    };
    assert_eq!(warnings_after_reload(1), 2);
    scene.config(remote(alias));
    assert_eq!(warnings_after_reload(2), 2);

    scene.repository().execute("select powa_deactivate_server($1)", &[&server]).unwrap();
    assert_eq!(scene.ask("RELOAD", ""), "RELOAD OK OK");
    collector.wait_for_log(&format!("id or alias: [\"{server}\", \"{alias}\"]"));
}

fn a_repository_that_cannot_be_as_the_environment_has_it_is_refused(scene: &Scene) {
    let mut collector = program();
    collector.arg("-c").arg(scene.config(json!({}))).env("PGTARGETSESSIONATTRS", "standby");
    let message = refusal(&output(&collector));
    let expected = "\"repository.dsn\", with its service and the environment, is not usable: \
                    target_session_attrs is standby";
    assert!(message.contains(expected), "{message}");
}

fn a_repository_without_powa_is_refused(scene: &Scene) {
    scene.repository().batch_execute("drop extension powa cascade").unwrap();
    let message = refusal(&run(&["-c", scene.config(json!({})).to_str().unwrap()], scene));
    assert!(message.contains("extension \"powa\" is not installed") && message.contains(&scene.database), "{message}");
}

fn a_repository_with_a_powa_too_old_is_refused(scene: &Scene) {
    let pretend = "update pg_extension set extversion = '3.2.0' where extname = 'powa'";
    scene.repository().batch_execute(pretend).unwrap();
    let message = refusal(&run(&["-c", scene.config(json!({})).to_str().unwrap()], scene));
    assert!(message.contains("PoWA 3.2.0 is too old: 4.0 or newer is needed"), "{message}");
}
