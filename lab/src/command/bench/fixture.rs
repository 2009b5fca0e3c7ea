//! Starts the servers of a benchmark: a repository, and remote servers that are the same for both collectors.
//!
//! One remote cluster listens on many addresses of the loopback network, and is a server of the fleet under each, or
//! behind several proxies, each with its own delay.

use std::ops::Range;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use lab::{Cluster, Error, Generation, Proxy, Registration, Result, Workload};
use postgres::Client;

use super::candidate::{Candidate, Running};

/// The database with PoWA on the remote servers.
pub(super) const DATABASE: &str = "powa";
/// PostgreSQL listens on no more than 64 (MAXLISTEN), if they are listed.
const MOST_ADDRESSES: usize = 64;
/// The database in the repository that those of the candidates are copied from.
const REGISTERED: &str = "registered";
/// The columns that may differ in the statements that a server is filled with, so that there is room for a million.
const COLUMNS: u32 = 20;

/// The size of the fleet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    pub servers: usize,
    /// Databases of each remote server, beside the one with PoWA and `postgres`.
    pub applications: usize,
    /// Entries in pg_stat_statements of each remote server, which has room for twice as many.
    pub statements: usize,
    /// Seconds between two snapshots of a server.
    pub frequency: i32,
}

/// All servers of the benchmark.
pub(super) struct Fixture {
    pub repository: Cluster,
    pub remote: Cluster,
    /// The proxies of the servers with a delay, in their order.
    pub lines: Vec<Proxy>,
}

/// A repository of one candidate alone, and the candidate at work on it.
pub(super) struct BenchRun {
    pub client: Client,
    pub running: Running,
    pub database: String,
    pub started: Instant,
    /// The ids of the servers, in their order.
    pub ids: Vec<i32>,
}

impl Fixture {
    /// Starts the servers, and registers them.
    pub(super) fn make(generation: &Generation, size: Size) -> Result<Fixture> {
        let (repository, remote) = thread::scope(|scope| {
            let repository = scope.spawn(move || {
                // The Python collector takes one for each server.
                let connections = (size.servers + 100).to_string();
                let settings = [("max_connections", connections.as_str()), ("shared_buffers", "512MB")];
                Cluster::start_with(generation, "repository", &settings)
            });
            let remote = scope.spawn(move || remote(generation, size));
            (joined(repository), joined(remote))
        });
        let fixture = Fixture { repository: repository?, remote: remote?, lines: Vec::new() };
        fixture.add_statements(0..size.statements)?;
        fixture.register(size)?;
        Ok(fixture)
    }

    fn register(&self, size: Size) -> Result<()> {
        self.repository.create_powa_database(REGISTERED)?;
        let mut client = self.repository.connect(REGISTERED)?;
        for number in 0..size.servers {
            let (address, alias) = (address(number), format!("s{:04}", number + 1));
            let registration = Registration {
                hostname: &address,
                alias: Some(&alias),
                frequency: size.frequency,
                ..Registration::of(&self.remote)
            };
            registration.register_in(&mut client)?;
        }
        Ok(())
    }

    /// Puts proxies with a delay in front of this many servers.
    pub(super) fn put_away(&mut self, round_trips: &[Duration]) -> Result<()> {
        let mut client = self.repository.connect(REGISTERED)?;
        for (id, round_trip) in ids(&mut client)?.into_iter().zip(round_trips) {
            let line = Proxy::to(&self.remote)?;
            line.delay(*round_trip / 2);
            let port = i32::from(line.port());
            client
                .execute("update powa_servers set hostname = $2, port = $3 where id = $1", &[&id, &line.host(), &port])
                .context("saying where a server is")?;
            self.lines.push(line);
        }
        Ok(())
    }

    /// Starts a candidate on a repository database of its own, in which all servers are registered. `prepare` changes the
    /// database before that.
    pub(super) fn begin(
        &self,
        candidate: &Candidate,
        directory: &Path,
        prepare: impl FnOnce(&mut Client) -> Result<()>,
    ) -> Result<BenchRun> {
        let database = candidate.name().to_owned();
        self.repository.drop_database(&database)?;
        self.repository
            .connect("postgres")?
            .batch_execute(&format!("create database {database} template {REGISTERED}"))
            .with_context(|| format!("creating the repository database {database:?}"))?;
        let mut client = self.repository.connect(&database)?;
        let ids = ids(&mut client)?;
        prepare(&mut client)?;
        let started = Instant::now();
        let running = candidate.start(&self.repository.dsn(&database), directory)?;
        Ok(BenchRun { client, running, database, started, ids })
    }

    /// Marks the catalogs of all databases as just read. PoWA 5 reads them once a year, and that snapshot costs ten times as
    /// much as the others.
    pub(super) fn leave_catalogs(&self) -> Result<()> {
        if self.repository.generation().powa_major() < 5 {
            return Ok(());
        }
        let databases = "select oid, datname from pg_database where datallowconn";
        let databases = self.remote.connect("postgres")?.query(databases, &[]).context("listing databases")?;
        let mut repository = self.repository.connect(REGISTERED)?;
        let refreshed = "insert into powa_catalog_databases (srvid, oid, datname, last_refresh)
                         select id, $1, $2, now() from powa_servers where id > 0";
        for database in databases {
            let (oid, name): (u32, String) = (database.get(0), database.get(1));
            repository.execute(refreshed, &[&oid, &name]).context("saying that catalogs have been read")?;
        }
        Ok(())
    }

    /// Runs statements with these numbers, for pg_stat_statements of the remote cluster.
    pub(super) fn add_statements(&self, numbers: Range<usize>) -> Result<()> {
        let mut client = self.remote.connect(DATABASE)?;
        for begin in numbers.clone().step_by(100) {
            let statements: Vec<_> = (begin..numbers.end.min(begin + 100)).map(statement).collect();
            client.batch_execute(&statements.join(";")).context("filling pg_stat_statements")?;
        }
        Ok(())
    }
}

impl BenchRun {
    /// The number of snapshots of all servers together: the count in the repository begins with one.
    pub(super) fn snapshots(&mut self) -> Result<i64> {
        let taken = "select coalesce(sum(coalesce_seq - 1), 0)::int8 from powa_snapshot_metas where srvid > 0";
        Ok(self.client.query_one(taken, &[]).context("counting snapshots")?.get(0))
    }

    /// The number of servers with a snapshot.
    pub(super) fn servers_with_snapshot(&mut self) -> Result<i64> {
        let taken = "select count(*) from powa_snapshot_metas where srvid > 0 and coalesce_seq > 1";
        Ok(self.client.query_one(taken, &[]).context("counting servers with a snapshot")?.get(0))
    }

    /// Waits until each server has this many snapshots, or until the limit.
    pub(super) fn warm_up(&mut self, times: i64, limit: Duration) -> Result<()> {
        let fewest = "select min(coalesce_seq - 1)::int8 from powa_snapshot_metas where srvid > 0";
        while self.client.query_one(fewest, &[]).context("counting snapshots")?.get::<_, i64>(0) < times
            && self.started.elapsed() < limit
        {
            self.running.ensure_running()?;
            thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// The longest time since the last snapshot of any server.
    pub(super) fn longest_unseen(&mut self) -> Result<Duration> {
        let age = "select extract(epoch from clock_timestamp() - nullif(min(snapts), '-infinity'))::float8
                     from powa_snapshot_metas
                    where srvid > 0";
        let age: Option<f64> = self.client.query_one(age, &[]).context("looking for the oldest snapshot")?.get(0);
        // A server without a snapshot has waited from the beginning.
        Ok(age.map_or(self.started.elapsed(), |age| Duration::from_secs_f64(age.max(0.0))))
    }

    /// Waits until so many snapshots have been taken; gives the time since the start.
    pub(super) fn wait_for_snapshots(&mut self, wanted: i64, limit: Duration) -> Result<Duration> {
        loop {
            let taken = self.snapshots()?;
            if taken >= wanted {
                return Ok(self.started.elapsed());
            }
            self.running.ensure_running()?;
            ensure!(
                self.started.elapsed() < limit,
                "{}: {taken} snapshots of {wanted} within {} s; {}",
                self.database,
                limit.as_secs(),
                self.running.last_words()
            );
            thread::sleep(Duration::from_millis(20));
        }
    }
}

fn remote(generation: &Generation, size: Size) -> Result<Cluster> {
    // The collectors' sessions stay for a while: in each database, of each server.
    let connections = (size.servers * (size.applications + 2) + 100).to_string();
    let statements = (2 * size.statements).max(5_000).to_string();
    let addresses = if size.servers <= MOST_ADDRESSES {
        (0..size.servers).map(address).collect::<Vec<_>>().join(",")
    } else {
        // pg_hba.conf allows only local addresses, and `scripts/bench` isolates the network.
        "0.0.0.0".to_owned()
    };
    let settings = [
        ("listen_addresses", addresses.as_str()),
        ("max_connections", connections.as_str()),
        ("pg_stat_statements.max", statements.as_str()),
    ];
    let cluster = Cluster::start_with(generation, "remote", &settings)?;
    cluster.create_powa_database(DATABASE)?;
    let applications: Vec<_> = (1..=size.applications).map(|number| format!("application{number}")).collect();
    let applications: Vec<_> = applications.iter().map(String::as_str).collect();
    Workload::create(&cluster, &applications)?;
    Ok(cluster)
}

/// Each has other columns, so that none is taken for another.
fn statement(number: usize) -> String {
    let columns = (0..COLUMNS).map(|bit| if number >> bit & 1 == 1 { "oid" } else { "relname" });
    format!("select {} from pg_class where oid = 1259", columns.collect::<Vec<_>>().join(", "))
}

/// All of 127.0.0.0/8 is this machine.
fn address(number: usize) -> String {
    format!("127.0.{}.{}", number / 250, number % 250 + 1)
}

fn ids(repository: &mut Client) -> Result<Vec<i32>> {
    let servers = repository.query("select id from powa_servers where id > 0 order by id", &[]);
    Ok(servers.context("listing the servers")?.iter().map(|server| server.get(0)).collect())
}

fn joined(thread: thread::ScopedJoinHandle<'_, Result<Cluster>>) -> Result<Cluster> {
    thread.join().unwrap_or_else(|_| Err(Error::msg("the thread that started a server panicked")))
}
