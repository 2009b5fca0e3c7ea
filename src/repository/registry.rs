//! The registered servers, enabled or not, for administration.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::Row;

use super::Repository;
use crate::schedule::Timing;
use crate::server::ServerId;
use crate::server::tags::Tags;
use session::{Error, Side, on_one_line};

/// A row of `powa_servers` without the password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RegisteredServer {
    pub id: ServerId,
    pub host: String,
    pub port: i32,
    pub alias: Option<String>,
    pub user: String,
    pub has_password: bool,
    pub dbname: String,
    /// In seconds; negative for a disabled server.
    pub frequency: i32,
    /// How many snapshots are aggregated into one record.
    pub coalesce: i32,
    /// How long the history is kept, in the format of `interval`.
    pub retention: String,
    /// Whether powa-web may connect to it.
    pub allow_ui_connection: bool,
    /// PostgreSQL's version, as last stored by the collector.
    pub version: Option<String>,
    /// Another text after each change of the row.
    pub row_version: String,
    /// Its schedule and pause, if it has any.
    pub timing: Option<Arc<Timing>>,
    pub tags: Arc<Tags>,
}

impl RegisteredServer {
    /// `host:port`.
    pub(crate) fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Whether it is enabled.
    pub(crate) fn is_active(&self) -> bool {
        self.frequency > 0
    }
}

#[cfg(test)]
impl RegisteredServer {
    /// An enabled server without an alias, for tests to change.
    pub(crate) fn example(id: i32) -> Self {
        Self {
            id: ServerId::new(id).expect("a test asks for one above zero"),
            host: format!("db{id}"),
            port: 5432,
            alias: None,
            user: "powa".into(),
            has_password: false,
            dbname: "powa".into(),
            frequency: 300,
            coalesce: 100,
            retention: "1 day".into(),
            allow_ui_connection: true,
            version: None,
            row_version: "1".into(),
            timing: None,
            tags: Arc::default(),
        }
    }
}

/// The alias, if any, and `host:port`, on one line.
impl fmt::Display for RegisteredServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.alias {
            Some(alias) => write!(f, "{} ({})", on_one_line(alias), on_one_line(&self.address())),
            None => f.write_str(&on_one_line(&self.address())),
        }
    }
}

/// The last snapshot of a server, as recorded in the repository.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LastSnapshot {
    /// Time since it was stored, by the repository's clock; `None` if there was none.
    pub age: Option<Duration>,
    /// Its errors, or those that prevented another one.
    pub errors: Vec<String>,
}

impl Repository {
    /// All registered servers in the order of their ids, without the repository itself.
    ///
    /// # Errors
    /// The repository cannot be reached, has no supported PoWA, or the table has unexpected columns.
    pub(crate) async fn registered_servers(&self) -> Result<Vec<RegisteredServer>, Error> {
        let action = "read powa_servers";
        let sql = include_str!("../../sql/repository/registered_servers.sql");
        let (rows, mut own) = self.query_with_own_rows(action, sql).await?;
        let read = |row| {
            let mut server = read(row).map_err(|error| Error::new(Side::Repository, action, error))?;
            server.timing = own.timings.take(server.id);
            server.tags = own.tags.take(server.id).unwrap_or_default();
            Ok(server)
        };
        rows.iter().map(read).collect()
    }

    /// The databases of a server in its last snapshot; empty before the first one. For PoWA 5.
    ///
    /// # Errors
    /// The repository cannot be reached, has no supported PoWA, or the role may not read them.
    pub(crate) async fn known_databases(&self, server: ServerId) -> Result<Vec<String>, Error> {
        let action = "read the databases of the server";
        let sql = include_str!("../../sql/repository/known_databases.sql");
        let rows = self.query(action, sql, &[&server.get()]).await?;
        rows.iter().map(|row| row.try_get(0).map_err(|error| Error::new(Side::Repository, action, error))).collect()
    }

    /// The last snapshot of each server, by id.
    ///
    /// # Errors
    /// The repository cannot be reached, has no supported PoWA, or the table has unexpected columns.
    pub(crate) async fn last_snapshots(&self) -> Result<BTreeMap<ServerId, LastSnapshot>, Error> {
        let action = "read powa_snapshot_metas";
        let rows = self.query(action, include_str!("../../sql/repository/last_snapshots.sql"), &[]).await?;
        rows.iter().map(|row| last_snapshot(row).map_err(|error| Error::new(Side::Repository, action, error))).collect()
    }
}

fn last_snapshot(row: &Row) -> Result<(ServerId, LastSnapshot), tokio_postgres::Error> {
    let id = ServerId::new(row.try_get("srvid")?).expect("the query selects ids above zero");
    let seconds: Option<f64> = row.try_get("age")?;
    let age = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    Ok((id, LastSnapshot { age, errors: row.try_get("errors")? }))
}

fn read(row: &Row) -> Result<RegisteredServer, tokio_postgres::Error> {
    Ok(RegisteredServer {
        id: ServerId::new(row.try_get("id")?).expect("the query selects ids above zero"),
        host: row.try_get("hostname")?,
        port: row.try_get("port")?,
        alias: row.try_get::<_, Option<String>>("alias")?.filter(|alias| !alias.is_empty()),
        user: row.try_get("username")?,
        has_password: row.try_get("has_password")?,
        dbname: row.try_get("dbname")?,
        frequency: row.try_get("frequency")?,
        coalesce: row.try_get("powa_coalesce")?,
        retention: row.try_get("retention")?,
        allow_ui_connection: row.try_get("allow_ui_connection")?,
        version: row.try_get("version")?,
        row_version: row.try_get("row_version")?,
        timing: None,
        tags: Arc::default(),
    })
}
