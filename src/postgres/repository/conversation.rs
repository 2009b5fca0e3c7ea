//! A connection of the pool, for as long as something is said on it.

use std::sync::atomic::{AtomicUsize, Ordering};

use deadpool_postgres::{GenericClient, Object, Transaction};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::postgres::session::extensions_of;
use crate::postgres::{Error, Extensions, PowaVersion, Side};

/// A connection of the pool, for as long as it takes.
///
/// If it is dropped while a statement is under way, because the time was up or the daemon stops, the connection does
/// not go back: whoever got it next would wait for that statement.
pub(super) struct Conversation {
    object: Option<Object>,
    in_flight: AtomicUsize,
    doing: &'static str,
    pub(super) extensions: Extensions,
    pub(super) powa: PowaVersion,
}

impl Conversation {
    pub(super) async fn begin(object: Object, doing: &'static str) -> Result<Self, Error> {
        let nothing_yet = PowaVersion::default();
        let mut conversation = Self {
            object: Some(object),
            in_flight: AtomicUsize::new(0),
            doing,
            extensions: Extensions::default(),
            powa: nothing_yet,
        };
        let rows = conversation.query(include_str!("../../../sql/extensions.sql"), &[]).await?;
        conversation.extensions = extensions_of(&rows);
        conversation.powa = conversation
            .extensions
            .usable_powa()
            .map_err(|unusable| Error::found(Side::Repository, doing, unusable.to_string()))?;
        Ok(conversation)
    }

    fn object(&self) -> &Object {
        self.object.as_ref().expect("it is there until the drop")
    }

    pub(super) async fn query(&self, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Error> {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        let result = query(self.object(), &self.extensions, (self.doing, sql), values).await;
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        result
    }

    /// A transaction counts as a statement that is under way, until the caller sets the counter back.
    pub(super) async fn transaction(&mut self) -> Result<(Transaction<'_>, &AtomicUsize), Error> {
        self.in_flight.store(1, Ordering::Relaxed);
        let object = self.object.as_mut().expect("it is there until the drop");
        let transaction = object.transaction().await;
        Ok((transaction.map_err(|error| Error::new(Side::Repository, self.doing, error))?, &self.in_flight))
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        if let Some(object) = self.object.take().filter(|_| *self.in_flight.get_mut() > 0) {
            drop(Object::take(object));
        }
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
    let sql = extensions.expand(sql).map_err(|unknown| Error::found(Side::Repository, doing, unknown.to_string()))?;
    let statement = client.prepare_cached(&sql).await.map_err(failed)?;
    client.query(&statement, values).await.map_err(failed)
}
