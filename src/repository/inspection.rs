//! Reads the state of the repository and the privileges of the role, for `check`.

use deadpool::managed::PoolError;
use futures_util::FutureExt;
use session::{Error, ErrorKind, PowaVersion, QuotedIdent, Side};

use super::checked_out::CheckedOutSession;
use super::{Repository, ServerList};
use crate::config::endpoints::MAIN_TASK;
use crate::repository::collectors::{self, Collector};
use crate::repository::powa_faults::{FoundFault, PowaFault};
use crate::server::UpdateTarget;
use crate::server::clock::{self, ClockReading};

/// The repository, as seen by the role.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RepositoryState {
    /// PostgreSQL's version.
    pub version: String,
    pub powa: PowaVersion,
    /// The schema of PoWA.
    pub schema: QuotedIdent,
    pub role: String,
    /// The encoding of the database.
    pub encoding: String,
    pub clock: ClockReading,
    pub missing: Vec<MissingPrivileges>,
    /// Another role whose members have some of the missing privileges.
    pub snapshot_role: Option<String>,
    /// If PoWA's roles are not set up but can be: those of them that do not exist yet.
    pub roles_to_set_up: Option<Vec<String>>,
    /// The role may send commands to a collector.
    pub may_command: bool,
    /// The connected collectors; `None` if the role may not list them.
    pub collectors: Option<Vec<Collector>>,
    /// Known faults of its PoWA.
    pub faults: Vec<FoundFault>,
}

/// Privileges that are missing on one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MissingPrivileges {
    pub purpose: Purpose,
    /// In the syntax of `GRANT`.
    pub privileges: Vec<String>,
    /// The object, in the syntax of `GRANT`.
    pub on: String,
    /// PoWA's role for snapshots has them, or would have them.
    pub are_of_snapshot_role: bool,
}

/// What the privileges are needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Storing snapshots.
    Loads,
    /// Storing the versions of servers and extensions.
    Versions,
    /// Truncating bloated tables.
    Emptying,
}

impl Repository {
    /// Reads the state of the repository.
    ///
    /// # Errors
    /// The repository cannot be reached, or has no supported PoWA.
    pub(crate) async fn inspect(&self) -> Result<RepositoryState, Error> {
        // A connection error is reported as such, without the purpose of the session.
        if let Err(PoolError::Backend(error)) = self.pool.get().await {
            return Err(error);
        }
        self.run("inspect the repository", (), |session, ()| inspect(session).boxed()).await
    }

    /// All registered servers, including disabled ones, which get a placeholder as frequency.
    ///
    /// # Errors
    /// The repository cannot be reached, or has no supported PoWA.
    pub(crate) async fn all_servers(&self) -> Result<ServerList, Error> {
        let sql = include_str!("../../sql/repository/registered_rows.sql");
        Ok(ServerList::of_all(&self.query("read powa_servers", sql, &[]).await?))
    }
}

impl Repository {
    /// The collectors that are connected.
    ///
    /// # Errors
    /// The repository cannot be reached, or has no supported PoWA.
    pub(crate) async fn collectors(&self) -> Result<Vec<Collector>, Error> {
        let action = "list the collectors";
        let rows = self.query(action, collectors::QUERY, &[&MAIN_TASK]).await?;
        let unreadable = |error| Error::new(Side::Repository, action, error);
        rows.iter().map(|row| Collector::of_row(row).map_err(unreadable)).collect()
    }

    /// The available versions of an extension, and whether the installed one can be updated to each.
    ///
    /// # Errors
    /// The repository cannot be reached, or its answer is invalid.
    pub(crate) async fn update_targets(&self, extension: &str) -> Result<Vec<UpdateTarget>, Error> {
        let action = "read to which versions an extension can be updated";
        let rows = self.query(action, UpdateTarget::QUERY, &[&extension]).await?;
        rows.iter()
            .map(|row| UpdateTarget::of_row(row).map_err(|error| Error::new(Side::Repository, action, error)))
            .collect()
    }
}

async fn inspect(session: &CheckedOutSession) -> Result<RepositoryState, Error> {
    let unreadable = |error| Error::new(Side::Repository, session.action, error);
    let unanswered = || Error::unexpected(Side::Repository, session.action, "the query returned no row");
    let powa = session.powa()?;
    let schema = session.extensions().schema("powa");
    let schema = schema.map_err(|unknown| Error::unexpected(Side::Repository, session.action, unknown.to_string()))?;
    let state = session.query(include_str!("../../sql/repository/state.sql"), &[]).await?;
    let state = state.first().ok_or_else(unanswered)?;
    let clock = ClockReading::taken(|| async {
        let rows = session.query(clock::QUERY, &[]).await?;
        rows.first().ok_or_else(unanswered)?.try_get::<_, f64>(0).map_err(unreadable)
    });
    let snapshot_role = if powa.has_modules() { snapshot_role(session).await? } else { None };
    let roles_to_set_up =
        if powa.has_modules() && snapshot_role.is_none() { roles_to_set_up(session).await? } else { None };
    let roles = (snapshot_role.as_deref(), roles_to_set_up.is_some());
    Ok(RepositoryState {
        version: state.try_get(0).map_err(unreadable)?,
        role: state.try_get(1).map_err(unreadable)?,
        encoding: state.try_get(2).map_err(unreadable)?,
        schema: schema.clone(),
        clock: clock.await?,
        missing: missing_privileges(session, &powa, roles).await?,
        snapshot_role,
        roles_to_set_up,
        may_command: may_command(session, &powa).await?,
        collectors: collectors_there(session).await?,
        faults: faults(session).await?,
        powa,
    })
}

async fn snapshot_role(session: &CheckedOutSession) -> Result<Option<String>, Error> {
    let rows = session.query(include_str!("../../sql/repository/snapshot_role.sql"), &[]).await?;
    let name = rows.first().map(|row| row.try_get(0)).transpose();
    name.map_err(|error| Error::new(Side::Repository, session.action, error))
}

async fn roles_to_set_up(session: &CheckedOutSession) -> Result<Option<Vec<String>>, Error> {
    let rows = session.query(include_str!("../../sql/repository/roles_to_set_up.sql"), &[]).await?;
    let names = rows.first().map(|row| row.try_get(0)).transpose();
    names.map_err(|error| Error::new(Side::Repository, session.action, error))
}

/// Uses the query of the command channel. If the role may not run it, membership in `pg_signal_backend` decides.
async fn may_command(session: &CheckedOutSession, powa: &PowaVersion) -> Result<bool, Error> {
    let unreadable = |error| Error::new(Side::Repository, session.action, error);
    let of_oneself = |sql: &str| sql.replace("$1", "pg_catalog.pg_backend_pid()");
    let by_role = of_oneself(include_str!("../../sql/repository/sender_may_powa4.sql"));
    let by_roles = of_oneself(include_str!("../../sql/repository/sender_may_powa5.sql"));
    let asked = session.query(if powa.has_modules() { &by_roles } else { &by_role }, &[]).await;
    let rows = match asked {
        Err(error) if error.kind() == ErrorKind::Denied => session.query(&by_role, &[]).await?,
        asked => asked?,
    };
    let may: Option<bool> = rows.first().map(|row| row.try_get("may")).transpose().map_err(unreadable)?.flatten();
    Ok(may == Some(true))
}

/// Known faults of PoWA that affect this repository. Missing privileges are reported elsewhere.
async fn faults(session: &CheckedOutSession) -> Result<Vec<FoundFault>, Error> {
    let mut found = Vec::new();
    for fault in PowaFault::ALL {
        match session.query(fault.probe(), &[]).await {
            Ok(rows) if rows.first().is_some_and(|row| row.try_get(0).unwrap_or(false)) => {
                found.extend(fault.found(session.extensions()));
            }
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Denied => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

async fn collectors_there(session: &CheckedOutSession) -> Result<Option<Vec<Collector>>, Error> {
    let unreadable = |error| Error::new(Side::Repository, session.action, error);
    match session.query(collectors::QUERY, &[&MAIN_TASK]).await {
        Ok(rows) => rows.iter().map(Collector::of_row).collect::<Result<_, _>>().map(Some).map_err(unreadable),
        Err(error) if error.kind() == ErrorKind::Denied => Ok(None),
        Err(error) => Err(error),
    }
}

async fn missing_privileges(
    session: &CheckedOutSession,
    powa: &PowaVersion,
    (snapshot_role, are_roles_to_set_up): (Option<&str>, bool),
) -> Result<Vec<MissingPrivileges>, Error> {
    let unreadable = |error| Error::new(Side::Repository, session.action, error);
    let modules = if powa.has_modules() {
        include_str!("../../sql/repository/enabled_modules_powa5.sql")
    } else {
        include_str!("../../sql/repository/enabled_modules_powa4.sql")
    };
    let sql = include_str!("../../sql/repository/missing_privileges.sql");
    let collected = match session.query(modules, &[]).await {
        Ok(rows) => {
            Some(rows.iter().map(|row| row.try_get(0).map_err(unreadable)).collect::<Result<Vec<String>, _>>()?)
        }
        // A missing privilege on the list of modules is reported with the others.
        Err(error) if error.kind() == ErrorKind::Denied => None,
        Err(error) => return Err(error),
    };
    let rows = session.query(sql, &[&collected, &snapshot_role, &are_roles_to_set_up]).await?;
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
    /// A repository in which nothing is missing.
    pub(crate) fn example() -> Self {
        let rows = [("powa".into(), "5.0.2".into(), "powa".into())];
        Self {
            version: "17.2".into(),
            powa: session::Extensions::from_rows(rows).usable_powa().expect("it is new enough"),
            schema: QuotedIdent::new("powa"),
            role: "collector".into(),
            clock: ClockReading { ahead: 0.0, round_trip: std::time::Duration::from_millis(1) },
            missing: vec![],
            snapshot_role: None,
            roles_to_set_up: None,
            may_command: true,
            collectors: Some(vec![]),
            encoding: "UTF8".into(),
            faults: vec![],
        }
    }
}
