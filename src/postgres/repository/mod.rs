//! The repository, through a bounded pool of warm connections.

mod conversation;
mod load;
mod sources;
mod versions;

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{
    BuildError, Hook, HookError, Manager, ManagerConfig, Pool, RecyclingMethod, Runtime, Timeouts,
};
use tokio::sync::Semaphore;
use tokio_postgres::Row;

pub use load::{Load, LoadTurn, Loaded};
pub use sources::{Catalog, DatabaseModule, Module, Sources};

use super::{Endpoint, Error, Side, session};
use crate::config::{self, Limits, Secret};
use crate::server::{InvalidServer, Server, ServerId, ServerRow};
use conversation::Conversation;

/// The database that keeps PoWA's history. Clones share one pool.
#[derive(Clone)]
pub struct Repository {
    pool: Pool,
    /// One permit a load; whoever waits is served in the order of asking.
    loads: Arc<Semaphore>,
    timeouts: config::Timeouts,
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
        let manager = Manager::from_connect(
            endpoint.driver_config().clone(),
            endpoint.clone(),
            ManagerConfig { recycling_method: RecyclingMethod::Fast },
        );
        let set_up = Hook::async_fn(move |client, _| {
            Box::pin(async move {
                session::pin(client, Side::Repository, timeouts).await.map(drop).map_err(HookError::Backend)
            })
        });
        let pool = Pool::builder(manager)
            // One more than the loads, so that a short read never waits for a long load.
            .max_size(limits.loads + 1)
            .runtime(Runtime::Tokio1)
            .timeouts(Timeouts {
                wait: Some(timeouts.query),
                create: Some(timeouts.connect),
                recycle: Some(timeouts.connect),
            })
            .post_create(set_up)
            .build()?;
        Ok(Self { pool, loads: Arc::new(Semaphore::new(limits.loads)), timeouts })
    }

    /// Bounds a conversation of short statements.
    async fn briefly<T>(&self, doing: &str, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        within(self.timeouts.query, doing, work).await
    }

    async fn converse(&self, doing: &'static str) -> Result<Conversation, Error> {
        let object = self.pool.get().await.map_err(|error| Error::pool(doing, error))?;
        Conversation::begin(object, doing).await
    }

    /// The servers to collect from: all with a frequency above zero.
    ///
    /// # Errors
    /// The repository cannot be reached, or has no PoWA that the daemon can work with.
    pub async fn servers(&self) -> Result<ServerList, Error> {
        let doing = "read powa_servers";
        self.briefly(doing, async {
            let conversation = self.converse(doing).await?;
            let rows = conversation.query(include_str!("../../../sql/repository/servers.sql"), &[]).await?;
            let mut list = ServerList::default();
            for row in &rows {
                match Server::parse(server_row(row)) {
                    Ok(server) => list.servers.push(server),
                    Err(invalid) => list.invalid.push(invalid),
                }
            }
            Ok(list)
        })
        .await
    }

    /// Whether the server is registered, and how old its last snapshot is.
    ///
    /// # Errors
    /// The repository cannot be reached, or does not answer as expected.
    pub async fn registration(&self, server: ServerId) -> Result<Registration, Error> {
        let doing = "read powa_snapshot_metas";
        self.briefly(doing, async {
            let conversation = self.converse(doing).await?;
            let sql = include_str!("../../../sql/repository/registration.sql");
            let rows = conversation.query(sql, &[&server.get()]).await?;
            Ok(match rows.first() {
                None => Registration::Missing,
                Some(row) => {
                    let seconds: Option<f64> = row.get(0);
                    Registration::Present(seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()))
                }
            })
        })
        .await
    }

    /// Replaces the errors of a server whose snapshot could not be taken at all.
    ///
    /// # Errors
    /// The repository cannot be reached, or refuses.
    pub async fn replace_errors(&self, server: ServerId, errors: &[String]) -> Result<(), Error> {
        let doing = "report an error in powa_snapshot_metas";
        self.briefly(doing, async {
            let conversation = self.converse(doing).await?;
            let sql = include_str!("../../../sql/repository/replace_errors.sql");
            conversation.query(sql, &[&server.get(), &errors]).await?;
            Ok(())
        })
        .await
    }
}

async fn within<T>(limit: Duration, doing: &str, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    match tokio::time::timeout(limit, work).await {
        Ok(result) => result,
        Err(_) => Err(Error::elapsed(Side::Repository, doing, limit)),
    }
}

fn server_row(row: &Row) -> ServerRow {
    ServerRow {
        id: row.get(0),
        host: row.get(1),
        port: row.get(2),
        user: row.get(3),
        password: row.get::<_, Option<String>>(4).map(Secret::new),
        dbname: row.get(5),
        frequency: row.get(6),
        alias: row.get(7),
    }
}
