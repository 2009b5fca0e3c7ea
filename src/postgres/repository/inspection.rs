//! What may the role do in the repository, and what is there? Asked by somebody who wants to know why it does not work.

use deadpool::managed::PoolError;
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
    /// Where PoWA has its roles not set up, and they can be, those of them that are to be created first.
    pub roles_to_set_up: Option<Vec<String>>,
    /// The role may command a collector.
    pub may_command: bool,
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
    /// The role that PoWA has for snapshots has them, or would have them.
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
        // That there is no session is told as it is, and not as what that was wanted for.
        if let Err(PoolError::Backend(error)) = self.pool.get().await {
            return Err(error);
        }
        self.say("look around", (), |conversation, ()| inspect(conversation).boxed()).await
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
    let roles_to_set_up =
        if powa.has_modules() && snapshot_role.is_none() { roles_to_set_up(conversation).await? } else { None };
    let roles = (snapshot_role.as_deref(), roles_to_set_up.is_some());
    Ok(RepositoryState {
        version: state.try_get(0).map_err(unreadable)?,
        role: state.try_get(1).map_err(unreadable)?,
        schema: schema.clone(),
        clock: clock.await?,
        missing: missing_privileges(conversation, &powa, roles).await?,
        snapshot_role,
        roles_to_set_up,
        may_command: may_command(conversation, &powa).await?,
        collectors: collectors_there(conversation).await?,
        powa,
    })
}

async fn snapshot_role(conversation: &Conversation) -> Result<Option<String>, Error> {
    let rows = conversation.query(include_str!("../../../sql/repository/snapshot_role.sql"), &[]).await?;
    let name = rows.first().map(|row| row.try_get(0)).transpose();
    name.map_err(|error| Error::new(Side::Repository, conversation.doing, error))
}

async fn roles_to_set_up(conversation: &Conversation) -> Result<Option<Vec<String>>, Error> {
    let rows = conversation.query(include_str!("../../../sql/repository/roles_to_set_up.sql"), &[]).await?;
    let names = rows.first().map(|row| row.try_get(0)).transpose();
    names.map_err(|error| Error::new(Side::Repository, conversation.doing, error))
}

/// Asked as the collector asks of whoever sends a command. Where that would not be told, a member of `pg_signal_backend` may.
async fn may_command(conversation: &Conversation, powa: &PowaVersion) -> Result<bool, Error> {
    let unreadable = |error| Error::new(Side::Repository, conversation.doing, error);
    let of_oneself = |sql: &str| sql.replace("$1", "pg_catalog.pg_backend_pid()");
    let by_role = of_oneself(include_str!("../../../sql/repository/sender_may_powa4.sql"));
    let by_roles = of_oneself(include_str!("../../../sql/repository/sender_may_powa5.sql"));
    let asked = conversation.query(if powa.has_modules() { &by_roles } else { &by_role }, &[]).await;
    let rows = match asked {
        Err(error) if error.is_denied() => conversation.query(&by_role, &[]).await?,
        asked => asked?,
    };
    let may: Option<bool> = rows.first().map(|row| row.try_get("may")).transpose().map_err(unreadable)?.flatten();
    Ok(may == Some(true))
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
    (snapshot_role, are_roles_to_set_up): (Option<&str>, bool),
) -> Result<Vec<MissingPrivileges>, Error> {
    let unreadable = |error| Error::new(Side::Repository, conversation.doing, error);
    let modules = if powa.has_modules() {
        include_str!("../../../sql/repository/enabled_modules_powa5.sql")
    } else {
        include_str!("../../../sql/repository/enabled_modules_powa4.sql")
    };
    let sql = include_str!("../../../sql/repository/missing_privileges.sql");
    let collected = match conversation.query(modules, &[]).await {
        Ok(rows) => {
            Some(rows.iter().map(|row| row.try_get(0).map_err(unreadable)).collect::<Result<Vec<String>, _>>()?)
        }
        // It may not even read what is collected, which is told with the rest.
        Err(error) if error.is_denied() => None,
        Err(error) => return Err(error),
    };
    let rows = conversation.query(sql, &[&collected, &snapshot_role, &are_roles_to_set_up]).await?;
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

#[cfg(test)]
impl RepositoryState {
    /// One that nothing is missing in.
    pub(crate) fn example() -> Self {
        let rows = [("powa".into(), "5.0.2".into(), "powa".into())];
        Self {
            version: "17.2".into(),
            powa: crate::postgres::Extensions::from_rows(rows).usable_powa().expect("it is new enough"),
            schema: QuotedIdent::new("powa"),
            role: "collector".into(),
            clock: ClockReading { ahead: 0.0, round_trip: std::time::Duration::from_millis(1) },
            missing: vec![],
            snapshot_role: None,
            roles_to_set_up: None,
            may_command: true,
            collectors: Some(vec![]),
        }
    }
}
