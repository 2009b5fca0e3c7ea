//! Connecting to servers: several hosts, unusable hosts, and no sessions left behind.

use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use lab::{Cluster, Registration};
use postgres::Client;
use serde_json::json;

use crate::support::{Collector, Listening, Scene, tests, wait_for, wait_until, with_powa};

tests![
    a_silent_first_host_costs_its_own_time_and_only_once,
    a_name_that_cannot_be_resolved_is_passed_over,
    a_folder_means_the_unix_socket_in_it,
    what_became_of_every_host_is_in_one_line,
    a_refused_login_ends_the_search,
    a_database_that_is_read_only_by_default_is_written_to,
    a_read_only_default_is_what_target_session_attrs_is_about,
    a_statement_that_nobody_waits_for_is_cancelled_on_the_repository,
    after_a_failover_the_new_primary_is_the_repository,
    a_standby_alone_is_waited_for_until_it_is_promoted,
    a_session_that_is_not_needed_any_more_says_goodbye,
    #[timed]
    a_fleet_is_not_connected_to_all_at_once,
];

/// Takes connections, and never says a word.
struct Silent {
    port: u16,
    taken: Arc<AtomicUsize>,
}

impl Silent {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let taken = Arc::<AtomicUsize>::default();
        let counted = Arc::clone(&taken);
        std::thread::spawn(move || {
            let mut open = Vec::new();
            for connection in listener.incoming() {
                open.push(connection);
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { port, taken }
    }
}

/// The repository, as one of several hosts.
fn dsn(scene: &Scene, hosts: &str, ports: &str, more: &str) -> String {
    let database = scene.database.replace('\'', "\\'");
    format!("host={hosts} port={ports} user=postgres dbname='{database}' {more}")
}

fn collector(scene: &Scene, dsn: &str) -> Collector {
    // Not so short that the good host could fail by standing still for a moment.
    let config = json!({"repository": {"dsn": dsn}, "timeouts": {"connect": 5}});
    let collector = Collector::start(&scene.config_file(&config.to_string()));
    scene.wait_until_listening(&collector);
    collector
}

/// What a collector says that cannot start.
fn failure(scene: &Scene, dsn: &str) -> String {
    let config = json!({"repository": {"dsn": dsn}, "timeouts": {"connect": 2}});
    let collector = Collector::start(&scene.config_file(&config.to_string()));
    assert_eq!(collector.wait().0.code(), Some(1));
    collector.logged("powa-collector: ").pop().expect("its last word")
}

fn a_silent_first_host_costs_its_own_time_and_only_once(scene: &Scene) {
    let silent = Silent::start();
    let port = scene.repository_server().port();
    let server = scene.register();
    let _collector = collector(scene, &dsn(scene, "127.0.0.1,127.0.0.1", &format!("{},{port}", silent.port), ""));
    scene.wait_for_snapshots(server, 1);
    assert_eq!(silent.taken.load(Ordering::Relaxed), 1);
}

fn a_name_that_cannot_be_resolved_is_passed_over(scene: &Scene) {
    let port = scene.repository_server().port();
    let server = scene.register();
    let _collector = collector(scene, &dsn(scene, "nowhere.invalid,127.0.0.1", &port.to_string(), ""));
    scene.wait_for_snapshots(server, 1);
}

fn a_folder_means_the_unix_socket_in_it(scene: &Scene) {
    let port = scene.repository_server().port();
    let listener = UnixListener::bind(scene.directory().join(format!(".s.PGSQL.{port}"))).unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let server = TcpStream::connect(("127.0.0.1", port)).unwrap();
            let (mut requests, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            // Whoever ends it first ends it for both.
            std::thread::spawn(move || std::io::copy(&mut requests, &mut to).and(to.shutdown(Shutdown::Both)));
            let (mut answers, mut to) = (server, client);
            std::thread::spawn(move || std::io::copy(&mut answers, &mut to).and(to.shutdown(Shutdown::Both)));
        }
    });
    let server = scene.register();
    let _collector = collector(scene, &dsn(scene, &scene.directory().display().to_string(), &port.to_string(), ""));
    scene.wait_for_snapshots(server, 1);
}

fn what_became_of_every_host_is_in_one_line(scene: &Scene) {
    let silent = Silent::start();
    let dsn = dsn(scene, "127.0.0.1,127.0.0.1", &format!("1,{}", silent.port), "");
    let config = json!({"repository": {"dsn": dsn}, "timeouts": {"connect": 1}});
    let message = Collector::start(&scene.config_file(&config.to_string())).wait_for_log("waiting for it");
    let hosts = format!("could not connect to 127.0.0.1:1,127.0.0.1:{}, database ", silent.port);
    let reasons =
        format!("127.0.0.1:1: Connection refused (os error 111); 127.0.0.1:{}: no answer within 1 s", silent.port);
    assert!(message.contains(&hosts) && message.contains(&reasons), "{message}");
}

fn a_refused_login_ends_the_search(scene: &Scene) {
    let silent = Silent::start();
    let ports = format!("{},{}", scene.repository_server().port(), silent.port);
    let dsn = dsn(scene, "127.0.0.1,127.0.0.1", &ports, "").replace("user=postgres", "user=nobody_of_that_name");
    let message = failure(scene, &dsn);
    assert!(message.contains("SQLSTATE 28000"), "{message}");
    assert_eq!(silent.taken.load(Ordering::Relaxed), 0);
}

fn be_read_only_by_default(scene: &Scene) {
    let sql = format!("alter database {} set default_transaction_read_only = on", quoted(&scene.database));
    scene.repository().batch_execute(&sql).unwrap();
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn a_database_that_is_read_only_by_default_is_written_to(scene: &Scene) {
    let server = scene.register();
    be_read_only_by_default(scene);
    let _collector = scene.collector();
    scene.wait_for_snapshots(server, 1);
}

fn a_read_only_default_is_what_target_session_attrs_is_about(scene: &Scene) {
    let port = scene.repository_server().port().to_string();
    let asking_for = |attributes| dsn(scene, "127.0.0.1", &port, &format!("target_session_attrs={attributes}"));
    let message = failure(scene, &asking_for("read-only"));
    assert!(message.contains("its transactions are read-write by default"), "{message}");
    let starts = |attributes| {
        drop(collector(scene, &asking_for(attributes)));
        scene.wait_until_nobody_is_left();
    };
    starts("read-write");
    starts("primary");
    be_read_only_by_default(scene);
    let message = failure(scene, &asking_for("read-write"));
    assert!(message.contains("its transactions are read-only by default"), "{message}");
    starts("read-only");
}

fn a_statement_that_nobody_waits_for_is_cancelled_on_the_repository(scene: &Scene) {
    let sql = format!("alter database {} set lock_timeout = '10min'", quoted(&scene.database));
    scene.repository().batch_execute(&sql).unwrap();
    scene.register_as(Registration { frequency: 3600, ..Registration::of(scene.remote_server()) });
    let mut locking = scene.repository();
    let mut lock = locking.transaction().unwrap();
    lock.batch_execute("lock table powa_snapshot_metas").unwrap();
    let collector = scene.collector_with(json!({"timeouts": {"query": 2}}));
    let mut looking = scene.repository();
    let first = wait_for("a statement to wait for the lock", || waiting(&mut looking).first().copied());
    collector.wait_for_log("no answer within 2 s");
    wait_until("the statement to be gone", || !waiting(&mut looking).contains(&first));
}

/// The collector's processes in the repository that wait for a lock.
fn waiting(client: &mut Client) -> Vec<i32> {
    let sql = "select pid from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'
        and application_name like 'PoWA collector%'";
    client.query(sql, &[]).unwrap().iter().map(|row| row.get(0)).collect()
}

/// A repository that can have a standby.
fn primary(scene: &Scene) -> Cluster {
    let settings = [("wal_level", "replica"), ("max_wal_senders", "4")];
    let primary = Cluster::start_with(scene.generation(), "primary", &settings).unwrap();
    primary.create_powa_database("powa").unwrap();
    primary
}

fn snapshots(repository: &Cluster, server: i32) -> i64 {
    let sql = "select coalesce_seq - 1 from powa_snapshot_metas where srvid = $1";
    with_powa(repository.connect("powa").unwrap()).query_one(sql, &[&server]).unwrap().get(0)
}

fn after_a_failover_the_new_primary_is_the_repository(scene: &Scene) {
    let first = primary(scene);
    let second = first.standby("standby").unwrap();
    let server = Registration::of(scene.remote_server()).register(&first, "powa").unwrap();
    let dsn = format!("host=127.0.0.1,127.0.0.1 port={},{} user=postgres dbname=powa", second.port(), first.port());
    let collector = Collector::start(&scene.config_file(&json!({"repository": {"dsn": dsn}}).to_string()));
    wait_until("a snapshot on the primary", || snapshots(&first, server) > 0);

    second.wait_until_replayed(&first).unwrap();
    first.stop().unwrap();
    second.promote().unwrap();
    let before = snapshots(&second, server);
    wait_until("two snapshots on the new primary", || snapshots(&second, server) > before + 1);
    collector.wait_for_log("listening for commands again");
    let answer = Listening::on(with_powa(second.connect("powa").unwrap()), "answers").ask("WORKERS_STATUS", "");
    assert_eq!(answer, format!("WORKERS_STATUS OK {{\"{server}\": \"running\"}}"));
}

fn a_standby_alone_is_waited_for_until_it_is_promoted(scene: &Scene) {
    let standby = primary(scene).standby("standby").unwrap();
    let dsn = format!("host=127.0.0.1 port={} user=postgres dbname=powa", standby.port());
    let collector = Collector::start(&scene.config_file(&json!({"repository": {"dsn": dsn}}).to_string()));
    collector.wait_for_log("it is a standby, but the repository must be writable; waiting for it");
    standby.promote().unwrap();
    collector.wait_for_log("ready");
}

fn a_session_that_is_not_needed_any_more_says_goodbye(scene: &Scene) {
    // The collectors of other tests visit every database of the shared server, and some of them are killed there.
    let remote = Cluster::start(scene.generation(), "goodbye").unwrap();
    remote.create_powa_database("powa").unwrap();
    // One snapshot, and then the session is idle.
    let server = scene.register_as(Registration { frequency: 3600, ..Registration::of(&remote) });
    let _collector = scene.collector();
    scene.wait_for_snapshots(server, 1);
    let stop = "update powa_servers set frequency = -1 where id = $1";
    scene.repository().execute(stop, &[&server]).unwrap();
    assert_eq!(scene.ask("RELOAD", ""), "RELOAD OK OK");
    // Counted by a server of which one client after the other would just vanish.
    let ended = "select sessions_abandoned from pg_stat_database d
        where datname = 'powa' and not exists (select from pg_stat_activity a
            where a.datname = d.datname and application_name like 'PoWA collector%')";
    let mut elsewhere = remote.connect("postgres").unwrap();
    let abandoned: i64 = wait_for("its session to end", || Some(elsewhere.query_opt(ended, &[]).unwrap()?.get(0)));
    assert_eq!(abandoned, 0);
}

fn a_fleet_is_not_connected_to_all_at_once(scene: &Scene) {
    let silent = [(); 4].map(|()| Silent::start());
    for Silent { port, .. } in &silent {
        scene.register_as(Registration { port: *port, ..Registration::of(scene.remote_server()) });
    }
    let started = Instant::now();
    let _collector = scene.collector_with(json!({"limits": {"collects": 1}}));
    wait_until("all to be tried", || silent.iter().all(|silent| silent.taken.load(Ordering::Relaxed) > 0));
    // Each has its turn for a second, and is then waited for while the next one has it.
    let waited = started.elapsed();
    assert!(Duration::from_secs(3) <= waited && waited < Duration::from_secs(10), "{waited:?}");
}
