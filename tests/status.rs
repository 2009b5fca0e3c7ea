//! The output of `status`, with and without a collector that answers.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use lab::{Proxy, Registration};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::{Printed, Scene, Stopwatch, Terminal, operate, program, tests, wait_for, wait_until};

tests![
    every_server_is_there_with_what_is_wrong,
    servers_can_be_named_in_any_way,
    #[timed]
    without_a_collector_it_says_so_at_once_and_shows_what_the_repository_knows,
    a_collector_that_does_not_answer_is_told_from_none,
    a_role_that_may_not_ask_learns_what_it_needs,
    any_number_of_servers_is_shown,
    what_only_the_daemon_may_read_is_not_needed,
    it_looks_again_and_again,
    on_a_terminal_it_is_redrawn,
    a_repository_that_is_away_for_a_while_does_not_end_it,
    a_reader_who_has_left_ends_it_while_the_repository_is_away_too,
];

fn json_of(printed: &Printed) -> Value {
    serde_json::from_str(&printed.text).unwrap_or_else(|error| panic!("{error}: {printed:?}"))
}

/// What is shown of a server.
fn shown(overview: &Value, id: i32) -> &Value {
    overview["servers"].as_array().unwrap().iter().find(|server| server["id"] == id).unwrap()
}

fn every_server_is_there_with_what_is_wrong(scene: &Scene) {
    let good = scene.register_as(Registration { alias: Some("good"), ..Registration::of(scene.remote_server()) });
    let away =
        scene.register_as(Registration { port: 1, alias: Some("away"), ..Registration::of(scene.remote_server()) });
    let off = scene.register_as(Registration { port: 2, ..Registration::of(scene.remote_server()) });
    scene.repository().execute("select powa_deactivate_server($1)", &[&off]).unwrap();
    let _collector = scene.collector();
    scene.wait_for_snapshots(good, 1);
    scene.wait_for_status(away, "no connection to remote server");
    let config = scene.config(json!({}));

    let overview = wait_for("the first report", || {
        let overview = json_of(&operate(&config, &["status", "--json"]));
        (!shown(&overview, good)["snapshot"].is_null()).then_some(overview)
    });
    assert_eq!(overview["unanswered"], Value::Null);
    let name = overview["collectors"][0]["name"].as_str().unwrap();
    assert!(name.starts_with("PoWA collector - main thread (0."), "{name}");
    let server = shown(&overview, good);
    assert_eq!(
        (&server["state"], &server["frequency"], &server["error"]),
        (&json!("running"), &json!(5), &Value::Null)
    );
    assert_eq!((&server["alias"], &server["address"]), (&json!("good"), &json!(address(scene))));
    assert!(server["age"].as_f64().unwrap() < 60.0 && server["next"].is_string(), "{server}");
    let snapshot = &server["snapshot"];
    assert!(snapshot["rows"].as_u64() > Some(0) && snapshot["datasources"].as_u64() > Some(0), "{snapshot}");
    let server = shown(&overview, away);
    assert_eq!(server["state"], "no connection to remote server");
    assert!(server["error"].as_str().unwrap().contains("could not connect to"), "{server}");
    assert_eq!((&server["age"], &server["snapshot"]), (&Value::Null, &Value::Null));
    let server = shown(&overview, off);
    assert_eq!((&server["state"], &server["frequency"]), (&json!("off"), &Value::Null));

    let printed = operate(&config, &["status"]);
    assert_eq!((printed.code, printed.errors.as_str()), (0, ""));
    let lines: Vec<_> = printed.text.lines().collect();
    assert!(lines[0].starts_with(name), "{}", printed.text);
    let heading = lines[2];
    assert!(heading.starts_with("SERVER ") && heading.ends_with("LAST ERROR"), "{heading}");
    let words = |name: &str| lines.iter().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{lines:?}"));
    assert!(words("away").contains("no connection to remote server"), "{lines:?}");
    assert!(words("good").contains(" ago "), "{lines:?}");
    assert!(!printed.text.contains('\u{1b}'), "colours without a terminal");
}

fn address(scene: &Scene) -> String {
    format!("{}:{}", scene.remote_server().host(), scene.remote_server().port())
}

fn servers_can_be_named_in_any_way(scene: &Scene) {
    let server = scene.register_as(Registration { alias: Some("main one"), ..Registration::of(scene.remote_server()) });
    scene.register_as(Registration { port: 1, ..Registration::of(scene.remote_server()) });
    let _collector = scene.collector();
    let config = scene.config(json!({}));
    for name in [server.to_string(), "main one".into(), address(scene)] {
        let overview = json_of(&operate(&config, &["status", "--json", &name]));
        let ids: Vec<_> = overview["servers"].as_array().unwrap().iter().map(|server| &server["id"]).collect();
        assert_eq!(ids, [server], "{name}");
    }
    let printed = operate(&config, &["status", "main_one"]);
    assert_eq!((printed.code, printed.text.as_str()), (1, ""));
    assert!(printed.errors.contains("no server \"main_one\" is registered"), "{}", printed.errors);
    assert!(printed.errors.contains("did you mean \"main one\"?"), "{}", printed.errors);
}

fn without_a_collector_it_says_so_at_once_and_shows_what_the_repository_knows(scene: &Scene) {
    let server = scene.register();
    let collector = scene.collector();
    scene.wait_for_snapshots(server, 1);
    collector.stop();
    let config = scene.config(json!({}));
    let stopwatch = Stopwatch::start();
    let printed = operate(&config, &["status", "--json"]);
    let took = stopwatch.elapsed();
    assert_eq!(printed.code, 1);
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert!(printed.errors.contains("no collector is connected to the repository: start one"), "{}", printed.errors);
    let overview = json_of(&printed);
    assert_eq!(overview["collectors"], json!([]));
    assert!(overview["unanswered"].as_str().unwrap().contains("no collector"), "{overview}");
    let server = shown(&overview, server);
    assert_eq!(server["state"], "unknown");
    assert!(server["age"].is_number(), "{server}");
}

fn a_collector_that_does_not_answer_is_told_from_none(scene: &Scene) {
    let collector = scene.collector();
    let config = scene.config(json!({}));
    collector.signal(Signal::STOP);
    let printed = operate(&config, &["status"]);
    collector.signal(Signal::CONT);
    assert_eq!(printed.code, 1);
    assert!(printed.errors.contains("is connected to the repository but did not answer"), "{}", printed.errors);
    collector.stop();
}

fn a_role_that_may_not_ask_learns_what_it_needs(scene: &Scene) {
    scene.register();
    let _collector = scene.collector();
    let role = scene.create_role("onlooker", "");
    let grant = format!("grant select on powa_servers, powa_snapshot_metas to {role}");
    scene.repository().batch_execute(&grant).unwrap();
    let config = scene.config_file(&json!({"repository": {"dsn": scene.dsn(&role)}}).to_string());
    let printed = operate(&config, &["status"]);
    assert_eq!(printed.code, 1);
    assert!(
        printed.errors.contains("permission denied") && printed.errors.contains("pg_signal_backend"),
        "{printed:?}"
    );
}

fn any_number_of_servers_is_shown(scene: &Scene) {
    let many = "insert into powa_servers (hostname, port, username, dbname, frequency)
        select '127.0.0.1', 2000 + i, 'nobody', 'a name that is long enough to fill notifications', 300
        from generate_series(1, 300) i";
    scene.repository().batch_execute(many).unwrap();
    let _collector = scene.collector();
    let printed = operate(&scene.config(json!({})), &["status", "--json"]);
    let overview = json_of(&printed);
    let servers = overview["servers"].as_array().unwrap();
    assert_eq!(servers.len(), 300);
    let answered = |server: &&Value| server["state"] == "no connection to remote server" && server["phase"].is_string();
    assert_eq!(servers.iter().filter(answered).count(), 300, "{}", printed.text);
}

fn it_looks_again_and_again(scene: &Scene) {
    let server = scene.register();
    let _collector = scene.collector();
    let mut command = program();
    command.arg("--config").arg(scene.config(json!({}))).args(["status", "--watch", "--json"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().take(2);
    let looks: Vec<Value> = lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
    // Nobody reads any more, as with "| head".
    let status = wait_for("its end", || child.try_wait().unwrap());
    assert!(status.success(), "{status}");
    assert!(looks.iter().all(|look| shown(look, server)["phase"].is_string()), "{looks:?}");
    assert_eq!(looks.len(), 2);
}

fn on_a_terminal_it_is_redrawn(scene: &Scene) {
    scene.register_as(Registration { alias: Some("blue"), ..Registration::of(scene.remote_server()) });
    let _collector = scene.collector();
    let program = program();
    let typed = format!("{} -c {} status --watch", program.get_program().display(), scene.config(json!({})).display());
    // It is ended with the program that makes the terminal.
    let mut terminal = std::process::Command::new("script");
    terminal.args(["--quiet", "--return", "--flush", "--command", &typed, "/dev/null"]).env("TERM", "xterm");
    let mut child = terminal.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let mut cleared = 0;
    let mut text = String::new();
    for line in output.lines().map_while(Result::ok) {
        cleared += line.matches("\u{1b}[2J").count();
        text += &line;
        if cleared == 3 {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(cleared, 3, "{text}");
    assert!(text.contains("blue") && text.contains("\u{1b}[1mSERVER"), "{text}");
}

fn a_reader_who_has_left_ends_it_while_the_repository_is_away_too(scene: &Scene) {
    let proxy = Proxy::to(scene.repository_server()).unwrap();
    let _collector = scene.collector();
    let config = scene.config(scene.through(&proxy));
    let mut command = program();
    command.arg("--config").arg(config).args(["status", "--watch", "--json"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    assert!(output.read_line(&mut String::new()).unwrap() > 0);
    proxy.refuse();
    proxy.cut();
    let mut errors = BufReader::new(child.stderr.take().unwrap());
    let mut error = String::new();
    errors.read_line(&mut error).unwrap();
    assert!(error.starts_with("powa-collector status: "), "{error}");
    assert!(child.try_wait().unwrap().is_none());
    drop(output);
    let status = wait_for("its end", || child.try_wait().unwrap());
    assert!(status.success(), "{status}");
}

fn a_repository_that_is_away_for_a_while_does_not_end_it(scene: &Scene) {
    let server = scene.register_as(Registration { alias: Some("blue"), ..Registration::of(scene.remote_server()) });
    let config = scene.config(json!({}));
    let mut watching = program();
    watching.arg("--config").arg(&config).args(["status", "--watch"]);
    let mut terminal = Terminal::run(&watching, 100);
    let mut piped = Command::new("timeout");
    piped.arg("60").arg(watching.get_program()).args(watching.get_args()).arg("--json");
    let mut piped = piped.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut looks = BufReader::new(piped.stdout.take().unwrap()).lines();
    let mut reasons = BufReader::new(piped.stderr.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<Value>(&looks.next().unwrap().unwrap()).unwrap();
    assert!(shown(&next(), server)["alias"] == "blue");
    terminal.wait_to_show("blue");

    let mut postgres = scene.repository_server().connect("postgres").unwrap();
    let open = format!("alter database \"{}\" allow_connections", scene.database.replace('"', "\"\""));
    postgres.batch_execute(&format!("{open} false")).unwrap();
    let end = "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1";
    postgres.execute(end, &[&scene.database]).unwrap();
    let looked_in_vain = |terminal: &Terminal| terminal.screen().matches("The state ").count();
    wait_until("several looks in vain", || looked_in_vain(&terminal) >= 3);
    let last_screen = |terminal: &Terminal| terminal.screen().rsplit("\u{1b}[2J").next().unwrap().to_owned();
    let screen = last_screen(&terminal);
    assert!(screen.contains("is not currently accepting connections") && screen.contains("blue"), "{screen}");
    wait_for("the reason", || {
        let reason = reasons.next().unwrap().unwrap();
        reason.contains("is not currently accepting connections").then_some(())
    });

    postgres.batch_execute(&format!("{open} true")).unwrap();
    wait_until("the table to come back", || {
        let screen = last_screen(&terminal);
        screen.contains("blue") && !screen.contains("The state ")
    });
    // What was on its way before it was closed is older than the last one.
    let looks = [next(), next(), next()];
    // Which ends the program that it has started, too.
    kill_process(Pid::from_child(&piped), Signal::TERM).unwrap();
    piped.wait().unwrap();
    assert!(looks.iter().all(|look| shown(look, server)["alias"] == "blue"), "{looks:?}");
    terminal.press("\u{3}");
    assert!(!terminal.end().0.success());
}

fn what_only_the_daemon_may_read_is_not_needed(scene: &Scene) {
    scene.register();
    let _collector = scene.collector();
    let http = json!({"listen": "127.0.0.1:0", "tokens_file": scene.directory().join("of another user's")});
    let printed = operate(&scene.config(json!({"http": http})), &["status"]);
    assert_eq!((printed.code, printed.errors.as_str()), (0, ""));
}
