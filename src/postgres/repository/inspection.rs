//! What may the role do in the repository, and what is there? Asked by somebody who wants to know why it does not work.

use futures_util::FutureExt;

use super::conversation::Conversation;
use super::{Repository, ServerList};
use crate::postgres::clock::{self, ClockReading};
use crate::postgres::collectors::{self, Collector};
use crate::postgres::connect::MAIN_TASK;
use crate::postgres::{Error, PowaVersion, QuotedIdent, Side};

/// The repository, as its role sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct RepositoryState {
    /// Of PostgreSQL.
    pub version: String,
    pub powa: PowaVersion,
    /// The schema of PoWA.
    pub schema: QuotedIdent,
    pub role: String,
    pub clock: ClockReading,
    pub missing: Vec<MissingPrivileges>,
    /// Another role, as a member of which it would have some of what is missing.
    pub snapshot_role: Option<String>,
    /// Those that are connected; `None` where the role may not ask.
    pub collectors: Option<Vec<Collector>>,
}

/// Privileges that are missing on one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingPrivileges {
    pub purpose: Purpose,
    /// As a `GRANT` takes them.
    pub privileges: Vec<String>,
    /// On what, likewise.
    pub on: String,
    /// The role that PoWA has for snapshots has them.
    pub are_of_snapshot_role: bool,
}

/// What the privileges are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// There are no snapshots without.
    Loads,
    /// The versions of servers and extensions are kept.
    Versions,
    /// Tables that have bloated are emptied.
    Emptying,
}

impl Repository {
    /// Looks around.
    ///
    /// # Errors
    /// The repository cannot be reached, or has no PoWA that can be worked with.
    pub async fn inspect(&self) -> Result<RepositoryState, Error> {
        self.say("read what the role may do", (), |conversation, ()| inspect(conversation).boxed()).await
    }

    /// All servers that are registered, also those that are not collected from: whoever has no frequency that makes sense
    /// is given one.
    ///
    /// # Errors
    /// The repository cannot be reached, or has no PoWA that can be worked with.
    pub async fn all_servers(&self) -> Result<ServerList, Error> {
        let sql = include_str!("../../../sql/repository/registered_rows.sql");
        Ok(ServerList::of_all(&self.ask("read powa_servers", sql, &[]).await?))
    }
}

async fn inspect(conversation: &Conversation) -> Result<RepositoryState, Error> {
    let unreadable = |error| Error::new(Side::Repository, conversation.doing, error);
    let unanswered = || Error::found(Side::Repository, conversation.doing, "there is no answer");
    let powa = conversation.powa()?;
    let schema = conversation.extensions().schema("powa");
    let schema = schema.map_err(|unknown| Error::found(Side::Repository, conversation.doing, unknown.to_string()))?;
    let state = conversation.query(include_str!("../../../sql/repository/state.sql"), &[]).await?;
    let state = state.first().ok_or_else(unanswered)?;
    let clock = ClockReading::taken(|| async {
        let rows = conversation.query(clock::QUESTION, &[]).await?;
        rows.first().ok_or_else(unanswered)?.try_get::<_, f64>(0).map_err(unreadable)
    });
    let snapshot_role = if powa.has_modules() { snapshot_role(conversation).await? } else { None };
    Ok(RepositoryState {
        version: state.try_get(0).map_err(unreadable)?,
        role: state.try_get(1).map_err(unreadable)?,
        schema: schema.clone(),
        clock: clock.await?,
        missing: missing_privileges(conversation, &powa, snapshot_role.as_deref()).await?,
        snapshot_role,
        collectors: collectors_there(conversation).await?,
        powa,
    })
}

async fn snapshot_role(conversation: &Conversation) -> Result<Option<String>, Error> {
    let rows = conversation.query(include_str!("../../../sql/repository/snapshot_role.sql"), &[]).await?;
    let name = rows.first().map(|row| row.try_get(0)).transpose();
    name.map_err(|error| Error::new(Side::Repository, conversation.doing, error))
}

async fn collectors_there(conversation: &Conversation) -> Result<Option<Vec<Collector>>, Error> {
    let unreadable = |error| Error::new(Side::Repository, conversation.doing, error);
    match conversation.query(collectors::QUESTION, &[&MAIN_TASK]).await {
        Ok(rows) => rows.iter().map(Collector::of_row).collect::<Result<_, _>>().map(Some).map_err(unreadable),
        Err(error) if error.sqlstate() == Some("42501") => Ok(None),
        Err(error) => Err(error),
    }
}

async fn missing_privileges(
    conversation: &Conversation,
    powa: &PowaVersion,
    snapshot_role: Option<&str>,
) -> Result<Vec<MissingPrivileges>, Error> {
    let unreadable = |error| Error::new(Side::Repository, conversation.doing, error);
    let modules = if powa.has_modules() {
        include_str!("../../../sql/repository/enabled_modules_powa5.sql")
    } else {
        include_str!("../../../sql/repository/enabled_modules_powa4.sql")
    };
    let sql = include_str!("../../../sql/repository/missing_privileges.sql");
    let collected = match conversation.query(modules, &[]).await {
        Ok(rows) => rows.iter().map(|row| row.try_get(0).map_err(unreadable)).collect::<Result<_, _>>()?,
        // It may not even read what is collected, which is told with the rest.
        Err(error) if error.sqlstate() == Some("42501") => Vec::<String>::new(),
        Err(error) => return Err(error),
    };
    let rows = conversation.query(sql, &[&collected, &snapshot_role]).await?;
    let missing = rows.iter().map(|row| {
        Ok(MissingPrivileges {
            purpose: match row.try_get(0)? {
                "versions" => Purpose::Versions,
                "emptying" => Purpose::Emptying,
                _ => Purpose::Loads,
            },
            privileges: row.try_get(1)?,
            on: row.try_get(2)?,
            are_of_snapshot_role: row.try_get(3)?,
        })
    });
    missing.collect::<Result<_, _>>().map_err(unreadable)
}
