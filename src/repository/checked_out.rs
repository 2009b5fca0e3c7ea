//! A session checked out from the pool.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use deadpool::managed::Object;
use deadpool_postgres::ClientWrapper;
use tokio::runtime::Handle;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use tokio_util::task::TaskTracker;

use super::pool::{Opener, PooledSession};
use session::{Error, Extensions, PowaVersion, Side, UnusablePowa, extensions_of};

/// A session checked out from the pool.
///
/// If it is dropped while a statement is running, because of a timeout or at shutdown, the session does not return to
/// the pool, where its next user would wait for that statement. Instead a cancel request is sent, so that the statement
/// does not keep its locks.
pub(super) struct CheckedOutSession {
    session: Option<Object<Opener>>,
    in_flight: AtomicUsize,
    /// Close the session instead of returning it to the pool.
    is_retired: AtomicBool,
    /// The tasks that send cancel requests.
    cancelling: TaskTracker,
    pub(super) action: &'static str,
}

impl CheckedOutSession {
    pub(super) fn new(session: Object<Opener>, cancelling: TaskTracker, action: &'static str) -> Self {
        Self {
            session: Some(session),
            in_flight: AtomicUsize::new(0),
            is_retired: AtomicBool::new(false),
            cancelling,
            action,
        }
    }

    fn session(&self) -> &PooledSession {
        self.session.as_ref().expect("present until the drop")
    }

    /// The extensions when they were last read in this session.
    pub(super) fn extensions(&self) -> &Extensions {
        &self.session().extensions
    }

    /// The version of PoWA, when last read in this session.
    ///
    /// # Errors
    /// There is no supported PoWA.
    pub(super) fn powa(&self) -> Result<PowaVersion, Error> {
        let unusable = |unusable: UnusablePowa| match unusable {
            UnusablePowa::Missing => Error::missing_powa(Side::Repository, self.action),
            UnusablePowa::TooOld(_) => Error::unexpected(Side::Repository, self.action, unusable.to_string()),
        };
        self.extensions().usable_powa().map_err(unusable)
    }

    /// Reads the extensions.
    pub(super) async fn read_extensions(&self) -> Result<Extensions, Error> {
        let rows = self.query(include_str!("../../sql/extensions.sql"), &[]).await?;
        extensions_of(&rows).map_err(|error| Error::new(Side::Repository, self.action, error))
    }

    /// Sets the extensions that were read.
    pub(super) fn set_extensions(&mut self, found: Extensions) {
        self.session.as_mut().expect("present until the drop").extensions = found;
    }

    pub(super) async fn query(&self, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Error> {
        let client = &self.session().client;
        let failed = |error| Error::new(Side::Repository, self.action, error);
        let sql = expand(self.extensions(), (self.action, sql))?;
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        let result = async { client.query(&client.prepare_cached(&sql).await?, values).await }.await;
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        result.map_err(failed)
    }

    /// Executes a script of several statements, without parameters.
    pub(super) async fn execute_all(&self, script: &str) -> Result<(), Error> {
        self.session()
            .client
            .batch_execute(script)
            .await
            .map_err(|error| Error::new(Side::Repository, self.action, error))
    }

    /// For work of many statements, until [`Self::end_work`].
    pub(super) fn begin_work(&self) -> &ClientWrapper {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        &self.session().client
    }

    /// Closes the session after use, because its settings since the login may be the cause of an error.
    pub(super) fn retire(&self) {
        self.is_retired.store(true, Ordering::Relaxed);
    }

    /// The work has ended, as the server confirmed.
    pub(super) fn end_work(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for CheckedOutSession {
    fn drop(&mut self) {
        let is_busy = *self.in_flight.get_mut() > 0;
        let left_behind = self.session.take().filter(|_| is_busy || *self.is_retired.get_mut());
        // Takes it out of the pool.
        let Some(session) = left_behind.map(Object::take).filter(|_| is_busy) else { return };
        // Without a runtime no request can be sent; the connection is closed anyway.
        if let Ok(runtime) = Handle::try_current() {
            self.cancelling.spawn_on(cancel(session), &runtime);
        }
    }
}

async fn cancel(session: PooledSession) {
    if !session.client.is_closed() {
        session.route.cancel(session.client.cancel_token()).await;
    }
}

/// Replaces `{powa}` by the schema of PoWA.
pub(super) fn expand(extensions: &Extensions, (action, sql): (&str, &str)) -> Result<String, Error> {
    extensions.expand(sql).map_err(|unknown| Error::unexpected(Side::Repository, action, unknown.to_string()))
}
