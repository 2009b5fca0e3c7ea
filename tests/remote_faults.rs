//! A remote server that is unreachable, silent, or breaks the connection: only its own worker is affected, logs the
//! reason once, and recovers.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use lab::{Act, Cluster, Proxy, Registration, Workload};
use serde_json::json;

use crate::support::{Collector, Listening, Marked, Scene, Stopwatch, replacing, tests, wait_until};

tests![
    #[hurried]
    one_that_freezes_in_the_middle_of_a_row_costs_itself_only,
    #[hurried]
    one_that_is_cut_off_after_half_a_row_leaves_nothing_of_it,
    #[timed]
    each_way_to_be_unreachable_is_told_and_heals,
    #[hurried]
    one_whose_sessions_are_terminated_is_connected_to_again,
    #[hurried]
    a_standby_is_a_server_like_any_other_before_and_after_its_promotion,
    #[timed]
    a_row_that_is_locked_by_somebody_delays_nobody_else,
    #[timed]
    #[long]
    #[of_any_powa]
    half_of_a_hundred_may_freeze_and_the_others_are_on_time,
];

/// Short enough for a test to see several tries.
fn impatient() -> serde_json::Value {
    json!({"timeouts": {"connect": 1, "query": 2}})
}

/// Through a proxy.
fn behind<'a>(proxy: &'a Proxy, registration: Registration<'a>) -> Registration<'a> {
    Registration { hostname: proxy.host(), port: proxy.port(), ..registration }
}

/// What it said of a server at level ERROR, without the time.
fn errors_said(collector: &Collector, server: i32) -> Vec<String> {
    let message = collector.logged(&format!("server{{id={server} "));
    message.iter().filter_map(|line| Some(line.split_once(" ERROR ")?.1.to_owned())).collect()
}

fn assert_said_once(collector: &Collector, server: i32) {
    let message = errors_said(collector, server);
    assert_eq!(message.iter().collect::<HashSet<_>>().len(), message.len(), "{message:#?}");
}

fn one_that_freezes_in_the_middle_of_a_row_costs_itself_only(scene: &Scene) {
    let proxy = Proxy::to(scene.remote_server()).unwrap();
    let remote = scene.own_remote();
    let body = "return query select 1::oid, ''half of this arrives''::name;";
    remote.connect().batch_execute(&replacing("powa_databases_src", body)).unwrap();
    proxy.when_server_says(b"half of th", Act::Freeze);
    let frozen = scene.register_as(behind(&proxy, remote.registration()));
    let healthy = scene.register();
    // The time to connect is also the healthy one's, which may stand still for a moment.
    let collector = scene.verbose_collector(json!({"timeouts": {"connect": 5, "query": 2}}));
    let error = scene.wait_for_error(frozen, "could not collect in database");
    assert!(error.contains("no answer within 7 s") && proxy.has_sprung(), "{error}");
    scene.wait_for_status(frozen, "no connection to remote server");
    let before = scene.snapshots(healthy);
    scene.wait_for_snapshots(healthy, before + 3);
    scene.wait_for_status(healthy, "running");
    assert_eq!(scene.snapshots(frozen), 0);
    proxy.thaw();
    scene.wait_for_snapshots(frozen, 1);
    scene.wait_for_status(frozen, "running");
    wait_until("the error to be gone", || scene.errors(frozen).iter().all(|error| !error.contains("no answer")));
    assert_said_once(&collector, frozen);
    assert_eq!(errors_said(&collector, healthy), [""; 0]);
}

fn one_that_is_cut_off_after_half_a_row_leaves_nothing_of_it(scene: &Scene) {
    let proxy = Proxy::to(scene.remote_server()).unwrap();
    let remote = scene.own_remote();
    let databases = Marked::databases_of(&remote, "");
    proxy.when_server_says(b"\tkep", Act::Cut);
    let server = scene.register_as(behind(&proxy, remote.registration()));
    let collector = scene.verbose_collector(json!({}));
    wait_until("the cut", || proxy.has_sprung());
    scene.wait_for_snapshots(server, 1);
    // One may be under way at any time, and what the stop interrupts is read and not there.
    wait_until("all to be there that was read, but for the half", || {
        let (read, taken) = (databases.times(), collector.logged("snapshot taken").len());
        (read, scene.snapshots(server)) == (taken + 1, i64::try_from(taken).unwrap())
    });
    collector.stop();
    let message = errors_said(&collector, server);
    assert!(message.len() == 1 && message[0].contains("in database"), "{message:?}");
}

fn each_way_to_be_unreachable_is_told_and_heals(scene: &Scene) {
    let proxy = Proxy::to(scene.remote_server()).unwrap();
    let server = scene.register_as(behind(&proxy, Registration::of(scene.remote_server())));
    let collector = scene.verbose_collector(impatient());
    type Way<'a> = (&'a dyn Fn(), &'a dyn Fn(), &'a str);
    let ways: [Way; 3] = [
        (&|| proxy.refuse(), &|| proxy.accept().unwrap(), "refused"),
        (&|| proxy.freeze(), &|| proxy.thaw(), "no answer within 1 s"),
        // Nobody there, behind a host that takes connections in for them.
        (&|| proxy.when_server_says(b"R\0\0\0", Act::Cut), &|| {}, "could not connect"),
    ];
    for (break_it, heal_it, reason) in ways {
        let before = scene.snapshots(server);
        scene.wait_for_snapshots(server, before + 1);
        break_it();
        proxy.cut();
        scene.wait_for_error(server, reason);
        heal_it();
        let healed = Stopwatch::start();
        let before = scene.snapshots(server);
        scene.wait_for_snapshots(server, before + 1);
        assert!(healed.elapsed() < Duration::from_secs(12), "{:?}", healed.elapsed());
        scene.wait_for_status(server, "running");
    }
    let message = errors_said(&collector, server);
    assert!(message.len() <= 6, "{message:#?}");
}

fn one_whose_sessions_are_terminated_is_connected_to_again(scene: &Scene) {
    let remote = scene.own_remote();
    // The collectors of other tests visit this database too, and are not to be disturbed.
    let alias = format!("terminated for {}", scene.database);
    let server = scene.register_as(Registration { alias: Some(&alias), ..remote.registration() });
    let _collector = scene.verbose_collector(json!({"use_server_alias": true}));
    let mut client = remote.connect();
    let name = format!("PoWA collector - worker {alias}");
    let terminate = "select count(pg_terminate_backend(pid)) from pg_stat_activity
        where datname = current_database() and application_name = $1 and state = $2";
    for state in ["idle", "active"] {
        scene.wait_for_snapshots(server, scene.snapshots(server) + 1);
        if state == "active" {
            client.batch_execute(&replacing("powa_statements_src", "perform pg_sleep(1);")).unwrap();
        }
        wait_until("a session to terminate", || {
            client.query_one(terminate, &[&name, &state]).unwrap().get::<_, i64>(0) > 0
        });
        scene.wait_for_snapshots(server, scene.snapshots(server) + 2);
        scene.wait_for_status(server, "running");
    }
}

fn a_standby_is_a_server_like_any_other_before_and_after_its_promotion(scene: &Scene) {
    let primary = [("wal_level", "replica"), ("max_wal_senders", "4")];
    let primary = Cluster::start_with(scene.generation(), "primary", &primary).unwrap();
    primary.create_powa_database("powa").unwrap();
    Workload::create(&primary, &["shop"]).unwrap();
    let standby = primary.standby("standby").unwrap();
    standby.wait_until_replayed(&primary).unwrap();
    let read = "select count(*) from pg_catalog.pg_class where relname = 'read on the standby'";
    standby.connect("shop").unwrap().batch_execute(read).unwrap();
    let server = scene.register_as(Registration::of(&standby));
    let collector = scene.verbose_collector(json!({}));
    scene.wait_for_snapshots(server, 2);
    assert_eq!(scene.errors(server), [""; 0]);
    let statements = "select count(*) from powa_statements where srvid > 0 and query like '%pg_class where relname =%'";
    assert!(scene.count(statements) > 0);
    standby.promote().unwrap();
    let before = scene.snapshots(server);
    scene.wait_for_snapshots(server, before + 2);
    assert_eq!(scene.errors(server), [""; 0]);
    collector.stop();
    assert_eq!(errors_said(&collector, server), [""; 0]);
}

fn a_row_that_is_locked_by_somebody_delays_nobody_else(scene: &Scene) {
    let locked = scene.register();
    let other = scene.register_as(Registration { hostname: "localhost", ..Registration::of(scene.remote_server()) });
    let _collector = scene.verbose_collector(json!({"limits": {"loads": 2}}));
    scene.wait_for_snapshots(locked, 1);
    scene.wait_for_snapshots(other, 1);
    let mut locking = scene.repository();
    let mut lock = locking.transaction().unwrap();
    lock.execute("select from powa_snapshot_metas where srvid = $1 for update", &[&locked]).unwrap();
    let (before, of_locked, started) = (scene.snapshots(other), scene.snapshots(locked), Stopwatch::start());
    scene.wait_for_snapshots(other, before + 3);
    assert!(started.elapsed() < Duration::from_secs(19), "{:?}", started.elapsed());
    assert_eq!(scene.snapshots(locked), of_locked);
    lock.rollback().unwrap();
    scene.wait_for_snapshots(locked, of_locked + 2);
}

fn half_of_a_hundred_may_freeze_and_the_others_are_on_time(scene: &Scene) {
    const FREQUENCY: i32 = 20;
    let own = Cluster::start_with(scene.generation(), "hundred", &[("max_connections", "700")]).unwrap();
    own.create_powa_database("powa").unwrap();
    let proxies: Vec<Proxy> = (0..100).map(|_| Proxy::to(&own).unwrap()).collect();
    let of_own = Registration { frequency: FREQUENCY, extensions: &[], ..Registration::of(&own) };
    let servers: Vec<i32> = proxies.iter().map(|proxy| scene.register_as(behind(proxy, of_own.clone()))).collect();
    if scene.generation().powa_major() >= 5 {
        // It is about the collector, not about how much a repository can take.
        let less = "delete from powa_catalog_src_queries; update powa_db_module_config set enabled = false";
        scene.repository().batch_execute(less).unwrap();
    }
    let collector = scene.collector();
    let (frozen, healthy) = (&servers[..50], &servers[50..]);
    let least = |servers: &[i32]| {
        let sql = "select min(coalesce_seq - 1) from powa_snapshot_metas where srvid = any($1)";
        scene.repository().query_one(sql, &[&servers]).unwrap().get::<_, i64>(0)
    };
    wait_until_within(Duration::from_secs(120), "all to have a snapshot", || least(&servers) > 0);

    let skipped = || collector.logged("snapshots are skipped").len();
    // Beginning with all at once takes its time. It is about what comes afterwards, when the machine can carry them all.
    let (mut skipped_before, mut quiet) = (skipped(), Instant::now());
    wait_until_within(Duration::from_secs(180), "all to be on time", || {
        if skipped() > skipped_before {
            (skipped_before, quiet) = (skipped(), Instant::now());
        }
        quiet.elapsed() > Duration::from_secs(FREQUENCY as u64)
    });
    let watch = Stopwatch::start();

    proxies[..50].iter().for_each(Proxy::freeze);
    let mut listening = Listening::on(scene.repository(), "answers");
    let started = Instant::now();
    // Three of each, in the time of three and one pause: enough for all that are frozen to be in the way.
    let before = least(healthy);
    let mut slowest = Duration::ZERO;
    wait_until_within(Duration::from_secs(4 * FREQUENCY as u64), "the healthy ones to be collected", || {
        let asked = Stopwatch::start();
        assert!(listening.ask("WORKERS_STATUS", "").starts_with("WORKERS_STATUS OK {"));
        slowest = slowest.max(asked.elapsed());
        least(healthy) >= before + 3
    });
    assert!(slowest < Duration::from_secs(1), "WORKERS_STATUS took {slowest:?}");
    let (skipped, stood_still) = (skipped() - skipped_before, watch.stood_still());
    // A second in which the machine stands still costs the snapshots that were due in it, and not many.
    let excused = if stood_still > Duration::from_millis(500) { 10 } else { 0 };
    assert!(
        skipped <= excused,
        "{skipped} within {:?}, of which nothing went on for {stood_still:?}",
        started.elapsed()
    );
    let mut repository = scene.repository();
    let late = "select count(*) from powa_snapshot_metas
        where srvid = any($1) and snapts < now() - interval '1 second' * $2";
    let late = repository.query_one(late, &[&healthy, &f64::from(FREQUENCY + 5)]).unwrap();
    assert_eq!(late.get::<_, i64>(0), 0);

    proxies.iter().for_each(Proxy::thaw);
    let before = least(frozen);
    wait_until_within(Duration::from_secs(100), "the others to heal", || least(frozen) > before);
    let (_, took) = {
        collector.signal(rustix::process::Signal::TERM);
        collector.wait()
    };
    assert!(took < Duration::from_secs(10), "{took:?}");
}

/// For what takes longer than anything else that is waited for.
fn wait_until_within(patience: Duration, what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < patience, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}
