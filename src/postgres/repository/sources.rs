//! What is to be collected from a server, as PoWA's tables have it.

use futures_util::FutureExt;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::Repository;
use super::conversation::Conversation;
use crate::postgres::{Error, Extensions, PowaVersion, Side};
use crate::server::ServerId;

/// What the repository wants from one server, and what it can take.
#[derive(Clone, Debug)]
pub struct Sources {
    pub extensions: Extensions,
    pub powa: PowaVersion,
    pub modules: Vec<Module>,
    pub database_modules: Vec<DatabaseModule>,
    pub catalogs: Vec<Catalog>,
}

/// A row of `powa_functions`: a source function in the remote server's PoWA database.
#[derive(Clone, Debug)]
pub struct Module {
    /// The extension or module it belongs to.
    pub name: String,
    /// It is an extension, and known to be one.
    pub is_extension: bool,
    /// The function is in the schema of that extension, not of PoWA.
    pub external: bool,
    pub query_source: String,
    pub query_cleanup: Option<String>,
}

/// A row of `powa_db_functions()`: a query to run in each of the server's databases.
#[derive(Clone, Debug)]
pub struct DatabaseModule {
    pub name: String,
    pub query_source: String,
    /// Qualified and quoted by PoWA.
    pub target: String,
    /// `None` is all databases.
    pub databases: Option<Vec<String>>,
}

/// A row of `powa_catalog_functions()`: a catalog to copy from each database in which it is too old.
#[derive(Clone, Debug)]
pub struct Catalog {
    pub name: String,
    pub query_source: String,
    /// Qualified and quoted by PoWA.
    pub target: String,
    /// Databases whose copy is recent enough.
    pub fresh_in: Vec<String>,
}

impl Repository {
    /// What to collect from a server whose `server_version_num` is `version_num`.
    ///
    /// # Errors
    /// The repository cannot be reached, or does not answer as expected.
    pub async fn sources(&self, server: ServerId, version_num: i32) -> Result<Sources, Error> {
        self.say("read what is to be collected", (server, version_num), |conversation, (server, version_num)| {
            read(conversation, *server, *version_num).boxed()
        })
        .await
    }
}

pub(super) async fn read(conversation: &Conversation, server: ServerId, version_num: i32) -> Result<Sources, Error> {
    let unreadable = |error| Error::new(Side::Repository, conversation.doing, error);
    let id = server.get();
    let powa = conversation.powa()?;
    if !powa.has_modules() {
        let sql = include_str!("../../../sql/repository/modules_powa4.sql");
        let modules = conversation.query(sql, &[&id]).await?;
        return Sources::of(conversation.extensions(), powa, (&modules, &[], &[])).map_err(unreadable);
    }
    let of_server: &[&(dyn ToSql + Sync)] = &[&id];
    let of_version: &[&(dyn ToSql + Sync)] = &[&id, &version_num];
    let (modules, database_modules, catalogs) = tokio::try_join!(
        conversation.query(include_str!("../../../sql/repository/modules_powa5.sql"), of_server),
        conversation.query(include_str!("../../../sql/repository/database_modules.sql"), of_version),
        conversation.query(include_str!("../../../sql/repository/catalogs.sql"), of_version),
    )?;
    Sources::of(conversation.extensions(), powa, (&modules, &database_modules, &catalogs)).map_err(unreadable)
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

fn database_module(row: &Row) -> Result<DatabaseModule, tokio_postgres::Error> {
    Ok(DatabaseModule {
        name: row.try_get(0)?,
        query_source: row.try_get(1)?,
        target: row.try_get(2)?,
        databases: row.try_get(3)?,
    })
}

fn catalog(row: &Row) -> Result<Catalog, tokio_postgres::Error> {
    Ok(Catalog {
        name: row.try_get(0)?,
        query_source: row.try_get(1)?,
        target: row.try_get(2)?,
        fresh_in: row.try_get(3)?,
    })
}

impl Sources {
    fn of(
        extensions: &Extensions,
        powa: PowaVersion,
        (modules, database_modules, catalogs): (&[Row], &[Row], &[Row]),
    ) -> Result<Self, tokio_postgres::Error> {
        Ok(Self {
            extensions: extensions.clone(),
            powa,
            modules: modules.iter().map(module).collect::<Result<_, _>>()?,
            database_modules: database_modules.iter().map(database_module).collect::<Result<_, _>>()?,
            catalogs: catalogs.iter().map(catalog).collect::<Result<_, _>>()?,
        })
    }
}
