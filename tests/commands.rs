//! The command channel, as powa-web and psql use it: each command, each refusal, and the permissions.

use std::time::Duration;

use lab::Registration;
use postgres::{Client, NoTls};
use rustix::process::Signal;
use serde_json::json;

use crate::support::{Listening, Scene, tests, wait_until};

tests![
    #[of_any_powa] workers_status_tells_of_all_of_one_and_of_none,
    #[of_any_powa] workers_status_without_a_channel_is_ignored,
    #[of_any_powa] reload_is_answered,
    #[of_any_powa] reload_with_a_broken_file_says_why_and_changes_nothing,
    force_snapshot_takes_one_but_not_too_soon,
    #[of_any_powa] force_snapshot_says_what_is_wrong_with_its_argument,
    refresh_db_cat_says_what_is_wrong_with_its_arguments,
    #[of_any_powa] what_is_not_a_command_is_answered_with_the_reason,
    #[of_any_powa] a_role_without_rights_is_denied_whatever_it_asks,
    #[of_any_powa] a_member_of_pg_signal_backend_may_command,
    #[of_any_powa] a_reload_of_someone_who_has_left_is_honoured_but_not_often,
    #[of_any_powa] no_payload_ends_the_collector_or_runs_as_sql;
    since 5:
    the_roles_that_powa_knows_may_command,
    refresh_db_cat_copies_catalogs_with_the_next_snapshot,
];

fn workers_status_tells_of_all_of_one_and_of_none(scene: &Scene) {
    let server = scene.register();
    let unreachable = scene.register_as(Registration { port: 1, ..Registration::of(scene.remote_server()) });
    let _collector = scene.collector();
    scene.wait_for_status(server, "running");
    let down = "no connection to remote server";
    scene.wait_for_status(unreachable, down);
    let mut listening = Listening::on(scene.repository(), "Answers-\"here\"");
    let both = format!("WORKERS_STATUS OK {{\"{server}\": \"running\", \"{unreachable}\": \"{down}\"}}");
    assert_eq!(listening.ask("WORKERS_STATUS", ""), both);
    assert_eq!(listening.ask("WORKERS_STATUS", &format!("{server} {unreachable}")), both);
    assert_eq!(listening.ask("WORKERS_STATUS", "4711"), "WORKERS_STATUS OK {}");
}

fn workers_status_without_a_channel_is_ignored(scene: &Scene) {
    let _collector = scene.collector();
    let mut listening = Listening::on(scene.repository(), "answers");
    for payload in ["WORKERS_STATUS", "WORKERS_STATUS -", "WORKERS_STATUS  1"] {
        listening.send(payload);
    }
    assert_eq!(listening.ask("WORKERS_STATUS", ""), "WORKERS_STATUS OK {}");
    assert_eq!(listening.hear(Duration::from_millis(300)), None);
}

fn reload_is_answered(scene: &Scene) {
    let collector = scene.collector();
    assert_eq!(scene.ask("RELOAD", ""), "RELOAD OK OK");
    collector.wait_for_log("reloaded");
}

fn reload_with_a_broken_file_says_why_and_changes_nothing(scene: &Scene) {
    let server = scene.register();
    let _collector = scene.collector();
    scene.wait_for_status(server, "running");
    scene.config_file("{ not json");
    let answer = scene.ask("RELOAD", "");
    assert!(answer.starts_with("RELOAD KO ") && answer.contains("not valid JSON"), "{answer}");
    scene.config_file(r#"{"repository": {"dsn": "host=127.0.0.1 port=1 user=postgres"}}"#);
    let answer = scene.ask("RELOAD", "");
    assert!(answer.starts_with("RELOAD KO ") && answer.contains("could not connect"), "{answer}");
    scene.wait_for_status(server, "running");
}

fn force_snapshot_takes_one_but_not_too_soon(scene: &Scene) {
    let server = scene.register_as(Registration { frequency: 3600, ..Registration::of(scene.remote_server()) });
    // The 10 s are those since it has started.
    scene.without_databases();
    let collector = scene.collector();
    // It is in the repository before the worker knows that it is, and is in progress until then.
    collector.wait_for_log("snapshot taken");
    let too_soon = "FORCE_SNAPSHOT KO Last snapshot was less than 10s. ago";
    let id = server.to_string();
    assert_eq!(scene.ask("FORCE_SNAPSHOT", &id), too_soon);
    let before = scene.snapshots(server);
    wait_until("a snapshot to begin while it is asked for", || {
        std::thread::sleep(Duration::from_millis(200));
        let answer = scene.ask("FORCE_SNAPSHOT", &id);
        // Where the machine is busy, one may not begin within the 100 ms that the answer waits; then there is another.
        let expected = [
            too_soon,
            "FORCE_SNAPSHOT OK Snapshot in progress",
            "FORCE_SNAPSHOT OK Snapshot will begin shortly",
            "FORCE_SNAPSHOT KO A forced snapshot is already scheduled",
            "FORCE_SNAPSHOT KO A snapshot is already in progress",
        ];
        assert!(expected.contains(&answer.as_str()), "{answer}");
        answer == expected[1]
    });
    scene.wait_for_snapshots(server, before + 1);
}

fn force_snapshot_says_what_is_wrong_with_its_argument(scene: &Scene) {
    let _collector = scene.collector();
    let mut listening = Listening::on(scene.repository(), "answers");
    let mut refused = |argument: &str| {
        let answer = listening.ask("FORCE_SNAPSHOT", argument);
        answer.strip_prefix("FORCE_SNAPSHOT KO ").unwrap_or_else(|| panic!("{answer}")).to_owned()
    };
    assert_eq!(refused("4711"), "Server id 4711 not found");
    assert_eq!(refused("first"), "invalid remote server id first");
    assert!(refused("1 2").contains("found 2 arguments"));
}

fn refresh_db_cat_says_what_is_wrong_with_its_arguments(scene: &Scene) {
    let server = scene.register_as(Registration { frequency: 3600, ..Registration::of(scene.remote_server()) });
    let _collector = scene.collector();
    let mut listening = Listening::on(scene.repository(), "answers");
    let mut ask = |arguments: &str| listening.ask("REFRESH_DB_CAT", arguments);
    assert_eq!(ask("4711 0"), "REFRESH_DB_CAT KO Server id 4711 not found");
    assert!(ask(&format!("{server} 2 a")).contains("KO expected 2 database names, found 1"));
    assert!(ask(&format!("{server} many a")).contains("KO invalid number of databases many"));
    let fine = "REFRESH_DB_CAT OK Catalogs will be refreshed during the next snapshot";
    for arguments in ["0", "1 my app", "2 my app"] {
        assert_eq!(ask(&format!("{server} {arguments}")), fine, "{arguments}");
    }
}

fn refresh_db_cat_copies_catalogs_with_the_next_snapshot(scene: &Scene) {
    let server = scene.register();
    let _collector = scene.collector();
    scene.wait_for_snapshots(server, 1);
    let mut repository = scene.repository();
    let mut refreshed = || -> Vec<String> {
        // Other tests make databases on the same server, whose catalogs are copied when they are seen.
        let sql = "with applications as (
                select datname, last_refresh from powa_catalog_databases where datname in ('my app', 'shop'))
            select datname from applications where last_refresh > (select min(last_refresh) from applications)";
        repository.query(sql, &[]).unwrap().iter().map(|row| row.get(0)).collect()
    };
    assert_eq!(refreshed(), [""; 0]);
    scene.ask("REFRESH_DB_CAT", &format!("{server} 1 my app"));
    wait_until("the catalogs of one database", || refreshed() == ["my app"]);
    let before = scene.snapshots(server);
    scene.wait_for_snapshots(server, before + 1);
    assert_eq!(refreshed(), ["my app"], "once is enough");
    scene.ask("REFRESH_DB_CAT", &format!("{server} 0"));
    wait_until("the catalogs of all databases", || refreshed().is_empty());
}

fn what_is_not_a_command_is_answered_with_the_reason(scene: &Scene) {
    let _collector = scene.collector();
    assert_eq!(scene.ask("RELAOD", ""), "RELAOD KO Command \"RELAOD\" unknown, ignored");
}

fn a_role_without_rights_is_denied_whatever_it_asks(scene: &Scene) {
    let server = scene.register();
    let collector = scene.collector();
    scene.wait_for_status(server, "running");
    let role = scene.create_role("nobody", "");
    let mut nobody = Listening::as_role(scene, &role);
    for (command, arguments) in
        [("RELOAD", ""), ("WORKERS_STATUS", ""), ("FORCE_SNAPSHOT", "1"), ("REFRESH_DB_CAT", "1 0"), ("ANY", "thing")]
    {
        assert_eq!(nobody.ask(command, arguments), format!("{command} KO Permission denied"));
    }
    assert!(collector.logged("reloading").is_empty());
    let refused = collector.wait_for_log("command refused");
    assert!(refused.contains(&format!("role=\"{role}\"")) && refused.contains(" process="), "{refused}");
}

fn a_member_of_pg_signal_backend_may_command(scene: &Scene) {
    let _collector = scene.collector();
    let role = scene.create_role("operator", "in role pg_signal_backend");
    assert_eq!(Listening::as_role(scene, &role).ask("WORKERS_STATUS", ""), "WORKERS_STATUS OK {}");
}

fn the_roles_that_powa_knows_may_command(scene: &Scene) {
    let _collector = scene.collector();
    for (powa_role, may) in [
        ("powa_signal_backend", true),
        ("powa_write_all_data", true),
        ("powa_admin", true),
        ("powa_read_all_data", false),
        ("powa_snapshot", false),
    ] {
        let group = scene.create_role(powa_role, "");
        let member = scene.create_role(&format!("member_of_{powa_role}"), &format!("in role {group}"));
        scene
            .repository()
            .execute("update powa_roles set rolname = $1 where powa_role = $2", &[&group, &powa_role])
            .unwrap();
        let answer = Listening::as_role(scene, &member).ask("WORKERS_STATUS", "");
        assert_eq!(answer == "WORKERS_STATUS OK {}", may, "{powa_role}: {answer}");
    }
}

fn a_reload_of_someone_who_has_left_is_honoured_but_not_often(scene: &Scene) {
    // Of what is ignored, not everything is said otherwise.
    let collector = scene.collector_with(json!({"debug": true}));
    let send_and_leave = |payload: &str| {
        // It cannot look before the sender is gone.
        collector.signal(Signal::STOP);
        let mut client = scene.repository();
        let process: i32 = client.query_one("select pg_backend_pid()", &[]).unwrap().get(0);
        client.execute("select pg_notify('powa_collector', $1)", &[&payload]).unwrap();
        drop(client);
        wait_until("the sender to be gone", || {
            scene.count(&format!("select count(*) from pg_stat_activity where pid = {process}")) == 0
        });
        collector.signal(Signal::CONT);
    };
    send_and_leave("RELOAD -");
    collector.wait_for_log("reloaded");
    send_and_leave("RELOAD -");
    collector.wait_for_log("command ignored");
    send_and_leave("FORCE_SNAPSHOT - 1");
    wait_until("both to be ignored", || collector.logged("command ignored").len() == 2);
    assert_eq!(collector.logged("reloading").len(), 1);
}

fn no_payload_ends_the_collector_or_runs_as_sql(scene: &Scene) {
    let collector = scene.collector();
    let mut repository = scene.repository();
    repository.batch_execute("create table public.victim (n int)").unwrap();
    let role = scene.create_role("attacker", "");
    let mut attacker = Listening::as_role(scene, &role);
    let mut superuser = Listening::on(scene.repository(), "answers");
    let drop_it = "x\"; drop table public.victim; --";
    let long_channel = format!("RELOAD {}", "c".repeat(64));
    let full = format!("RELOAD {}", "x".repeat(7_992));
    let payloads = [
        " ",
        "  ",
        "\n",
        "RELOAD",
        "RELOAD \"",
        "RELOAD '",
        "{} {0} %s %(x)s",
        "WORKERS_STATUS r {\"a\": 1}",
        "FORCE_SNAPSHOT \u{1F600} 99999999999999999999999999",
        "REFRESH_DB_CAT r 1 -1",
        "REFRESH_DB_CAT r 1 18446744073709551616 x",
        &long_channel,
        &full,
        &format!("RELOAD {}", drop_it.replace(' ', "/**/")),
        &format!("WORKERS_STATUS r {drop_it}"),
        &format!("FORCE_SNAPSHOT r {drop_it}"),
        &format!("REFRESH_DB_CAT r 1 1 {drop_it}"),
    ];
    for payload in payloads {
        attacker.send(payload);
        superuser.send(payload);
    }
    assert_eq!(superuser.ask("WORKERS_STATUS", ""), "WORKERS_STATUS OK {}");
    repository.batch_execute("insert into public.victim values (1)").unwrap();
    assert!(collector.is_running());
}

impl Scene<'_> {
    /// Makes a role of this test's own; roles belong to the whole server.
    pub(crate) fn create_role(&self, name: &str, options: &str) -> String {
        let role = format!("{name}_{}", self.number());
        let mut client: Client = self.repository();
        client.batch_execute(&format!("drop role if exists {role}; create role {role} login {options}")).unwrap();
        // It can connect, as everybody can here.
        Client::connect(&self.dsn(&role), NoTls).unwrap();
        role
    }
}
