//! Causes faults and heals them.

use anyhow::{Context, ensure};
use fastrand::Rng;
use lab::{Act, Proxy, Result};
use postgres::{Client, NoTls};
use rustix::process::Signal;

use super::collector::Collector;
use super::faults::{Fault, Kind, Target};
use super::fixture::{DATABASE, Fixture, STRANGER};

const CHANNEL: &str = "powa_collector";

/// State that is kept until a fault is healed.
#[derive(Default)]
pub(super) struct Held {
    /// A session that stays open: it holds a lock, or the collector looks up its role.
    _session: Option<Client>,
    /// The original definition of a function.
    definition: Option<String>,
}

impl Held {
    fn session(session: Client) -> Held {
        Held { _session: Some(session), definition: None }
    }
}

/// The application name of the collector's sessions for one server.
fn sessions_of(alias: &str) -> String {
    format!("PoWA collector - worker {alias}")
}

impl Fault {
    /// # Errors
    /// It is not possible now, because of another fault.
    pub(super) fn begin(&self, fixture: &Fixture, collector: &Collector, random: &mut Rng) -> Result<Held> {
        let line = line(self.target, fixture);
        match (&self.kind, line) {
            (Kind::Freeze, Some(line)) => line.freeze(),
            (Kind::Delay(delay), Some(line)) => line.delay(*delay),
            (Kind::Refuse, Some(line)) => line.refuse(),
            (Kind::Cut, Some(line)) => line.cut(),
            // A part of a statement of the workload, which is among the collected rows.
            (Kind::CutInARow, Some(line)) => line.when_server_says(b"turnover(", Act::Cut),
            (Kind::Terminate, _) => terminate(self.target, fixture)?,
            (Kind::Restart, _) => cluster(self.target, fixture)?.stop()?,
            (Kind::Crash, _) => cluster(self.target, fixture)?.crash()?,
            (Kind::Lock, _) => {
                let mut session = fixture.repository.connect(DATABASE)?;
                session.batch_execute("begin")?;
                let lock = "select from powa_snapshot_metas where srvid = $1 for update";
                session.query(lock, &[&server(self.target, fixture)?]).context("locking a row")?;
                return Ok(Held::session(session));
            }
            (Kind::Deactivate, _) => set_frequency(self.target, fixture, collector, -1)?,
            (Kind::Frequency(seconds), _) => set_frequency(self.target, fixture, collector, *seconds)?,
            (Kind::Raise(source), _) => {
                return replace(self.target, fixture, source, "raise exception 'out of order';");
            }
            (Kind::Sleep(source, seconds), _) => {
                return replace(self.target, fixture, source, &format!("perform pg_sleep({seconds});"));
            }
            (Kind::Signals(number), _) => {
                for _ in 0..*number {
                    collector.signal(Signal::HUP)?;
                }
            }
            (Kind::RefreshCatalogs, _) => {
                let payload = format!("REFRESH_DB_CAT - {} 0", server(self.target, fixture)?);
                return say(fixture, "postgres", &[payload]);
            }
            (Kind::Reloads(number), _) => {
                // No two are the same: PostgreSQL sends equal ones of a transaction once.
                let reloads: Vec<_> = (0..*number).map(|n| format!("RELOAD answers_{n}")).collect();
                return say(fixture, "postgres", &reloads);
            }
            (Kind::Commands(number), _) => return say(fixture, "postgres", &commands(*number, fixture, random)),
            (Kind::Flood(number), _) => return say(fixture, STRANGER, &commands(*number, fixture, random)),
            (Kind::Garbage(number), _) => return say(fixture, STRANGER, &garbage(*number, random)),
            (_, None) => ensure!(false, "there is no line to {:?}", self.target),
        }
        Ok(Held::default())
    }

    /// # Errors
    /// It could not be healed now, because of another fault. The caller must try again.
    pub(super) fn heal(&self, fixture: &Fixture, collector: &Collector, held: &Held) -> Result<()> {
        let line = line(self.target, fixture);
        match (&self.kind, line) {
            (Kind::Freeze, Some(line)) => line.thaw(),
            (Kind::Delay(_), Some(line)) => line.delay(std::time::Duration::ZERO),
            (Kind::Refuse, Some(line)) => line.accept()?,
            // A trap that has not been triggered is replaced by one that cannot be.
            (Kind::CutInARow, Some(line)) => line.when_server_says(&[0xff; 64], Act::Cut),
            (Kind::Restart | Kind::Crash, _) => {
                let cluster = cluster(self.target, fixture)?;
                if cluster.pid().is_none() {
                    cluster.start_again()?;
                }
            }
            (Kind::Deactivate | Kind::Frequency(_), _) => {
                set_frequency(self.target, fixture, collector, i32::try_from(fixture.frequency)?)?
            }
            (Kind::Raise(_) | Kind::Sleep(..), _) => {
                if let Some(definition) = &held.definition {
                    cluster(self.target, fixture)?.connect(DATABASE)?.batch_execute(definition)?;
                }
            }
            // A session ends with what is held.
            _ => {}
        }
        Ok(())
    }
}

fn line(target: Target, fixture: &Fixture) -> Option<&Proxy> {
    match target {
        Target::Server(number) => Some(&fixture.servers[number].line),
        Target::Repository => Some(&fixture.line),
        Target::Cluster(_) | Target::Commands => None,
    }
}

fn cluster(target: Target, fixture: &Fixture) -> Result<&lab::Cluster> {
    match target {
        Target::Cluster(number) => Some(&fixture.clusters[number]),
        Target::Repository => Some(&fixture.repository),
        Target::Server(_) | Target::Commands => None,
    }
    .context("it is no cluster")
}

fn server(target: Target, fixture: &Fixture) -> Result<i32> {
    match target {
        Target::Server(number) => Ok(fixture.servers[number].id),
        _ => Err(lab::Error::msg("it is no server")),
    }
}

fn terminate(target: Target, fixture: &Fixture) -> Result<()> {
    let (cluster, names) = match target {
        Target::Server(number) => {
            let server = &fixture.servers[number];
            (&fixture.clusters[server.cluster], sessions_of(&server.alias))
        }
        Target::Cluster(number) => (&fixture.clusters[number], "PoWA %".to_owned()),
        Target::Repository | Target::Commands => (&fixture.repository, "PoWA %".to_owned()),
    };
    let sql = "select pg_catalog.pg_terminate_backend(pid) from pg_catalog.pg_stat_activity
                where application_name like $1";
    cluster.connect("postgres")?.query(sql, &[&names]).context("terminating sessions")?;
    Ok(())
}

fn set_frequency(target: Target, fixture: &Fixture, collector: &Collector, seconds: i32) -> Result<()> {
    let id = server(target, fixture)?;
    let changed = fixture
        .repository
        .connect(DATABASE)?
        .execute("update powa_servers set frequency = $2 where id = $1", &[&id, &seconds])
        .context("changing a frequency")?;
    ensure!(changed == 1, "powa_servers has no row {id}");
    collector.signal(Signal::HUP)
}

/// Replaces a source function, and returns its original definition.
fn replace(target: Target, fixture: &Fixture, source: &str, body: &str) -> Result<Held> {
    let mut client = cluster(target, fixture)?.connect(DATABASE)?;
    let definition: String = client
        .query_one("select pg_catalog.pg_get_functiondef(oid) from pg_catalog.pg_proc where proname = $1", &[&source])
        .with_context(|| format!("reading {source}()"))?
        .get(0);
    let (head, _) = definition.split_once("\nAS $").context("a function's definition has a body")?;
    client
        .batch_execute(&format!("{head}\nAS $body$ begin {body} end $body$"))
        .with_context(|| format!("replacing {source}()"))?;
    Ok(Held { definition: Some(definition), ..Held::default() })
}

/// Sends payloads, all at once. The session stays open, so that the collector can look up its role.
fn say(fixture: &Fixture, role: &str, payloads: &[String]) -> Result<Held> {
    let mut config: postgres::Config = fixture.repository.dsn(DATABASE).parse().context("reading a DSN of our own")?;
    let mut session = config
        .user(role)
        .application_name("lab")
        .connect_timeout(std::time::Duration::from_secs(5))
        .connect(NoTls)
        .context("connecting to send commands")?;
    session
        .execute("select pg_catalog.pg_notify($1, payload) from unnest($2::text[]) payload", &[&CHANNEL, &payloads])
        .context("sending commands")?;
    Ok(Held::session(session))
}

fn commands(number: u32, fixture: &Fixture, random: &mut Rng) -> Vec<String> {
    (0..number)
        .map(|n| {
            let id = fixture.servers[random.usize(..fixture.servers.len())].id;
            match random.u32(..4) {
                0 => format!("WORKERS_STATUS answers_{n}"),
                1 => format!("FORCE_SNAPSHOT answers_{n} {id}"),
                2 => format!("REFRESH_DB_CAT answers_{n} {id} 2 one"),
                _ => format!("RELOAD answers_{n}"),
            }
        })
        .collect()
}

fn garbage(number: u32, random: &mut Rng) -> Vec<String> {
    (0..number)
        .map(|_| {
            let length = if random.u32(..20) == 0 { 1_900 } else { random.usize(..40) };
            // PostgreSQL takes no NUL.
            std::iter::repeat_with(|| random.char('\u{1}'..)).take(length).collect()
        })
        .collect()
}
