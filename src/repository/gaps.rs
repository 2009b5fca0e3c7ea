//! Replaces lists that could not be collected with what the repository has, so that nothing counts as dropped.
//!
//! Most datasources are samples, for which no rows mean that nothing was measured. Some are lists of what the server
//! has: without rows, PoWA considers everything dropped. If such a list could not be read, or its rows were refused, it
//! is filled with the known rows. `docs/repository.md` has the details.

use session::{Error, ErrorKind, Extensions, Side};
use std::collections::HashSet;

use deadpool_postgres::ClientWrapper;
use tokio_postgres::types::{ToSql, Type};

use super::Sources;
use super::checked_out::expand;
use super::load::Refused;
use super::savepoint::attempt;
use crate::server::ServerId;
use crate::spool::SpooledRows;

const FILLING: &str = "fill a list that could not be collected";

/// A datasource that lists what a server has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum List {
    Databases,
    CatalogDatabases,
    Roles,
    Settings,
    RoleSettings,
}

impl List {
    /// The list that a source function returns, if it is one.
    pub(super) fn of(query_source: &str) -> Option<Self> {
        Some(match query_source {
            "powa_databases_src" => Self::Databases,
            "powa_catalog_database_src" => Self::CatalogDatabases,
            "powa_catalog_role_src" => Self::Roles,
            "pg_track_settings_settings_src" => Self::Settings,
            "pg_track_settings_rds_src" => Self::RoleSettings,
            _ => return None,
        })
    }

    /// Whether a server may really have no rows. Each has databases, roles and settings.
    fn may_be_empty(self) -> bool {
        self == Self::RoleSettings
    }

    /// The table of its rows, qualified and quoted, if its extension is installed.
    fn table(self, sources: &Sources, extensions: &Extensions) -> Option<String> {
        let module = sources.modules.iter().find(|module| Self::of(&module.query_source) == Some(self))?;
        module.target(extensions).ok()
    }

    fn sql(self) -> &'static str {
        match self {
            Self::Databases => include_str!("../../sql/repository/keep_databases.sql"),
            Self::CatalogDatabases => include_str!("../../sql/repository/keep_catalog_databases.sql"),
            Self::Roles => include_str!("../../sql/repository/keep_roles.sql"),
            Self::Settings => include_str!("../../sql/repository/keep_settings.sql"),
            Self::RoleSettings => include_str!("../../sql/repository/keep_role_settings.sql"),
        }
    }
}

/// What is missing in a snapshot and must be filled before `powa_take_snapshot()`.
#[derive(Debug, Default)]
pub(super) struct Gaps {
    /// Lists without rows.
    lists: Vec<List>,
    /// Tables of catalogs with rows.
    catalogs: HashSet<String>,
    /// Databases, by OID, with an incomplete copy of their catalogs.
    incomplete: Vec<String>,
    /// The copy of every database may be incomplete.
    all_are_incomplete: bool,
}

impl Gaps {
    /// The gaps in collected rows. A list without rows that cannot be empty is added to `refused`.
    pub(super) fn in_collected(
        sources: &Sources,
        pieces: &[SpooledRows],
        incomplete: &[String],
        refused: &mut Vec<Refused>,
    ) -> Self {
        let mut gaps = Self { incomplete: incomplete.to_vec(), ..Self::default() };
        for module in &sources.modules {
            let Some(list) = List::of(&module.query_source) else { continue };
            let Ok(target) = module.target(&sources.extensions) else {
                gaps.lists.push(list);
                continue;
            };
            match pieces.iter().find(|piece| piece.target() == target) {
                Some(piece) if piece.rows() > 0 || list.may_be_empty() => {}
                Some(piece) => {
                    gaps.lists.push(list);
                    let reason = "the remote server returned no rows, which is impossible; keeping the known ones";
                    refused.push(Refused::of(piece, reason.into()));
                }
                None => gaps.lists.push(list),
            }
        }
        let targets: HashSet<_> = sources.catalogs.iter().map(|catalog| &*catalog.target).collect();
        let catalogs = pieces.iter().filter(|piece| piece.rows() > 0 && targets.contains(piece.target()));
        gaps.catalogs = catalogs.map(|piece| piece.target().to_owned()).collect();
        gaps
    }

    /// Rows of a table were refused.
    pub(super) fn add_refused(&mut self, sources: &Sources, table: &str) {
        self.all_are_incomplete |= sources.catalogs.iter().any(|catalog| *catalog.target == *table);
        for module in &sources.modules {
            let is_it = module.target(&sources.extensions).is_ok_and(|target| target == table);
            let list = List::of(&module.query_source).filter(|list| is_it && !self.lists.contains(list));
            self.lists.extend(list);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lists.is_empty() && self.incomplete.is_empty() && !self.all_are_incomplete
    }

    /// Fills the gaps, after all rows were copied and before the snapshot is taken. `extensions` are the current ones.
    ///
    /// # Errors
    /// The repository refuses. The load must fail then, because PoWA would record existing objects as dropped.
    pub(super) async fn fill(
        &self,
        client: &ClientWrapper,
        extensions: &Extensions,
        sources: &Sources,
        server: ServerId,
    ) -> Result<(), Error> {
        let id = server.get();
        let of_server: &[(&(dyn ToSql + Sync), Type)] = &[(&id, Type::INT4)];
        for list in &self.lists {
            match run(client, extensions, list.sql(), of_server).await {
                // The function that reads the list fails without the privilege, and so changes nothing.
                Err(error)
                    if error.kind() == ErrorKind::Denied
                        && !may_read(client, list.table(sources, extensions)).await? => {}
                kept => kept?,
            }
        }
        if self.lists.contains(&List::Databases) {
            let sql = include_str!("../../sql/repository/exclude_statements.sql");
            run(client, extensions, sql, of_server).await?;
        }
        if self.lists.contains(&List::CatalogDatabases) {
            for target in &self.catalogs {
                let sql = include_str!("../../sql/repository/exclude_catalog.sql").replace("{target}", target);
                run(client, extensions, &sql, of_server).await?;
            }
        }
        if self.all_are_incomplete {
            let sql = include_str!("../../sql/repository/exclude_all_classes.sql");
            run(client, extensions, sql, of_server).await?;
        } else if !self.incomplete.is_empty() {
            let sql = include_str!("../../sql/repository/exclude_classes.sql");
            let values: &[(&(dyn ToSql + Sync), Type)] = &[(&id, Type::INT4), (&self.incomplete, Type::TEXT_ARRAY)];
            run(client, extensions, sql, values).await?;
        }
        Ok(())
    }
}

/// Whether the role may read a table, if there is one.
///
/// # Errors
/// The connection was lost.
async fn may_read(client: &ClientWrapper, table: Option<String>) -> Result<bool, Error> {
    let Some(table) = table else { return Ok(false) };
    let failed = |error| Error::new(Side::Repository, FILLING, error);
    let sql = "select pg_catalog.has_table_privilege($1, 'select')";
    match attempt(client, client.query_typed(sql, &[(&table, Type::TEXT)])).await.map_err(failed)?.map_err(failed) {
        Ok(rows) => rows.first().map_or(Ok(false), |row| row.try_get(0)).map_err(failed),
        // No privilege on the schema.
        Err(error) if error.kind() == ErrorKind::Denied => Ok(false),
        Err(error) => Err(error),
    }
}

/// Unmarks databases that were marked as dropped but exist on the server. Must precede the snapshot. If the repository
/// refuses, a later load does it.
///
/// # Errors
/// The connection was lost.
pub(super) async fn revive_databases(
    client: &ClientWrapper,
    extensions: &Extensions,
    server: ServerId,
) -> Result<(), Error> {
    let sql = include_str!("../../sql/repository/revive_databases.sql");
    match run(client, extensions, sql, &[(&server.get(), Type::INT4)]).await {
        Err(error) if !error.is_connection() => {
            tracing::debug!(error = %error, "could not unmark dropped databases; the next load retries");
            Ok(())
        }
        done => done,
    }
}

/// Marks the catalogs of this load as not refreshed, because one of them could not be stored.
///
/// # Errors
/// The repository refuses.
pub(super) async fn forget_refresh(
    client: &ClientWrapper,
    extensions: &Extensions,
    server: ServerId,
) -> Result<(), Error> {
    let sql = include_str!("../../sql/repository/forget_refresh.sql");
    run(client, extensions, sql, &[(&server.get(), Type::INT4)]).await
}

/// Runs a statement, and undoes it on an error. Ignores a missing table, column or extension: the function that reads
/// it fails then, and so changes nothing.
async fn run(
    client: &ClientWrapper,
    extensions: &Extensions,
    sql: &str,
    values: &[(&(dyn ToSql + Sync), Type)],
) -> Result<(), Error> {
    let Ok(sql) = expand(extensions, (FILLING, sql)) else { return Ok(()) };
    let failed = |error| Error::new(Side::Repository, FILLING, error);
    match attempt(client, client.query_typed(&sql, values)).await.map_err(failed)?.map_err(failed) {
        Err(error) if !matches!(error.kind(), ErrorKind::MissingTable | ErrorKind::MissingColumn) => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_server_has_databases_roles_and_settings() {
        let names = ["powa_databases_src", "powa_catalog_database_src", "powa_catalog_role_src"];
        let lists = names.into_iter().chain(["pg_track_settings_settings_src"]);
        assert!(lists.map(List::of).all(|list| list.is_some_and(|list| !list.may_be_empty())));
        assert!(List::of("pg_track_settings_rds_src").is_some_and(List::may_be_empty));
        assert_eq!(List::of("powa_statements_src"), None);
    }
}
