//! The repository, through a bounded pool of warm connections.

mod administering;
mod bloat;
mod committed;
mod conversation;
mod inspection;
mod load;
mod pool;
mod registry;
mod rehearsal;
mod removal;
mod sources;
mod switching;
mod tables;
mod tracked;
mod versions;

use std::sync::Arc;
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

pub use administering::{Changes, NewServer};
pub use bloat::BloatedTable;
pub use inspection::{MissingPrivileges, Purpose, RepositoryState};
pub use load::{Attempt, Care, Load, LoadTurn, Loaded};
pub use registry::{LastSnapshot, RegisteredServer};
pub use sources::{Catalog, DatabaseModule, Module, Sources};
pub use switching::{Switched, Turned};
pub use tracked::{Tracked, TrackedKind};

use super::{Endpoint, Error, Side};
use crate::config::{self, Limits};
use crate::secret::Secret;
use crate::server::{InvalidServer, Server, ServerId, ServerRow};
use conversation::Conversation;
use pool::{Opener, Pool};

/// The database that keeps PoWA's history. Clones share one pool.
#[derive(Clone)]
pub struct Repository {
    pool: Pool,
    /// One permit a load; whoever waits is served in the order of asking.
    loads: Arc<Semaphore>,
    /// All permits there are.
    most_loads: u32,
    /// What cancels statements that nobody waits for any more.
    cancelling: TaskTracker,
    timeouts: config::Timeouts,
}

/// How many connections there are, and what they are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Occupancy {
    /// In which something is being said.
    pub used: usize,
    /// That lie warm.
    pub idle: usize,
    /// There are never more of both.
    pub most: usize,
    /// Who would say something, and has to wait for one.
    pub waiting: usize,
}

/// The rows of `powa_servers`.
#[derive(Debug, Default)]
pub struct ServerList {
    pub servers: Vec<Server>,
    pub invalid: Vec<InvalidServer>,
}

/// Whether a server has its row in `powa_snapshot_metas`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Registration {
    Missing,
    /// With the age of the last snapshot, if there was one at a time that makes sense.
    Present(Option<Duration>),
}

impl Repository {
    /// A pool that opens its connections when they are needed, and keeps them.
    ///
    /// # Errors
    /// The pool cannot be built.
    pub fn new(endpoint: &Endpoint, limits: Limits) -> Result<Self, BuildError> {
        let timeouts = endpoint.timeouts();
        let pool = Pool::builder(Opener(endpoint.clone()))
            // One more than the loads, so that a short read never waits for a long load.
            .max_size(limits.loads + 1)
            .runtime(Runtime::Tokio1)
            .timeouts(Timeouts { wait: Some(timeouts.query), create: None, recycle: None })
            .build()?;
        let most_loads = limits.loads.try_into().expect("the configuration allows no such number");
        let loads = Arc::new(Semaphore::new(limits.loads));
        Ok(Self { pool, loads, most_loads, cancelling: TaskTracker::new(), timeouts })
    }

    /// Whether its connections are made as those of an endpoint would be.
    pub fn is_reached_by(&self, endpoint: &Endpoint) -> bool {
        self.pool.manager().0.is_same_way(endpoint)
    }

    /// Whether both are the same database, as far as its name and address tell.
    pub fn is_same_database(&self, other: &Self) -> bool {
        self.pool.manager().0.is_same_database(&other.pool.manager().0)
    }

    /// How many connections there are just now.
    pub fn occupancy(&self) -> Occupancy {
        let status = self.pool.status();
        let used = status.size.saturating_sub(status.available);
        Occupancy { used, idle: status.size - used, most: status.max_size, waiting: status.waiting }
    }

    /// Takes the place of the one before: what that one has left behind is this one's to wait for.
    #[must_use]
    pub fn after(self, before: &Self) -> Self {
        Self { cancelling: before.cancelling.clone(), ..self }
    }

    /// Waits until nothing is left behind on the server. A statement that nobody waits for is being cancelled then,
    /// which takes two seconds at most.
    pub async fn close(&self) {
        self.cancelling.close();
        self.cancelling.wait().await;
    }

    /// Throws away the sessions that nobody uses: the server has gone since, or may be another one. A network that drops
    /// what it does not know leaves sessions that look as if they were open.
    pub fn forget_sessions(&self) {
        self.pool.retain(|_, _| false);
    }

    /// A session of the pool, in which nothing was said yet.
    async fn session(&self, doing: &'static str) -> Result<Conversation, Error> {
        let session = self.pool.get().await.map_err(|error| match error {
            PoolError::Backend(error) => error.in_order_to(doing),
            PoolError::Timeout(_) => Error::no_session(Side::Repository, doing, "no connection could be had in time"),
            other => Error::no_session(Side::Repository, doing, other.to_string()),
        })?;
        Ok(Conversation::new(session, self.cancelling.clone(), doing))
    }

    /// Bounds the first round trip in a session: it tells whether there is still somebody at the other end. It takes as
    /// long as opening a session may, and not as long as a query.
    async fn unless_gone<T>(&self, doing: &str, first: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        match timeout(self.timeouts.connect, first).await {
            Ok(answer) => answer,
            Err(_) => {
                // What lay idle beside it is no better.
                self.forget_sessions();
                Err(Error::elapsed(Side::Repository, doing, self.timeouts.connect))
            }
        }
    }

    /// Says short statements, in a session of the pool. What they depend on, which is where PoWA is, and in which version,
    /// is looked at in the round trip of the first of them, which takes it to be as it was the last time in this session.
    /// Was it not, they are said again. `with` is what they need to know.
    ///
    /// The time begins with a session: with a repository of several hosts, to open one may take longer.
    async fn say<With, T>(
        &self,
        doing: &'static str,
        with: With,
        statements: impl for<'a> Fn(&'a Conversation, &'a With) -> BoxFuture<'a, Result<T, Error>>,
    ) -> Result<T, Error> {
        let mut conversation = self.session(doing).await?;
        loop {
            let looking = self.unless_gone(doing, conversation.look());
            let saying = async { Ok(within(self.timeouts.query, doing, statements(&conversation, &with)).await) };
            let (found, said) = tokio::try_join!(biased; looking, saying)?;
            if found == *conversation.extensions() {
                conversation.powa()?;
                return said;
            }
            conversation.take_up(found);
        }
    }

    /// Says one short statement.
    async fn ask(
        &self,
        doing: &'static str,
        sql: &'static str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Error> {
        self.say(doing, (sql, values), |conversation, (sql, values)| conversation.query(sql, values).boxed()).await
    }

    /// The servers to collect from: all with a frequency above zero.
    ///
    /// # Errors
    /// The repository cannot be reached, or has no PoWA that the daemon can work with.
    pub async fn servers(&self) -> Result<ServerList, Error> {
        let rows = self.ask("read powa_servers", include_str!("../../../sql/repository/servers.sql"), &[]).await?;
        Ok(ServerList::of(&rows))
    }

    /// Whether the server is registered, and how old its last snapshot is.
    ///
    /// # Errors
    /// The repository cannot be reached, or does not answer as expected.
    pub async fn registration(&self, server: ServerId) -> Result<Registration, Error> {
        let sql = include_str!("../../../sql/repository/registration.sql");
        let rows = self.ask("read powa_snapshot_metas", sql, &[&server.get()]).await?;
        Ok(Registration::of(&rows))
    }

    /// Replaces the errors of a server whose snapshot could not be taken at all.
    ///
    /// # Errors
    /// The repository cannot be reached, or refuses.
    pub async fn replace_errors(&self, server: ServerId, errors: &[String]) -> Result<(), Error> {
        let sql = include_str!("../../../sql/repository/replace_errors.sql");
        self.ask("report an error in powa_snapshot_metas", sql, &[&server.get(), &errors]).await.map(drop)
    }
}

impl ServerList {
    fn of(rows: &[Row]) -> Self {
        Self::of_rows(rows.iter().map(server_row))
    }

    /// Also of those that have no frequency, as they are not collected from.
    fn of_all(rows: &[Row]) -> Self {
        const ANY: i32 = 300;
        Self::of_rows(rows.iter().map(|row| {
            let row = server_row(row)?;
            Ok(ServerRow { frequency: row.frequency.filter(|seconds| *seconds > 0).or(Some(ANY)), ..row })
        }))
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

async fn within<T>(limit: Duration, doing: &str, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    match timeout(limit, work).await {
        Ok(result) => result,
        Err(_) => Err(Error::elapsed(Side::Repository, doing, limit)),
    }
}

/// Nothing is taken for granted: the table may have been altered, and the main task lives with whatever is found.
fn server_row(row: &Row) -> Result<ServerRow, InvalidServer> {
    let id = column(row, None, "id", "an integer")?;
    let number = |name| column(row, id, name, "an integer");
    let text = |name| column(row, id, name, "a text");
    Ok(ServerRow {
        // Whoever has none is no server, nor is the one with zero.
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

    #[tokio::test(start_paused = true)]
    async fn what_the_pool_before_has_left_behind_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("c.conf");
        std::fs::write(&file, r#"{"repository": {"dsn": "host=127.0.0.1 port=1 user=nobody"}}"#).unwrap();
        let config = config::Config::read(&file).unwrap();
        let repository = || Repository::new(&Endpoint::repository(&config).unwrap(), config.limits).unwrap();
        let first = repository();
        let second = repository().after(&first);
        let begun = tokio::time::Instant::now();
        first.cancelling.spawn(tokio::time::sleep(Duration::from_secs(1)));
        second.close().await;
        assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
    }
}
