//! The connection pool's manager: opens sessions, and discards those whose connection has ended.

use deadpool::managed::{self, Metrics, RecycleError, RecycleResult};
use deadpool_postgres::ClientWrapper;

use session::{Endpoint, Error, Extensions, Opened, Route, Side, drive};

pub(super) type Pool = managed::Pool<Opener>;

/// Opens sessions. The endpoint limits the time, because it depends on the number of hosts.
pub(super) struct Opener(pub(super) Endpoint);

/// A session of the pool, with its prepared statements. Its connection ends with it.
pub(super) struct PooledSession {
    pub(super) client: ClientWrapper,
    pub(super) route: Route,
    /// The extensions when they were last read.
    pub(super) extensions: Extensions,
}

impl managed::Manager for Opener {
    type Type = PooledSession;
    type Error = Error;

    async fn create(&self) -> Result<PooledSession, Error> {
        let Opened { client, connection, route, extensions } = self.0.open().await?;
        let driver = drive(connection, Side::Repository);
        Ok(PooledSession { client: ClientWrapper::new(client, driver.task), route, extensions })
    }

    async fn recycle(&self, session: &mut PooledSession, _: &Metrics) -> RecycleResult<Error> {
        if session.client.is_closed() {
            return Err(RecycleError::message("the connection has ended"));
        }
        Ok(())
    }
}
