//! What is to be collected, for one server and one snapshot: query, target, clean-up of each datasource. Pure.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::SourceFailure;
use crate::postgres::{Catalog, DatabaseModule, Module, QuotedIdent, RemoteDatabase, RemoteServerInfo, Side, Sources};

/// Databases of one server that are collected: a plan has some ten datasources for each, and a server can make up as many
/// as it likes.
const MOST_DATABASES: usize = 10_000;

/// Which catalogs are copied although they are not due.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CatalogRefresh {
    #[default]
    None,
    All,
    /// Those of these databases.
    Only(BTreeSet<String>),
}

impl CatalogRefresh {
    /// Both together.
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

/// The columns that the repository's table has in front of the ones the query gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leading {
    Server,
    ServerTimeDatabase,
    ServerDatabase,
}

/// One thing to collect. The query is the same text at every snapshot and for every server of a version, so that it
/// stays prepared, and is one entry in the remote server's `pg_stat_statements`. There is one for each of what may be
/// thousands of databases: what is the same for all of them is there once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Datasource<'a> {
    /// What it is called in messages.
    pub(super) name: String,
    pub(super) query: Cow<'a, str>,
    /// Table of the repository, qualified and quoted.
    pub(super) target: Cow<'a, str>,
    pub(super) cleanup: Option<String>,
    pub(super) leading: Leading,
}

/// What to collect in one database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DatabasePlan<'a> {
    pub(super) database: String,
    /// A session in it disturbs nobody, so it may stay open.
    pub(super) may_stay: bool,
    pub(super) datasources: Vec<Datasource<'a>>,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan<'a> {
    /// In the database that has PoWA: the modules, and what is collected in every database.
    pub(super) main: Vec<Datasource<'a>>,
    pub(super) others: Vec<DatabasePlan<'a>>,
    /// What cannot be collected, as is clear beforehand.
    pub(super) failures: Vec<SourceFailure>,
}

impl<'a> Plan<'a> {
    /// Puts together what the repository wants and what the remote server has.
    pub(super) fn new(sources: &'a Sources, server: &RemoteServerInfo, refresh: &CatalogRefresh) -> Self {
        let mut plan = Self::default();
        for module in &sources.modules {
            match plan_module(module, sources, server) {
                Ok(datasource) => plan.main.push(datasource),
                Err(failure) => plan.failures.push(failure),
            }
        }
        let (first, rest) = server.databases.split_at(server.databases.len().min(MOST_DATABASES));
        // The one with PoWA is there anyhow.
        let (main, beyond): (Vec<_>, Vec<_>) = rest.iter().partition(|database| database.name == server.database.name);
        if !beyond.is_empty() {
            let reason = format!("{} are not collected: {MOST_DATABASES} of one server are the most", beyond.len());
            plan.failures.push(SourceFailure::new("databases", reason));
        }
        let databases = first.iter().chain(main);
        for RemoteDatabase { name: database, is_template } in databases {
            let modules = sources.database_modules.iter().filter(|module| is_for(module, database));
            let catalogs = sources.catalogs.iter().filter(|catalog| is_due(catalog, database, refresh));
            let datasources = modules
                .map(|module| plan_database_module(module, database))
                .chain(catalogs.map(|catalog| plan_catalog(catalog, database)));
            if *database == server.database.name {
                plan.main.extend(datasources);
            } else {
                let (database, datasources) = (database.clone(), datasources.collect());
                plan.others.push(DatabasePlan { database, may_stay: !is_template, datasources });
            }
        }
        plan.others.retain(|other| !other.datasources.is_empty());
        if let CatalogRefresh::Only(names) = refresh {
            let is_there = |name: &&String| server.databases.iter().any(|database| database.name == **name);
            let missing = names.iter().filter(|name| !is_there(name));
            plan.failures.extend(missing.map(|name| {
                let reason = format!("the remote server has no database \"{name}\" that takes connections");
                SourceFailure::new("catalog refresh", reason)
            }));
        }
        plan
    }
}

impl Plan<'_> {
    /// Without what changes anything on the remote server.
    #[must_use]
    pub(super) fn without_clean_ups(mut self) -> Self {
        for datasource in &mut self.main {
            datasource.cleanup = None;
        }
        self
    }
}

fn plan_module(
    module: &Module,
    sources: &Sources,
    server: &RemoteServerInfo,
) -> Result<Datasource<'static>, SourceFailure> {
    let name = format!("{} ({})", module.name, module.query_source);
    let failed = |side: Side, reason: String| SourceFailure::new(name.clone(), format!("{reason} ({side})"));
    if module.is_extension {
        // PoWA's own function for it would say something else.
        server.extensions.schema(&module.name).map_err(|unknown| failed(Side::Remote, unknown.to_string()))?;
    }
    let owner = if module.external { &module.name } else { "powa" };
    let source_schema = server.extensions.schema(owner).map_err(|unknown| failed(Side::Remote, unknown.to_string()))?;
    let target_schema =
        sources.extensions.schema(owner).map_err(|unknown| failed(Side::Repository, unknown.to_string()))?;
    let cleanup = module.query_cleanup.as_deref().map(|text| server.extensions.expand(text)).transpose();
    Ok(Datasource {
        query: format!("select * from {source_schema}.{}(0)", QuotedIdent::new(&module.query_source)).into(),
        target: format!("{target_schema}.{}", QuotedIdent::new(&format!("{}_tmp", module.query_source))).into(),
        cleanup: cleanup.map_err(|unknown| failed(Side::Remote, unknown.to_string()))?,
        leading: Leading::Server,
        name,
    })
}

fn plan_database_module<'a>(module: &'a DatabaseModule, database: &str) -> Datasource<'a> {
    Datasource {
        name: format!("{} of database \"{database}\"", module.name),
        query: Cow::Borrowed(&module.query_source),
        target: Cow::Borrowed(&module.target),
        cleanup: None,
        leading: Leading::ServerTimeDatabase,
    }
}

fn plan_catalog<'a>(catalog: &'a Catalog, database: &str) -> Datasource<'a> {
    Datasource {
        name: format!("catalog {} of database \"{database}\"", catalog.name),
        query: Cow::Borrowed(&catalog.query_source),
        target: Cow::Borrowed(&catalog.target),
        cleanup: None,
        leading: Leading::ServerDatabase,
    }
}

fn is_for(module: &DatabaseModule, database: &str) -> bool {
    module.databases.as_ref().is_none_or(|names| names.iter().any(|name| name == database))
}

fn is_due(catalog: &Catalog, database: &str, refresh: &CatalogRefresh) -> bool {
    refresh.covers(database) || !catalog.fresh_in.iter().any(|name| name == database)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::{DatabaseInfo, Extensions};

    fn extensions(rows: &[(&str, &str, &str)]) -> Extensions {
        Extensions::from_rows(rows.iter().map(|(a, b, c)| (a.to_string(), b.to_string(), c.to_string())))
    }

    fn sources() -> Sources {
        let installed = extensions(&[("powa", "5.0.2", "powa"), ("pg_track_settings", "2.1.2", "track")]);
        let module = |name: &str, external, source: &str, cleanup: Option<&str>| Module {
            name: name.into(),
            is_extension: true,
            external,
            query_source: source.into(),
            query_cleanup: cleanup.map(Into::into),
        };
        Sources {
            powa: installed.usable_powa().unwrap(),
            extensions: installed,
            modules: vec![
                module("pg_stat_statements", false, "powa_statements_src", None),
                module("pg_track_settings", true, "pg_track_settings_rds_src", None),
                module("pg_qualstats", false, "powa_qualstats_src", Some("SELECT {pg_qualstats}.pg_qualstats_reset()")),
            ],
            database_modules: vec![
                DatabaseModule {
                    name: "pg_stat_all_tables".into(),
                    query_source: "SELECT 1".into(),
                    target: "powa.powa_all_tables_src_tmp".into(),
                    databases: None,
                },
                DatabaseModule {
                    name: "pg_stat_all_indexes".into(),
                    query_source: "SELECT 2".into(),
                    target: "powa.powa_all_indexes_src_tmp".into(),
                    databases: Some(vec!["app".into()]),
                },
            ],
            catalogs: vec![Catalog {
                name: "pg_class".into(),
                query_source: "SELECT 3".into(),
                target: "powa.powa_catalog_class_src_tmp".into(),
                fresh_in: vec!["app".into()],
            }],
        }
    }

    fn server() -> RemoteServerInfo {
        RemoteServerInfo {
            database: DatabaseInfo { now: "2026-01-01 00:00:00+00".into(), oid: "5".into(), name: "powa".into() },
            extensions: extensions(&[
                ("powa", "5.0.1", "Po Wa"),
                ("pg_stat_statements", "1.11", "public"),
                ("pg_track_settings", "2.1.2", "public"),
                ("pg_qualstats", "2.1.1", "quals"),
            ]),
            databases: [("app", false), ("other", false), ("template1", true)]
                .map(|(name, is_template)| RemoteDatabase { name: name.into(), is_template })
                .into(),
        }
    }

    fn names(plan: &Plan, database: &str) -> Vec<String> {
        let of = plan.others.iter().find(|plan| plan.database == database);
        of.map_or(vec![], |plan| plan.datasources.iter().map(|source| source.name.clone()).collect())
    }

    #[test]
    fn a_module_is_read_from_its_schema_there_and_written_to_its_schema_here() {
        let sources = sources();
        let plan = Plan::new(&sources, &server(), &CatalogRefresh::None);
        let shown: Vec<_> = plan.main.iter().map(|source| (&*source.query, &*source.target)).collect();
        assert_eq!(
            shown,
            [
                ("select * from \"Po Wa\".\"powa_statements_src\"(0)", "\"powa\".\"powa_statements_src_tmp\""),
                (
                    "select * from \"public\".\"pg_track_settings_rds_src\"(0)",
                    "\"track\".\"pg_track_settings_rds_src_tmp\""
                ),
                ("select * from \"Po Wa\".\"powa_qualstats_src\"(0)", "\"powa\".\"powa_qualstats_src_tmp\""),
            ]
        );
        assert_eq!(plan.main[2].cleanup.as_deref(), Some("SELECT \"quals\".pg_qualstats_reset()"));
        assert_eq!(plan.failures, []);
    }

    #[test]
    fn an_extension_that_is_missing_on_either_side_costs_its_datasource_and_is_named() {
        let poor = RemoteServerInfo { extensions: extensions(&[("powa", "5.0.1", "powa")]), ..server() };
        let whole = sources();
        let plan = Plan::new(&whole, &poor, &CatalogRefresh::None);
        assert_eq!(plan.main, []);
        let reasons: Vec<_> = plan.failures.iter().map(ToString::to_string).collect();
        assert_eq!(
            reasons,
            [
                "pg_stat_statements (powa_statements_src): extension \"pg_stat_statements\" is not installed (remote server)",
                "pg_track_settings (pg_track_settings_rds_src): extension \"pg_track_settings\" is not installed (remote server)",
                "pg_qualstats (powa_qualstats_src): extension \"pg_qualstats\" is not installed (remote server)",
            ]
        );
        let poor = Sources { extensions: extensions(&[("powa", "5.0.1", "powa")]), ..sources() };
        let plan = Plan::new(&poor, &server(), &CatalogRefresh::None);
        assert!(plan.failures[0].to_string().contains("(repository server)"), "{:?}", plan.failures);
    }

    #[test]
    fn database_modules_go_where_they_are_for_and_catalogs_where_they_are_old() {
        let sources = sources();
        let plan = Plan::new(&sources, &server(), &CatalogRefresh::None);
        assert_eq!(
            names(&plan, "app"),
            ["pg_stat_all_tables of database \"app\"", "pg_stat_all_indexes of database \"app\""]
        );
        assert_eq!(
            names(&plan, "other"),
            ["pg_stat_all_tables of database \"other\"", "catalog pg_class of database \"other\""]
        );
    }

    #[test]
    fn the_database_with_powa_needs_no_session_of_its_own() {
        let mut server = server();
        server.database.name = "app".into();
        let sources = sources();
        let plan = Plan::new(&sources, &server, &CatalogRefresh::None);
        assert_eq!(names(&plan, "app"), [""; 0]);
        let last = &plan.main[plan.main.len() - 2..];
        assert_eq!(last[0].name, "pg_stat_all_tables of database \"app\"");
        assert_eq!(last[0].leading, Leading::ServerTimeDatabase);
    }

    #[test]
    fn of_more_databases_than_anyone_has_the_first_are_collected_and_the_one_with_powa() {
        let mut server = server();
        let database = |n: usize| RemoteDatabase { name: format!("db {n:06}"), is_template: false };
        server.databases = (0..MOST_DATABASES + 3).map(database).collect();
        server.database.name = format!("db {:06}", MOST_DATABASES + 2);
        let sources = sources();
        let plan = Plan::new(&sources, &server, &CatalogRefresh::None);
        assert_eq!(plan.others.len(), MOST_DATABASES);
        assert_eq!(plan.main.len(), 3 + 2);
        let reasons: Vec<_> = plan.failures.iter().map(ToString::to_string).collect();
        assert_eq!(reasons, ["databases: 2 are not collected: 10000 of one server are the most"]);
    }

    #[test]
    fn a_session_in_a_template_may_not_stay() {
        let sources = sources();
        let plan = Plan::new(&sources, &server(), &CatalogRefresh::None);
        let stay: Vec<_> = plan.others.iter().map(|plan| (plan.database.as_str(), plan.may_stay)).collect();
        assert_eq!(stay, [("app", true), ("other", true), ("template1", false)]);
    }

    #[test]
    fn a_refresh_adds_catalogs_that_are_fresh_and_takes_none_away() {
        let only = CatalogRefresh::Only(BTreeSet::from(["app".into(), "gone".into()]));
        for refresh in [CatalogRefresh::All, only] {
            let sources = sources();
            let plan = Plan::new(&sources, &server(), &refresh);
            assert!(names(&plan, "app").contains(&"catalog pg_class of database \"app\"".into()));
            assert!(names(&plan, "other").contains(&"catalog pg_class of database \"other\"".into()));
            let expected = usize::from(refresh != CatalogRefresh::All);
            assert_eq!(plan.failures.len(), expected, "{:?}", plan.failures);
        }
    }

    #[test]
    fn refreshes_add_up() {
        let only = |names: &[&str]| CatalogRefresh::Only(names.iter().map(ToString::to_string).collect());
        let sum = |mut a: CatalogRefresh, b: CatalogRefresh| {
            a.add(b);
            a
        };
        let (none, all) = (CatalogRefresh::None, CatalogRefresh::All);
        assert_eq!(sum(none.clone(), only(&["a"])), only(&["a"]));
        assert_eq!(sum(only(&["a"]), only(&["b"])), only(&["a", "b"]));
        assert_eq!(sum(only(&["a"]), all.clone()), all);
        assert_eq!(sum(all.clone(), only(&["a"])), all);
        assert_eq!(sum(all.clone(), none), all);
    }
}
