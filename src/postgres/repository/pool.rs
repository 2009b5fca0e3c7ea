//! What the pool is made of: sessions that are opened, set up, and thrown away when their connection has ended.

use deadpool::managed::{self, Metrics, RecycleError, RecycleResult};
use deadpool_postgres::ClientWrapper;

use crate::postgres::connect::{Opened, Route, drive};
use crate::postgres::{Endpoint, Error, Extensions, Side};

pub(super) type Pool = managed::Pool<Opener>;

/// Opens the sessions. How long that may take is the endpoint's business, which knows how many hosts there are to try.
pub(super) struct Opener(pub(super) Endpoint);

/// A session of the pool, with its prepared statements. Its connection ends with it.
pub(super) struct PooledSession {
    pub(super) client: ClientWrapper,
    pub(super) route: Route,
    /// What was found when somebody last looked.
    pub(super) extensions: Extensions,
}

impl managed::Manager for Opener {
    type Type = PooledSession;
    type Error = Error;

    async fn create(&self) -> Result<PooledSession, Error> {
        let Opened { client, line, route, set_up_for } = self.0.open().await?;
        let driver = drive(line, Side::Repository);
        Ok(PooledSession { client: ClientWrapper::new(client, driver.task), route, extensions: set_up_for })
    }

    async fn recycle(&self, session: &mut PooledSession, _: &Metrics) -> RecycleResult<Error> {
        if session.client.is_closed() {
            return Err(RecycleError::message("the connection has ended"));
        }
        Ok(())
    }
}
