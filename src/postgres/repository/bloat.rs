//! Which of the tables that rows only pass through have bloated, and how are they emptied?
//!
//! A transaction that stays open in the repository's database keeps dead rows from being vacuumed, and every snapshot reads
//! them. `TRUNCATE` does not care who might still want to see them, and is for tables only in which there is nothing else.

use std::time::Duration;

use deadpool_postgres::ClientWrapper;
use futures_util::FutureExt;
use tokio::time::timeout;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::Repository;
use super::conversation::Conversation;
use crate::postgres::{Error, QuotedIdent, Side};

const LOOKING: &str = "look for tables that have bloated";

/// A table that rows only pass through, and that has more pages than it may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BloatedTable {
    /// With its schema, in quotes.
    pub name: String,
    /// In bytes, without what is stored beside the rows.
    pub size: u64,
    /// What its owner has to say before it can be emptied, if anything.
    pub missing_grant: Option<String>,
}

impl Repository {
    /// Those of more than so many bytes, the largest first.
    ///
    /// # Errors
    /// The repository cannot be reached, or refuses.
    pub async fn bloated_tables(&self, bound: u64) -> Result<Vec<BloatedTable>, Error> {
        let tables = self.say(LOOKING, (), |conversation, ()| passing_tables(conversation).boxed()).await?;
        Ok(tables.into_iter().filter(|table| table.size > bound).collect())
    }

    /// Empties a table if it has no row, and tells whether. Nobody of ours loads meanwhile.
    ///
    /// It hardly takes more of the others' time than one load may: half of that for the loads under way to end, and half
    /// for reading the table, which a load does twice.
    ///
    /// # Errors
    /// The repository cannot be reached, or refuses; somebody else has the table for longer than is waited; or it takes too
    /// long to read.
    pub async fn empty(&self, table: &BloatedTable) -> Result<bool, Error> {
        let half = self.timeouts.snapshot / 2;
        let doing = format!("empty {}", table.name);
        let Ok(_nobody_loads) = timeout(half, self.all_turns_to_load()).await else {
            let reason = format!("snapshots were being loaded for {} s", half.as_secs());
            return Err(Error::found(Side::Repository, doing, reason));
        };
        let conversation = self.session("empty a table that has bloated").await?;
        // The server's own limits, for each statement, come first, and tell more.
        let limit = self.timeouts.snapshot + self.timeouts.connect;
        let emptying = async {
            let client = conversation.begin_work();
            let emptied = self.empty_in_transaction(client, table, (&doing, half)).await;
            let end = if matches!(emptied, Ok(true)) { "commit" } else { "rollback" };
            match client.batch_execute(end).await {
                Ok(()) => {
                    conversation.end_work();
                    emptied
                }
                Err(error) => emptied.and(Err(Error::new(Side::Repository, &doing, error))),
            }
        };
        match timeout(limit, emptying).await {
            Ok(emptied) => emptied,
            Err(_) => Err(Error::elapsed(Side::Repository, doing, limit)),
        }
    }

    async fn empty_in_transaction(
        &self,
        client: &ClientWrapper,
        table: &BloatedTable,
        (doing, reading): (&str, Duration),
    ) -> Result<bool, Error> {
        let name = &table.name;
        let failed = |error| Error::new(Side::Repository, doing, error);
        // The question has to see what is there when the lock was had.
        let beginning = async { client.batch_execute("begin isolation level read committed").await.map_err(failed) };
        self.unless_gone(doing, beginning).await?;
        let statement = reading.as_millis().to_string();
        // Should we be the ones who are gone, the lock goes soon.
        let idle = self.timeouts.connect.as_millis().to_string();
        let bound = include_str!("../../../sql/repository/bound_emptying.sql");
        client.query_typed(bound, &[(&statement, Type::TEXT), (&idle, Type::TEXT)]).await.map_err(failed)?;
        client.batch_execute(&format!("lock table only {name} in access exclusive mode")).await.map_err(failed)?;
        let question = format!("select exists (select from only {name})");
        let rows = client.query_typed(&question, &[]).await.map_err(failed)?;
        if rows.first().map_or(Ok(true), |row| row.try_get(0)).map_err(failed)? {
            return Ok(false);
        }
        client.batch_execute(&format!("truncate only {name}")).await.map_err(failed)?;
        Ok(true)
    }
}

async fn passing_tables(conversation: &Conversation) -> Result<Vec<BloatedTable>, Error> {
    let sql = if conversation.powa()?.has_modules() {
        include_str!("../../../sql/repository/passing_tables_powa5.sql")
    } else {
        include_str!("../../../sql/repository/passing_tables_powa4.sql")
    };
    let rows = conversation.query(sql, &[]).await?;
    let tables: Result<Vec<_>, _> = rows.iter().map(BloatedTable::of).collect();
    tables.map_err(|error| Error::new(Side::Repository, LOOKING, error))
}

impl BloatedTable {
    fn of(row: &Row) -> Result<Self, tokio_postgres::Error> {
        let [schema, table, role] = [0, 1, 4].map(|column| row.try_get(column).map(QuotedIdent::new));
        let name = format!("{}.{}", schema?, table?);
        // There is none if it was dropped meanwhile.
        let size: Option<i64> = row.try_get(2)?;
        let may_be_emptied: bool = row.try_get(3)?;
        let grant = format!("grant truncate on {name} to {}", role?);
        Ok(Self {
            size: size.and_then(|size| size.try_into().ok()).unwrap_or_default(),
            missing_grant: (!may_be_emptied).then_some(grant),
            name,
        })
    }
}
