//! The plan of one snapshot of one server: the query, target table and clean-up of each datasource. Pure.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use super::SourceFailure;
use crate::config::Selection;
use crate::remote::{ExcludedRows, RemoteDatabase, RemoteServerInfo};
use crate::repository::{Catalog, DatabaseModule, Module, Sources};
use session::{QuotedIdent, Side};

/// The most databases that are collected of one server. A plan has about ten datasources for each, and the number of databases
/// is up to the server, so it must be bounded.
const MAX_DATABASES: usize = 10_000;

/// Source functions of PoWA 4 that return rows of all databases in the one with PoWA. PoWA 5 reads these in each database.
const POWA4_ALL_DATABASES: [&str; 2] = ["powa_all_relations_src", "powa_user_functions_src"];

/// The catalogs to copy although they are not due.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CatalogRefresh {
    #[default]
    None,
    All,
    /// The catalogs of these databases.
    Only(BTreeSet<String>),
}

impl CatalogRefresh {
    /// Merges two requests.
    pub fn add(&mut self, other: Self) {
        match (&mut *self, other) {
            (Self::All, _) | (_, Self::None) => {}
            (Self::Only(names), Self::Only(more)) => names.extend(more),
            (_, other) => *self = other,
        }
    }

    fn covers(&self, database: &str) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Only(names) => names.contains(database),
        }
    }
}

/// The columns that the repository's table has in front of those of the query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leading {
    Server,
    ServerTimeDatabase,
    ServerDatabase,
}

/// One query to collect. Its text is the same at every snapshot and for every server of a version, so that it stays prepared
/// and has one entry in the remote server's `pg_stat_statements`. There may be one for each of thousands of databases, so they
/// share what is the same for all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Datasource<'a> {
    /// Its name in messages.
    pub(super) name: String,
    pub(super) query: Arc<str>,
    /// The target table in the repository, qualified and quoted.
    pub(super) target: Cow<'a, str>,
    pub(super) cleanup: Option<String>,
    pub(super) leading: Leading,
    /// Rows that are dropped because of their database.
    pub(super) excluded: Option<ExcludedRows>,
    /// Whether it is a complete list of objects of the server, so that PoWA takes a missing row for a dropped object.
    pub(super) is_list: bool,
    /// The names of its columns in order, if one of them has statement texts; otherwise empty.
    pub(super) columns: Vec<String>,
}

/// The datasources to collect in one database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DatabasePlan<'a> {
    pub(super) database: String,
    /// Whether a session may stay open after the snapshot. Not in a template database: it would block `CREATE DATABASE`.
    pub(super) may_stay_open: bool,
    pub(super) datasources: Vec<Datasource<'a>>,
}

/// Everything to collect in one snapshot.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan<'a> {
    /// The datasources in the database with PoWA: the modules, and those that are collected in every database.
    pub(super) main: Vec<Datasource<'a>>,
    /// The other databases.
    pub(super) others: Vec<DatabasePlan<'a>>,
    /// Datasources that cannot be collected.
    pub(super) failures: Vec<SourceFailure>,
}

impl<'a> Plan<'a> {
    /// Combines what the repository wants with what the remote server has, without excluded databases.
    pub(super) fn new(
        sources: &'a Sources,
        server: &RemoteServerInfo,
        refresh: &CatalogRefresh,
        selection: &Selection,
    ) -> Self {
        let mut plan = Self::default();
        let (excluded, included): (Vec<_>, Vec<_>) =
            server.databases.iter().partition(|database| selection.excludes(&database.name));
        let excluded: Arc<HashSet<u32>> = Arc::new(excluded.iter().map(|database| database.oid).collect());
        // One failure for each extension, however many datasources it has.
        let missing: Vec<_> = sources.missing_extensions().collect();
        plan.failures.extend(missing.iter().map(|extension| missing_repository_extension(extension)));
        let is_missing = |module: &&Module| module.external && missing.contains(&module.name.as_str());
        for module in sources.modules.iter().filter(|module| !is_missing(module)) {
            let is_filtered =
                selection.excludes_statements() || POWA4_ALL_DATABASES.contains(&module.query_source.as_str());
            match plan_module(module, sources, server) {
                Ok(datasource) => {
                    let column = Some("dbid").filter(|_| is_filtered && !excluded.is_empty());
                    let column = column.and_then(|name| sources.targets.index_after_server(&datasource.target, name));
                    let rows = column.map(|column| ExcludedRows { column, databases: Arc::clone(&excluded) });
                    let columns = sources.targets.with_query_text(&datasource.target);
                    plan.main.push(Datasource { excluded: rows, columns, ..datasource });
                }
                Err(failure) => plan.failures.push(failure),
            }
        }
        // Lists last: the statistics of a database that is created meanwhile need a row in the list of databases.
        plan.main.sort_by_key(|datasource| datasource.is_list);
        let open: Vec<_> = included.into_iter().filter(|database| database.is_open).collect();
        let (first, rest) = open.split_at(open.len().min(MAX_DATABASES));
        // The database with PoWA is collected in any case.
        let (main, beyond): (Vec<&RemoteDatabase>, Vec<_>) =
            rest.iter().partition(|database| database.name == server.database.name);
        if !beyond.is_empty() {
            let reason = format!("{} are not collected: the limit is {MAX_DATABASES} for each server", beyond.len());
            plan.failures.push(SourceFailure::new("databases", reason));
        }
        for RemoteDatabase { name: database, is_template, .. } in first.iter().copied().chain(main) {
            let modules = sources.database_modules.iter().filter(|module| is_for(module, database));
            let catalogs = sources.catalogs.iter().filter(|catalog| is_due(catalog, database, refresh));
            let datasources = modules
                .map(|module| plan_database_module(module, database))
                .chain(catalogs.map(|catalog| plan_catalog(catalog, database)));
            if *database == server.database.name {
                plan.main.extend(datasources);
            } else {
                let (database, datasources) = (database.clone(), datasources.collect());
                plan.others.push(DatabasePlan { database, may_stay_open: !is_template, datasources });
            }
        }
        plan.others.retain(|other| !other.datasources.is_empty());
        if let CatalogRefresh::Only(names) = refresh {
            // An excluded database is not an error.
            let is_there = |name: &&String| {
                let named = server.databases.iter().find(|database| database.name == **name);
                named.is_some_and(|database| database.is_open) || selection.excludes(name)
            };
            let missing = names.iter().filter(|name| !is_there(name));
            plan.failures.extend(missing.map(|name| {
                let reason = format!("the remote server has no database \"{name}\" that accepts connections");
                SourceFailure::new("catalog refresh", reason)
            }));
        }
        plan
    }
}

impl Plan<'_> {
    /// Removes the clean-ups, so that the plan changes nothing on the remote server.
    #[must_use]
    pub(super) fn without_clean_ups(mut self) -> Self {
        for datasource in &mut self.main {
            datasource.cleanup = None;
        }
        self
    }
}

/// The failure for an extension that is missing in the repository, where its tables would be.
fn missing_repository_extension(extension: &str) -> SourceFailure {
    let name = QuotedIdent::new(extension);
    let reason = format!(
        "extension \"{extension}\" is not installed (repository server); run there: create extension {name}; then \
         \"powa-collector check\" prints what to grant; or stop collecting it: powa-collector servers extensions ... \
         --deactivate {extension}"
    );
    SourceFailure::new(extension, reason)
}

fn plan_module<'a>(
    module: &'a Module,
    sources: &Sources,
    server: &RemoteServerInfo,
) -> Result<Datasource<'a>, SourceFailure> {
    let name = format!("{} ({})", module.name, module.query_source);
    let failed = |side: Side, reason: String| SourceFailure::new(name.clone(), format!("{reason} ({side})"));
    if module.is_extension {
        // Otherwise the error would name PoWA's own source function instead of the missing extension.
        server.extensions.schema(&module.name).map_err(|unknown| failed(Side::Remote, unknown.to_string()))?;
    }
    let source_schema =
        server.extensions.schema(module.owner()).map_err(|unknown| failed(Side::Remote, unknown.to_string()))?;
    let target = module.target(&sources.extensions).map_err(|unknown| failed(Side::Repository, unknown.to_string()))?;
    let cleanup = module.query_cleanup.as_deref().map(|text| server.extensions.expand(text)).transpose();
    Ok(Datasource {
        query: format!("select * from {source_schema}.{}(0)", QuotedIdent::new(&module.query_source)).into(),
        target: target.into(),
        cleanup: cleanup.map_err(|unknown| failed(Side::Remote, unknown.to_string()))?,
        leading: Leading::Server,
        excluded: None,
        is_list: module.is_list(),
        columns: Vec::new(),
        name,
    })
}

fn plan_database_module<'a>(module: &'a DatabaseModule, database: &str) -> Datasource<'a> {
    Datasource {
        name: format!("{} of database \"{database}\"", module.name),
        query: Arc::clone(&module.query_source),
        target: Cow::Borrowed(&module.target),
        cleanup: None,
        leading: Leading::ServerTimeDatabase,
        excluded: None,
        is_list: false,
        columns: Vec::new(),
    }
}

fn plan_catalog<'a>(catalog: &'a Catalog, database: &str) -> Datasource<'a> {
    Datasource {
        name: format!("catalog {} of database \"{database}\"", catalog.name),
        query: Arc::clone(&catalog.query_source),
        target: Cow::Borrowed(&catalog.target),
        cleanup: None,
        leading: Leading::ServerDatabase,
        excluded: None,
        is_list: false,
        columns: Vec::new(),
    }
}

fn is_for(module: &DatabaseModule, database: &str) -> bool {
    module.databases.as_ref().is_none_or(|names| names.iter().any(|name| name == database))
}

fn is_due(catalog: &Catalog, database: &str, refresh: &CatalogRefresh) -> bool {
    refresh.covers(database) || !catalog.fresh_in.contains(database)
}

#[cfg(test)]
mod tests;
