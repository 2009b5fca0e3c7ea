//! Users of PoWA: roles of PostgreSQL, and their memberships in PoWA's roles. Made in the session of whoever requests it, so that
//! PostgreSQL decides who may.

use std::collections::BTreeMap;
use std::time::SystemTime;

use futures_util::FutureExt;
use tokio_postgres::Row;

use super::checked_out::CheckedOutSession;
use super::{ApiRole, Repository};
use libpq::Secret;
use session::{Error, QuotedIdent, Side};

/// A role that can do something by the HTTP API.
#[derive(Clone, Debug)]
pub(crate) struct User {
    pub name: String,
    pub role: ApiRole,
    pub can_login: bool,
    pub is_superuser: bool,
    /// Whether the collector connects as this role.
    pub is_collector: bool,
    pub valid_until: Option<SystemTime>,
    /// PoWA's roles that it is a direct member of.
    pub powa_roles: Vec<String>,
}

/// A user to be made.
pub(crate) struct NewUser {
    pub name: String,
    pub password: Option<Secret>,
    pub role: ApiRole,
}

/// What to change of a user; `None` keeps it.
#[derive(Default)]
pub(crate) struct UserChanges {
    pub password: Option<Secret>,
    pub role: Option<ApiRole>,
    pub is_enabled: Option<bool>,
}

/// Why a user cannot be made or changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UserError {
    #[error("PoWA 4 has no roles of its own")]
    NoRolesInPowa4,
    #[error("PoWA's roles are not set up in this repository")]
    RolesNotSetUp,
    #[error(transparent)]
    Repository(#[from] Error),
}

impl Repository {
    /// The users after a name, at most `limit`; only the one with the name `only`, if that is given.
    ///
    /// # Errors
    /// The repository cannot be reached, or has no supported PoWA.
    pub(crate) async fn users(&self, after: &str, limit: i64, only: Option<&str>) -> Result<Vec<User>, Error> {
        let action = "list the users";
        let with = (after.to_owned(), limit, only.map(str::to_owned));
        let rows = self
            .run(action, with, |session, (after, limit, only)| {
                async move {
                    let sql = if session.powa()?.has_modules() {
                        include_str!("../../sql/repository/users_powa5.sql")
                    } else {
                        include_str!("../../sql/repository/users_powa4.sql")
                    };
                    session.query(sql, &[after, limit, only]).await
                }
                .boxed()
            })
            .await?;
        rows.iter().map(|row| read(row).map_err(|error| Error::new(Side::Repository, action, error))).collect()
    }

    /// Makes a user.
    ///
    /// # Errors
    /// PoWA has no roles to grant, the repository cannot be reached, or it refuses; then nothing is made.
    pub(crate) async fn create_user(&self, new: &NewUser) -> Result<(), UserError> {
        let roles = self.roles_to_grant().await?;
        self.change("create the role", self.timeouts.query, async |session| {
            let role = QuotedIdent::new(&new.name);
            let sql = match &new.password {
                Some(password) => with_password(include_str!("../../sql/repository/create_user.sql"), password),
                None => include_str!("../../sql/repository/create_user_without_password.sql").to_owned(),
            };
            execute(session, &sql, &role).await?;
            grant(session, &role, (new.role, &[]), &roles).await
        })
        .await?;
        Ok(())
    }

    /// Changes a user.
    ///
    /// # Errors
    /// As for [`Self::create_user`].
    pub(crate) async fn change_user(&self, user: &User, changes: &UserChanges) -> Result<(), UserError> {
        let roles = match changes.role {
            Some(_) => self.roles_to_grant().await?,
            None => BTreeMap::new(),
        };
        self.change("change the role", self.timeouts.query, async |session| {
            let role = QuotedIdent::new(&user.name);
            if let Some(password) = &changes.password {
                let sql = with_password(include_str!("../../sql/repository/set_user_password.sql"), password);
                execute(session, &sql, &role).await?;
            }
            if let Some(is_enabled) = changes.is_enabled {
                let sql = if is_enabled {
                    include_str!("../../sql/repository/enable_user.sql")
                } else {
                    include_str!("../../sql/repository/disable_user.sql")
                };
                execute(session, sql, &role).await?;
            }
            match changes.role {
                Some(wanted) => {
                    grant(session, &role, (wanted, &user.powa_roles), &roles).await?;
                    verify(session, &user.name, wanted).await
                }
                None => Ok(()),
            }
        })
        .await?;
        Ok(())
    }

    /// Drops a user.
    ///
    /// # Errors
    /// The repository cannot be reached, or refuses, because the role owns something.
    pub(crate) async fn drop_user(&self, name: &str) -> Result<(), Error> {
        self.change("drop the role", self.timeouts.query, async |session| {
            execute(session, include_str!("../../sql/repository/drop_user.sql"), &QuotedIdent::new(name)).await
        })
        .await
    }

    /// The names of PoWA's roles in this repository.
    async fn roles_to_grant(&self) -> Result<BTreeMap<String, String>, UserError> {
        if !self.powa().await?.has_modules() {
            return Err(UserError::NoRolesInPowa4);
        }
        let action = "read powa_roles";
        let rows = self.query(action, include_str!("../../sql/repository/powa_role_names.sql"), &[]).await?;
        let read = |row: &Row| Ok((row.try_get(0)?, row.try_get(1)?));
        let roles: Result<BTreeMap<String, String>, _> = rows.iter().map(read).collect();
        let roles = roles.map_err(|error| Error::new(Side::Repository, action, error))?;
        if roles.is_empty() { Err(UserError::RolesNotSetUp) } else { Ok(roles) }
    }
}

/// PoWA's roles that make somebody a viewer, operator or admin.
fn powa_roles_of(role: ApiRole) -> &'static [&'static str] {
    match role {
        ApiRole::Viewer => &["powa_read_all_metrics"],
        ApiRole::Operator => &["powa_read_all_metrics", "powa_signal_backend"],
        ApiRole::Admin => &["powa_admin"],
    }
}

/// Grants the PoWA roles that are wanted, and revokes the others that the role has.
async fn grant(
    session: &CheckedOutSession,
    role: &QuotedIdent,
    (wanted, held): (ApiRole, &[String]),
    names: &BTreeMap<String, String>,
) -> Result<(), Error> {
    let wanted = powa_roles_of(wanted);
    let group = |name: &str| names.get(name).map(|name| QuotedIdent::new(name).to_string());
    for name in held.iter().filter(|name| !wanted.contains(&name.as_str())) {
        if let Some(group) = group(name) {
            let sql = include_str!("../../sql/repository/revoke_from_user.sql").replace("{group}", &group);
            execute(session, &sql, role).await?;
        }
    }
    for name in wanted.iter().filter(|name| !held.iter().any(|held| held == *name)) {
        let group = group(name).ok_or_else(|| {
            Error::unexpected(Side::Repository, session.action, format!("PoWA's role {name} is not set up"))
        })?;
        let sql = include_str!("../../sql/repository/grant_to_user.sql").replace("{group}", &group);
        execute(session, &sql, role).await?;
    }
    Ok(())
}

/// Fails if a role may do something else than is wanted, because it is a member of other roles too.
async fn verify(session: &CheckedOutSession, name: &str, wanted: ApiRole) -> Result<(), Error> {
    let rows = session.query(include_str!("../../sql/repository/api_rights_powa5.sql"), &[&name]).await?;
    let word = rows.first().map(|row| row.try_get::<_, Option<String>>(0)).transpose();
    let word = word.map_err(|error| Error::new(Side::Repository, session.action, error))?.flatten();
    match word.as_deref().and_then(ApiRole::parse) {
        Some(other) if other != wanted => {
            let found = format!("the role stays {}, as a member of other roles; revoke these by SQL", other.word());
            Err(Error::unexpected(Side::Repository, session.action, found))
        }
        // It may not log in.
        _ => Ok(()),
    }
}

/// A statement with what PostgreSQL stores of a password: the password itself would be in the server's log on an error.
fn with_password(sql: &str, password: &Secret) -> String {
    let verifier = postgres_protocol::password::scram_sha_256(password.reveal().as_bytes());
    sql.replace("{password}", &format!("'{}'", verifier.replace('\'', "''")))
}

/// Runs a statement, which can have no parameters.
async fn execute(session: &CheckedOutSession, sql: &str, role: &QuotedIdent) -> Result<(), Error> {
    let client = session.begin_work();
    // The last to be replaced: a name may look like another placeholder.
    client
        .batch_execute(&sql.replace("{role}", &role.to_string()))
        .await
        .map_err(|error| Error::new(Side::Repository, session.action, error))?;
    session.end_work();
    Ok(())
}

fn read(row: &Row) -> Result<User, tokio_postgres::Error> {
    let word: String = row.try_get("role")?;
    Ok(User {
        name: row.try_get("name")?,
        role: ApiRole::parse(&word).unwrap_or(ApiRole::Viewer),
        can_login: row.try_get("can_login")?,
        is_superuser: row.try_get("is_superuser")?,
        is_collector: row.try_get("is_collector")?,
        valid_until: row.try_get("valid_until")?,
        powa_roles: row.try_get("powa_roles")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_part_of_a_statement() {
        let sql = with_password("create role {role} login password {password}", &Secret::new("s3cret".into()));
        assert!(sql.starts_with("create role {role} login password 'SCRAM-SHA-256$4096:"), "{sql}");
        assert!(!sql.contains("s3cret"), "{sql}");
    }
}
