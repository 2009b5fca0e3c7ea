//! The collector stops soon and cleanly, and leaves nothing behind.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use lab::{Act, Proxy, Registration};
use rustix::process::Signal;
use serde_json::json;

use crate::support::{Collector, Listening, Scene, delaying, replacing, tests, wait_until};

tests![
    #[timed]
    #[of_any_powa]
    sigterm_ends_an_idle_collector_at_once,
    #[of_any_powa]
    sigint_does_what_sigterm_does,
    #[timed]
    #[of_any_powa]
    a_server_that_accepts_and_stays_silent_does_not_hold_it_up,
    #[timed]
    a_query_that_is_under_way_is_cancelled_on_the_remote_server,
    a_load_that_has_begun_is_finished,
    #[timed]
    a_load_that_cannot_be_finished_in_time_is_cancelled,
    #[timed]
    #[of_any_powa]
    a_remote_server_that_froze_does_not_hold_it_up,
    #[timed]
    #[of_any_powa]
    a_repository_that_froze_does_not_hold_it_up,
    #[timed]
    #[of_any_powa]
    a_command_whose_sender_cannot_be_looked_up_does_not_hold_it_up,
    #[timed]
    #[of_any_powa]
    a_repository_that_is_away_does_not_hold_it_up,
    #[timed]
    a_stop_at_any_moment_leaves_all_of_a_snapshot_or_nothing,
];

fn sigterm_ends_an_idle_collector_at_once(scene: &Scene) {
    let server = scene.register_as(Registration { frequency: 3600, ..Registration::of(scene.remote_server()) });
    let collector = scene.verbose_collector(json!({}));
    scene.wait_for_snapshots(server, 1);
    collector.wait_for_log("snapshot taken");
    collector.signal(Signal::TERM);
    let (status, took) = collector.wait();
    assert!(status.success(), "{status}");
    assert!(took < Duration::from_secs(1), "{took:?}");
    scene.wait_until_nobody_is_left();
}

fn sigint_does_what_sigterm_does(scene: &Scene) {
    let collector = scene.verbose_collector(json!({}));
    collector.signal(Signal::INT);
    assert!(collector.wait().0.success());
    assert_eq!(collector.logged("powa-collector stopped").len(), 1);
}

fn a_server_that_accepts_and_stays_silent_does_not_hold_it_up(scene: &Scene) {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    scene.register_as(Registration { port, ..Registration::of(scene.remote_server()) });
    let collector = scene.verbose_collector(json!({}));
    let (_connection, _) = silent.accept().unwrap();
    collector.signal(Signal::TERM);
    let (status, took) = collector.wait();
    assert!(status.success(), "{status}");
    assert!(took < Duration::from_secs(2), "{took:?}");
}

fn a_query_that_is_under_way_is_cancelled_on_the_remote_server(scene: &Scene) {
    let remote = scene.own_remote();
    let mut client = remote.connect();
    client.batch_execute(&replacing("powa_databases_src", "perform pg_sleep(300);")).unwrap();
    let server = scene.register_as(remote.registration());
    let collector = scene.verbose_collector(json!({}));
    let sleepers = "select count(*) from pg_stat_activity
        where datname = current_database() and wait_event = 'PgSleep' and state = 'active'";
    wait_until("the query to be under way", || client.query_one(sleepers, &[]).unwrap().get::<_, i64>(0) == 1);
    collector.signal(Signal::TERM);
    let (status, took) = collector.wait();
    assert!(status.success(), "{status}");
    assert!(took < Duration::from_secs(3), "{took:?}");
    wait_until("the query to be cancelled", || client.query_one(sleepers, &[]).unwrap().get::<_, i64>(0) == 0);
    assert_eq!(scene.snapshots(server), 0);
}

fn a_load_that_has_begun_is_finished(scene: &Scene) {
    // It goes on for as long as the test wants it to.
    scene.repository().batch_execute("create table public.patience as select 1 as one").unwrap();
    let pause = "while exists (select from public.patience) loop perform pg_sleep(0.1); end loop;";
    scene.repository().batch_execute(&delaying("powa_databases_snapshot", pause)).unwrap();
    let server = scene.register_as(Registration { frequency: 3600, ..Registration::of(scene.remote_server()) });
    let collector = scene.verbose_collector(json!({}));
    let mut repository = scene.repository();
    let loading = "select count(*) from pg_stat_activity
        where datname = current_database() and wait_event = 'PgSleep' and state = 'active'";
    wait_until("the load to be under way", || repository.query_one(loading, &[]).unwrap().get::<_, i64>(0) == 1);
    collector.signal(Signal::TERM);
    collector.wait_for_log("stopping");
    scene.repository().batch_execute("delete from public.patience").unwrap();
    let (status, _) = collector.wait();
    assert!(status.success(), "{status}, after:\n{}", collector.log().join("\n"));
    assert_eq!(scene.snapshots(server), 1);
    assert!(scene.count("select count(*) from powa_statements where srvid > 0") > 0);
}

/// Tells how long it took.
fn terminate(collector: &Collector) -> Duration {
    collector.signal(Signal::TERM);
    let (status, took) = collector.wait();
    assert!(status.success(), "{status}, after:\n{}", collector.log().join("\n"));
    took
}

fn a_load_that_cannot_be_finished_in_time_is_cancelled(scene: &Scene) {
    scene.repository().batch_execute(&delaying("powa_databases_snapshot", "perform pg_sleep(300);")).unwrap();
    let server = scene.register();
    let collector = scene.verbose_collector(json!({"timeouts": {"stop": 4}}));
    let mut repository = scene.repository();
    let sleeping = "select count(*) from pg_stat_activity
        where datname = current_database() and wait_event = 'PgSleep' and state = 'active'";
    wait_until("the load to be under way", || repository.query_one(sleeping, &[]).unwrap().get::<_, i64>(0) == 1);
    let took = terminate(&collector);
    assert!(took < Duration::from_secs(4), "{took:?}");
    assert_eq!(collector.logged("worker did not end in time").len(), 1);
    scene.wait_until_nobody_is_left();
    assert_eq!(scene.snapshots(server), 0);
    assert_eq!(scene.count("select count(*) from powa_databases where srvid > 0"), 0);
}

fn a_remote_server_that_froze_does_not_hold_it_up(scene: &Scene) {
    let proxy = Proxy::to(scene.remote_server()).unwrap();
    let remote = scene.own_remote();
    let alias = format!("frozen for {}", scene.database);
    proxy.when_server_says(b"pg_stat_statements", Act::Freeze);
    let registration = Registration { alias: Some(&alias), port: proxy.port(), ..remote.registration() };
    let server = scene.register_as(registration);
    let collector = scene.verbose_collector(json!({"use_server_alias": true}));
    wait_until("the server to freeze", || proxy.has_sprung());
    let took = terminate(&collector);
    assert!(took < Duration::from_secs(4), "{took:?}");
    scene.wait_until_nobody_is_left();
    assert_eq!(scene.snapshots(server), 0);
    proxy.thaw();
    let mut client = remote.connect();
    let sql = "select count(*) from pg_stat_activity where application_name = $1";
    let name = format!("PoWA collector - worker {alias}");
    wait_until("no session to be left", || client.query_one(sql, &[&name]).unwrap().get::<_, i64>(0) == 0);
}

fn a_repository_that_froze_does_not_hold_it_up(scene: &Scene) {
    // When it has committed, when it has prepared the load, and in the middle of it.
    let moments = [(&b"C\0\0\0\x0bCOMM"[..], 1), (b"powa_take_snapshot", 0), (b"COPY ", 0)];
    for (moment, snapshots) in moments {
        let proxy = Proxy::to(scene.repository_server()).unwrap();
        let scene = scene.another();
        let server = scene.register();
        proxy.when_server_says(moment, Act::Freeze);
        let more = json!({"timeouts": {"stop": 3}, "repository": scene.through(&proxy)["repository"]});
        let collector = scene.verbose_collector(more);
        wait_until("the repository to freeze", || proxy.has_sprung());
        let took = terminate(&collector);
        assert!(took < Duration::from_millis(3500), "{took:?}");
        proxy.thaw();
        drop(proxy);
        scene.wait_until_nobody_is_left();
        assert_eq!(scene.snapshots(server), snapshots, "{}", String::from_utf8_lossy(moment));
    }
}

fn a_command_whose_sender_cannot_be_looked_up_does_not_hold_it_up(scene: &Scene) {
    let proxy = Proxy::to(scene.repository_server()).unwrap();
    let more = json!({"timeouts": {"stop": 1}, "repository": scene.through(&proxy)["repository"]});
    let collector = scene.collector_with(more);
    proxy.when_server_says(b"WORKERS_STATUS me\0", Act::Freeze);
    Listening::on(scene.repository(), "me").send("WORKERS_STATUS me");
    wait_until("the repository to freeze", || proxy.has_sprung());
    let took = terminate(&collector);
    assert!(took < Duration::from_millis(1500), "{took:?}");
}

fn a_repository_that_is_away_does_not_hold_it_up(scene: &Scene) {
    let proxy = Proxy::to(scene.repository_server()).unwrap();
    let server = scene.register();
    let collector = scene.verbose_collector(scene.through(&proxy));
    scene.wait_for_snapshots(server, 1);
    proxy.refuse();
    proxy.cut();
    collector.wait_for_log("waits to be loaded");
    let took = terminate(&collector);
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert_eq!(collector.logged("are lost").len(), 1, "it is said what did not get there");
}

fn a_stop_at_any_moment_leaves_all_of_a_snapshot_or_nothing(scene: &Scene) {
    let server = scene.register_as(Registration { frequency: 3600, ..Registration::of(scene.remote_server()) });
    let unfinished = "select count(*) from powa_statements_src_tmp";
    let begin = || {
        let overdue = "update powa_snapshot_metas set snapts = '-infinity'";
        scene.repository().batch_execute(overdue).unwrap();
        scene.verbose_collector(json!({}))
    };
    // How long a snapshot takes depends on the machine, and on how busy it is.
    let collector = begin();
    let ready = Instant::now();
    collector.wait_for_log("snapshot taken");
    let whole = ready.elapsed();
    collector.stop();
    scene.wait_until_nobody_is_left();
    let mut taken = 1;
    for stop_after in (0..15).map(|n| whole * (n * n) / 144) {
        let collector = begin();
        std::thread::sleep(stop_after);
        let took = terminate(&collector);
        assert!(took < Duration::from_secs(10), "{took:?} when stopped after {stop_after:?}");
        taken += collector.logged("snapshot taken").len();
        scene.wait_until_nobody_is_left();
        assert_eq!(usize::try_from(scene.snapshots(server)).unwrap(), taken, "stopped after {stop_after:?}");
        assert_eq!(scene.count(unfinished), 0, "stopped after {stop_after:?}");
    }
    assert!((2..16).contains(&taken), "some are stopped before, some after: {taken}");
}
