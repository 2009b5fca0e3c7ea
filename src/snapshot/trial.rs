//! A snapshot that is only tried: everything is read as for a real one, and thrown away. The clean-ups are left out, so that
//! nothing is lost with it, and the repository is not written to.

use super::plan::Plan;
use super::{Begun, CatalogRefresh, Error, Sessions, Snapshot, SourceFailure};
use crate::postgres::{Extensions, Module, Needed, QuotedIdent, Sources};
use crate::spool::Spool;

/// What came of it.
#[derive(Debug, Default)]
pub struct Trial {
    pub read: Vec<Tried>,
    pub failures: Vec<SourceFailure>,
    /// Databases that were connected to, or tried to, the one with PoWA included.
    pub databases: usize,
}

/// A datasource that could be read.
#[derive(Debug, PartialEq, Eq)]
pub struct Tried {
    pub datasource: String,
    pub rows: u64,
}

impl Begun {
    /// What the repository wants from the server.
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// The extensions of the server.
    pub fn extensions(&self) -> &Extensions {
        &self.server.extensions
    }

    /// What its role needs to be granted in the database with PoWA.
    pub fn needed(&self) -> Needed {
        needed(&self.sources, &self.server.extensions)
    }
}

impl Snapshot<'_> {
    /// Reads all that there is to read, with every catalog, and keeps none of it. A datasource that fails is no error of the
    /// trial.
    ///
    /// # Errors
    /// As for [`Self::collect`].
    pub async fn try_out(&self, begun: Begun, sessions: &Sessions) -> Result<Trial, Error> {
        let plan = Plan::new(&begun.sources, &begun.server, &CatalogRefresh::All).without_clean_ups();
        let outcomes = self.read(&begun, sessions, &plan, &Spool::of_nothing(&self.config.spool)).await?;
        let mut trial = Trial { databases: 1 + plan.others.len(), failures: plan.failures, ..Trial::default() };
        for outcome in outcomes {
            trial.failures.extend(outcome.failures);
            let read = outcome.rows.map(|rows| Tried { datasource: rows.name().to_owned(), rows: rows.rows() });
            trial.read.extend(read);
        }
        Ok(trial)
    }
}

/// The functions that are called, their clean-ups included, and the tables that these read.
fn needed(sources: &Sources, there: &Extensions) -> Needed {
    let mut needed = Needed::default();
    let Ok(powa) = there.schema("powa") else { return needed };
    for module in &sources.modules {
        let Ok(schema) = there.schema(if module.external { &module.name } else { "powa" }) else { continue };
        needed.schemas.push(schema.to_string());
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

/// The function that a clean-up calls, with its schema, if it is all that it does: nothing is said of others than
/// `select {extension}.name()`, as PoWA 5 has it, and `select name()`, as PoWA 4 does.
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
    use super::*;

    fn module(name: &str, external: bool, cleanup: Option<&str>) -> Module {
        let (name, query_source) = (name.to_owned(), format!("{name}_src"));
        Module { name, is_extension: external, external, query_source, query_cleanup: cleanup.map(Into::into) }
    }

    #[test]
    fn what_is_called_is_what_has_to_be_granted() {
        let rows = [("powa", "5.0.2", "Po Wa"), ("pg_qualstats", "2.1", "quals"), ("track", "1", "public")];
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
        };
        let needed = needed(&sources, &there);
        assert_eq!(needed.schemas, ["\"Po Wa\"", "\"public\"", "\"quals\""]);
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
