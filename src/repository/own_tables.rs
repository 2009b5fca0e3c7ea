//! The collector's own tables about servers: reads them with the list of servers, and deletes rows of servers that are gone.
//!
//! The collector's own schema may be missing. Statements that read servers find out whether it is there (`own_tables`), so that
//! without it, reading costs no statement.

use std::collections::BTreeMap;

use tokio_postgres::Row;

use super::Repository;
use super::checked_out::CheckedOutSession;
use super::schedules::Timings;
use super::tags::AllTags;
use session::{Error, Side};

/// One of the tables with something about servers that the collector applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OwnTable {
    Schedules,
    Tags,
}

impl OwnTable {
    /// In the schema `powa_collector`.
    fn name(self) -> &'static str {
        match self {
            Self::Schedules => "schedules",
            Self::Tags => "tags",
        }
    }
}

/// What the collector's own tables have about the servers.
#[derive(Debug, Default)]
pub(super) struct OwnRows {
    pub(super) timings: Timings,
    pub(super) tags: AllTags,
}

impl OwnRows {
    /// Reads the tables, as far as one of the rows that were read before shows that they can be read.
    ///
    /// # Errors
    /// The connection was lost, or a table cannot be read at this moment. Anything else is a problem of that table.
    pub(super) async fn read(session: &CheckedOutSession, servers: &[Row]) -> Result<Self, Error> {
        let access = servers.first().and_then(|row| row.try_get::<_, Option<&str>>("own_tables").ok().flatten());
        let Some(access) = access else { return Ok(Self::default()) };
        let access: BTreeMap<String, String> = serde_json::from_str(access).unwrap_or_default();
        let schedules = (OwnTable::Schedules, include_str!("../../sql/repository/schedules.sql"));
        let tags = (OwnTable::Tags, include_str!("../../sql/repository/tags.sql"));
        Ok(Self {
            timings: match read(session, &access, schedules).await? {
                Ok(rows) => Timings::of(&rows),
                Err(problem) => Timings::unreadable(problem),
            },
            tags: match read(session, &access, tags).await? {
                Ok(rows) => AllTags::of(&rows),
                Err(problem) => AllTags::unreadable(problem),
            },
        })
    }
}

/// Reads a table. The inner error is why it cannot be read, and what to do.
async fn read(
    session: &CheckedOutSession,
    access: &BTreeMap<String, String>,
    (table, sql): (OwnTable, &'static str),
) -> Result<Result<Vec<Row>, String>, Error> {
    let name = table.name();
    match access.get(name).map(String::as_str) {
        None => Ok(Ok(vec![])),
        Some("") => match session.query(sql, &[]).await {
            Ok(rows) => Ok(Ok(rows)),
            Err(error) if error.is_connection() || error.is_transient() || error.is_momentary() => Err(error),
            Err(error) => Ok(Err(format!("the table powa_collector.{name} cannot be read: {error}"))),
        },
        Some(grants) => {
            Ok(Err(format!("the role may not read powa_collector.{name}; run in the repository: {grants}")))
        }
    }
}

impl Repository {
    /// The `GRANT` statements that the role lacks to read a table, or to change it too; `None` without the table.
    ///
    /// # Errors
    /// The repository cannot be reached, or has no supported PoWA.
    pub(crate) async fn missing_for_own(
        &self,
        table: OwnTable,
        with_change: bool,
    ) -> Result<Option<Vec<String>>, Error> {
        let privileges: &[&str] = if with_change { &["select", "insert", "update", "delete"] } else { &["select"] };
        let sql = include_str!("../../sql/repository/missing_for_own_table.sql");
        let rows = self.query("read what the role may do", sql, &[&table.name(), &privileges]).await?;
        let grants = rows.first().map(|row| row.try_get::<_, String>(0).unwrap_or_default());
        Ok(grants.map(|grants| grants.lines().map(Into::into).collect()))
    }

    /// Deletes rows of servers that are not registered any more from all of the collector's own tables, at most 1,000 of each.
    /// Returns how many it has deleted.
    ///
    /// # Errors
    /// The repository cannot be reached or refuses, or has no tables of the collector's own.
    pub(crate) async fn delete_rows_of_removed_servers(&self) -> Result<i64, Error> {
        let action = "delete rows of removed servers";
        let sql = include_str!("../../sql/repository/delete_rows_of_removed_servers.sql");
        let rows = self.query(action, sql, &[]).await?;
        let number = rows.first().map(|row| row.try_get(0)).transpose();
        Ok(number.map_err(|error| Error::new(Side::Repository, action, error))?.unwrap_or_default())
    }
}
