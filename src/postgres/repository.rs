//! The repository, through a bounded pool of warm connections: what is to be collected, and the load of what was.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use deadpool_postgres::{
    BuildError, GenericClient, Hook, HookError, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime,
    Timeouts, Transaction,
};
use futures_util::SinkExt;
use std::pin::pin;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::session::{self, extensions_of};
use super::{Endpoint, Error, Extensions, PowaVersion, RemoteVersions, Side};
use crate::config::{Limits, Secret};
use crate::server::{InvalidServer, Server, ServerId, ServerRow};

/// The database that keeps PoWA's history. Clones share one pool.
#[derive(Clone)]
pub struct Repository {
    pool: Pool,
    /// One permit a load; whoever waits is served in the order of asking.
    loads: Arc<Semaphore>,
    /// The longest a conversation may take, a whole load being the longest one.
    limit: Duration,
}

/// The rows of `powa_servers`.
#[derive(Debug, Default)]
pub struct ServerList {
    pub servers: Vec<Server>,
    pub invalid: Vec<InvalidServer>,
}

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

/// Whether a server has its row in `powa_snapshot_metas`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Registration {
    Missing,
    /// With the age of the last snapshot, if there was one at a time that makes sense.
    Present(Option<Duration>),
}

/// Rows that wait to be loaded into one table.
pub trait Piece {
    /// The table, qualified and quoted.
    fn target(&self) -> &str;
    /// What the datasource is called in messages.
    fn name(&self) -> &str;
    /// The next part of the rows, from the beginning on; an empty one is the end.
    ///
    /// # Errors
    /// The spool cannot be read.
    fn next_part(&mut self) -> std::io::Result<Bytes>;
}

/// All there is to load for one snapshot.
pub struct Load<'a, P> {
    pub server: ServerId,
    /// The `application_name` of the session is `PoWA collector - repo_conn for worker NAME` meanwhile.
    pub name: &'a str,
    pub sources: &'a Sources,
    pub pieces: &'a mut [P],
    /// What has failed before the load.
    pub errors: &'a [String],
}

/// Only so many loads run at once: this is one of them.
pub struct LoadTurn(#[expect(dead_code, reason = "it is held, not used")] OwnedSemaphorePermit);

/// What became of a load that was committed.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Datasources whose rows the repository refused, with the reason.
    pub refused: Vec<(String, Error)>,
    /// What `powa_take_snapshot()` says of functions that failed inside it. It has put that into
    /// `powa_snapshot_metas.errors` itself.
    pub failed_functions: Vec<String>,
}

impl Repository {
    /// A pool that opens its connections when they are needed, and keeps them.
    ///
    /// # Errors
    /// The pool cannot be built.
    pub fn new(endpoint: &Endpoint, limits: Limits) -> Result<Self, BuildError> {
        let timeouts = endpoint.timeouts();
        let manager = Manager::from_connect(
            endpoint.driver_config().clone(),
            endpoint.clone(),
            ManagerConfig { recycling_method: RecyclingMethod::Fast },
        );
        let set_up = Hook::async_fn(move |client, _| {
            Box::pin(async move {
                session::pin(client, Side::Repository, timeouts).await.map_err(HookError::Backend)?;
                let extensions = session::extensions(client).await.map_err(HookError::Backend)?;
                session::load_powa(client, extensions.powa().as_ref()).await.map_err(HookError::Backend)
            })
        });
        let pool = Pool::builder(manager)
            // One more than the loads, so that a short read never waits for a long load.
            .max_size(limits.loads + 1)
            .runtime(Runtime::Tokio1)
            .timeouts(Timeouts {
                wait: Some(timeouts.snapshot),
                create: Some(timeouts.connect),
                recycle: Some(timeouts.connect),
            })
            .post_create(set_up)
            .build()?;
        Ok(Self { pool, loads: Arc::new(Semaphore::new(limits.loads)), limit: timeouts.snapshot })
    }

    /// Bounds a conversation with the repository.
    async fn briefly<T>(&self, doing: &str, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        match tokio::time::timeout(self.limit, work).await {
            Ok(result) => result,
            Err(_) => Err(Error::elapsed(Side::Repository, doing, self.limit)),
        }
    }

    async fn converse(&self, doing: &'static str) -> Result<Conversation, Error> {
        let object = self.pool.get().await.map_err(|error| Error::pool(doing, error))?;
        Conversation::begin(object, doing).await
    }

    /// The servers to collect from: all with a frequency above zero.
    ///
    /// # Errors
    /// The repository cannot be reached, or has no PoWA that the daemon can work with.
    pub async fn servers(&self) -> Result<ServerList, Error> {
        let doing = "read powa_servers";
        self.briefly(doing, async {
            let conversation = self.converse(doing).await?;
            let rows = conversation.query(include_str!("../../sql/repository/servers.sql"), &[]).await?;
            let mut list = ServerList::default();
            for row in &rows {
                match Server::parse(server_row(row)) {
                    Ok(server) => list.servers.push(server),
                    Err(invalid) => list.invalid.push(invalid),
                }
            }
            Ok(list)
        })
        .await
    }

    /// Whether the server is registered, and how old its last snapshot is.
    ///
    /// # Errors
    /// The repository cannot be reached, or does not answer as expected.
    pub async fn registration(&self, server: ServerId) -> Result<Registration, Error> {
        let doing = "read powa_snapshot_metas";
        self.briefly(doing, async {
            let conversation = self.converse(doing).await?;
            let sql = include_str!("../../sql/repository/registration.sql");
            let rows = conversation.query(sql, &[&server.get()]).await?;
            Ok(match rows.first() {
                None => Registration::Missing,
                Some(row) => {
                    let seconds: Option<f64> = row.get(0);
                    Registration::Present(seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()))
                }
            })
        })
        .await
    }

    /// What to collect from a server whose `server_version_num` is `version_num`.
    ///
    /// # Errors
    /// The repository cannot be reached, or does not answer as expected.
    pub async fn sources(&self, server: ServerId, version_num: i32) -> Result<Sources, Error> {
        let doing = "read what is to be collected";
        self.briefly(doing, async {
            let conversation = self.converse(doing).await?;
            let id = server.get();
            if !conversation.powa.has_modules() {
                let sql = include_str!("../../sql/repository/modules_powa4.sql");
                let modules = conversation.query(sql, &[&id]).await?;
                return Ok(Sources::new(&conversation, &modules, &[], &[]));
            }
            let of_server: &[&(dyn ToSql + Sync)] = &[&id];
            let of_version: &[&(dyn ToSql + Sync)] = &[&id, &version_num];
            let (modules, database_modules, catalogs) = tokio::try_join!(
                conversation.query(include_str!("../../sql/repository/modules_powa5.sql"), of_server),
                conversation.query(include_str!("../../sql/repository/database_modules.sql"), of_version),
                conversation.query(include_str!("../../sql/repository/catalogs.sql"), of_version),
            )?;
            Ok(Sources::new(&conversation, &modules, &database_modules, &catalogs))
        })
        .await
    }

    /// Replaces the errors of a server whose snapshot could not be taken at all.
    ///
    /// # Errors
    /// The repository cannot be reached, or refuses.
    pub async fn replace_errors(&self, server: ServerId, errors: &[String]) -> Result<(), Error> {
        let doing = "report an error in powa_snapshot_metas";
        self.briefly(doing, async {
            let conversation = self.converse(doing).await?;
            let sql = include_str!("../../sql/repository/replace_errors.sql");
            conversation.query(sql, &[&server.get(), &errors]).await?;
            Ok(())
        })
        .await
    }

    /// Keeps the versions of a server and of its extensions up to date. PoWA 4.0 has no place for them.
    ///
    /// # Errors
    /// The repository cannot be reached, or refuses.
    pub async fn save_versions(&self, server: ServerId, versions: &RemoteVersions) -> Result<(), Error> {
        let doing = "save the versions of PostgreSQL and of its extensions";
        self.briefly(doing, async {
            let conversation = self.converse(doing).await?;
            if conversation.powa.is_4_0() {
                return Ok(());
            }
            let sql = VersionStatements::of(&conversation.powa);
            let id = server.get();
            let save_server = include_str!("../../sql/repository/save_server_version.sql");
            conversation.query(save_server, &[&id, &versions.server]).await?;
            let mut hypopg_is_tracked = false;
            for row in conversation.query(sql.tracked, &[&id]).await? {
                let (name, saved): (String, Option<String>) = (row.get(0), row.get(1));
                let is_hypopg = name == "hypopg";
                hypopg_is_tracked |= is_hypopg;
                let found = if is_hypopg { versions.hypopg.as_deref() } else { versions.extensions.version(&name) };
                if let Some(found) = found.filter(|found| saved.as_deref() != Some(*found)) {
                    conversation.query(sql.save, &[&id, &name, &found]).await?;
                } else if is_hypopg && found.is_none() {
                    conversation.query(sql.forget, &[&id, &name]).await?;
                }
            }
            if let Some(hypopg) = versions.hypopg.as_deref().filter(|_| !hypopg_is_tracked) {
                conversation.query(sql.add, &[&id, &"hypopg", &hypopg]).await?;
            }
            Ok(())
        })
        .await
    }

    /// Waits until one more load may run.
    pub async fn turn_to_load(&self) -> LoadTurn {
        LoadTurn(Arc::clone(&self.loads).acquire_owned().await.expect("nobody closes the semaphore"))
    }

    /// Loads a snapshot in one transaction: all of it is there afterwards, or nothing.
    ///
    /// # Errors
    /// The repository cannot be reached, or `powa_take_snapshot()` fails. Rows that a table refuses are no error of the
    /// load: they cost their datasource only.
    pub async fn load<P: Piece>(&self, load: Load<'_, P>, _turn: LoadTurn) -> Result<Loaded, Error> {
        let doing = "load the snapshot";
        self.briefly(doing, async {
            let mut conversation = self.converse(doing).await?;
            let (transaction, done) = conversation.transaction().await?;
            let loaded = load_into(&transaction, load).await;
            let ended = match &loaded {
                Ok(_) => transaction.commit().await,
                Err(_) => transaction.rollback().await,
            };
            done.store(0, Ordering::Relaxed);
            let loaded = loaded?;
            ended.map_err(|error| Error::new(Side::Repository, doing, error))?;
            Ok(loaded)
        })
        .await
    }
}

/// A connection of the pool, for as long as it takes.
///
/// If it is dropped while a statement is under way, because the time was up or the daemon stops, the connection does
/// not go back: whoever got it next would wait for that statement.
struct Conversation {
    object: Option<Object>,
    in_flight: AtomicUsize,
    doing: &'static str,
    extensions: Extensions,
    powa: PowaVersion,
}

impl Conversation {
    async fn begin(object: Object, doing: &'static str) -> Result<Self, Error> {
        let nothing_yet = PowaVersion::default();
        let mut conversation = Self {
            object: Some(object),
            in_flight: AtomicUsize::new(0),
            doing,
            extensions: Extensions::default(),
            powa: nothing_yet,
        };
        let rows = conversation.query(include_str!("../../sql/extensions.sql"), &[]).await?;
        conversation.extensions = extensions_of(&rows);
        conversation.powa = conversation
            .extensions
            .usable_powa()
            .map_err(|unusable| Error::found(Side::Repository, doing, unusable.to_string()))?;
        Ok(conversation)
    }

    fn object(&self) -> &Object {
        self.object.as_ref().expect("it is there until the drop")
    }

    async fn query(&self, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Error> {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        let result = query(self.object(), &self.extensions, (self.doing, sql), values).await;
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        result
    }

    /// A transaction counts as a statement that is under way, until the caller sets the counter back.
    async fn transaction(&mut self) -> Result<(Transaction<'_>, &AtomicUsize), Error> {
        self.in_flight.store(1, Ordering::Relaxed);
        let object = self.object.as_mut().expect("it is there until the drop");
        let transaction = object.transaction().await;
        Ok((transaction.map_err(|error| Error::new(Side::Repository, self.doing, error))?, &self.in_flight))
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        if let Some(object) = self.object.take().filter(|_| *self.in_flight.get_mut() > 0) {
            drop(Object::take(object));
        }
    }
}

/// Runs a statement with `{powa}` in its text.
async fn query(
    client: &impl GenericClient,
    extensions: &Extensions,
    (doing, sql): (&str, &str),
    values: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, Error> {
    let failed = |error| Error::new(Side::Repository, doing, error);
    let sql = extensions.expand(sql).map_err(|unknown| Error::found(Side::Repository, doing, unknown.to_string()))?;
    let statement = client.prepare_cached(&sql).await.map_err(failed)?;
    client.query(&statement, values).await.map_err(failed)
}

async fn load_into<P: Piece>(transaction: &Transaction<'_>, load: Load<'_, P>) -> Result<Loaded, Error> {
    let session_name = format!("PoWA collector - repo_conn for worker {}", load.name);
    let extensions = &load.sources.extensions;
    let name_session = ("name the session", include_str!("../../sql/repository/name_session.sql"));
    query(transaction, extensions, name_session, &[&session_name]).await?;

    let mut refused = Vec::new();
    for piece in load.pieces {
        if let Err(error) = load_piece(transaction, piece).await? {
            refused.push((piece.name().to_owned(), error));
        }
    }

    let id = load.server.get();
    let take_snapshot = ("run powa_take_snapshot()", include_str!("../../sql/repository/take_snapshot.sql"));
    let taken = query(transaction, extensions, take_snapshot, &[&id]).await?;
    let failed: i32 = taken.first().map_or(0, |row| row.get(0));
    let failed_functions = if failed > 0 {
        let reasons = ("read powa_snapshot_metas", include_str!("../../sql/repository/snapshot_errors.sql"));
        let rows = query(transaction, extensions, reasons, &[&id]).await?;
        rows.iter().flat_map(|row| row.get::<_, Vec<String>>(0)).collect()
    } else {
        vec![]
    };

    // It has reset the errors and changed the session's name, so both come after it.
    let mut errors = load.errors.to_vec();
    errors.extend(refused.iter().map(|(name, error)| format!("{name}: {}", error.in_full())));
    if !errors.is_empty() {
        let append = include_str!("../../sql/repository/append_errors.sql");
        query(transaction, extensions, ("report errors in powa_snapshot_metas", append), &[&id, &errors]).await?;
    }
    query(transaction, extensions, name_session, &[&session_name]).await?;
    Ok(Loaded { refused, failed_functions })
}

/// The outer result is the transaction's, the inner one the datasource's.
async fn load_piece(transaction: &Transaction<'_>, piece: &mut impl Piece) -> Result<Result<(), Error>, Error> {
    let failed = |error| Error::new(Side::Repository, "load the snapshot", error);
    transaction.batch_execute("savepoint datasource").await.map_err(failed)?;
    let copied = copy_in(transaction, piece).await;
    let after = if copied.is_ok() {
        "release savepoint datasource"
    } else {
        "rollback to savepoint datasource; release savepoint datasource"
    };
    transaction.batch_execute(after).await.map_err(failed)?;
    Ok(copied)
}

async fn copy_in(transaction: &Transaction<'_>, piece: &mut impl Piece) -> Result<(), Error> {
    let target = piece.target();
    let failed = |error| Error::new(Side::Repository, format!("load it into {target}"), error);
    let statement = transaction.prepare_cached(&format!("copy {target} from stdin")).await.map_err(failed)?;
    let mut sink = pin!(transaction.copy_in::<_, Bytes>(&statement).await.map_err(failed)?);
    loop {
        let part = piece.next_part().map_err(|error| Error::local(Side::Repository, "read the spool", error))?;
        if part.is_empty() {
            break;
        }
        let target = piece.target();
        sink.send(part).await.map_err(|error| Error::new(Side::Repository, format!("load it into {target}"), error))?;
    }
    let target = piece.target();
    sink.finish().await.map_err(|error| Error::new(Side::Repository, format!("load it into {target}"), error))?;
    Ok(())
}

fn server_row(row: &Row) -> ServerRow {
    ServerRow {
        id: row.get(0),
        host: row.get(1),
        port: row.get(2),
        user: row.get(3),
        password: row.get::<_, Option<String>>(4).map(Secret::new),
        dbname: row.get(5),
        frequency: row.get(6),
        alias: row.get(7),
    }
}

fn module(row: &Row) -> Module {
    Module { name: row.get(0), external: row.get(1), query_source: row.get(2), query_cleanup: row.get(3) }
}

fn database_module(row: &Row) -> DatabaseModule {
    DatabaseModule { name: row.get(0), query_source: row.get(1), target: row.get(2), databases: row.get(3) }
}

fn catalog(row: &Row) -> Catalog {
    Catalog { name: row.get(0), query_source: row.get(1), target: row.get(2), fresh_in: row.get(3) }
}

impl Sources {
    fn new(conversation: &Conversation, modules: &[Row], database_modules: &[Row], catalogs: &[Row]) -> Self {
        Self {
            extensions: conversation.extensions.clone(),
            powa: conversation.powa.clone(),
            modules: modules.iter().map(module).collect(),
            database_modules: database_modules.iter().map(database_module).collect(),
            catalogs: catalogs.iter().map(catalog).collect(),
        }
    }
}

/// The table that keeps the versions of a server's extensions is another one in PoWA 5.
struct VersionStatements {
    tracked: &'static str,
    save: &'static str,
    add: &'static str,
    forget: &'static str,
}

impl VersionStatements {
    fn of(powa: &PowaVersion) -> Self {
        if powa.has_modules() {
            Self {
                tracked: include_str!("../../sql/repository/tracked_extensions_powa5.sql"),
                save: include_str!("../../sql/repository/save_extension_version_powa5.sql"),
                add: include_str!("../../sql/repository/add_extension_powa5.sql"),
                forget: include_str!("../../sql/repository/forget_extension_powa5.sql"),
            }
        } else {
            Self {
                tracked: include_str!("../../sql/repository/tracked_extensions_powa4.sql"),
                save: include_str!("../../sql/repository/save_extension_version_powa4.sql"),
                add: include_str!("../../sql/repository/add_extension_powa4.sql"),
                forget: include_str!("../../sql/repository/forget_extension_powa4.sql"),
            }
        }
    }
}
