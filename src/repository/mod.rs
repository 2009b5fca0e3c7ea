//! The PoWA repository, through a bounded pool of sessions.

mod administering;
mod administrative_rights;
mod api_rights;
mod audit_log;
mod bloat;
mod checked_out;
mod clearing;
mod collectables;
mod collector_schema;
pub(crate) mod collectors;
pub(crate) mod columns;
mod committed;
mod dry_run;
mod failed_functions;
pub(crate) mod failures;
mod gaps;
mod inspection;
mod leftovers;
mod load;
mod own_tables;
mod pool;
pub(crate) mod powa_faults;
mod registry;
mod row_locks;
mod savepoint;
mod schedules;
mod server_errors;
mod shared_texts;
mod sources;
mod staging;
mod switching;
mod tables;
mod tags;
mod tokens;
mod users;
mod versions;
mod writing;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use deadpool::managed::{BuildError, PoolError, Timeouts};
use deadpool_postgres::Runtime;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, ToSql};
use tokio_util::task::TaskTracker;

pub(crate) use administering::{Changes, NewServer};
pub(crate) use administrative_rights::AdminTask;
pub(crate) use api_rights::ApiRole;
pub(crate) use audit_log::AuditEntry;
pub(crate) use collectables::{Collectable, CollectableKind};
pub(crate) use collector_schema::SCHEMA_VERSION;
pub(crate) use collectors::Collector;
pub(crate) use committed::Attempt;
pub(crate) use inspection::{MissingPrivileges, Purpose, RepositoryState};
pub(crate) use leftovers::{LeftoverRows, Leftovers, UnreadTable, WhyUnread};
pub(crate) use load::{Load, LoadMode, LoadPermit, Loaded};
pub(crate) use own_tables::OwnTable;
pub(crate) use powa_faults::FoundFault;
pub(crate) use registry::{LastSnapshot, RegisteredServer};
pub(crate) use server_errors::{NewError, StoredError};
pub(crate) use sources::{Catalog, DatabaseModule, Module, Sources};
pub(crate) use staging::StagingTable;
pub(crate) use switching::ModuleChanges;
pub(crate) use tokens::{NewToken, StoredToken};
pub(crate) use users::{NewUser, User, UserChanges, UserError};

use crate::config;
use crate::server::tags::Tags;
use crate::server::{InvalidServer, Server, ServerId, ServerRow};
use checked_out::CheckedOutSession;
use libpq::Secret;
use own_tables::OwnRows;
use pool::{Opener, Pool};
use row_locks::RowLocks;
use session::{Endpoint, Error, Side};

/// The database of PoWA's history. Clones share one pool.
#[derive(Clone)]
pub(crate) struct Repository {
    pool: Pool,
    /// One permit for each load; waiters are served in order.
    loads: Arc<Semaphore>,
    /// The number of all permits.
    most_loads: u32,
    /// The tasks that cancel abandoned statements.
    cancelling: TaskTracker,
    /// Faults of its PoWA that were logged.
    logged_faults: Arc<Mutex<BTreeSet<String>>>,
    timeouts: config::Timeouts,
    known: sources::SourceCache,
    /// How a server's rows are locked during a load.
    row_locks: RowLocks,
}

/// The number of connections, by state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PoolUsage {
    /// Checked out.
    pub used: usize,
    /// Idle in the pool.
    pub idle: usize,
    /// The maximum of both.
    pub max: usize,
    /// Callers waiting for a connection.
    pub waiting: usize,
}

/// The rows of `powa_servers`.
#[derive(Debug, Default)]
pub(crate) struct ServerList {
    pub servers: Vec<Server>,
    pub invalid: Vec<InvalidServer>,
    /// Why schedules and pauses have no effect, if so.
    pub schedules_problem: Option<String>,
    /// The tags of those servers that have any.
    pub tags: BTreeMap<ServerId, Arc<Tags>>,
    /// Why some tags are missing, if so.
    pub tags_problem: Option<String>,
}

/// Whether a server has a row in `powa_snapshot_metas`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Registration {
    Missing,
    /// With the age of the last snapshot, if there is a valid one.
    Present(Option<Duration>),
}

impl Repository {
    /// A pool that opens connections on demand and keeps them.
    ///
    /// # Errors
    /// The pool cannot be built.
    pub(crate) fn new(endpoint: &Endpoint, config: &config::Config) -> Result<Self, BuildError> {
        // One more than the loads, so that a short query never waits for a long load.
        Self::with_sessions(endpoint, config, config.limits.loads + 1)
    }

    /// The same with at most so many sessions at once.
    ///
    /// # Errors
    /// The pool cannot be built.
    pub(crate) fn with_sessions(
        endpoint: &Endpoint,
        config: &config::Config,
        sessions: usize,
    ) -> Result<Self, BuildError> {
        let (limits, timeouts) = (config.limits, config.timeouts);
        let pool = Pool::builder(Opener(endpoint.clone()))
            .max_size(sessions)
            .runtime(Runtime::Tokio1)
            .timeouts(Timeouts { wait: Some(timeouts.query), create: None, recycle: None })
            .build()?;
        let most_loads = limits.loads.try_into().expect("within the limit of the configuration");
        let loads = Arc::new(Semaphore::new(limits.loads));
        let (known, row_locks) = (sources::SourceCache::default(), RowLocks::default());
        Ok(Self {
            pool,
            loads,
            most_loads,
            cancelling: TaskTracker::new(),
            logged_faults: Arc::default(),
            timeouts,
            known,
            row_locks,
        })
    }

    /// Whether its connections have the parameters of an endpoint.
    pub(crate) fn connects_like(&self, endpoint: &Endpoint) -> bool {
        self.pool.manager().0.has_same_parameters(endpoint)
    }

    /// Whether both are the same database, judging by name and address.
    pub(crate) fn is_same_database(&self, other: &Self) -> bool {
        self.pool.manager().0.is_same_database(&other.pool.manager().0)
    }

    /// The current number of connections.
    pub(crate) fn pool_usage(&self) -> PoolUsage {
        let status = self.pool.status();
        let used = status.size.saturating_sub(status.available);
        PoolUsage { used, idle: status.size - used, max: status.max_size, waiting: status.waiting }
    }

    /// Replaces another repository: takes over its pending cancel requests, and which faults were logged.
    #[must_use]
    pub(crate) fn after(self, before: &Self) -> Self {
        let logged_faults =
            if self.is_same_database(before) { Arc::clone(&before.logged_faults) } else { self.logged_faults };
        Self { cancelling: before.cancelling.clone(), logged_faults, ..self }
    }

    /// Whether a fault is logged for the first time; from now on it is not.
    pub(crate) fn is_new_fault(&self, fault: &FoundFault) -> bool {
        self.logged_faults.lock().unwrap_or_else(PoisonError::into_inner).insert(fault.message.clone())
    }

    /// Waits until all abandoned statements are cancelled, which takes at most two seconds.
    pub(crate) async fn close(&self) {
        self.cancelling.close();
        self.cancelling.wait().await;
    }

    /// Closes idle sessions: the server was restarted, or may be another one. A firewall that dropped them would leave
    /// them seemingly open.
    pub(crate) fn close_idle_sessions(&self) {
        self.pool.retain(|_, _| false);
    }

    /// Checks a session out of the pool.
    async fn session(&self, action: &'static str) -> Result<CheckedOutSession, Error> {
        let session = self.pool.get().await.map_err(|error| match error {
            PoolError::Backend(error) => error.while_doing(action),
            PoolError::Timeout(_) => {
                Error::no_session(Side::Repository, action, "timed out waiting for a free connection")
            }
            other => Error::no_session(Side::Repository, action, other.to_string()),
        })?;
        Ok(CheckedOutSession::new(session, self.cancelling.clone(), action))
    }

    /// Runs the first round trip of a session, which shows whether the connection still works, with the connection
    /// timeout instead of the query timeout.
    async fn first_round_trip<T>(
        &self,
        action: &str,
        first: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        match timeout(self.timeouts.connect, first).await {
            Ok(answer) => answer,
            Err(_) => {
                // Other idle sessions are probably dead too.
                self.close_idle_sessions();
                Err(Error::elapsed(Side::Repository, action, self.timeouts.connect))
            }
        }
    }

    /// Runs short statements in a session of the pool. They depend on PoWA's schema and version, which are read in the
    /// first round trip, assuming that they have not changed since this session was last used; otherwise the statements
    /// are repeated.
    /// `with` holds their parameters.
    ///
    /// The time limit starts when the session is available: opening one may take longer if the repository has several
    /// hosts.
    async fn run<With, T>(
        &self,
        action: &'static str,
        with: With,
        statements: impl for<'a> Fn(&'a CheckedOutSession, &'a With) -> BoxFuture<'a, Result<T, Error>>,
    ) -> Result<T, Error> {
        let mut session = self.session(action).await?;
        loop {
            let reading = self.first_round_trip(action, session.read_extensions());
            let running = async { Ok(with_timeout(self.timeouts.query, action, statements(&session, &with)).await) };
            let (found, result) = tokio::try_join!(biased; reading, running)?;
            if found == *session.extensions() {
                session.powa()?;
                return result;
            }
            session.set_extensions(found);
        }
    }

    /// Runs one short statement.
    async fn query(
        &self,
        action: &'static str,
        sql: &'static str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Error> {
        self.run(action, (sql, values), |session, (sql, values)| session.query(sql, values).boxed()).await
    }

    /// The servers to collect: all with a frequency above zero.
    ///
    /// # Errors
    /// The repository cannot be reached, or has no supported PoWA.
    pub(crate) async fn servers(&self) -> Result<ServerList, Error> {
        let sql = include_str!("../../sql/repository/servers.sql");
        let (rows, own) = self.query_with_own_rows("read powa_servers", sql).await?;
        Ok(ServerList::of(&rows).with(own))
    }

    /// Runs a statement that reads servers, and reads their schedules and tags where there are any.
    async fn query_with_own_rows(&self, action: &'static str, sql: &'static str) -> Result<(Vec<Row>, OwnRows), Error> {
        self.run(action, sql, |session, sql| {
            async move {
                let rows = session.query(sql, &[]).await?;
                let own = OwnRows::read(session, &rows).await?;
                Ok((rows, own))
            }
            .boxed()
        })
        .await
    }

    /// Whether a server is registered, and the age of its last snapshot.
    ///
    /// # Errors
    /// The repository cannot be reached, or its answer is invalid.
    pub(crate) async fn registration(&self, server: ServerId) -> Result<Registration, Error> {
        let sql = include_str!("../../sql/repository/registration.sql");
        let rows = self.query("read powa_snapshot_metas", sql, &[&server.get()]).await?;
        Ok(Registration::of(&rows))
    }

    /// Replaces the stored errors of a server whose snapshot failed completely.
    ///
    /// # Errors
    /// The repository cannot be reached, or refuses.
    pub(crate) async fn replace_errors(&self, server: ServerId, errors: &[String]) -> Result<(), Error> {
        let sql = include_str!("../../sql/repository/replace_errors.sql");
        self.query("report an error in powa_snapshot_metas", sql, &[&server.get(), &errors]).await.map(drop)
    }
}

impl ServerList {
    fn of(rows: &[Row]) -> Self {
        Self::of_rows(rows.iter().map(server_row))
    }

    /// Includes disabled servers, which have no frequency.
    fn of_all(rows: &[Row]) -> Self {
        const ANY: i32 = 300;
        Self::of_rows(rows.iter().map(|row| {
            let row = server_row(row)?;
            Ok(ServerRow { frequency: row.frequency.filter(|seconds| *seconds > 0).or(Some(ANY)), ..row })
        }))
    }

    fn with(mut self, mut own: OwnRows) -> Self {
        self.servers.iter_mut().for_each(|server| server.timing = own.timings.take(server.id));
        self.tags = self.servers.iter().filter_map(|server| Some((server.id, own.tags.take(server.id)?))).collect();
        (self.schedules_problem, self.tags_problem) = (own.timings.problem, own.tags.problem);
        self
    }

    fn of_rows(rows: impl Iterator<Item = Result<ServerRow, InvalidServer>>) -> Self {
        let mut list = Self::default();
        for row in rows {
            match row.and_then(Server::parse) {
                Ok(server) => list.servers.push(server),
                Err(invalid) => list.invalid.push(invalid),
            }
        }
        list
    }
}

impl Registration {
    fn of(rows: &[Row]) -> Self {
        let Some(row) = rows.first() else { return Self::Missing };
        let seconds: Option<f64> = row.try_get(0).ok().flatten();
        Self::Present(seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()))
    }
}

async fn with_timeout<T>(
    limit: Duration,
    action: &str,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    match timeout(limit, work).await {
        Ok(result) => result,
        Err(_) => Err(Error::elapsed(Side::Repository, action, limit)),
    }
}

/// Validates the types of all columns: the table may have been altered, and the main task must go on.
fn server_row(row: &Row) -> Result<ServerRow, InvalidServer> {
    let id = column(row, None, "id", "an integer")?;
    let number = |name| column(row, id, name, "an integer");
    let text = |name| column(row, id, name, "a text");
    Ok(ServerRow {
        // Null is not a valid id, like zero.
        id: id.unwrap_or_default(),
        host: text("hostname")?,
        port: number("port")?,
        user: text("username")?,
        password: text("password")?.map(Secret::new),
        dbname: text("dbname")?,
        frequency: number("frequency")?,
        alias: text("alias")?,
    })
}

fn column<'a, T: FromSql<'a>>(
    row: &'a Row,
    id: Option<i32>,
    name: &'static str,
    allowed: &'static str,
) -> Result<Option<T>, InvalidServer> {
    row.try_get(name).map_err(|_| {
        let found = row.columns().iter().find(|column| column.name() == name).map(|column| column.type_().name());
        InvalidServer::of_type(id, name, found.unwrap_or("missing"), allowed)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::endpoints;

    #[tokio::test(start_paused = true)]
    async fn what_the_pool_before_has_left_behind_is_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("c.conf");
        std::fs::write(&file, r#"{"repository": {"dsn": "host=127.0.0.1 port=1 user=nobody"}}"#).unwrap();
        let config = config::Config::read(&file).unwrap();
        let repository = || Repository::new(&endpoints::repository(&config).unwrap(), &config).unwrap();
        let first = repository();
        let second = repository().after(&first);
        let started = tokio::time::Instant::now();
        first.cancelling.spawn(tokio::time::sleep(Duration::from_secs(1)));
        second.close().await;
        assert!(started.elapsed() >= Duration::from_secs(1), "{:?}", started.elapsed());
    }
}
