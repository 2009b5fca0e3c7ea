//! A session of the pool, for as long as something is said in it.

use std::sync::atomic::{AtomicUsize, Ordering};

use deadpool::managed::Object;
use deadpool_postgres::{GenericClient, Transaction};
use tokio::runtime::Handle;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use tokio_util::task::TaskTracker;

use super::pool::{Opener, PooledSession};
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
    doing: &'static str,
    pub(super) extensions: Extensions,
    pub(super) powa: PowaVersion,
}

impl Conversation {
    pub(super) async fn begin(
        session: Object<Opener>,
        cancelling: TaskTracker,
        doing: &'static str,
    ) -> Result<Self, Error> {
        let nothing_yet = PowaVersion::default();
        let mut conversation = Self {
            session: Some(session),
            in_flight: AtomicUsize::new(0),
            cancelling,
            doing,
            extensions: Extensions::default(),
            powa: nothing_yet,
        };
        let rows = conversation.query(include_str!("../../../sql/extensions.sql"), &[]).await?;
        let unreadable = |error| Error::new(Side::Repository, doing, error);
        conversation.extensions = extensions_of(&rows).map_err(unreadable)?;
        conversation.powa = conversation
            .extensions
            .usable_powa()
            .map_err(|unusable| Error::found(Side::Repository, doing, unusable.to_string()))?;
        Ok(conversation)
    }

    pub(super) async fn query(&self, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Error> {
        let client = &self.session.as_ref().expect("it is there until the drop").client;
        let failed = |error| Error::new(Side::Repository, self.doing, error);
        let sql = expand(&self.extensions, (self.doing, sql))?;
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        let result = async { client.query(&client.prepare_cached(&sql).await?, values).await }.await;
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        result.map_err(failed)
    }

    /// Begins a transaction, which counts as a statement that is under way until [`Self::settled`].
    pub(super) async fn transaction(&mut self) -> Result<Transaction<'_>, Error> {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        let client = &mut self.session.as_mut().expect("it is there until the drop").client;
        client.transaction().await.map_err(|error| Error::new(Side::Repository, self.doing, error))
    }

    /// The transaction has ended, and the server has said so.
    pub(super) fn settled(&mut self) {
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

/// Runs a statement with `{powa}` in its text.
pub(super) async fn query(
    client: &impl GenericClient,
    extensions: &Extensions,
    (doing, sql): (&str, &str),
    values: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, Error> {
    let failed = |error| Error::new(Side::Repository, doing, error);
    let sql = expand(extensions, (doing, sql))?;
    let statement = client.prepare_cached(&sql).await.map_err(failed)?;
    client.query(&statement, values).await.map_err(failed)
}

fn expand(extensions: &Extensions, (doing, sql): (&str, &str)) -> Result<String, Error> {
    extensions.expand(sql).map_err(|unknown| Error::found(Side::Repository, doing, unknown.to_string()))
}
