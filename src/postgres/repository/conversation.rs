//! A session of the pool, for as long as something is said in it.

use std::sync::atomic::{AtomicUsize, Ordering};

use deadpool::managed::Object;
use deadpool_postgres::ClientWrapper;
use tokio::runtime::Handle;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use tokio_util::task::TaskTracker;

use super::pool::{Opener, PooledSession};
use crate::postgres::extensions::UnusablePowa;
use crate::postgres::session::extensions_of;
use crate::postgres::{Error, Extensions, PowaVersion, Side};

/// A session of the pool, for as long as it takes.
///
/// If it is dropped while a statement is under way, because the time was up or the daemon stops, the session does not go
/// back: whoever got it next would wait for that statement. The server is asked to cancel it, or it would go on, and
/// keep its locks, for nobody.
pub(super) struct Conversation {
    session: Option<Object<Opener>>,
    in_flight: AtomicUsize,
    /// Has the tasks that cancel what was left behind.
    cancelling: TaskTracker,
    pub(super) doing: &'static str,
}

impl Conversation {
    /// Nothing is said yet.
    pub(super) fn new(session: Object<Opener>, cancelling: TaskTracker, doing: &'static str) -> Self {
        Self { session: Some(session), in_flight: AtomicUsize::new(0), cancelling, doing }
    }

    fn session(&self) -> &PooledSession {
        self.session.as_ref().expect("it is there until the drop")
    }

    /// The extensions, as they were when somebody last looked in this session.
    pub(super) fn extensions(&self) -> &Extensions {
        &self.session().extensions
    }

    /// The version of PoWA, likewise.
    ///
    /// # Errors
    /// There is none that can be worked with.
    pub(super) fn powa(&self) -> Result<PowaVersion, Error> {
        let unusable = |unusable: UnusablePowa| Error::found(Side::Repository, self.doing, unusable.to_string());
        self.extensions().usable_powa().map_err(unusable)
    }

    /// Looks at the extensions.
    pub(super) async fn look(&self) -> Result<Extensions, Error> {
        let rows = self.query(include_str!("../../../sql/extensions.sql"), &[]).await?;
        extensions_of(&rows).map_err(|error| Error::new(Side::Repository, self.doing, error))
    }

    /// The extensions that somebody found.
    pub(super) fn take_up(&mut self, found: Extensions) {
        self.session.as_mut().expect("it is there until the drop").extensions = found;
    }

    pub(super) async fn query(&self, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Error> {
        let client = &self.session().client;
        let failed = |error| Error::new(Side::Repository, self.doing, error);
        let sql = expand(self.extensions(), (self.doing, sql))?;
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        let result = async { client.query(&client.prepare_cached(&sql).await?, values).await }.await;
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        result.map_err(failed)
    }

    /// For work of many statements, which is under way until [`Self::end_work`].
    pub(super) fn begin_work(&self) -> &ClientWrapper {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        &self.session().client
    }

    /// The work has ended, and the server has said so.
    pub(super) fn end_work(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        let left_behind = self.session.take().filter(|_| *self.in_flight.get_mut() > 0);
        let Some(session) = left_behind.map(Object::take) else { return };
        // Without a runtime, nothing is left to ask with; the connection ends anyhow.
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

/// Puts the schema of PoWA in place of `{powa}`.
pub(super) fn expand(extensions: &Extensions, (doing, sql): (&str, &str)) -> Result<String, Error> {
    extensions.expand(sql).map_err(|unknown| Error::found(Side::Repository, doing, unknown.to_string()))
}
