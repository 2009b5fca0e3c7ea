//! An open connection with its settings pinned: what both sides have in common.

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

use super::{Extensions, PowaVersion, Side};
use crate::config::Timeouts;

/// What would stand in the way of all else: a time-out that is too short for it, a standby that refuses to read in the
/// isolation that it inherits, operators of somebody's own in the `search_path`.
///
/// None of these looks anything up, so they take some 50 microseconds. As parameters at start-up they would take none,
/// but poolers refuse such parameters.
const BEFORE: &str =
    "set statement_timeout = 0; set default_transaction_isolation = 'read committed'; set search_path = pg_catalog";

/// Only PostgreSQL 17 and newer know it. A transaction of its own, as the limit is for all of one.
const BEFORE_17: &str = "select case when pg_catalog.current_setting('transaction_timeout', true) is not null
    then pg_catalog.set_config('transaction_timeout', '0', false) end";

/// Pins what the sessions' work depends on, in one round trip; see `sql/session.sql`. PoWA 4.0 also wants its library
/// loaded, or its settings would not be known.
///
/// Gives the extensions that the session is set up for.
pub(super) async fn pin(client: &Client, side: Side, timeouts: Timeouts) -> Result<Extensions, tokio_postgres::Error> {
    let statement = match side {
        Side::Remote => timeouts.query,
        // The repository's longest statement is powa_take_snapshot(), which may aggregate and purge.
        Side::Repository => timeouts.snapshot,
    };
    let milliseconds = statement.as_millis().to_string();
    let idle = timeouts.snapshot.as_millis().to_string();
    let values: [(&(dyn ToSql + Sync), Type); 2] = [(&milliseconds, Type::TEXT), (&idle, Type::TEXT)];
    let ((), (), rows) = tokio::try_join!(
        biased;
        client.batch_execute(BEFORE),
        client.batch_execute(BEFORE_17),
        client.query_typed(include_str!("../../sql/session.sql"), &values),
    )?;
    let mut extensions = Extensions::default();
    for row in &rows {
        let (names, versions, schemas): (Vec<_>, Vec<_>, Vec<_>) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        extensions = Extensions::from_rows(names.into_iter().zip(versions).zip(schemas).map(|((a, b), c)| (a, b, c)));
    }
    if extensions.powa().as_ref().is_some_and(PowaVersion::is_4_0) {
        client.batch_execute("load 'powa'").await?;
    }
    Ok(extensions)
}

pub(super) async fn extensions(client: &Client) -> Result<Extensions, tokio_postgres::Error> {
    extensions_of(&client.query_typed(include_str!("../../sql/extensions.sql"), &[]).await?)
}

/// From the rows of `sql/extensions.sql`.
pub(super) fn extensions_of(rows: &[Row]) -> Result<Extensions, tokio_postgres::Error> {
    let rows = rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?)));
    Ok(Extensions::from_rows(rows.collect::<Result<Vec<_>, _>>()?))
}
