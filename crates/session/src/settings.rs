//! Pins the settings of a session, on both sides.

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

use super::{Extensions, PowaVersion, Timeouts};

/// Set before anything else: a short timeout, an isolation level that a standby refuses, or operators in the
/// `search_path` could make the other statements fail.
///
/// None of these reads a catalog; they take about 50 microseconds. As startup parameters they would take no time, but
/// poolers refuse such parameters.
const BEFORE: &str =
    "set statement_timeout = 0; set default_transaction_isolation = 'read committed'; set search_path = pg_catalog";

/// `transaction_timeout` exists since PostgreSQL 17. A separate transaction, because the limit applies to a whole one.
const BEFORE_17: &str = "select case when pg_catalog.current_setting('transaction_timeout', true) is not null
    then pg_catalog.set_config('transaction_timeout', '0', false) end";

/// Pins the settings that the collector depends on, in one round trip; see `sql/session.sql`. PoWA 4.0 also needs its
/// library loaded, as its settings are otherwise unknown.
///
/// Returns the extensions of the database.
pub(crate) async fn pin(client: &Client, timeouts: Timeouts) -> Result<Extensions, tokio_postgres::Error> {
    let milliseconds = timeouts.statement.as_millis().to_string();
    let idle = timeouts.idle_in_transaction.as_millis().to_string();
    let values: [(&(dyn ToSql + Sync), Type); 2] = [(&milliseconds, Type::TEXT), (&idle, Type::TEXT)];
    let ((), (), rows) = tokio::try_join!(
        biased;
        client.batch_execute(BEFORE),
        client.batch_execute(BEFORE_17),
        client.query_typed(include_str!("../../../sql/session.sql"), &values),
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

pub async fn extensions(client: &Client) -> Result<Extensions, tokio_postgres::Error> {
    extensions_of(&client.query_typed(include_str!("../../../sql/extensions.sql"), &[]).await?)
}

/// From the rows of `sql/extensions.sql`.
pub fn extensions_of(rows: &[Row]) -> Result<Extensions, tokio_postgres::Error> {
    let rows = rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?)));
    Ok(Extensions::from_rows(rows.collect::<Result<Vec<_>, _>>()?))
}
