//! Hostile input on the command channel.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use postgres::{Client, NoTls};

use super::{INJECTIONS, MARKER, assert_log_is_in_order, assert_nothing_ran, level};
use crate::support::{Listening, Scene, Stopwatch, log_of_server, tests};

tests![
    #[of_any_powa]
    no_payload_is_run_as_sql_or_disturbs_the_log,
    #[timed]
    #[of_any_powa]
    a_flood_delays_neither_snapshots_nor_other_people,
    #[of_any_powa]
    an_answer_is_never_taken_for_a_command,
];

fn no_payload_is_run_as_sql_or_disturbs_the_log(scene: &Scene) {
    let server = scene.register();
    let collector = scene.collector();
    scene.wait_for_status(server, "running");
    let role = scene.create_role("attacker", "");
    let mut attacker = Listening::on(Client::connect(&scene.dsn(&role), NoTls).unwrap(), "denied");
    let mut superuser = Listening::on(scene.repository(), "answers");
    let started = Instant::now();
    let payloads = payloads(0x00C0_FFEE, server);
    let mut sent = 0;
    for payload in &payloads {
        // Not what PostgreSQL itself refuses.
        if !payload.is_empty() && payload.len() < 8_000 {
            attacker.send(payload);
            superuser.send(payload);
            sent += 1;
        }
        // Its answer comes after those to what was sent before, so there is room for all.
        if sent % 5 == 0 {
            assert_eq!(attacker.ask("WORKERS_STATUS", ""), "WORKERS_STATUS KO Permission denied");
            let answer = superuser.ask("WORKERS_STATUS", &server.to_string());
            assert_eq!(answer, format!("WORKERS_STATUS OK {{\"{server}\": \"running\"}}"));
        }
    }
    assert!(sent > 400, "{sent}");
    assert_nothing_ran(&mut scene.repository());
    assert_nothing_was_said(scene);
    let before = scene.snapshots(server);
    scene.wait_for_snapshots(server, before + 1);
    assert_log_is_in_order(&collector);
    let errors: Vec<_> = collector.log().into_iter().filter(|line| level(line) == Some("ERROR")).collect();
    assert_eq!(errors, [""; 0]);
    // One complaint in a second, at most.
    let complaints = collector.logged("command refused").len() + collector.logged("answer not sent").len();
    assert!(complaints > 0 && complaints as u64 <= started.elapsed().as_secs() + 1, "{complaints}");
    assert!(collector.logged("commands: ").iter().all(|line| line.len() < 4_000));
    assert_eq!(collector.logged("dropping some"), [""; 0]);
}

/// Of every kind that `pg_notify()` lets through, and some that it does not.
fn payloads(seed: u64, server: i32) -> Vec<String> {
    println!("the seed is {seed:#x}");
    let mut random = Random(seed);
    let commands = ["RELOAD", "WORKERS_STATUS", "FORCE_SNAPSHOT", "REFRESH_DB_CAT", "\u{feff}RELOAD", MARKER];
    let pieces = [
        " ",
        "  ",
        "-",
        "\t",
        "\n",
        "\r\n",
        "\u{1}",
        "\u{7f}",
        "\u{85}",
        "\u{1b}[2J",
        "'",
        "\"",
        "\\",
        ";",
        "--",
        "/*",
        "$1",
        "$$",
        "{",
        "}",
        "{}",
        "%",
        "%s",
        "%n",
        "\u{e9}",
        "e\u{301}",
        "\u{1F600}",
        "\u{202e}",
        "\u{2028}",
        "\u{10FFFF}",
        "0",
        "1",
        "-1",
        "+1",
        "00",
        "1e3",
        "0x1",
        "2147483648",
        "99999999999999999999999999",
        "NaN",
        "null",
        "{\"a\": [1, \"\\u0000\"]}",
        "powa",
    ];
    let mut payloads: Vec<String> =
        vec![" ".repeat(7_999), "x".repeat(7_999), "\u{1F600}".repeat(1_999), "\n".repeat(7_999)];
    for length in [1, 62, 63, 64, 65, 1_000, 7_000] {
        payloads.extend(["c", "\u{e9}", "'", "\""].map(|c| format!("RELOAD {}", c.repeat(length))));
    }
    for command in commands {
        for injection in INJECTIONS {
            let word = injection.replace(' ', "/**/");
            payloads.push(format!("{command} {word}"));
            payloads.push(format!("{command} r {injection}"));
            payloads.push(format!("{command} {word} {server} {injection}"));
            payloads.push(format!("{command} r {server} 1 {injection}"));
            payloads.push(format!("{word} r {server}"));
        }
        payloads.extend(pieces.map(|piece| format!("{command} r {piece}")));
        payloads.push(format!("{command} r {}", "1 ".repeat(3_900)));
    }
    for _ in 0..300 {
        let words = (0..random.below(12)).map(|_| pieces[random.below(pieces.len())]);
        let separator = ["", " "][words.len() % 2];
        payloads.push([commands[words.len() % commands.len()], &words.collect::<Vec<_>>().join(separator)].join(" "));
    }
    payloads
}

/// A generator whose numbers are the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end
    }
}

/// Neither did a statement fail because of it: its text would be in the server's log.
fn assert_nothing_was_said(scene: &Scene) {
    // Not those of other tests in their own databases, which may well say it.
    let sql = "select count(*) from pg_stat_statements where query like '%' || $1 || '%'
        and dbid = (select oid from pg_database where datname = current_database())";
    assert_eq!(scene.repository().query_one(sql, &[&MARKER]).unwrap().get::<_, i64>(0), 0);
    let log = log_of_server(&scene.repository_server().log());
    let here = format!("@{} STATEMENT", scene.database);
    let message: Vec<_> = log.lines().filter(|line| line.contains(&here) && line.contains(MARKER)).collect();
    assert_eq!(message, [""; 0]);
}

fn a_flood_delays_neither_snapshots_nor_other_people(scene: &Scene) {
    let server = scene.register();
    scene.without_databases();
    let collector = scene.collector();
    scene.wait_for_snapshots(server, 2);
    let role = scene.create_role("attacker", "");
    let mut attacker = Client::connect(&scene.dsn(&role), NoTls).unwrap();
    let mut administrator = Listening::on(scene.repository(), "answers");
    let heard = scene.when_heard("WORKERS_STATUS answers");
    let mut repository = scene.repository();
    let mut last_snapshot = || -> f64 {
        let sql = "select extract(epoch from snapts)::float8 from powa_snapshot_metas where srvid = $1";
        repository.query_one(sql, &[&server]).unwrap().get(0)
    };
    let mut snapshots = vec![last_snapshot()];
    let flooding = AtomicBool::new(true);
    let before = collector.resident();
    let mut slowest = Duration::ZERO;
    let whole = Stopwatch::start();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let sql = "select pg_notify('powa_collector', 'RELOAD ' || case g % 2 when 0 then 'a' else repeat('x', 7900) end || g)
                from generate_series(1, 1000) g";
            for _ in 0..10 {
                attacker.batch_execute(sql).unwrap();
                std::thread::sleep(Duration::from_millis(1_200));
            }
            flooding.store(false, Ordering::Relaxed);
        });
        while flooding.load(Ordering::Relaxed) {
            let asked = Stopwatch::start();
            let answer = administrator.ask("WORKERS_STATUS", "");
            let (answered, stood_still) = (Instant::now(), asked.stood_still());
            // The time until PostgreSQL has passed on the command, behind the flood, is not the collector's.
            let heard = heard.recv_timeout(Duration::from_secs(20)).expect("the command is heard here too");
            slowest = slowest.max(answered.saturating_duration_since(heard).saturating_sub(stood_still));
            assert_eq!(answer, format!("WORKERS_STATUS OK {{\"{server}\": \"running\"}}"));
            let last = last_snapshot();
            if snapshots.last() != Some(&last) {
                snapshots.push(last);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let after = collector.resident();
    println!("slowest answer {slowest:?}, resident {before} kB before, {after} kB after, snapshots at {snapshots:?}");
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    assert!(after < before + 8_192, "{before} kB before, {after} kB after");
    assert!(snapshots.len() >= 3, "{snapshots:?}");
    let deviation = 2.0 + whole.stood_still().as_secs_f64();
    assert!(snapshots.windows(2).all(|pair| (pair[1] - pair[0] - 5.0).abs() < deviation), "{snapshots:?}");
    assert_eq!(collector.logged("are skipped"), [""; 0]);
    assert_eq!(collector.logged("reloading"), [""; 0]);
    let dropped = collector.logged("dropping some").len();
    assert!((1..=100).contains(&dropped), "{dropped} lines for less than 10,000 messages");
    assert_log_is_in_order(&collector);
}

fn an_answer_is_never_taken_for_a_command(scene: &Scene) {
    let collector = scene.collector();
    let role = scene.create_role("attacker", "");
    let mut attacker = Listening::as_role(scene, &role);
    // The collector is the superuser here: what it says, it may.
    for payload in ["RELOAD powa_collector", "RELOAD powa_collector powa_collector"] {
        attacker.send(payload);
    }
    assert_eq!(attacker.ask("WORKERS_STATUS", ""), "WORKERS_STATUS KO Permission denied");
    let mut superuser = Listening::on(scene.repository(), "answers");
    superuser.send("RELOAD powa_collector");
    assert_eq!(superuser.ask("WORKERS_STATUS", ""), "WORKERS_STATUS OK {}");
    assert_eq!(collector.logged("reloading"), [""; 0]);
    assert!(collector.wait_for_log("command ignored").contains("its response channel is the command channel"));
}
