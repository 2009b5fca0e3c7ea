//! Finds and deletes left-over rows in the `*_src_tmp` tables.
//!
//! A function of PoWA deletes the rows that it has stored. If it fails, the deletion is rolled back, PoWA catches the
//! error, and the load is committed with the rows still in the table. The next snapshot adds to them, and some
//! functions then store them for the wrong server, or fail forever on a duplicate key.
//!
//! A load copies and stores rows in one transaction, so other sessions never see them: every visible row is left over.

use std::fmt;

use deadpool_postgres::ClientWrapper;
use futures_util::FutureExt;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use super::checked_out::{CheckedOutSession, expand};
use super::staging::{StagingTable, staging_tables};
use super::{Repository, with_timeout};
use session::{Error, Side};

const DOING: &str = "look for left-over rows";

/// Rows deleted at once, as in `delete_leftover_rows.sql`.
const BATCH: u64 = 10_000;

/// Placeholder of the table in a statement. Replaced after `{powa}`, because a table name may contain braces.
const TABLE: &str = "staging_table";

/// Left-over rows of one server in one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LeftoverRows {
    /// Qualified and quoted.
    pub table: String,
    pub server: i32,
    /// The alias or address of the server; `None` if it is not registered.
    pub server_name: Option<String>,
    /// Their number; counting stops at a limit.
    pub number: i64,
    /// The `GRANT` that the role needs to delete them, if missing.
    pub missing_grant: Option<String>,
}

/// The left-over rows of all tables.
#[derive(Debug, Default)]
pub(crate) struct Leftovers {
    pub rows: Vec<LeftoverRows>,
    pub unread: Vec<UnreadTable>,
}

/// A table that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UnreadTable {
    pub table: String,
    pub why: WhyUnread,
}

/// Why a table was not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum WhyUnread {
    /// A privilege is missing: the `GRANT` for it.
    Forbidden(String),
    /// The table is locked, or the server lacks resources; the next attempt may succeed.
    Busy(String),
    Failed(String),
}

impl Repository {
    /// Reads each non-empty table once, which is half of what a load reads. Counting stops at a limit.
    ///
    /// # Errors
    /// The repository cannot be reached, or refuses. A table that cannot be read is part of the result.
    pub(crate) async fn leftover_rows(&self) -> Result<Leftovers, Error> {
        let (tables, query) = self.run(DOING, (), |session, ()| tables_and_query(session).boxed()).await?;
        let mut leftovers = Leftovers::default();
        let session = self.session(DOING).await?;
        for table in tables.into_iter().filter(|table| table.size > 0 && table.has_server) {
            let unread = |why| UnreadTable { table: table.name.clone(), why };
            if !table.may_be_read {
                let grant = table.missing_delete.clone().unwrap_or_default();
                leftovers.unread.push(unread(WhyUnread::Forbidden(grant)));
                continue;
            }
            match self.in_short(&session, &query.replace(TABLE, &table.name), &[]).await {
                Ok(rows) => leftovers.rows.extend(rows_of(&table, &rows)?),
                Err(error) if error.is_connection() => return Err(error),
                Err(error) if error.is_momentary() => leftovers.unread.push(unread(WhyUnread::Busy(error.to_string()))),
                Err(error) => leftovers.unread.push(unread(WhyUnread::Failed(error.to_string()))),
            }
        }
        Ok(leftovers)
    }

    /// Deletes the rows and returns their number. Deletes in batches, each in a short transaction: a load of the same
    /// server, which deletes such rows too, hardly waits. Rows locked by a load are skipped.
    ///
    /// # Errors
    /// The repository cannot be reached, or refuses.
    pub(crate) async fn delete_leftover_rows(&self, leftover: &LeftoverRows) -> Result<u64, Error> {
        let sql = include_str!("../../sql/repository/delete_leftover_rows.sql").replace(TABLE, &leftover.table);
        let session = self.session("delete left-over rows").await?;
        let mut deleted = 0;
        loop {
            match self.in_short(&session, &sql, &[(&leftover.server, Type::INT4)]).await {
                Ok(rows) => {
                    let part = u64::try_from(rows.len()).unwrap_or(u64::MAX);
                    deleted += part;
                    if part < BATCH {
                        return Ok(deleted);
                    }
                }
                Err(error) if error.is_momentary() => return Ok(deleted),
                Err(error) => return Err(error),
            }
        }
    }

    /// Runs one statement in its own transaction, sent as a whole, so that no transaction stays open if the connection
    /// breaks.
    async fn in_short(
        &self,
        session: &CheckedOutSession,
        sql: &str,
        values: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<Row>, Error> {
        let action = session.action;
        let client = session.begin_work();
        // The server's own limit is shorter, and its error more specific.
        let limit = self.timeouts.query + self.timeouts.connect;
        let answer = with_timeout(limit, action, self.transaction(client, (action, sql), values)).await;
        // A running statement is cancelled with its session.
        if !answer.as_ref().is_err_and(|error| error.is_connection()) {
            session.end_work();
        }
        answer
    }

    async fn transaction(
        &self,
        client: &ClientWrapper,
        (action, sql): (&str, &str),
        values: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<Row>, Error> {
        let failed = |error| Error::new(Side::Repository, action, error);
        let bound = include_str!("../../sql/repository/bound_cleaning.sql");
        let limit = self.timeouts.query.as_millis().to_string();
        let bounds: [(&(dyn ToSql + Sync), Type); 1] = [(&limit, Type::TEXT)];
        // The query must see the current rows.
        let begin = async { client.batch_execute("begin isolation level read committed").await.map_err(failed) };
        let rest = async {
            Ok(tokio::join!(
                biased;
                client.query_typed(bound, &bounds),
                client.query_typed(sql, values),
                client.batch_execute("commit"),
            ))
        };
        let ((), (bounded, answer, ended)) = tokio::try_join!(biased; self.first_round_trip(action, begin), rest)?;
        bounded.map_err(failed)?;
        let rows = answer.map_err(failed)?;
        ended.map_err(failed)?;
        Ok(rows)
    }
}

async fn tables_and_query(session: &CheckedOutSession) -> Result<(Vec<StagingTable>, String), Error> {
    let query = include_str!("../../sql/repository/leftover_rows.sql");
    let query = expand(session.extensions(), (session.action, query))?;
    Ok((staging_tables(session).await?, query))
}

fn rows_of(table: &StagingTable, rows: &[Row]) -> Result<Vec<LeftoverRows>, Error> {
    let rows = rows.iter().map(|row| {
        Ok(LeftoverRows {
            table: table.name.clone(),
            server: row.try_get(0)?,
            number: row.try_get(1)?,
            server_name: row.try_get(2)?,
            missing_grant: table.missing_delete.clone(),
        })
    });
    rows.collect::<Result<_, _>>().map_err(|error| Error::new(Side::Repository, DOING, error))
}

impl LeftoverRows {
    /// The server, for a message.
    pub(crate) fn owner(&self) -> impl fmt::Display {
        match &self.server_name {
            Some(name) => format!("server {} ({name})", self.server),
            None => format!("server {} (not registered)", self.server),
        }
    }
}
