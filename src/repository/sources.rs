//! What to collect from a server, according to PoWA's tables.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use futures_util::FutureExt;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::Repository;
use super::checked_out::CheckedOutSession;
use super::columns::{TargetCache, Targets};
use super::gaps::List;
use super::shared_texts::SharedTexts;
use crate::server::ServerId;
use session::{Error, Extensions, PowaVersion, QuotedIdent, Side, UnknownExtension};

/// What the repository wants from one server, and the tables that it has for it.
#[derive(Clone, Debug)]
pub(crate) struct Sources {
    pub extensions: Extensions,
    pub powa: PowaVersion,
    pub modules: Vec<Module>,
    pub database_modules: Vec<DatabaseModule>,
    pub catalogs: Vec<Catalog>,
    /// The columns of the tables that rows are loaded into.
    pub targets: Arc<Targets>,
}

/// A row of `powa_functions`: a source function in the remote server's PoWA database.
#[derive(Clone, Debug)]
pub(crate) struct Module {
    /// The extension or module it belongs to.
    pub name: String,
    /// It is known to be an extension.
    pub is_extension: bool,
    /// The function is in the schema of that extension, not of PoWA.
    pub external: bool,
    pub query_source: String,
    pub query_cleanup: Option<String>,
}

impl Module {
    /// The extension in whose schema the source function and its table are.
    pub(crate) fn owner(&self) -> &str {
        if self.external { &self.name } else { "powa" }
    }

    /// Whether it lists what the server has, so that a missing row means that something was dropped.
    pub(crate) fn is_list(&self) -> bool {
        List::of(&self.query_source).is_some()
    }

    /// The table of the repository for its rows, qualified and quoted.
    ///
    /// # Errors
    /// The repository does not have the extension.
    pub(crate) fn target(&self, extensions: &Extensions) -> Result<String, UnknownExtension> {
        let table = QuotedIdent::new(&format!("{}_tmp", self.query_source));
        Ok(format!("{}.{table}", extensions.schema(self.owner())?))
    }
}

/// A row of `powa_db_functions()`: a query to run in each of the server's databases.
#[derive(Clone, Debug)]
pub(crate) struct DatabaseModule {
    pub name: Arc<str>,
    pub query_source: Arc<str>,
    /// Qualified and quoted by PoWA.
    pub target: Arc<str>,
    /// `None` means all databases.
    pub databases: Option<Vec<String>>,
}

/// A row of `powa_catalog_functions()`: a catalog to copy from each database whose copy is too old.
#[derive(Clone, Debug)]
pub(crate) struct Catalog {
    pub name: Arc<str>,
    pub query_source: Arc<str>,
    /// Qualified and quoted by PoWA.
    pub target: Arc<str>,
    /// Databases whose copy is recent enough.
    pub fresh_in: HashSet<String>,
}

/// Data shared by all servers.
#[derive(Clone, Debug, Default)]
pub(super) struct SourceCache {
    pub(super) targets: TargetCache,
    texts: SharedTexts,
}

impl Repository {
    /// What to collect from a server with this `server_version_num`.
    ///
    /// # Errors
    /// The repository cannot be reached, or its answer is invalid. If the server is not registered:
    /// [`session::ErrorKind::NotRegistered`].
    pub(crate) async fn sources(&self, server: ServerId, version_num: i32) -> Result<Sources, Error> {
        let with = (&self.known, server, version_num);
        self.run("read what is to be collected", with, |session, (known, server, version_num)| {
            read(session, known, *server, *version_num).boxed()
        })
        .await
    }
}

pub(super) async fn read(
    session: &CheckedOutSession,
    known: &SourceCache,
    server: ServerId,
    version_num: i32,
) -> Result<Sources, Error> {
    let unreadable = |error| Error::new(Side::Repository, session.action, error);
    let id = server.get();
    let powa = session.powa()?;
    let of_server: &[&(dyn ToSql + Sync)] = &[&id];
    let of_version: &[&(dyn ToSql + Sync)] = &[&id, &version_num];
    // For a server that was removed meanwhile, PoWA still returns catalogs.
    let registered = session.query(include_str!("../../sql/repository/is_registered.sql"), of_server);
    let targets = targets(session, &known.targets);
    let (registered, targets, rows) = if powa.has_modules() {
        let (registered, targets, modules, database_modules, catalogs) = tokio::try_join!(
            registered,
            targets,
            session.query(include_str!("../../sql/repository/modules_powa5.sql"), of_server),
            session.query(include_str!("../../sql/repository/database_modules.sql"), of_version),
            session.query(include_str!("../../sql/repository/catalogs.sql"), of_version),
        )?;
        (registered, targets, (modules, database_modules, catalogs))
    } else {
        let modules = session.query(include_str!("../../sql/repository/modules_powa4.sql"), of_server);
        let (registered, targets, modules) = tokio::try_join!(registered, targets, modules)?;
        (registered, targets, (modules, vec![], vec![]))
    };
    if registered.is_empty() {
        return Err(Error::not_registered(session.action));
    }
    Sources::of(session.extensions(), powa, targets, &known.texts, &rows).map_err(unreadable)
}

/// The columns of the tables that rows are loaded into, from the cache unless an extension has changed.
async fn targets(session: &CheckedOutSession, cache: &TargetCache) -> Result<Arc<Targets>, Error> {
    let extensions = session.extensions();
    if let Some(targets) = cache.get(extensions) {
        return Ok(targets);
    }
    let targets = read_targets(session).await?;
    cache.put(extensions, &targets);
    Ok(targets)
}

/// Reads the columns of the tables that rows are loaded into.
///
/// # Errors
/// The repository cannot be reached, or its answer is invalid.
pub(super) async fn read_targets(session: &CheckedOutSession) -> Result<Arc<Targets>, Error> {
    let rows = session.query(include_str!("../../sql/repository/target_columns.sql"), &[]).await?;
    let targets = Targets::of(&rows).map_err(|error| Error::new(Side::Repository, session.action, error))?;
    Ok(Arc::new(targets))
}

impl Sources {
    /// Each extension whose tables some modules need but the repository does not have.
    pub(crate) fn missing_extensions(&self) -> impl Iterator<Item = &str> {
        let external = self.modules.iter().filter(|module| module.external).map(|module| module.name.as_str());
        let missing: BTreeSet<_> = external.filter(|name| self.extensions.version(name).is_none()).collect();
        missing.into_iter()
    }
}

fn module(row: &Row) -> Result<Module, tokio_postgres::Error> {
    Ok(Module {
        name: row.try_get(0)?,
        is_extension: row.try_get(1)?,
        external: row.try_get(2)?,
        query_source: row.try_get(3)?,
        query_cleanup: row.try_get(4)?,
    })
}

fn database_module(row: &Row, texts: &SharedTexts) -> Result<DatabaseModule, tokio_postgres::Error> {
    Ok(DatabaseModule {
        name: texts.share(row.try_get(0)?),
        query_source: texts.share(row.try_get(1)?),
        target: texts.share(row.try_get(2)?),
        databases: row.try_get(3)?,
    })
}

fn catalog(row: &Row, texts: &SharedTexts) -> Result<Catalog, tokio_postgres::Error> {
    Ok(Catalog {
        name: texts.share(row.try_get(0)?),
        query_source: texts.share(row.try_get(1)?),
        target: texts.share(row.try_get(2)?),
        fresh_in: row.try_get::<_, Vec<String>>(3)?.into_iter().collect(),
    })
}

impl Sources {
    fn of(
        extensions: &Extensions,
        powa: PowaVersion,
        targets: Arc<Targets>,
        texts: &SharedTexts,
        (modules, database_modules, catalogs): &(Vec<Row>, Vec<Row>, Vec<Row>),
    ) -> Result<Self, tokio_postgres::Error> {
        Ok(Self {
            extensions: extensions.clone(),
            powa,
            modules: modules.iter().map(module).collect::<Result<_, _>>()?,
            database_modules: database_modules
                .iter()
                .map(|row| database_module(row, texts))
                .collect::<Result<_, _>>()?,
            catalogs: catalogs.iter().map(|row| catalog(row, texts)).collect::<Result<_, _>>()?,
            targets,
        })
    }
}
