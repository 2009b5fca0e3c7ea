//! The command line and the configuration file, from outside.

use std::process::Output;

use lab::Registration;
use serde_json::json;

use crate::support::{Collector, Scene, output, program, tests, wait_until};

tests![
    help_and_version_go_to_standard_output,
    without_a_file_it_says_where_it_looked,
    a_broken_file_is_named_with_all_that_is_wrong,
    a_file_in_the_home_folder_is_found,
    the_environment_overrides_the_file,
    a_variable_in_the_connection_string_is_replaced,
    the_environment_redirects_no_remote_server,
    overrides_of_nobody_are_named_at_the_start_and_by_each_reload,
    a_repository_that_cannot_be_as_the_environment_has_it_is_refused,
    a_repository_without_powa_is_refused,
    a_repository_with_a_powa_too_old_is_refused,
];

fn run(arguments: &[&str], scene: &Scene) -> Output {
    let mut collector = program();
    collector.args(arguments).env("HOME", scene.folder()).current_dir(scene.folder());
    output(&collector)
}

fn refusal(output: &Output) -> String {
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    said
}

fn help_and_version_go_to_standard_output(scene: &Scene) {
    for flag in ["-?", "-h", "--help", "-V", "--version"] {
        let output = run(&[flag], scene);
        assert!(output.status.success(), "{flag}");
        let said = String::from_utf8(output.stdout).unwrap();
        let expected = if flag.contains('V') || flag.contains("version") { "powa-collector 0" } else { "--config" };
        assert!(said.contains(expected), "{flag}: {said}");
    }
}

fn without_a_file_it_says_where_it_looked(scene: &Scene) {
    let said = refusal(&run(&[], scene));
    let home = scene.folder();
    for place in [
        "/etc/powa-collector.conf",
        home.join(".config/powa-collector.conf").to_str().unwrap(),
        home.join(".powa-collector.conf").to_str().unwrap(),
        "./powa-collector.conf",
        "\"dsn\": \"postgresql://",
    ] {
        assert!(said.contains(place), "{place} is missing in: {said}");
    }
}

fn a_broken_file_is_named_with_all_that_is_wrong(scene: &Scene) {
    let file = scene.config_file(r#"{"repositry": {}, "debug": 3}"#);
    let said = refusal(&run(&["-c", file.to_str().unwrap()], scene));
    for part in
        ["powa-collector.conf", "\"repositry\"", "did you mean \"repository\"", "\"debug\" is 3", "true or false"]
    {
        assert!(said.contains(part), "{part} is missing in: {said}");
    }
    let said = refusal(&run(&["--config", "/nowhere/at/all"], scene));
    assert!(said.contains("/nowhere/at/all"), "{said}");
}

fn a_file_in_the_home_folder_is_found(scene: &Scene) {
    std::fs::create_dir(scene.folder().join(".config")).unwrap();
    std::fs::write(scene.folder().join(".config/powa-collector.conf"), "{}").unwrap();
    let said = refusal(&run(&[], scene));
    assert!(said.contains(".config/powa-collector.conf") && said.contains("repository.dsn"), "{said}");
}

fn the_environment_overrides_the_file(scene: &Scene) {
    let file = scene.config_file(r#"{"repository": {"dsn": "host=127.0.0.1 port=1"}}"#);
    let mut command = program();
    command.arg("-c").arg(file).env("POWA_COLLECTOR__REPOSITORY__DSN", scene.dsn("postgres"));
    let collector = Collector::run(command);
    scene.wait_until_listening(&collector);
}

fn a_variable_in_the_connection_string_is_replaced(scene: &Scene) {
    let dsn = scene.dsn("postgres").replace(&scene.database, "${A_DATABASE}");
    let file = scene.config(json!({"repository": {"dsn": dsn}}));
    let said = refusal(&run(&["-c", file.to_str().unwrap()], scene));
    assert!(said.contains("\"repository.dsn\" needs the environment variable \"A_DATABASE\""), "{said}");
    let mut command = program();
    command.arg("-c").arg(file).env("A_DATABASE", &scene.database);
    let collector = Collector::run(command);
    scene.wait_until_listening(&collector);
}

fn the_environment_redirects_no_remote_server(scene: &Scene) {
    // Nobody listens there.
    const ELSEWHERE: &str = "127.0.0.9";
    let server = scene.register();
    let services = scene.folder().join("services");
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
    assert!(collector.wait_to_say("id or alias: [\"db1.pariss\"]").contains("WARN"));

    let warnings_after_reload = |number: usize| {
        assert_eq!(scene.ask("RELOAD", ""), "RELOAD OK OK");
        wait_until("the reload to be in the log", || collector.said("reloaded").len() == number);
        collector.said("\"remote.servers\" has names").len()
    };
    assert_eq!(warnings_after_reload(1), 2);
    scene.config(remote(alias));
    assert_eq!(warnings_after_reload(2), 2);

    scene.repository().execute("select powa_deactivate_server($1)", &[&server]).unwrap();
    assert_eq!(scene.ask("RELOAD", ""), "RELOAD OK OK");
    collector.wait_to_say(&format!("id or alias: [\"{server}\", \"{alias}\"]"));
}

fn a_repository_that_cannot_be_as_the_environment_has_it_is_refused(scene: &Scene) {
    let mut collector = program();
    collector.arg("-c").arg(scene.config(json!({}))).env("PGTARGETSESSIONATTRS", "standby");
    let said = refusal(&output(&collector));
    let expected = "what \"repository.dsn\", its service and the environment say of the connection cannot be used: \
                    target_session_attrs is standby";
    assert!(said.contains(expected), "{said}");
}

fn a_repository_without_powa_is_refused(scene: &Scene) {
    scene.repository().batch_execute("drop extension powa cascade").unwrap();
    let said = refusal(&run(&["-c", scene.config(json!({})).to_str().unwrap()], scene));
    assert!(said.contains("extension \"powa\" is not installed") && said.contains(&scene.database), "{said}");
}

fn a_repository_with_a_powa_too_old_is_refused(scene: &Scene) {
    let pretend = "update pg_extension set extversion = '3.2.0' where extname = 'powa'";
    scene.repository().batch_execute(pretend).unwrap();
    let said = refusal(&run(&["-c", scene.config(json!({})).to_str().unwrap()], scene));
    assert!(said.contains("PoWA 3.2.0 is too old: 4.0 or newer is needed"), "{said}");
}
