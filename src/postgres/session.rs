//! An open connection with its settings pinned: what both sides have in common.

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::connect::{Driver, drive};
use super::{Endpoint, Error, Extensions, PowaVersion, Side};
use crate::config::Timeouts;

/// Pins what the sessions' work depends on; see `sql/session.sql`. PoWA 4.0 also wants its library loaded, or its
/// settings would not be known.
///
/// Gives the version of PoWA that the session is set up for.
pub(super) async fn pin(
    client: &Client,
    side: Side,
    timeouts: Timeouts,
) -> Result<Option<PowaVersion>, tokio_postgres::Error> {
    let statement = match side {
        Side::Remote => timeouts.query,
        // The repository's longest statement is powa_take_snapshot(), which may aggregate and purge.
        Side::Repository => timeouts.snapshot,
    };
    let milliseconds = statement.as_millis().to_string();
    let idle = timeouts.snapshot.as_millis().to_string();
    let rows = client
        .query_typed(include_str!("../../sql/session.sql"), &[(&milliseconds, Type::TEXT), (&idle, Type::TEXT)])
        .await?;
    let version: Option<String> = rows.first().and_then(|row| row.get(0));
    let powa = version.as_deref().and_then(PowaVersion::parse);
    if powa.as_ref().is_some_and(PowaVersion::is_4_0) {
        client.batch_execute("load 'powa'").await?;
    }
    Ok(powa)
}

pub(super) async fn extensions(client: &Client) -> Result<Extensions, tokio_postgres::Error> {
    let rows = client.query_typed(include_str!("../../sql/extensions.sql"), &[]).await?;
    Ok(extensions_of(&rows))
}

/// From the rows of `sql/extensions.sql`.
pub(super) fn extensions_of(rows: &[Row]) -> Extensions {
    Extensions::from_rows(rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))))
}

/// Opens a connection and pins its settings.
pub(super) async fn open(endpoint: &Endpoint) -> Result<(Client, Driver, Option<PowaVersion>), Error> {
    let (client, connection) = endpoint.open().await?;
    let driver = drive(connection, endpoint.side());
    let doing = format!("prepare a session in database \"{}\"", endpoint.dbname());
    let powa = endpoint.briefly(doing, pin(&client, endpoint.side(), endpoint.timeouts())).await?;
    Ok((client, driver, powa))
}
