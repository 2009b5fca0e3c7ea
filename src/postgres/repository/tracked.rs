//! What is collected of each server: extensions, and what PoWA collects by itself.

use std::collections::BTreeMap;
use std::fmt;

use futures_util::FutureExt;
use tokio_postgres::Row;

use super::Repository;
use super::conversation::Conversation;
use crate::postgres::{Error, Side};
use crate::server::ServerId;

/// Something that PoWA can collect of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracked {
    pub kind: TrackedKind,
    pub name: String,
    /// Of an extension, as the collector last found it on the server.
    pub version: Option<String>,
    pub is_active: bool,
    /// Something is collected from it while it is active.
    pub has_snapshots: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrackedKind {
    Extension,
    /// Of PoWA, about all of the server.
    Module,
    /// Of PoWA, about each of its databases.
    DatabaseModule,
}

impl fmt::Display for TrackedKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Extension => "extension",
            Self::Module => "module",
            Self::DatabaseModule => "database module",
        })
    }
}

impl Repository {
    /// What is collected of each server; with PoWA 5, also what could be.
    ///
    /// # Errors
    /// The repository cannot be reached, has no PoWA that can be worked with, or its tables are not as PoWA makes them.
    pub async fn tracked(&self) -> Result<BTreeMap<ServerId, Vec<Tracked>>, Error> {
        self.say("read what is collected of the servers", (), |conversation, ()| read(conversation).boxed()).await
    }
}

async fn read(conversation: &Conversation) -> Result<BTreeMap<ServerId, Vec<Tracked>>, Error> {
    let sql = match conversation.powa()? {
        powa if powa.has_modules() => include_str!("../../../sql/repository/tracked_powa5.sql"),
        powa if powa.is_4_0() => include_str!("../../../sql/repository/tracked_powa4_0.sql"),
        _ => include_str!("../../../sql/repository/tracked_powa4.sql"),
    };
    let unreadable = |error| Error::new(Side::Repository, conversation.doing, error);
    let mut tracked = BTreeMap::<_, Vec<_>>::new();
    for row in conversation.query(sql, &[]).await? {
        let id = row.try_get("srvid").map_err(unreadable)?;
        let server = ServerId::new(id).expect("the query asks for those above zero");
        tracked.entry(server).or_default().push(of_row(&row).map_err(unreadable)?);
    }
    Ok(tracked)
}

fn of_row(row: &Row) -> Result<Tracked, tokio_postgres::Error> {
    Ok(Tracked {
        kind: match row.try_get("kind")? {
            "extension" => TrackedKind::Extension,
            "module" => TrackedKind::Module,
            _ => TrackedKind::DatabaseModule,
        },
        name: row.try_get("name")?,
        version: row.try_get("version")?,
        is_active: row.try_get("enabled")?,
        has_snapshots: row.try_get("has_snapshots")?,
    })
}
