//! Starts the fleet of a soak test: a repository and some clusters, each with proxies that act as several servers.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use lab::{Cluster, Error, Generation, Proxy, Registration, Result, Workload};

use super::collector::LONGEST_STEP;

/// The database with PoWA, on either side.
pub(super) const DATABASE: &str = "powa";
/// A role that may connect to the repository, and nothing else.
pub(super) const STRANGER: &str = "stranger";

const SERVERS_OF_A_CLUSTER: usize = 15;
const APPLICATION: &str = "shop";
/// Few enough that every run aggregates.
const SNAPSHOTS_UNTIL_AGGREGATED: i32 = 20;

/// All servers of the test.
pub(super) struct Fixture {
    pub repository: Cluster,
    /// The proxy between the collector and the repository; the test connects without it.
    pub line: Proxy,
    pub clusters: Vec<Cluster>,
    pub servers: Vec<Server>,
    /// Seconds between two snapshots of a server, unless a fault changes it.
    pub frequency: u32,
    _workloads: Vec<Workload>,
}

/// One row of `powa_servers`.
pub(super) struct Server {
    pub id: i32,
    pub alias: String,
    /// The index of its cluster.
    pub cluster: usize,
    pub line: Proxy,
}

impl Fixture {
    pub(super) fn make(generation: &Generation, servers: usize, frequency: u32) -> Result<Fixture> {
        let (repository, clusters) = thread::scope(|scope| {
            let repository = scope.spawn(|| repository(generation));
            let clusters: Vec<_> = (0..servers.div_ceil(SERVERS_OF_A_CLUSTER))
                .map(|number| scope.spawn(move || cluster(generation, number)))
                .collect();
            (joined(repository), clusters.into_iter().map(joined).collect::<Vec<_>>())
        });
        let (repository, clusters) = (repository?, clusters.into_iter().collect::<Result<Vec<_>>>()?);
        let servers = (0..servers)
            .map(|number| register(&repository, &clusters, number, frequency))
            .collect::<Result<Vec<_>>>()
            .context("registering the servers")?;
        let mut client = repository.connect(DATABASE)?;
        client
            .execute("update powa_servers set powa_coalesce = $1 where id > 0", &[&SNAPSHOTS_UNTIL_AGGREGATED])
            .context("having snapshots aggregated often")?;
        if generation.powa_major() >= 5 {
            // All tables of all databases of all servers every five seconds would overload a small machine.
            client
                .batch_execute("update powa_db_module_config set enabled = false where srvid > 0 and srvid % 10 <> 1")
                .context("leaving out the modules of databases")?;
        }
        let workloads =
            clusters.iter().map(|cluster| Workload::start(cluster, &[APPLICATION])).collect::<Result<Vec<_>>>()?;
        let line = Proxy::to(&repository)?;
        Ok(Fixture { repository, line, clusters, servers, frequency, _workloads: workloads })
    }

    /// A multiple of the frequency.
    pub(super) fn frequencies(&self, times: u32) -> Duration {
        times * Duration::from_secs(self.frequency.into())
    }

    /// The longest time from the end of a fault to its last consequence: operations in progress have reached their time
    /// limit, and the longest pause between attempts is the frequency.
    pub(super) fn aftermath(&self) -> Duration {
        LONGEST_STEP + self.frequencies(1)
    }

    /// The repository's address for the collector.
    pub(super) fn dsn(&self) -> String {
        format!("host={} port={} user=postgres dbname={DATABASE}", self.line.host(), self.line.port())
    }

    /// The servers that share this cluster.
    pub(super) fn servers_of(&self, cluster: usize) -> BTreeSet<i32> {
        self.servers.iter().filter(|server| server.cluster == cluster).map(|server| server.id).collect()
    }
}

fn repository(generation: &Generation) -> Result<Cluster> {
    // Committed rows must survive a crash, because snapshots are counted.
    let cluster = Cluster::start_with(generation, "repository", &[("synchronous_commit", "on")])?;
    cluster.create_powa_database(DATABASE)?;
    cluster
        .connect("postgres")?
        .batch_execute(&format!("create role {STRANGER} login"))
        .context("creating a role without rights")?;
    Ok(cluster)
}

fn cluster(generation: &Generation, number: usize) -> Result<Cluster> {
    let settings = [
        ("max_connections", "300"),
        // Small, because the test is about many snapshots, not large ones.
        ("pg_stat_statements.max", "200"),
        ("pg_wait_sampling.profile_pid", "off"),
    ];
    let cluster = Cluster::start_with(generation, &format!("remote{number}"), &settings)?;
    cluster.create_powa_database(DATABASE)?;
    Workload::create(&cluster, &[APPLICATION])?;
    Ok(cluster)
}

fn register(repository: &Cluster, clusters: &[Cluster], number: usize, frequency: u32) -> Result<Server> {
    let cluster = number % clusters.len();
    let line = Proxy::to(&clusters[cluster])?;
    let alias = format!("s{:02}", number + 1);
    let all = Registration::of(&clusters[cluster]);
    let registration = Registration {
        hostname: line.host(),
        port: line.port(),
        alias: Some(&alias),
        dbname: DATABASE,
        frequency: i32::try_from(frequency).context("no frequency is that long")?,
        // Of different kinds.
        extensions: &all.extensions[..number % (all.extensions.len() + 1)],
        ..all
    };
    let id = registration.register(repository, DATABASE)?;
    Ok(Server { id, alias, cluster, line })
}

fn joined(thread: thread::ScopedJoinHandle<'_, Result<Cluster>>) -> Result<Cluster> {
    thread.join().unwrap_or_else(|_| Err(Error::msg("the thread that started a server panicked")))
}
