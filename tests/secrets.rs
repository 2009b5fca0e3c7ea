//! No password is in any log, error or answer. Every test checks that; the tests here provoke leaks.

use std::process::Command;

use lab::Registration;
use serde_json::json;

use crate::support::{SECRET, Scene, assert_no_secret, output, program, tests};

tests![
    no_password_is_ever_logged_or_stored,
    a_configuration_is_refused_without_its_password,
    no_command_tells_a_password_however_much_it_tells,
];

fn no_password_is_ever_logged_or_stored(scene: &Scene) {
    let [good, bad] = [format!("{SECRET}-good"), format!("{SECRET}-bad")];
    let role = format!("guarded_{}", scene.number());
    let guarded = format!("create role {role} login superuser password '{good}' in role password_required");
    let mut remote = scene.remote("powa");
    scene.repository().batch_execute(&guarded).unwrap();
    remote.batch_execute(&guarded).unwrap();
    let registration =
        Registration { username: &role, password: Some(&good), ..Registration::of(scene.remote_server()) };
    let server = scene.register_as(registration.clone());
    let other = Registration { hostname: "localhost", password: Some(&bad), ..registration };
    let refused = scene.register_as(other);

    let dsn = format!("{} password={good}", scene.dsn(&role));
    let collector = scene.verbose_collector(json!({"debug": true, "repository": {"dsn": dsn}}));
    scene.wait_for_snapshots(server, 1);
    scene.wait_for_error(refused, "password authentication failed");
    scene.ask("RELOAD", "");
    collector.stop();
    assert!(!collector.logged(" DEBUG ").is_empty(), "it logs all there is");
    remote.batch_execute(&format!("drop role {role}")).unwrap();
}

fn a_configuration_is_refused_without_its_password(scene: &Scene) {
    let dsns = [
        format!("host=127.0.0.1 port=1 password={SECRET} nonsense=1"),
        format!("host=127.0.0.1 port=1 password=my {SECRET}=1"),
        format!("host=127.0.0.1 port=1 password='{SECRET}"),
        format!("host=127.0.0.1 port={SECRET}"),
        format!("postgresql://u:p@{SECRET}@127.0.0.1:1/d"),
        format!("postgresql://u:p@{SECRET}/x@127.0.0.1:1/d"),
        format!("postgresql://127.0.0.1:1/d?user=u&password=p@{SECRET}"),
        format!("postgresql://u:{SECRET}@127.0.0.1:1/d?sslmode={SECRET}"),
    ];
    let refused = |command: &mut Command, what: &str| {
        let output = output(command);
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{what}: {message}");
        assert_no_secret(what, [message.as_str()]);
    };
    let with = |file: &std::path::Path| {
        let mut command = program();
        command.env("RUST_LOG", "trace").arg("-c").arg(file);
        command
    };
    for dsn in &dsns {
        let file = scene.config_file(&json!({"repository": {"dsn": dsn}}).to_string());
        refused(&mut with(&file), &format!("the refusal of a file with {dsn}"));
        let file = scene.config_file("{}");
        for name in ["POWA_COLLECTOR__REPOSITORY__DSN", "POWA_COLLECTOR__REPOSITORY", "POWA_COLLECTOR__DSN"] {
            refused(with(&file).env(name, dsn), &format!("the refusal of {name}={dsn}"));
        }
        // Where it does not belong.
        for broken in [
            json!(dsn),
            json!([dsn]),
            json!({"repository": dsn}),
            json!({"repository": {"dsn": [dsn]}}),
            json!({"repository": {"dsn": {"password": dsn}}}),
            json!({"repository": {"password": dsn}}),
            json!({"repository": {"dsn": "host=127.0.0.1"}, "password": dsn}),
        ] {
            let file = scene.config_file(&broken.to_string());
            refused(&mut with(&file), &format!("the refusal of {broken}"));
        }
        let file = scene.config_file(&format!("{{\"repository\": {{\"dsn\": \"{dsn}\" {SECRET} }}}}"));
        refused(&mut with(&file), "the refusal of a broken file");
    }

    let collector = scene.verbose_collector(json!({}));
    for dsn in &dsns {
        scene.config(json!({"repository": {"dsn": dsn}}));
        let answer = scene.ask("RELOAD", "");
        assert!(answer.starts_with("RELOAD KO "), "{dsn}: {answer}");
    }
    collector.stop();
}

fn no_command_tells_a_password_however_much_it_tells(scene: &Scene) {
    let file = scene.directory().join("password");
    std::fs::write(&file, format!("{SECRET}-registered")).unwrap();
    let config = scene.config(json!({}));
    let file = file.to_str().unwrap();
    for arguments in [
        vec!["servers", "add", "--host", "127.0.0.1", "--port", "1", "--password-file", file],
        vec!["servers", "set", "1", "--password-file", file],
        vec!["check"],
        vec!["status"],
    ] {
        let mut command = program();
        command.env("RUST_LOG", "trace").arg("-c").arg(&config).args(&arguments);
        let output = output(&command);
        let message = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        assert_no_secret(arguments[0], message.iter().map(String::as_str));
    }
    assert_eq!(scene.count("select count(*) from powa_servers where password like '%-registered'"), 1);
}
