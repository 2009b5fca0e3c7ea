//! Memory and threads are bounded, however many servers are due at once, and however slow the repository is.

use std::time::{Duration, Instant};

use lab::{Cluster, Registration};
use serde_json::json;

use crate::support::{Collector, Scene, Statements, delaying, log_of_server, replacing, tests, wait_until, with_powa};

tests![
    what_waits_to_be_loaded_shares_one_budget,
    #[timed]
    collecting_is_held_back_while_loading_cannot_keep_up,
    a_new_fleet_whose_snapshots_go_to_files_takes_a_few_threads,
];

/// What the remote server writes into its log whenever it is read.
const READ: &str = "read by a collector";

/// A remote server that is registered many times, and a repository that can be told not to load.
struct Fleet<'a> {
    scene: &'a Scene<'a>,
    remote: Cluster,
}

impl<'a> Fleet<'a> {
    /// Nothing is registered yet. A snapshot takes that many kB, and as long as `pause` on the remote server.
    fn new(scene: &'a Scene<'a>, kilobytes: i32, pause: &str) -> Self {
        let remote = Cluster::start_with(scene.generation(), "fleet", &[("max_connections", "300")]).unwrap();
        remote.create_powa_database("powa").unwrap();
        let connect = || with_powa(remote.connect("powa").unwrap());
        Statements::of(connect()).say_much(kilobytes / 50, 50);
        let body = format!("{pause} raise log ''{READ}''; return query select 1::oid, ''kept''::name;");
        connect().batch_execute(&replacing("powa_databases_src", &body)).unwrap();
        scene.without_databases();
        let wait = "while exists (select from public.closed) loop perform pg_catalog.pg_sleep(0.02); end loop;";
        let mut repository = scene.repository();
        repository.batch_execute("create table public.closed (n int)").unwrap();
        repository.batch_execute(&delaying("powa_take_snapshot", wait)).unwrap();
        Self { scene, remote }
    }

    fn register(&self, number: usize) {
        for number in 0..number {
            let alias = format!("s{number:03}");
            let own = Registration {
                alias: Some(&alias),
                frequency: 3600,
                extensions: &[],
                ..Registration::of(&self.remote)
            };
            self.scene.register_beside_others(own);
        }
    }

    /// Has loads wait until [`Self::open`].
    fn close(&self) {
        self.scene.repository().batch_execute("insert into public.closed values (1)").unwrap();
    }

    /// Not by "truncate", which would wait for the loads that look.
    fn open(&self) {
        self.scene.repository().batch_execute("delete from public.closed").unwrap();
    }

    /// How many servers have been read so far.
    fn read(&self) -> usize {
        log_of_server(&self.remote.log()).lines().filter(|line| line.contains(READ) && line.contains("LOG:")).count()
    }

    /// Nothing is being read just now.
    fn is_quiet(&self) -> bool {
        let busy = "select count(*) from pg_stat_activity
            where application_name like 'PoWA collector - worker%' and state <> 'idle'";
        self.remote.connect("postgres").unwrap().query_one(busy, &[]).unwrap().get::<_, i64>(0) == 0
    }

    fn loaded(&self) -> i64 {
        self.scene.count("select count(*) from powa_snapshot_metas where srvid > 0 and coalesce_seq > 1")
    }
}

/// The sizes of the snapshots that were taken, in bytes.
fn sizes(collector: &Collector) -> Vec<u64> {
    let taken = collector.logged("snapshot taken");
    let size = |line: &String| line.split(" bytes=").nth(1)?.split(' ').next()?.parse().ok();
    taken.iter().map(|line| size(line).unwrap()).collect()
}

fn what_waits_to_be_loaded_shares_one_budget(scene: &Scene) {
    const SERVERS: usize = 40;
    let fleet = Fleet::new(scene, 800, "");
    fleet.close();
    // All of them may be collected before one is loaded.
    let collector = scene.collector_with(json!({"limits": {"collects": SERVERS}, "spool": {"total_memory": 8}}));
    let before = collector.peak_memory();
    fleet.register(SERVERS);
    assert_eq!(scene.ask("RELOAD", ""), "RELOAD OK OK");
    wait_until("all servers to be read", || fleet.read() >= SERVERS && fleet.is_quiet());
    let more = collector.peak_memory() - before;
    fleet.open();
    wait_until("all servers to be loaded", || fleet.loaded() == SERVERS as i64);
    wait_until("all servers to be reported", || sizes(&collector).len() == SERVERS);
    let sizes = sizes(&collector);
    assert!(sizes.iter().all(|size| (600_000..1 << 20).contains(size)), "each would fit into memory: {sizes:?}");
    assert!(more < 24 * 1024, "{more} kB more than {before} kB");
    assert_eq!(fleet.read(), SERVERS, "nothing was lost");
    collector.stop();
}

fn collecting_is_held_back_while_loading_cannot_keep_up(scene: &Scene) {
    const SERVERS: usize = 24;
    // One that is loading has given its turn back.
    const MOST: usize = 4 + 1;
    // Longer than a server may keep silent, and not as long as is waited for after a start.
    let fleet = Fleet::new(scene, 50, "perform pg_catalog.pg_sleep(1.5);");
    fleet.close();
    fleet.register(SERVERS);
    let collector = scene.collector_with(json!({"limits": {"collects": 4, "loads": 1}}));
    wait_until("as many to be read as may be", || fleet.read() == MOST);
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(6) {
        assert!(fleet.read() <= MOST, "{} were read", fleet.read());
        std::thread::sleep(Duration::from_millis(100));
    }
    fleet.open();
    wait_until("all servers to be loaded", || fleet.loaded() == SERVERS as i64);
    collector.stop();
}

fn a_new_fleet_whose_snapshots_go_to_files_takes_a_few_threads(scene: &Scene) {
    const SERVERS: usize = 40;
    let fleet = Fleet::new(scene, 800, "");
    // Without a password: each connection looks for one in files, by a thread.
    fleet.register(SERVERS);
    let collector = scene.collector_with(json!({"limits": {"collects": SERVERS}, "spool": {"memory": 0}}));
    let mut most = 0;
    wait_until("all servers to be loaded", || {
        let since = Instant::now();
        while since.elapsed() < Duration::from_millis(500) {
            most = collector.threads().max(most);
            std::thread::sleep(Duration::from_millis(5));
        }
        fleet.loaded() == SERVERS as i64
    });
    assert!(most <= 24, "{most} threads");
    collector.stop();
}
