//! The dry run of a snapshot: everything is read as for a real one, and discarded. The clean-ups are not run, so that no data
//! is lost, and the repository is not written to.

use super::plan::Plan;
use super::{CatalogRefresh, Error, Sessions, Snapshot, SourceFailure, StartedSnapshot};
use crate::remote::RequiredPrivileges;
use crate::repository::{Module, Sources};
use crate::spool::Spool;
use session::{Extensions, QuotedIdent};

/// The result of a dry run.
#[derive(Debug, Default)]
pub(crate) struct DryRun {
    pub read: Vec<DryRunResult>,
    pub failures: Vec<SourceFailure>,
    /// The number of databases to which a connection was attempted, including the one with PoWA.
    pub databases: usize,
}

/// A datasource that could be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct DryRunResult {
    pub datasource: String,
    pub rows: u64,
}

impl StartedSnapshot {
    /// The datasources that the repository wants from the server.
    pub(crate) fn sources(&self) -> &Sources {
        &self.sources
    }

    /// Whether the server is a standby.
    pub(crate) fn is_standby(&self) -> bool {
        self.server.is_standby
    }

    /// The extensions of the server.
    pub(crate) fn extensions(&self) -> &Extensions {
        &self.server.extensions
    }

    /// The number of databases that accept connections, without the one with PoWA.
    pub(crate) fn other_databases(&self) -> usize {
        let main = &self.server.database.name;
        self.server.databases.iter().filter(|database| database.is_open && database.name != *main).count()
    }

    /// Restricts the snapshot to the database with PoWA.
    #[must_use]
    pub(crate) fn without_other_databases(mut self) -> Self {
        let main = self.server.database.name.clone();
        self.server.databases.retain(|database| database.name == main);
        self
    }

    /// The privileges that the role needs in the database with PoWA.
    pub(crate) fn needed(&self) -> RequiredPrivileges {
        needed(&self.sources, &self.server.extensions)
    }
}

impl Snapshot<'_> {
    /// Reads all datasources, including every catalog, and discards the rows. The failure of a datasource is not an error of
    /// the dry run.
    ///
    /// # Errors
    /// As for [`Self::collect`].
    pub(crate) async fn dry_run(&self, snapshot: StartedSnapshot, sessions: &Sessions) -> Result<DryRun, Error> {
        let plan =
            Plan::new(&snapshot.sources, &snapshot.server, &CatalogRefresh::All, self.selection).without_clean_ups();
        let outcomes = self.read(&snapshot, sessions, &plan, &Spool::discarding(&self.config.spool)).await?;
        let mut dry_run = DryRun { databases: 1 + plan.others.len(), failures: plan.failures, ..DryRun::default() };
        for outcome in outcomes {
            dry_run.failures.extend(outcome.failures);
            let read = outcome.rows.map(|rows| DryRunResult { datasource: rows.name().to_owned(), rows: rows.rows() });
            dry_run.read.extend(read);
        }
        Ok(dry_run)
    }
}

/// Extensions whose source functions also read `pg_stat_statements`.
const READERS_OF_STATEMENTS: [&str; 3] = ["pg_qualstats", "pg_stat_kcache", "pg_wait_sampling"];

/// The functions that a snapshot calls, including clean-ups, the tables that they read, and the schemas of everything they use.
fn needed(sources: &Sources, there: &Extensions) -> RequiredPrivileges {
    let mut needed = RequiredPrivileges::default();
    let Ok(powa) = there.schema("powa") else { return needed };
    for module in &sources.modules {
        let Ok(schema) = there.schema(if module.external { &module.name } else { "powa" }) else { continue };
        needed.schemas.push(schema.to_string());
        let reads_statements = READERS_OF_STATEMENTS.contains(&module.name.as_str());
        let used = [Some(module.name.as_str()), reads_statements.then_some("pg_stat_statements")];
        let schemas = used.into_iter().flatten().filter_map(|extension| there.schema(extension).ok());
        needed.schemas.extend(schemas.map(ToString::to_string));
        needed.functions.push(format!("{schema}.{}(integer)", QuotedIdent::new(&module.query_source)));
        if let Some((schema, function)) = clean_up_function(module, there) {
            needed.schemas.push(schema);
            needed.functions.push(function);
        }
    }
    needed.tables =
        ["powa_databases", "powa_statements"].map(|table| format!("{powa}.{}", QuotedIdent::new(table))).into();
    needed.schemas.push(powa.to_string());
    for names in [&mut needed.schemas, &mut needed.functions] {
        names.sort();
        names.dedup();
    }
    needed
}

/// The schema and signature of the function that a clean-up calls. `None` unless the statement is a single plain call:
/// `select {extension}.name()` as in PoWA 5, or `select name()` as in PoWA 4.
fn clean_up_function(module: &Module, there: &Extensions) -> Option<(String, String)> {
    let text = module.query_cleanup.as_deref()?.trim();
    let (select, call) = text.split_at_checked("select ".len())?;
    let call = Some(call.trim()).filter(|_| select.eq_ignore_ascii_case("select "))?;
    let qualified = call.strip_prefix('{').and_then(|call| call.split_once("}."));
    let (extension, function) = qualified.unwrap_or((&module.name, call));
    let name = function.strip_suffix("()")?;
    let is_plain =
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || b"_0123456789".contains(&byte));
    let schema = there.schema(extension).ok().filter(|_| is_plain)?;
    Some((schema.to_string(), format!("{schema}.{}()", QuotedIdent::new(name))))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn module(name: &str, external: bool, cleanup: Option<&str>) -> Module {
        let (name, query_source) = (name.to_owned(), format!("{name}_src"));
        let query_cleanup = cleanup.map(Into::into);
        Module { name, is_extension: external, external, query_source, query_cleanup }
    }

    #[test]
    fn the_required_privileges_are_those_of_the_called_functions() {
        let rows = [
            ("powa", "5.0.2", "Po Wa"),
            ("pg_qualstats", "2.1", "quals"),
            ("pg_stat_statements", "1.11", "Statements"),
            ("track", "1", "public"),
            ("other", "1", "elsewhere"),
        ];
        let there = Extensions::from_rows(rows.map(|(a, b, c)| (a.into(), b.into(), c.into())));
        let sources = Sources {
            powa: there.usable_powa().unwrap(),
            extensions: there.clone(),
            modules: vec![
                module("a", false, None),
                module("track", true, None),
                module("gone", true, None),
                module("pg_qualstats", false, Some("SELECT {pg_qualstats}.pg_qualstats_reset()")),
            ],
            database_modules: vec![],
            catalogs: vec![],
            targets: Arc::default(),
        };
        let needed = needed(&sources, &there);
        assert_eq!(needed.schemas, ["\"Po Wa\"", "\"Statements\"", "\"public\"", "\"quals\""]);
        let functions = [
            "\"Po Wa\".\"a_src\"(integer)",
            "\"Po Wa\".\"pg_qualstats_src\"(integer)",
            "\"public\".\"track_src\"(integer)",
            "\"quals\".\"pg_qualstats_reset\"()",
        ];
        assert_eq!(needed.functions, functions);
        assert_eq!(needed.tables, ["\"Po Wa\".\"powa_databases\"", "\"Po Wa\".\"powa_statements\""]);
    }

    #[test]
    fn nothing_is_said_of_a_clean_up_that_is_not_one_plain_call() {
        let there = Extensions::from_rows([("q".into(), "1".into(), "q".into())]);
        let found = |text| clean_up_function(&module("q", false, Some(text)), &there);
        for text in ["select {q}.reset()", "SELECT reset()"] {
            assert_eq!(found(text), Some(("\"q\"".into(), "\"q\".\"reset\"()".into())), "{text}");
        }
        for text in
            ["", "select", "select {q}.a(), {q}.b()", "select {q}.a(1)", "truncate {q}.a()", "select {x}.a()", "é{"]
        {
            assert_eq!(found(text), None, "{text}");
        }
    }
}
