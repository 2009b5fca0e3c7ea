//! Lists what is collected from each server: extensions, and PoWA's own modules.

use std::collections::BTreeMap;
use std::fmt;

use futures_util::FutureExt;
use tokio_postgres::Row;

use super::Repository;
use super::checked_out::CheckedOutSession;
use crate::server::ServerId;
use session::{Error, Side};

/// An extension or module that PoWA can collect from a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Collectable {
    pub kind: CollectableKind,
    pub name: String,
    /// The version of an extension, as last found on the server.
    pub version: Option<String>,
    pub is_active: bool,
    /// It has rows in snapshots while it is enabled.
    pub has_snapshots: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CollectableKind {
    Extension,
    /// A module of PoWA for the whole server.
    Module,
    /// A module of PoWA for each database.
    DatabaseModule,
}

impl fmt::Display for CollectableKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Extension => "extension",
            Self::Module => "module",
            Self::DatabaseModule => "database module",
        })
    }
}

impl Repository {
    /// What is collected from each server; with PoWA 5, also what could be.
    ///
    /// # Errors
    /// The repository cannot be reached, has no supported PoWA, or its tables have unexpected columns.
    pub(crate) async fn collectables(&self) -> Result<BTreeMap<ServerId, Vec<Collectable>>, Error> {
        self.run("read what is collected of the servers", (), |session, ()| read(session).boxed()).await
    }
}

async fn read(session: &CheckedOutSession) -> Result<BTreeMap<ServerId, Vec<Collectable>>, Error> {
    let sql = match session.powa()? {
        powa if powa.has_modules() => include_str!("../../sql/repository/tracked_powa5.sql"),
        powa if powa.is_4_0() => include_str!("../../sql/repository/tracked_powa4_0.sql"),
        _ => include_str!("../../sql/repository/tracked_powa4.sql"),
    };
    let unreadable = |error| Error::new(Side::Repository, session.action, error);
    let mut collectables = BTreeMap::<_, Vec<_>>::new();
    for row in session.query(sql, &[]).await? {
        let id = row.try_get("srvid").map_err(unreadable)?;
        let server = ServerId::new(id).expect("the query selects ids above zero");
        collectables.entry(server).or_default().push(of_row(&row).map_err(unreadable)?);
    }
    Ok(collectables)
}

fn of_row(row: &Row) -> Result<Collectable, tokio_postgres::Error> {
    Ok(Collectable {
        kind: match row.try_get("kind")? {
            "extension" => CollectableKind::Extension,
            "module" => CollectableKind::Module,
            _ => CollectableKind::DatabaseModule,
        },
        name: row.try_get("name")?,
        version: row.try_get("version")?,
        is_active: row.try_get("enabled")?,
        has_snapshots: row.try_get("has_snapshots")?,
    })
}
