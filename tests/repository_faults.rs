//! A repository that is unreachable, comes back, refuses, or breaks the connection: no collected rows are lost or
//! stored twice.

use std::time::Duration;

use lab::{Act, Proxy, Registration};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{COMMITTED, Collector, Marked, Scene, Stopwatch, replacing, tests, wait_until};

tests![
    #[timed]
    a_restarted_repository_is_served_again_within_seconds,
    #[timed]
    #[hurried]
    an_outage_costs_nothing_that_was_read,
    #[of_any_powa]
    a_repository_that_froze_is_noticed_and_left,
    #[timed]
    #[of_any_powa]
    a_repository_that_froze_for_good_is_left_for_the_next_host,
    #[timed]
    #[of_any_powa]
    a_reload_that_waits_for_a_repository_that_froze_is_begun_anew,
    a_load_whose_session_is_terminated_is_made_again,
    a_commit_whose_answer_was_lost_is_not_made_twice,
    a_commit_that_was_lost_with_its_answer_is_made_again,
    what_is_refused_ten_times_is_given_up_and_said_to_be_lost,
    a_load_that_takes_too_long_is_given_up_and_no_outage,
    what_pg_qualstats_saw_outlives_a_load_that_failed,
    what_was_read_outlives_a_table_that_was_locked,
    #[timed]
    #[of_any_powa]
    a_repository_that_is_not_there_yet_is_waited_for,
    #[timed]
    #[of_any_powa]
    a_collector_that_waits_for_its_repository_can_be_stopped_and_told_of_another,
    #[of_any_powa]
    a_collector_that_waits_for_its_repository_can_be_told_to_say_more,
    #[timed]
    #[of_any_powa]
    what_waiting_cannot_mend_is_said_at_once,
];

/// It was not necessary to wait for a pause to end.
const SOON: Duration = Duration::from_secs(20);

fn a_restarted_repository_is_served_again_within_seconds(scene: &Scene) {
    let scene = scene.apart(&[]);
    let server = scene.register();
    let hourly = scene.register_as(Registration { hostname: "localhost", frequency: 3600, ..of_remote(&scene) });
    let collector = scene.verbose_collector(json!({}));
    scene.wait_for_snapshots(server, 1);
    scene.wait_for_snapshots(hourly, 1);
    for (times, end) in [(1, lab::Cluster::stop as fn(&lab::Cluster) -> lab::Result<()>), (2, lab::Cluster::crash)] {
        end(scene.repository_server()).unwrap();
        // Longer than the first pauses, so that the next ones would be long.
        std::thread::sleep(Duration::from_secs(16));
        scene.repository_server().start_again().unwrap();
        let (back, before) = (Stopwatch::start(), scene.snapshots(server));
        scene.wait_for_snapshots(server, before + 1);
        wait_until("it to listen again", || collector.logged("listening for commands again").len() == times);
        scene.wait_for_status(server, "running");
        scene.wait_for_status(hourly, "running");
        assert!(back.elapsed() < SOON, "{:?}", back.elapsed());
    }
    let lost = collector.logged("connection to the repository server lost");
    assert_eq!(lost.len(), 2, "{lost:?}");
    collector.stop();
}

fn of_remote<'a>(scene: &'a Scene) -> Registration<'a> {
    Registration::of(scene.remote_server())
}

fn an_outage_costs_nothing_that_was_read(scene: &Scene) {
    let proxy = Proxy::to(scene.repository_server()).unwrap();
    let remote = scene.own_remote();
    let databases = Marked::databases_of(&remote, "");
    let server = scene.register_as(remote.registration());
    let collector = scene.verbose_collector(scene.through(&proxy));
    scene.wait_for_snapshots(server, 1);
    proxy.refuse();
    proxy.cut();
    collector.wait_for_log("waits to be loaded");
    let read = databases.times();
    // Three more would have been due.
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(databases.times(), read, "nothing is read that could not be loaded");
    let before = scene.snapshots(server);
    proxy.accept().unwrap();
    let back = Stopwatch::start();
    // The one that waited, and at once the one that is overdue.
    scene.wait_for_snapshots(server, before + 2);
    assert!(back.elapsed() < SOON, "{:?}", back.elapsed());
    collector.wait_for_log("listening for commands again");
    scene.wait_for_status(server, "running");
    assert_eq!(collector.logged("are lost"), [""; 0]);
    // One may be under way at any time, and what the stop interrupts is read and not there.
    wait_until("all to be there that was read", || {
        let read = databases.times();
        usize::try_from(scene.snapshots(server)).unwrap() == read && collector.logged("snapshot taken").len() == read
    });
    collector.stop();
}

fn a_repository_that_froze_is_noticed_and_left(scene: &Scene) {
    let proxy = Proxy::to(scene.repository_server()).unwrap();
    let more = json!({"timeouts": {"connect": 1}, "repository": scene.through(&proxy)["repository"]});
    let collector = scene.verbose_collector(more);
    proxy.freeze();
    // Nobody sends a command, and no snapshot is due.
    let lost = collector.wait_for_log("connection to the repository server lost");
    assert!(lost.contains("no answer within 1 s"), "{lost}");
    proxy.thaw();
    collector.wait_for_log("listening for commands again");
    assert_eq!(scene.ask("WORKERS_STATUS", ""), "WORKERS_STATUS OK {}");
}

/// The repository by two ways, of which the first is the one to freeze, without a word to anybody.
fn by_two_ways(scene: &Scene) -> (Proxy, Proxy, Value) {
    let [first, second] = [(); 2].map(|()| Proxy::to(scene.repository_server()).unwrap());
    let hosts = format!("{},{}", first.host(), second.host());
    let dsn = scene.dsn_at(&hosts, &format!("{},{}", first.port(), second.port()), "postgres");
    (first, second, json!({"repository": {"dsn": dsn}, "timeouts": {"connect": 1}}))
}

/// The command channel looks every ten seconds whether there is still a repository.
const UNTIL_NOTICED: Duration = Duration::from_secs(25);

fn a_repository_that_froze_for_good_is_left_for_the_next_host(scene: &Scene) {
    let (first, _second, more) = by_two_ways(scene);
    let server = scene.register();
    let another = scene.register_as(Registration { hostname: "localhost", ..of_remote(scene) });
    let collector = scene.collector_with(more);
    scene.wait_for_snapshots(server, 1);
    scene.wait_for_snapshots(another, 1);
    first.freeze();
    let frozen = Stopwatch::start();
    let before = scene.snapshots(server);
    scene.wait_for_snapshots(server, before + 2);
    assert!(frozen.elapsed() < UNTIL_NOTICED, "{:?}", frozen.elapsed());
    collector.wait_for_log("listening for commands again");
    scene.wait_for_status(server, "running");
    scene.wait_for_status(another, "running");
    assert!(frozen.elapsed() < UNTIL_NOTICED, "{:?}", frozen.elapsed());
}

fn a_reload_that_waits_for_a_repository_that_froze_is_begun_anew(scene: &Scene) {
    let (first, _second, more) = by_two_ways(scene);
    let registration = Registration { alias: Some("read last"), frequency: 3600, ..of_remote(scene) };
    let server = scene.register_as(registration);
    let collector = scene.collector_with(more);
    scene.wait_for_snapshots(server, 1);
    // In the middle of the list of servers.
    first.when_server_says(b"read last", Act::Freeze);
    collector.signal(Signal::HUP);
    wait_until("the repository to freeze", || first.has_sprung());
    let frozen = Stopwatch::start();
    collector.wait_for_log("reloaded");
    assert!(frozen.elapsed() < UNTIL_NOTICED, "{:?}", frozen.elapsed());
}

/// In the middle of the load of a snapshot.
fn wait_until_loading(scene: &Scene) {
    let mut repository = scene.repository();
    let loading = "select count(*) from pg_stat_activity
        where datname = current_database() and wait_event = 'PgSleep' and state = 'active'";
    wait_until("a load to be under way", || repository.query_one(loading, &[]).unwrap().get::<_, i64>(0) > 0);
}

fn a_load_whose_session_is_terminated_is_made_again(scene: &Scene) {
    let remote = scene.own_remote();
    let databases = Marked::databases_of(&remote, "");
    let mut repository = scene.repository();
    let slow = "create function slow() returns trigger language plpgsql
            as $$ begin if exists (select from public.patience) then perform pg_sleep(300); end if; return null; end $$;
        create table public.patience (n int); insert into patience values (1);
        create trigger slow after insert on powa_databases execute function slow()";
    repository.batch_execute(slow).unwrap();
    let server = scene.register_as(Registration { frequency: 3600, ..remote.registration() });
    let collector = scene.verbose_collector(json!({}));
    wait_until_loading(scene);
    let terminate = "delete from patience; select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and wait_event = 'PgSleep'";
    repository.batch_execute(terminate).unwrap();
    scene.wait_for_snapshots(server, 1);
    collector.wait_for_log("snapshot taken");
    assert_eq!(databases.times(), 1);
    assert_eq!(scene.count("select count(*) from powa_databases where srvid > 0 and datname = 'kept'"), 1);
    collector.stop();
    assert_eq!(scene.snapshots(server), 1);
}

fn a_commit_whose_answer_was_lost_is_not_made_twice(scene: &Scene) {
    let proxy = Proxy::to(scene.repository_server()).unwrap();
    let server = scene.register_as(Registration { frequency: 3600, ..of_remote(scene) });
    proxy.when_server_says(COMMITTED, Act::Cut);
    let collector = scene.verbose_collector(scene.through(&proxy));
    collector.wait_for_log("snapshot taken");
    assert!(proxy.has_sprung());
    assert_eq!(collector.logged("ERROR").len(), 1);
    collector.stop();
    assert_eq!(collector.logged("snapshot taken").len(), 1);
    assert_eq!(scene.snapshots(server), 1);
}

fn a_commit_that_was_lost_with_its_answer_is_made_again(scene: &Scene) {
    let proxy = Proxy::to(scene.repository_server()).unwrap();
    let server = scene.register_as(Registration { frequency: 3600, ..of_remote(scene) });
    // The constraint is looked at by COMMIT, and the session that looks is gone.
    let ending = "create table public.at_the_end (n int); insert into at_the_end values (1);
        create function end_session() returns trigger language plpgsql as $$ begin
            if exists (select from public.at_the_end) then perform pg_terminate_backend(pg_backend_pid()); end if;
            return null;
        end $$;
        create constraint trigger end_session after update on powa_snapshot_metas
            deferrable initially deferred for each row execute function end_session()";
    scene.repository().batch_execute(ending).unwrap();
    let collector = scene.verbose_collector(scene.through(&proxy));
    collector.wait_for_log("terminating connection due to administrator command");
    assert_eq!(scene.snapshots(server), 0);
    scene.repository().batch_execute("delete from at_the_end").unwrap();
    scene.wait_for_snapshots(server, 1);
    collector.stop();
    assert_eq!(scene.snapshots(server), 1);
}

fn what_is_refused_ten_times_is_given_up_and_said_to_be_lost(scene: &Scene) {
    let remote = scene.own_remote();
    let databases = Marked::databases_of(&remote, "");
    scene.repository().batch_execute(&replacing("powa_take_snapshot", "raise ''not today'';")).unwrap();
    let server = scene.register_as(Registration { frequency: 3600, ..remote.registration() });
    let collector = scene.verbose_collector(json!({}));
    let refused = "could not run powa_take_snapshot()";
    scene.wait_for_error(server, refused);
    // A reload is for anybody to ask, and does not use up the tries.
    (0..3).for_each(|_| assert_eq!(scene.ask("RELOAD", ""), "RELOAD OK OK"));
    assert_eq!(collector.logged("gave up"), [""; 0]);
    // Who changes a server wants it now, and no pause has to be waited for.
    let mut names = 0..;
    wait_until("it to be given up", || {
        let name = format!("name {}", names.next().unwrap());
        scene.repository().execute("update powa_servers set alias = $1 where id > 0", &[&name]).unwrap();
        assert_eq!(scene.ask("RELOAD", ""), "RELOAD OK OK");
        !collector.logged("gave up").is_empty()
    });
    let error = scene.wait_for_error(server, "gave up after 10 attempts");
    assert!(error.contains(refused) && error.contains("not today") && error.contains("are lost"), "{error}");
    let rows = error.split_once(" collected rows of ").unwrap().0.rsplit(' ').next().unwrap();
    assert!(rows.parse::<u32>().unwrap() > 1, "{error}");
    assert_eq!(databases.times(), 1);
    assert_eq!(scene.snapshots(server), 0);
}

fn a_load_that_takes_too_long_is_given_up_and_no_outage(scene: &Scene) {
    scene.repository().batch_execute(&replacing("powa_take_snapshot", "perform pg_sleep(60);")).unwrap();
    let server = scene.register_as(Registration { frequency: 3600, ..of_remote(scene) });
    let collector = scene.verbose_collector(json!({"timeouts": {"snapshot": 5}}));
    // The limit for a statement is the server's, and says so.
    let error = scene.wait_for_error(server, "statement timeout");
    assert!(error.contains("raise timeouts.snapshot") && error.contains("waits to be loaded"), "{error}");
    scene.wait_for_status(server, "running");
    assert_eq!(collector.logged("no answer within"), [""; 0]);
}

fn what_was_read_outlives_a_table_that_was_locked(scene: &Scene) {
    let remote = scene.own_remote();
    let databases = Marked::databases_of(&remote, "");
    let server = scene.register_as(Registration { frequency: 3600, ..remote.registration() });
    let mut locking = scene.repository();
    let mut lock = locking.transaction().unwrap();
    lock.batch_execute("lock table powa_databases_src_tmp").unwrap();
    let collector = scene.verbose_collector(json!({}));
    collector.wait_for_log("waits to be loaded");
    scene.wait_for_error(server, "another session holds a lock on it");
    lock.rollback().unwrap();
    scene.wait_for_snapshots(server, 1);
    assert_eq!(databases.times(), 1);
    assert_eq!(scene.count("select count(*) from powa_databases where srvid > 0 and datname = 'kept'"), 1);
}

fn what_pg_qualstats_saw_outlives_a_load_that_failed(scene: &Scene) {
    // The statistics are the whole server's, and everybody who collects resets them.
    let own = lab::Cluster::start(scene.generation(), "qualstats").unwrap();
    own.create_powa_database("powa").unwrap();
    let mut seen = own.connect("powa").unwrap();
    seen.batch_execute("create table followed (n int); insert into followed values (1)").unwrap();
    let mut see = || (0..20).for_each(|_| seen.batch_execute("select from followed where n = 1").unwrap());
    see();
    let quals = "select count(*) from pg_qualstats q join pg_class c on c.oid = q.lrelid where c.relname = 'followed'";
    let mut looking = own.connect("powa").unwrap();
    let mut on_remote = || looking.query_one(quals, &[]).unwrap().get::<_, i64>(0);

    let server = scene.register_as(Registration { frequency: 3600, ..Registration::of(&own) });
    let collector = scene.verbose_collector(json!({}));
    // PoWA 4 takes the predicates of statements that it knows from the snapshot before.
    scene.wait_for_snapshots(server, 1);
    scene.repository().batch_execute("delete from powa_qualstats_quals").unwrap();
    let mut locking = scene.repository();
    let mut lock = locking.transaction().unwrap();
    lock.execute("select from powa_snapshot_metas where srvid = $1 for update", &[&server]).unwrap();
    see();
    assert!(on_remote() > 0);
    wait_until("a snapshot to be forced", || {
        std::thread::sleep(Duration::from_millis(500));
        scene.ask("FORCE_SNAPSHOT", &server.to_string()).starts_with("FORCE_SNAPSHOT OK")
    });
    collector.wait_for_log("waits to be loaded");
    assert_eq!(on_remote(), 0, "it is reset");
    lock.rollback().unwrap();
    scene.wait_for_snapshots(server, 2);
    let arrived = scene.count("select count(*) from powa_qualstats_quals where srvid > 0");
    assert!(arrived > 0, "{:?}", scene.errors(server));
}

fn a_repository_that_is_not_there_yet_is_waited_for(scene: &Scene) {
    let proxy = Proxy::to(scene.repository_server()).unwrap();
    proxy.refuse();
    let server = scene.register();
    let collector = Collector::start(&scene.config(scene.through(&proxy)));
    let line = collector.wait_for_log("waiting for it");
    assert!(line.contains("could not connect to 127.0.0.1") && line.contains("refused"), "{line}");
    std::thread::sleep(Duration::from_secs(6));
    assert_eq!(collector.logged("ERROR").len(), 1, "it is said once");
    proxy.accept().unwrap();
    let there = Stopwatch::start();
    scene.wait_until_listening(&collector);
    assert!(there.elapsed() < SOON, "{:?}", there.elapsed());
    scene.wait_for_snapshots(server, 1);
}

fn a_collector_that_waits_for_its_repository_can_be_stopped_and_told_of_another(scene: &Scene) {
    let nowhere = |port: u16| json!({"repository": {"dsn": scene.dsn_at("127.0.0.1", &port.to_string(), "postgres")}});
    let collector = Collector::start(&scene.config(nowhere(1)));
    collector.wait_for_log("waiting for it");
    scene.config_file("{ not json");
    collector.signal(Signal::HUP);
    collector.wait_for_log("keeping the previous configuration");
    assert_eq!(collector.logged("reloaded"), [""; 0]);
    scene.config(nowhere(1));
    collector.signal(Signal::HUP);
    collector.wait_for_log("reloaded; the configuration is unchanged");
    scene.config(nowhere(2));
    collector.signal(Signal::HUP);
    collector.wait_for_log("127.0.0.1:2");
    collector.signal(Signal::TERM);
    let (status, took) = collector.wait();
    assert!(status.success() && took < Duration::from_secs(1), "{status}, {took:?}");

    let collector = Collector::start(&scene.config(nowhere(1)));
    collector.wait_for_log("waiting for it");
    scene.config(json!({}));
    collector.signal(Signal::HUP);
    scene.wait_until_listening(&collector);
    collector.stop();
}

fn a_collector_that_waits_for_its_repository_can_be_told_to_say_more(scene: &Scene) {
    let nowhere = |debug| json!({"repository": {"dsn": "host=127.0.0.1 port=1 user=nobody"}, "debug": debug});
    let collector = Collector::start(&scene.config(nowhere(true)));
    collector.wait_for_log("still waiting");
    collector.stop();

    let collector = Collector::start(&scene.config(nowhere(false)));
    collector.wait_for_log("waiting for it");
    scene.config(nowhere(true));
    collector.signal(Signal::HUP);
    collector.wait_for_log("still waiting");
    collector.stop();
}

fn what_waiting_cannot_mend_is_said_at_once(scene: &Scene) {
    let locked = format!("locked_{}", scene.number());
    let create = format!("create role {locked} login in role password_required password 's3cret'");
    scene.repository().batch_execute(&create).unwrap();
    let server = scene.repository_server();
    let at = format!("host={} port={}", server.host(), server.port());
    let cases = [
        (format!("{at} user=postgres dbname=nothing"), "database \"nothing\" does not exist"),
        (format!("{at} user=stranger dbname=postgres"), "role \"stranger\" does not exist"),
        (format!("{at} user=postgres dbname=postgres"), "extension \"powa\" is not installed"),
        (format!("{at} user={locked} password=wr0ng dbname=postgres"), "password authentication failed"),
        (format!("{at} user={locked} dbname=postgres"), "password"),
    ];
    for (dsn, expected) in cases {
        let collector = Collector::start(&scene.config(json!({"repository": {"dsn": dsn}})));
        let (status, took) = collector.wait();
        let log = collector.log().join("\n");
        assert_eq!(status.code(), Some(1), "{dsn}: {log}");
        assert!(took < Duration::from_secs(5), "{dsn}: {took:?}");
        assert!(log.contains(expected) && !log.contains("wr0ng"), "{dsn}: {log}");
    }
}
