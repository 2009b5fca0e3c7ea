//! Notifications to a service manager such as systemd, which never block.

use std::process::Command;
use std::time::Duration;

use lab::Proxy;
use rustix::fs::{CWD, Mode, mkfifoat};
use rustix::process::Signal;
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

use crate::support::{Collector, Listening, Scene, ServiceManager, output, program, tests, wait_until};

tests![
    a_start_a_reload_and_a_stop_are_told,
    a_reload_by_a_command_is_told_and_one_that_fails_is_over_too,
    what_the_unit_runs_to_reload_reloads,
    it_is_told_how_many_servers_are_running,
    a_repository_that_is_away_is_said_to_be_waited_for,
    a_repository_that_keeps_silent_does_not_keep_the_start_from_being_done,
    a_start_that_fails_is_never_ready,
    while_it_runs_it_gives_signs_of_life_and_none_while_it_is_stopped,
    a_file_that_hangs_holds_up_nobody_while_the_repository_is_waited_for,
    a_file_that_hangs_ends_the_start_with_a_word,
    a_manager_that_does_not_listen_is_not_waited_for,
    a_manager_that_is_not_there_is_no_problem,
    a_manager_at_an_abstract_address_is_told,
];

/// Longer than any test.
const NO_WATCHDOG: Duration = Duration::from_secs(3600);
const WATCHDOG: Duration = Duration::from_millis(400);

fn collector(scene: &Scene, manager: &ServiceManager, watchdog: Duration, more: Value) -> Collector {
    Collector::run(command(scene, manager, watchdog, more))
}

fn command(scene: &Scene, manager: &ServiceManager, watchdog: Duration, more: Value) -> Command {
    let mut command = program();
    command.arg("-c").arg(scene.config(more));
    manager.starts(&mut command, watchdog);
    command
}

/// As systemd reads it.
fn now() -> i64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec * 1_000_000 + now.tv_nsec / 1_000
}

fn assert_reload_since(before: i64, message: &str) {
    let at = message.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap_or_else(|| panic!("{message:?}"));
    let at: i64 = at.trim_end().parse().unwrap();
    assert!((before..=now()).contains(&at), "{before} {at}");
}

fn a_start_a_reload_and_a_stop_are_told(scene: &Scene) {
    let manager = ServiceManager::new();
    let collector = collector(scene, &manager, NO_WATCHDOG, json!({"timeouts": {"stop": 20}}));
    assert_eq!(manager.hear(), "STATUS=connecting to the repository\n");
    assert_eq!(manager.hear(), "READY=1\n");
    // It is at work already. Who reads the log may be later than who hears this.
    collector.wait_for_log(" ready ");
    assert_eq!(manager.hear(), "STATUS=0 servers, 0 running\n");
    for _ in 0..2 {
        let before = now();
        collector.signal(Signal::HUP);
        assert_reload_since(before, &manager.hear());
        assert_eq!(manager.hear(), "READY=1\n");
    }
    collector.signal(Signal::TERM);
    assert_eq!(manager.hear(), "STOPPING=1\nEXTEND_TIMEOUT_USEC=25000000\n");
    assert!(collector.wait().0.success());
}

fn a_reload_by_a_command_is_told_and_one_that_fails_is_over_too(scene: &Scene) {
    let manager = ServiceManager::new();
    let _collector = collector(scene, &manager, NO_WATCHDOG, json!({}));
    manager.wait_for("STATUS=0 servers");
    let before = now();
    assert_eq!(scene.ask("RELOAD", ""), "RELOAD OK OK");
    assert_reload_since(before, &manager.hear());
    assert_eq!(manager.hear(), "READY=1\n");

    scene.config_file("{");
    let before = now();
    let answer = scene.ask("RELOAD", "");
    assert!(answer.starts_with("RELOAD KO "), "{answer}");
    assert_reload_since(before, &manager.hear());
    assert_eq!(manager.hear(), "READY=1\n");
}

/// With any systemd: those before 253 do not know the type "notify-reload", and without `ExecReload=` refuse to reload.
fn what_the_unit_runs_to_reload_reloads(scene: &Scene) {
    let unit = include_str!("../dist/powa-collector.service");
    let of = |key| unit.lines().filter_map(move |line| line.strip_prefix(key)).collect::<Vec<_>>();
    assert_eq!(of("Type="), ["notify"]);
    let [reload] = of("ExecReload=")[..] else { panic!("{unit}") };
    let command = reload.strip_prefix("/bin/sh -c '").and_then(|rest| rest.strip_suffix('\'')).unwrap();
    let manager = ServiceManager::new();
    let collector = collector(scene, &manager, NO_WATCHDOG, json!({}));
    manager.wait_for("STATUS=0 servers");
    let before = now();
    let pid = collector.pid().to_string();
    assert!(output(Command::new("/bin/sh").args(["-c", command]).env("MAINPID", pid)).status.success());
    assert_reload_since(before, &manager.hear());
    assert_eq!(manager.hear(), "READY=1\n");
}

fn it_is_told_how_many_servers_are_running(scene: &Scene) {
    scene.register();
    let nobody = lab::Registration { port: 1, ..lab::Registration::of(scene.remote_server()) };
    scene.register_as(nobody);
    let manager = ServiceManager::new();
    let _collector = collector(scene, &manager, NO_WATCHDOG, json!({}));
    manager.wait_for("STATUS=2 servers, 1 running, last snapshot ");
}

fn a_repository_that_is_away_is_said_to_be_waited_for(scene: &Scene) {
    let proxy = Proxy::to(scene.repository_server()).unwrap();
    proxy.refuse();
    let manager = ServiceManager::new();
    let collector = collector(scene, &manager, WATCHDOG, scene.through(&proxy));
    assert_eq!(manager.hear(), "STATUS=connecting to the repository\n");
    let message = manager.hear();
    assert!(message.starts_with("STATUS=waiting for the repository: could not connect to"), "{message:?}");
    assert_eq!(manager.hear(), "READY=1\n");
    // All that is ready is as it was, so it can be reloaded, and is watched.
    let before = now();
    collector.signal(Signal::HUP);
    assert_reload_since(before, &manager.hear());
    assert_eq!(manager.hear(), "READY=1\n");
    for _ in 0..4 {
        manager.wait_for("WATCHDOG=1\n");
    }
    proxy.accept().unwrap();
    assert_eq!(manager.hear(), "READY=1\n");
    assert_eq!(manager.hear(), "STATUS=0 servers, 0 running\n");
    collector.signal(Signal::TERM);
    manager.wait_for("STOPPING=1\n");
    assert!(collector.wait().0.success());

    proxy.refuse();
    let waiting = self::collector(scene, &manager, NO_WATCHDOG, scene.through(&proxy));
    manager.wait_for("READY=1\n");
    waiting.signal(Signal::TERM);
    manager.wait_for("STOPPING=1\n");
    assert!(waiting.wait().0.success());
}

fn a_repository_that_keeps_silent_does_not_keep_the_start_from_being_done(scene: &Scene) {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port().to_string();
    let manager = ServiceManager::new();
    let dsn = scene.dsn_at("127.0.0.1", &port, "postgres");
    let more = json!({"repository": {"dsn": dsn}, "timeouts": {"connect": 3600}});
    let _collector = collector(scene, &manager, NO_WATCHDOG, more);
    assert_eq!(manager.hear(), "STATUS=connecting to the repository\n");
    assert_eq!(manager.hear(), "READY=1\n");
}

fn a_start_that_fails_is_never_ready(scene: &Scene) {
    let manager = ServiceManager::new();
    let nobody = scene.dsn(&format!("nobody {}", scene.number()).replace(' ', "_"));
    let collector = collector(scene, &manager, NO_WATCHDOG, json!({"repository": {"dsn": nobody}}));
    assert_eq!(collector.wait().0.code(), Some(1));
    let message: Vec<_> = std::iter::from_fn(|| manager.hear_within(Duration::from_millis(1))).collect();
    let expected = ["STATUS=connecting to the repository\n", "WATCHDOG=1\n"];
    assert!(message.iter().all(|message| expected.contains(&message.as_str())), "{message:?}");
}

fn while_it_runs_it_gives_signs_of_life_and_none_while_it_is_stopped(scene: &Scene) {
    let manager = ServiceManager::new();
    let collector = collector(scene, &manager, WATCHDOG, json!({}));
    manager.wait_for("READY=1\n");
    for _ in 0..5 {
        manager.wait_for("WATCHDOG=1\n");
    }
    collector.signal(Signal::STOP);
    let status = format!("/proc/{}/status", collector.pid());
    wait_until("it to be stopped", || std::fs::read_to_string(&status).unwrap().contains("State:\tT"));
    manager.signs_of_life_so_far();
    assert_eq!(manager.hear_within(WATCHDOG * 3), None);
    collector.signal(Signal::CONT);
    manager.wait_for("WATCHDOG=1\n");
}

fn a_file_that_hangs_holds_up_nobody_while_the_repository_is_waited_for(scene: &Scene) {
    let proxy = Proxy::to(scene.repository_server()).unwrap();
    proxy.refuse();
    let manager = ServiceManager::new();
    let mut config = scene.through(&proxy);
    config["timeouts"] = json!({"connect": 5});
    let collector = collector(scene, &manager, WATCHDOG, config);
    manager.wait_for("READY=1\n");
    let file = scene.directory().join("powa-collector.conf");
    let text = std::fs::read(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    mkfifoat(CWD, &file, Mode::RUSR | Mode::WUSR).unwrap();
    collector.signal(Signal::HUP);
    manager.wait_for("RELOADING=1\n");
    for _ in 0..4 {
        manager.wait_for("WATCHDOG=1\n");
    }
    // What is asked for meanwhile is done afterwards, with the file as it is then.
    collector.signal(Signal::HUP);
    let mended = scene.directory().join("mended.conf");
    std::fs::write(&mended, text).unwrap();
    std::fs::rename(&mended, &file).unwrap();
    manager.wait_for("READY=1\n");
    manager.wait_for("RELOADING=1\n");
    manager.wait_for("READY=1\n");
    collector.wait_for_log("could not read the configuration, or a file that it names, within 5 s");
    proxy.accept().unwrap();
    manager.wait_for("STATUS=0 servers");
    assert_eq!(collector.logged("keeping the previous configuration").len(), 1);
    collector.signal(Signal::TERM);
    manager.wait_for("STOPPING=1\n");
    assert!(collector.wait().0.success(), "the thread that hangs is not waited for");
}

fn a_file_that_hangs_ends_the_start_with_a_word(scene: &Scene) {
    let file = scene.directory().join("hangs.conf");
    mkfifoat(CWD, &file, Mode::RUSR | Mode::WUSR).unwrap();
    let mut command = program();
    let output = output(command.arg("-c").arg(&file));
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(message, "powa-collector: could not read the configuration, or a file that it names, within 10 s\n");
}

fn a_manager_that_does_not_listen_is_not_waited_for(scene: &Scene) {
    let manager = ServiceManager::new();
    // There is only so much room for what it does not take.
    let collector = collector(scene, &manager, Duration::from_micros(200), json!({}));
    collector.wait_for_log("could not notify the service manager");
    scene.wait_until_listening(&collector);
    assert_eq!(scene.ask("RELOAD", ""), "RELOAD OK OK");
    assert_eq!(Listening::on(scene.repository(), "me").ask("WORKERS_STATUS", ""), "WORKERS_STATUS OK {}");
    assert_eq!(collector.logged("could not notify the service manager").len(), 1, "and it is said once");
    // What it has to know is told when it listens again.
    manager.wait_for("RELOADING=1\n");
    manager.wait_for("READY=1\n");
    // And then it does not, once more.
    wait_until("no more room", || collector.logged("could not notify the service manager").len() > 1);
    collector.stop();
}

fn a_manager_that_is_not_there_is_no_problem(scene: &Scene) {
    for path in ["/nowhere/at/all", "not\u{1}a path", &"long".repeat(50)] {
        let mut command = program();
        command.arg("-c").arg(scene.config(json!({}))).env("NOTIFY_SOCKET", path).env("WATCHDOG_USEC", "20000");
        let collector = Collector::run(command);
        scene.wait_until_listening(&collector);
        assert_eq!(scene.ask("RELOAD", ""), "RELOAD OK OK");
        collector.stop();
        assert_eq!(collector.logged("WARN").len(), 1, "{path}: {:?}", collector.log());
    }
}

fn a_manager_at_an_abstract_address_is_told(scene: &Scene) {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    let name = format!("powa-collector test {} {}", std::process::id(), scene.number());
    let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let mut command = program();
    command.arg("-c").arg(scene.config(json!({}))).env("NOTIFY_SOCKET", format!("@{name}"));
    let _collector = Collector::run(command);
    let mut room = [0; 4096];
    let length = socket.recv(&mut room).unwrap();
    assert_eq!(room[..length], *b"STATUS=connecting to the repository\n");
}
