//! The log for its readers: people, the journal, and programs that read JSON.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use lab::Registration;
use serde_json::{Value, json};

use crate::support::{Collector, SECRET, Scene, output, program, tests};

tests![
    the_journal_is_written_to_in_its_own_way,
    what_is_not_the_journal_gets_the_time,
    json_can_be_read_line_by_line,
    a_start_that_fails_says_so_in_the_form_of_the_log,
    who_types_a_command_is_told_what_matters_and_not_when,
    the_log_is_coloured_by_the_rule_that_tables_go_by,
    a_filter_that_cannot_be_parsed_is_an_error_that_names_the_levels,
    a_filter_that_matches_nothing_is_warned_of_and_counts_as_none,
    an_empty_filter_is_none,
];

/// A server with a name that would be several lines, and in colour.
const NAME: &str = "first\nERROR second\u{85}\u{1b}[31mthird";

fn named(scene: &Scene) -> i32 {
    let alias = format!("{NAME} {}", scene.number());
    scene.register_as(Registration { alias: Some(&alias), ..Registration::of(scene.remote_server()) })
}

/// With standard error said to be the journal, as systemd says it; `stream` prints what is said.
fn beneath_a_journal(config: &Path, stream: &str) -> Command {
    let mut command = program();
    let collector = command.get_program().to_owned();
    let environment: Vec<_> =
        command.get_envs().map(|(name, value)| (name.to_owned(), value.map(Into::into))).collect();
    command = Command::new("sh");
    command.arg("-c").arg(format!("export JOURNAL_STREAM=\"$({stream})\"; exec \"$@\"")).arg("sh");
    command.arg(collector).arg("-c").arg(config);
    for (name, value) in environment {
        match value {
            Some::<std::ffi::OsString>(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

fn the_journal_is_written_to_in_its_own_way(scene: &Scene) {
    let server = named(scene);
    let nobody = scene.register_as(Registration { port: 1, ..Registration::of(scene.remote_server()) });
    let config = scene.config(json!({"use_server_alias": true}));
    let collector = Collector::run(beneath_a_journal(&config, "stat --dereference --format=%d:%i /dev/fd/2"));
    let taken = collector.wait_for_log("snapshot taken");
    let name = NAME.replace('\n', "\\n").replace('\u{85}', "\\u{85}").replace('\u{1b}', "\\u{1b}");
    let begins = format!("<6>server{{id={server} name=\"{name} {}\"}}: snapshot taken ", scene.number());
    assert!(taken.starts_with(&begins), "{taken}");
    let failed = collector.wait_for_log("could not connect");
    assert!(failed.starts_with(&format!("<3>server{{id={nobody} ")), "{failed}");
    collector.stop();
    let log = collector.log();
    assert!(log[0].starts_with("<6>powa-collector starts"), "{log:?}");
    let has_priority = |line: &String| ["<3>", "<4>", "<6>"].iter().any(|priority| line.starts_with(priority));
    let others: Vec<_> = log.iter().filter(|line| !has_priority(line)).collect();
    assert_eq!(others, [""; 0]);
}

fn what_is_not_the_journal_gets_the_time(scene: &Scene) {
    let config = scene.config(json!({}));
    // As when standard error was sent elsewhere by whoever was started with the journal.
    for stream in ["stat --dereference --format=%d:%i /dev/null", "echo nonsense", "echo"] {
        let collector = Collector::run(beneath_a_journal(&config, stream));
        let message = collector.wait_for_log("ready");
        assert!(message.contains("Z  INFO ready"), "{message}");
    }
}

fn json_can_be_read_line_by_line(scene: &Scene) {
    let server = named(scene);
    let mut command = program();
    command.arg("--log-format").arg("json").arg("-c").arg(scene.config(json!({"use_server_alias": true})));
    let collector = Collector::run(command);
    let taken: Value = serde_json::from_str(&collector.wait_for_log("snapshot taken")).unwrap();
    assert_eq!(taken["level"], "INFO");
    assert_eq!(taken["message"], "snapshot taken");
    assert_eq!(taken["server"], json!({"id": server, "name": format!("{NAME} {}", scene.number())}));
    assert!(taken["fields"]["rows"].as_u64().is_some_and(|rows| rows > 0), "{taken}");
    assert!(taken["fields"]["collect_ms"].is_u64(), "{taken}");
    collector.stop();
    for line in collector.log() {
        let message: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(message["timestamp"].is_string() && message["message"].is_string(), "{line}");
    }
}

fn a_start_that_fails_says_so_in_the_form_of_the_log(scene: &Scene) {
    let config = scene.config(json!({"limits": {"loads": 0, "collects": 0}}));
    let stderr_of = |format: &str| {
        let mut command = program();
        let output = output(command.arg("--log-format").arg(format).arg("-c").arg(&config));
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    let text = stderr_of("text");
    assert!(text.starts_with("powa-collector: configuration file") && text.lines().count() > 2, "{text}");
    assert_eq!(stderr_of("auto"), text);
    let journal: String = text.lines().map(|line| format!("<3>{line}\n")).collect();
    assert_eq!(stderr_of("journal"), journal);
    let json: Value = serde_json::from_str(&stderr_of("json")).unwrap();
    assert_eq!(format!("powa-collector: {}\n", json["message"].as_str().unwrap()), text);
}

fn who_types_a_command_is_told_what_matters_and_not_when(scene: &Scene) {
    scene.register();
    let stderr_of = |config: &Path| {
        let mut command = program();
        let output = output(command.arg("servers").arg("list").arg("-c").arg(config));
        assert!(output.status.success(), "{}", output.status);
        String::from_utf8(output.stderr).unwrap()
    };
    assert_eq!(stderr_of(&scene.config(json!({}))), "");
    let file = scene.directory().join("open.pgpass");
    std::fs::write(&file, format!("*:*:*:*:{SECRET}\n")).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    // Without a password in it, the file is looked at; and no password is needed.
    let dsn = scene.dsn("postgres").replace(&format!("password={SECRET}"), &format!("passfile={}", file.display()));
    let told = stderr_of(&scene.config(json!({"repository": {"dsn": dsn}})));
    assert!(told.contains("WARN ") && told.contains("open.pgpass") && told.lines().count() == 1, "{told}");
    assert!(!told.starts_with("20"), "{told}");
}

fn the_log_is_coloured_by_the_rule_that_tables_go_by(scene: &Scene) {
    scene.register();
    let config = scene.config(json!({}));
    // Neither is written to a terminal.
    for (variables, is_coloured) in [
        (&[("CLICOLOR_FORCE", "1")][..], true),
        (&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], false),
        (&[("NO_COLOR", "")], false),
    ] {
        let command = |arguments: &[&str]| {
            let mut command = program();
            command.env_remove("NO_COLOR").envs(variables.iter().copied()).args(arguments).arg("-c").arg(&config);
            command
        };
        let table = String::from_utf8(output(&command(&["servers", "list"])).stdout).unwrap();
        assert_eq!(table.contains('\x1b'), is_coloured, "{variables:?}: {table:?}");
        let collector = Collector::run(command(&[]));
        let message = collector.wait_for_log("ready");
        assert_eq!(message.contains('\x1b'), is_coloured, "{variables:?}: {message:?}");
        collector.stop();
    }
}

fn a_filter_that_cannot_be_parsed_is_an_error_that_names_the_levels(scene: &Scene) {
    let config = scene.config(json!({}));
    for (arguments, code, begins) in [
        (&[][..], 1, "powa-collector: "),
        (&["status"], 1, "powa-collector status: "),
        (&["servers", "list"], 1, "powa-collector servers list: "),
        (&["check"], 2, "powa-collector check: "),
    ] {
        let mut command = program();
        let output = output(command.args(arguments).arg("-c").arg(&config).env("RUST_LOG", "powa_collector=warning"));
        let message = String::from_utf8(output.stderr).unwrap();
        let expected = "the environment variable \"RUST_LOG\" is not valid: in \"powa_collector=warning\", the word after \"=\" \
                        is not a level; a level must be one of error, warn, info, debug, trace, off; did you mean \"warn\"?\n";
        assert_eq!((output.status.code(), message), (Some(code), format!("{begins}{expected}")), "{arguments:?}");
        assert!(output.stdout.is_empty());
    }
}

fn a_filter_that_matches_nothing_is_warned_of_and_counts_as_none(scene: &Scene) {
    scene.register_as(Registration { port: 1, ..Registration::of(scene.remote_server()) });
    let config = scene.config(json!({}));
    let warning = "in the environment variable \"RUST_LOG\", \"banana\" matches no message: ";
    for format in ["text", "journal", "json"] {
        let mut command = program();
        command.args(["--log-format", format, "-c"]).arg(&config).env("RUST_LOG", "banana");
        let collector = Collector::run(command);
        collector.wait_for_log("could not connect");
        collector.stop();
        let log = collector.log();
        let has_form = match format {
            "text" => log[0].contains(&format!("  WARN {warning}")),
            "journal" => log[0].starts_with(&format!("<4>{warning}")),
            _ => serde_json::from_str::<Value>(&log[0]).is_ok_and(|line| {
                line["level"] == "WARN" && line["message"].as_str().is_some_and(|message| message.starts_with(warning))
            }),
        };
        assert!(has_form, "{log:?}");
        assert!(collector.logged("powa-collector starts").len() == 1, "{log:?}");
    }
    let mut command = program();
    let listed = output(command.args(["servers", "list", "-c"]).arg(&config).env("RUST_LOG", "banana"));
    let message = String::from_utf8(listed.stderr).unwrap();
    assert!(listed.status.success() && message.contains("WARN in the environment variable"), "{message}");
}

fn an_empty_filter_is_none(scene: &Scene) {
    let mut command = program();
    command.arg("-c").arg(scene.config(json!({}))).env("RUST_LOG", "");
    let collector = Collector::run(command);
    assert!(collector.wait_for_log("ready").contains("INFO"), "{:?}", collector.log());
    collector.stop();
}
