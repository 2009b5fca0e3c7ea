//! Reloads: servers that are added, removed and changed, and changes of the configuration.

use std::time::Duration;

use lab::Registration;
use postgres::fallible_iterator::FallibleIterator;
use rustix::process::Signal;
use serde_json::json;

use crate::support::{Listening, Scene, Stopwatch, tests, wait_until};

tests![
    #[hurried]
    reload_starts_what_is_new_and_stops_what_has_gone,
    sighup_does_what_reload_does,
    #[hurried]
    a_new_server_is_found_without_a_reload,
    #[nightly]
    #[of_any_powa]
    a_new_server_is_found_within_a_minute,
    #[hurried]
    a_lower_frequency_takes_effect_at_once,
    a_server_that_moved_is_followed,
    #[hurried]
    #[of_any_powa]
    sighup_with_a_broken_file_is_survived,
    #[hurried]
    a_changed_configuration_is_taken_up,
    a_repository_that_moved_is_followed,
    rows_that_make_no_sense_are_named_and_the_others_go_on,
    a_column_of_another_type_is_named_and_survived,
    a_last_snapshot_at_no_time_is_one_that_is_overdue,
    #[timed]
    #[of_any_powa]
    any_number_of_reloads_is_a_few_and_everybody_is_answered,
    #[timed]
    #[of_any_powa]
    every_command_is_answered_once_while_the_channel_changes_hands,
];

fn reload_starts_what_is_new_and_stops_what_has_gone(scene: &Scene) {
    let collector = scene.collector_with(json!({"use_server_alias": true}));
    let alias = own_alias(scene);
    let server = scene.register_as(Registration { alias: Some(&alias), ..Registration::of(scene.remote_server()) });
    assert_eq!(scene.ask("RELOAD", ""), "RELOAD OK OK");
    scene.wait_for_snapshots(server, 1);
    assert!(worker_sessions(scene) > 0);

    scene.repository().execute("select powa_deactivate_server($1)", &[&server]).unwrap();
    assert_eq!(scene.ask("RELOAD", ""), "RELOAD OK OK");
    wait_until("the worker to be gone", || scene.ask("WORKERS_STATUS", "") == "WORKERS_STATUS OK {}");
    wait_until("its sessions to be gone", || worker_sessions(scene) == 0);
    let after = scene.snapshots(server);
    collector.wait_for_log("server removed");

    scene.repository().execute("update powa_servers set frequency = 5 where id = $1", &[&server]).unwrap();
    assert_eq!(scene.ask("RELOAD", ""), "RELOAD OK OK");
    scene.wait_for_snapshots(server, after + 1);
}

fn worker_sessions(scene: &Scene) -> i64 {
    let name = format!("PoWA collector - worker {}", own_alias(scene));
    let sql = "select count(*) from pg_stat_activity where application_name = $1";
    scene.remote("powa").query_one(sql, &[&name]).unwrap().get(0)
}

/// The remote server is shared: an alias tells this test's sessions from those of others.
fn own_alias(scene: &Scene) -> String {
    format!("server of {}", scene.database)
}

fn sighup_does_what_reload_does(scene: &Scene) {
    let collector = scene.collector();
    let server = scene.register();
    collector.signal(Signal::HUP);
    scene.wait_for_snapshots(server, 1);
    assert!(collector.is_running());
}

/// The same at the pace of real life.
fn a_new_server_is_found_within_a_minute(scene: &Scene) {
    a_new_server_is_found_without_a_reload(scene);
}

fn a_new_server_is_found_without_a_reload(scene: &Scene) {
    let _collector = scene.collector();
    let server = scene.register();
    scene.wait_for_snapshots(server, 1);
}

fn a_lower_frequency_takes_effect_at_once(scene: &Scene) {
    let server = scene.register_as(Registration { frequency: 86_400, ..Registration::of(scene.remote_server()) });
    let collector = scene.collector();
    scene.wait_for_snapshots(server, 1);
    scene.repository().execute("update powa_servers set frequency = 5 where id = $1", &[&server]).unwrap();
    collector.signal(Signal::HUP);
    scene.wait_for_snapshots(server, 3);
}

fn a_server_that_moved_is_followed(scene: &Scene) {
    let away = Registration { port: 1, ..Registration::of(scene.remote_server()) };
    let server = scene.register_as(away);
    let collector = scene.collector();
    scene.wait_for_status(server, "no connection to remote server");
    let error = scene.wait_for_error(server, "could not connect to 127.0.0.1:1");
    assert!(error.contains("remote server") && error.contains("refused"), "{error}");
    let port = i32::from(scene.remote_server().port());
    scene.repository().execute("update powa_servers set port = $1 where id = $2", &[&port, &server]).unwrap();
    collector.signal(Signal::HUP);
    scene.wait_for_snapshots(server, 1);
    scene.wait_for_status(server, "running");
    assert_eq!(scene.errors(server), [""; 0]);
}

fn sighup_with_a_broken_file_is_survived(scene: &Scene) {
    let server = scene.register();
    let collector = scene.collector();
    scene.config_file(r#"{"repository": {"dsn": 5}}"#);
    collector.signal(Signal::HUP);
    collector.wait_for_log("keeping the previous configuration");
    scene.wait_for_snapshots(server, 2);
}

fn a_changed_configuration_is_taken_up(scene: &Scene) {
    let alias = own_alias(scene);
    let registration = Registration { alias: Some(&alias), ..Registration::of(scene.remote_server()) };
    let server = scene.register_as(registration);
    let collector = scene.collector();
    scene.wait_for_snapshots(server, 1);
    assert_eq!(worker_sessions(scene), 0, "it is called by its address");
    scene.config(json!({"use_server_alias": true, "debug": true, "timeouts": {"connect": 5}}));
    assert_eq!(scene.ask("RELOAD", ""), "RELOAD OK OK");
    wait_until("the worker to be called by its alias", || worker_sessions(scene) > 0);
    collector.wait_for_log("DEBUG");
    // Other time-outs mean another command channel; the new one answers too.
    assert_eq!(scene.ask("RELOAD", ""), "RELOAD OK OK");
    let before = scene.snapshots(server);
    scene.wait_for_snapshots(server, before + 1);
}

fn a_repository_that_moved_is_followed(scene: &Scene) {
    let server = scene.register();
    let collector = scene.collector();
    scene.wait_for_snapshots(server, 1);
    let other = scene.another();
    let there = other.register();
    scene.config(json!({"repository": {"dsn": other.dsn("postgres")}}));
    assert_eq!(scene.ask("RELOAD", ""), "RELOAD OK OK");
    other.wait_for_snapshots(there, 1);
    assert_eq!(other.ask("WORKERS_STATUS", ""), format!("WORKERS_STATUS OK {{\"{there}\": \"running\"}}"));
    let mut repository = scene.repository();
    wait_until("the old repository to be left", || scene.sessions_of(&mut repository, "%") == 0);
    assert!(collector.is_running());
}

fn rows_that_make_no_sense_are_named_and_the_others_go_on(scene: &Scene) {
    let server = scene.register();
    let mut repository = scene.repository();
    let anything = "alter table powa_servers drop constraint powa_servers_hostname_port_key,
        drop constraint powa_servers_frequency_check, alter hostname drop not null, alter port drop not null,
        alter username drop not null, alter dbname drop not null, alter frequency drop not null";
    repository.batch_execute(anything).unwrap();
    let spoilt = [
        ("port = 0", "port must be from 1 to 65535, got 0"),
        ("port = -1", "port must be from 1 to 65535, got -1"),
        ("port = 70000", "port must be from 1 to 65535, got 70000"),
        ("port = null", "port must be from 1 to 65535, got null"),
        ("hostname = ''", "hostname must be a host name, an address or a socket directory, got an empty text"),
        ("hostname = null", "hostname must be a host name, an address or a socket directory, got null"),
        ("username = ''", "username must be the name of a role, got an empty text"),
        ("username = null", "username must be the name of a role, got null"),
        ("dbname = ''", "dbname must be the name of a database, got an empty text"),
        ("dbname = null", "dbname must be the name of a database, got null"),
        ("frequency = 1", "frequency must be 5 seconds or more, got 1"),
        ("frequency = 4", "frequency must be 5 seconds or more, got 4"),
    ];
    let fine = ["frequency = 5", "frequency = 2147483647", "alias = ''", "password = null", "alias = '\"''{}%s'"];
    let cases = spoilt.iter().copied().chain(fine.map(|change| (change, ""))).zip(10_001..);
    let mut servers = vec![server];
    let mut complaints = vec![];
    for ((change, complaint), port) in cases {
        let id = scene.register_as(Registration { port, ..Registration::of(scene.remote_server()) });
        let real = scene.remote_server().port();
        let update = format!(
            "update powa_servers set port = {real} where id = {id};
            update powa_servers set {change} where id = {id}"
        );
        repository.batch_execute(&update).unwrap();
        if complaint.is_empty() {
            servers.push(id);
        } else {
            complaints.push(format!("powa_servers row with id {id}: {complaint}"));
        }
    }
    repository.execute("update powa_servers set frequency = null where id = 0", &[]).unwrap();
    let collector = scene.collector();
    for complaint in &complaints {
        collector.wait_for_log(complaint);
    }
    assert_eq!(collector.logged("the row is ignored").len(), complaints.len());
    for id in &servers {
        scene.wait_for_snapshots(*id, 1);
    }
    assert_eq!(scene.ask("WORKERS_STATUS", "").matches("running").count(), servers.len());
    // Each is said once, however often it is looked at.
    assert_eq!(scene.ask("RELOAD", ""), "RELOAD OK OK");
    assert_eq!(collector.logged("the row is ignored").len(), complaints.len());
}

fn a_column_of_another_type_is_named_and_survived(scene: &Scene) {
    let server = scene.register();
    let mut repository = scene.repository();
    repository.batch_execute("alter table powa_servers alter port type bigint").unwrap();
    let collector = scene.collector();
    let line = collector.wait_for_log("the row is ignored");
    assert!(line.contains(&format!("id {server}: port must be an integer, got a value of type int8")), "{line}");
    assert_eq!(scene.ask("WORKERS_STATUS", ""), "WORKERS_STATUS OK {}");
    repository.batch_execute("alter table powa_servers alter port type integer").unwrap();
    collector.stop();
    scene.wait_until_nobody_is_left();
    let _collector = scene.collector();
    scene.wait_for_snapshots(server, 1);
}

fn a_last_snapshot_at_no_time_is_one_that_is_overdue(scene: &Scene) {
    let times = ["-infinity", "infinity", "now() + interval '1 year'", "now() - interval '2 days'"];
    let mut repository = scene.repository();
    let drop = "alter table powa_servers drop constraint powa_servers_hostname_port_key";
    repository.batch_execute(drop).unwrap();
    let mut servers = vec![];
    for (time, port) in times.into_iter().zip(10_001..) {
        let daily = Registration { frequency: 86_400, port, ..Registration::of(scene.remote_server()) };
        let server = scene.register_as(daily);
        let time = if time.contains("now") { time.to_owned() } else { format!("'{time}'::timestamptz") };
        let sql = format!("update powa_snapshot_metas set snapts = {time} where srvid = {server}");
        repository.batch_execute(&sql).unwrap();
        servers.push(server);
    }
    let port = i32::from(scene.remote_server().port());
    repository.execute("update powa_servers set port = $1", &[&port]).unwrap();
    let _collector = scene.collector();
    for server in servers {
        scene.wait_for_snapshots(server, 1);
    }
}

fn any_number_of_reloads_is_a_few_and_everybody_is_answered(scene: &Scene) {
    scene.wait_long_for_locks();
    let collector = scene.collector();
    let mut administrator = Listening::on(scene.repository(), "status");
    let mut senders: Vec<_> = (0..20).map(|_| scene.repository()).collect();
    let mut answers = scene.repository();
    answers.batch_execute("listen reloaded").unwrap();
    let mut lock = scene.repository();
    lock.batch_execute("begin; lock table powa_servers").unwrap();
    for number in 0..50 {
        for sender in &mut senders {
            sender.batch_execute("select pg_notify('powa_collector', 'RELOAD reloaded')").unwrap();
        }
        collector.signal(Signal::HUP);
        if number % 10 == 0 {
            let asked = Stopwatch::start();
            assert_eq!(administrator.ask("WORKERS_STATUS", ""), "WORKERS_STATUS OK {}");
            assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
        }
    }
    // What one sends is taken in its order: what is answered now came after all of these.
    let mut taken = Listening::on(scene.repository(), "taken");
    for sender in &mut senders {
        sender.batch_execute("select pg_notify('powa_collector', 'WORKERS_STATUS taken')").unwrap();
    }
    for _ in &senders {
        assert_eq!(taken.hear(Duration::from_secs(20)).as_deref(), Some("WORKERS_STATUS OK {}"));
    }
    assert_eq!(collector.logged("reloaded"), [""; 0], "it waits for the lock");
    lock.batch_execute("rollback").unwrap();
    for number in 0..1_000 {
        let answer = answers.notifications().timeout_iter(Duration::from_secs(20)).next().unwrap();
        assert_eq!(answer.unwrap_or_else(|| panic!("answer {number}")).payload(), "RELOAD OK OK");
    }
    let reloads = collector.logged("reloading").len();
    assert!((2..=3).contains(&reloads), "{reloads}");
}

fn every_command_is_answered_once_while_the_channel_changes_hands(scene: &Scene) {
    scene.wait_long_for_locks();
    let _collector = scene.collector();
    let mut administrator = Listening::on(scene.repository(), "reloaded");
    let mut listening = Listening::on(scene.repository(), "answers");
    let mut lock = scene.repository();
    let mut watching = scene.repository();
    let mut listeners = || scene.sessions_of(&mut watching, "main thread%");
    let mut sent = 0;
    let mut send = |number: usize| {
        for _ in 0..number {
            sent += 1;
            // No server has the number, so that each answer is another one.
            listening.send(&format!("FORCE_SNAPSHOT answers {}", 1_000_000 + sent));
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    for connect in [5, 6, 7] {
        scene.config(json!({"timeouts": {"connect": connect}}));
        lock.batch_execute("begin; lock table powa_servers").unwrap();
        administrator.send("RELOAD reloaded");
        // Both listen, and the reload is not done yet.
        wait_until("another channel", || listeners() == 2);
        send(50);
        lock.batch_execute("rollback").unwrap();
        wait_until("the channel before to be left", || {
            send(5);
            listeners() == 1
        });
        assert_eq!(administrator.hear(Duration::from_secs(20)).as_deref(), Some("RELOAD OK OK"));
        send(10);
    }
    let mut answers = vec![];
    while let Some(answer) = listening.hear(Duration::from_secs(if answers.len() < sent { 20 } else { 1 })) {
        answers.push(answer);
    }
    // In the order of sending, but for the moment of the change.
    answers.sort_unstable();
    let expected: Vec<_> = (1_000_001..=1_000_000 + sent)
        .map(|number| format!("FORCE_SNAPSHOT KO Server id {number} not found"))
        .collect();
    assert_eq!(answers, expected);
    assert_eq!(administrator.hear(Duration::from_millis(300)), None);
}

impl Scene<'_> {
    /// The collector respects a limit that is set for the database.
    fn wait_long_for_locks(&self) {
        let database = self.database.replace('"', "\"\"");
        let sql = format!("alter database \"{database}\" set lock_timeout = '30s'");
        self.repository().batch_execute(&sql).unwrap();
    }
}
