//! The collector's own schema in the repository: which version is installed, and the statements that create it, upgrade it and
//! grant the privileges on it.

use futures_util::FutureExt;
use session::{Error, QuotedIdent, Side};

use super::Repository;
use super::checked_out::CheckedOutSession;

/// The statements that lead from each version to the next one, beginning with none.
const UPGRADES: [&str; 1] = [include_str!("../../sql/collector_schema/1.sql")];

/// The version that this program uses.
pub(crate) const SCHEMA_VERSION: i32 = UPGRADES.len() as i32;

/// What is granted to a role, by what it does.
const GRANTS: [(&str, &[&str]); 4] = [
    (
        "store",
        &[
            "select on powa_collector.schedules, powa_collector.tags, powa_collector.errors, powa_collector.schema_version",
            "insert, update, delete on powa_collector.errors",
            "delete on powa_collector.schedules, powa_collector.tags",
        ],
    ),
    (
        "serve",
        &[
            "select, insert, update, delete on powa_collector.tokens",
            "select, insert, delete, update (srvid, error) on powa_collector.audit_log",
        ],
    ),
    (
        "operate",
        &[
            "select on powa_collector.errors, powa_collector.schema_version",
            "select, insert, update, delete on powa_collector.schedules, powa_collector.tags",
        ],
    ),
    (
        "read",
        &[
            "select on powa_collector.schedules, powa_collector.tags, powa_collector.errors, powa_collector.schema_version",
        ],
    ),
];

impl Repository {
    /// The statements that install or upgrade the schema and grant the privileges on it, without executing them: in
    /// this order, for one transaction, each without a semicolon at its end.
    ///
    /// `collector_roles` are granted what a collector needs, besides the roles that are known to need it.
    ///
    /// # Errors
    /// The repository cannot be reached, or the schema is newer than this program.
    pub(crate) async fn plan_setup(&self, collector_roles: &[String]) -> Result<Vec<String>, Error> {
        let roles = collector_roles.to_vec();
        self.run("read the schema powa_collector", roles, |session, roles| plan(session, roles).boxed()).await
    }

    /// Installs or upgrades the schema and grants the privileges on it, in one transaction. Returns the version that was
    /// installed before; 0 is none.
    ///
    /// # Errors
    /// As for [`Self::plan_setup`], or the role may not create or alter the schema; then nothing is changed.
    pub(crate) async fn set_up(&self, collector_roles: &[String]) -> Result<i32, Error> {
        self.change("set up the schema powa_collector", self.timeouts.query, async |session| {
            session.query(include_str!("../../sql/repository/lock_setup.sql"), &[]).await?;
            let (installed, statements) = upgrades(session).await?;
            session.execute_all(&statements.join(";\n")).await?;
            session.execute_all(&grants(session, collector_roles).await?.join(";\n")).await?;
            Ok(installed)
        })
        .await
    }
}

async fn plan(session: &CheckedOutSession, collector_roles: &[String]) -> Result<Vec<String>, Error> {
    let (_, mut statements) = upgrades(session).await?;
    statements.extend(grants(session, collector_roles).await?);
    Ok(statements)
}

/// The installed version, and the statements that upgrade it.
async fn upgrades(session: &CheckedOutSession) -> Result<(i32, Vec<String>), Error> {
    let installed = installed_version(session).await?;
    let applied = usize::try_from(installed).ok().filter(|applied| *applied <= UPGRADES.len()).ok_or_else(|| {
        let found = format!(
            "the schema powa_collector has version {installed}, and this program knows versions up to {SCHEMA_VERSION}; \
             update powa-collector"
        );
        Error::unexpected(Side::Repository, session.action, found)
    })?;
    let mut statements = Vec::new();
    for (version, upgrade) in (1..).zip(UPGRADES).skip(applied) {
        statements.push(upgrade.trim_end().trim_end_matches(';').to_owned());
        statements.push(format!("insert into powa_collector.schema_version (version) values ({version})"));
    }
    Ok((installed, statements))
}

async fn installed_version(session: &CheckedOutSession) -> Result<i32, Error> {
    let unreadable = |error| Error::new(Side::Repository, session.action, error);
    let unexpected = |found: &str| Error::unexpected(Side::Repository, session.action, found);
    let rows = session.query(include_str!("../../sql/repository/collector_schema_version.sql"), &[]).await?;
    let row = rows.first().ok_or_else(|| unexpected("the query returned no row"))?;
    let (has_version, has_schema): (bool, bool) =
        (row.try_get(0).map_err(unreadable)?, row.try_get(1).map_err(unreadable)?);
    if !has_version {
        let foreign = "a schema powa_collector exists that was not made by this command; rename or drop it";
        return if has_schema { Err(unexpected(foreign)) } else { Ok(0) };
    }
    let rows = session.query(include_str!("../../sql/repository/collector_schema_installed.sql"), &[]).await?;
    rows.first().ok_or_else(|| unexpected("the query returned no row"))?.try_get(0).map_err(unreadable)
}

/// One statement for each set of privileges, granted to all roles that need it.
async fn grants(session: &CheckedOutSession, collector_roles: &[String]) -> Result<Vec<String>, Error> {
    let unreadable = |error| Error::new(Side::Repository, session.action, error);
    let sql = if session.powa()?.has_modules() {
        include_str!("../../sql/repository/setup_roles_powa5.sql")
    } else {
        include_str!("../../sql/repository/setup_roles_powa4.sql")
    };
    let mut roles = Vec::new();
    for row in session.query(sql, &[&collector_roles]).await? {
        let (role, purpose): (String, String) =
            (row.try_get(0).map_err(unreadable)?, row.try_get(1).map_err(unreadable)?);
        roles.push((role, purpose));
    }
    Ok(statements_for(&roles))
}

fn statements_for(roles: &[(String, String)]) -> Vec<String> {
    let mut statements = Vec::new();
    for (purpose, privileges) in GRANTS {
        let of_purpose = roles.iter().filter(|(_, of_role)| of_role == purpose);
        let grantees: Vec<_> = of_purpose.map(|(role, _)| QuotedIdent::new(role).to_string()).collect();
        if grantees.is_empty() {
            continue;
        }
        let grantees = grantees.join(", ");
        statements.push(format!("grant usage on schema powa_collector to {grantees}"));
        statements.extend(privileges.iter().map(|privileges| format!("grant {privileges} to {grantees}")));
    }
    statements
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_with_one_purpose_share_their_grants() {
        let roles =
            [("b\"c", "store"), ("d", "store"), ("r", "read")].map(|(role, purpose)| (role.into(), purpose.into()));
        let statements = statements_for(&roles);
        assert_eq!(statements[0], "grant usage on schema powa_collector to \"b\"\"c\", \"d\"");
        assert!(
            statements[1..4].iter().all(|statement| statement.ends_with(" to \"b\"\"c\", \"d\"")),
            "{statements:?}"
        );
        assert_eq!(statements[4], "grant usage on schema powa_collector to \"r\"");
        assert_eq!(statements.len(), 6);
        assert_eq!(statements_for(&[]), [""; 0]);
    }
}
