//! A session on a remote server. It only ever reads, and what it says is the same text every time.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, join_all};
use futures_util::{FutureExt, TryStreamExt};
use std::pin::pin;
use tokio::time::timeout;
use tokio_postgres::{Client, NoTls, Row, Statement};

use super::connect::Driver;
use super::session::{self, extensions_of};
use super::{Endpoint, Error, Extensions, PowaVersion, Side};
use crate::config::Timeouts;

/// A session in one database of a remote server.
pub struct RemoteSession {
    client: Client,
    driver: Driver,
    dbname: String,
    version_num: i32,
    powa: Option<PowaVersion>,
    timeouts: Timeouts,
    own: Statements,
    /// When the server was last heard of, in milliseconds after the opening.
    heard: AtomicU64,
    opened: Instant,
    /// What was prepared in this session, by its text, until a plan does without it.
    prepared: Mutex<HashMap<String, Prepared>>,
}

type Prepared = Result<Statement, tokio_postgres::Error>;

struct Statements {
    now: Statement,
    extensions: Statement,
    databases: Statement,
    version: Statement,
}

/// What is true in one transaction of a session.
#[derive(Clone, Debug)]
pub struct DatabaseInfo {
    /// `now()` of the transaction.
    pub now: String,
    /// `pg_database.oid` of the database the session is in.
    pub oid: String,
    /// Its name.
    pub name: String,
}

/// A database that takes connections.
#[derive(Clone, Debug)]
pub struct RemoteDatabase {
    pub name: String,
    /// New databases are made of it, which no session in it may disturb.
    pub is_template: bool,
}

/// What the plan of a snapshot needs to know of the server.
#[derive(Clone, Debug)]
pub struct RemoteServerInfo {
    pub database: DatabaseInfo,
    pub extensions: Extensions,
    pub databases: Vec<RemoteDatabase>,
}

/// The versions that the repository keeps of a server.
#[derive(Clone, Debug)]
pub struct RemoteVersions {
    pub server: String,
    pub extensions: Extensions,
    /// hypopg counts when it could be installed.
    pub hypopg: Option<String>,
}

/// Every datasource is collected between this savepoint and a roll-back to it. There is nothing to keep on the remote
/// server, so success and failure take the same way, and all of it can be sent without waiting for an answer.
const BEGIN: &str = "start transaction isolation level read committed read only; savepoint datasource";
const ROLL_BACK: &str = "rollback to savepoint datasource";

impl RemoteSession {
    /// Opens the session.
    ///
    /// # Errors
    /// No connection could be made, or the session cannot be set up.
    pub async fn open(endpoint: &Endpoint) -> Result<Self, Error> {
        let (client, driver, powa) = session::open(endpoint).await?;
        let setting_up = async {
            let (now, extensions, databases, version) = tokio::try_join!(
                biased;
                client.prepare(include_str!("../../sql/remote/now.sql")),
                client.prepare(include_str!("../../sql/extensions.sql")),
                client.prepare(include_str!("../../sql/remote/databases.sql")),
                client.prepare(include_str!("../../sql/remote/version.sql")),
            )?;
            let own = Statements { now, extensions, databases, version };
            let version = client.query_one(&own.version, &[]).await?;
            Ok((own, version.get(0)))
        };
        let dbname = endpoint.dbname().to_owned();
        let (own, version_num) =
            endpoint.briefly(format!("set up a session in database \"{dbname}\""), setting_up).await?;
        let timeouts = endpoint.timeouts();
        Ok(Self {
            client,
            driver,
            dbname,
            version_num,
            powa,
            timeouts,
            own,
            heard: AtomicU64::new(0),
            opened: Instant::now(),
            prepared: Mutex::default(),
        })
    }

    /// Whether the connection has ended.
    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Waits until the connection has ended.
    pub async fn closed(&self) {
        self.driver.ended.cancelled().await;
    }

    /// `server_version_num` of the server.
    pub fn version_num(&self) -> i32 {
        self.version_num
    }

    /// Whether the PoWA among these extensions is the one that the session was set up for.
    pub fn is_set_up_for(&self, extensions: &Extensions) -> bool {
        self.powa == extensions.powa()
    }

    /// Begins the transaction of a snapshot in the database that has PoWA.
    ///
    /// # Errors
    /// The server does not answer as expected.
    pub async fn begin_server(&self) -> Result<RemoteServerInfo, Error> {
        let beginning = async {
            tokio::try_join!(
                biased;
                self.client.batch_execute(BEGIN),
                self.client.query_one(&self.own.now, &[]),
                self.client.query(&self.own.extensions, &[]),
                self.client.query(&self.own.databases, &[]),
            )
        };
        let (_, now, extensions, databases) = self.answer_to("begin a snapshot", beginning).await?;
        Ok(RemoteServerInfo {
            database: database_info(&now),
            extensions: extensions_of(&extensions),
            databases: databases
                .iter()
                .map(|row| RemoteDatabase { name: row.get(0), is_template: row.get(1) })
                .collect(),
        })
    }

    /// Begins the transaction of a snapshot in any other database.
    ///
    /// # Errors
    /// The server does not answer as expected.
    pub async fn begin_database(&self) -> Result<DatabaseInfo, Error> {
        let beginning = async {
            tokio::try_join!(biased; self.client.batch_execute(BEGIN), self.client.query_one(&self.own.now, &[]))
        };
        let (_, now) = self.answer_to("begin a snapshot", beginning).await?;
        Ok(database_info(&now))
    }

    /// Prepares what is not prepared yet, inside the transaction, and forgets what is no longer asked for. What cannot
    /// be prepared fails when it is copied, and fails alone.
    pub async fn prepare(&self, queries: impl IntoIterator<Item = &str>) {
        let wanted: HashSet<String> = queries.into_iter().map(copy_statement).collect();
        let missing: Vec<String> = {
            let mut prepared = self.prepared.lock().expect("no panic while holding the lock");
            prepared.retain(|text, _| wanted.contains(text));
            wanted.into_iter().filter(|text| !prepared.contains_key(text)).collect()
        };
        let preparing = missing.into_iter().map(|text| self.prepare_one(text).boxed());
        let statements = in_order(preparing.collect()).await;
        self.prepared.lock().expect("no panic while holding the lock").extend(statements);
    }

    async fn prepare_one(&self, text: String) -> (String, Prepared) {
        let (statement, _) = tokio::join!(biased; self.client.prepare(&text), self.roll_back());
        self.hear();
        (text, statement)
    }

    /// Copies the result of a query out, a piece at a time, and rolls back to the savepoint.
    ///
    /// The request is sent when the future is first polled, so that several of them polled together cost one round
    /// trip. The query has to be one that was given to [`Self::prepare`].
    ///
    /// # Errors
    /// The query fails, or `take` does.
    pub async fn copy_out(&self, query: &str, take: impl FnMut(&[u8]) -> std::io::Result<()>) -> Result<(), Error> {
        let prepared = self.take_prepared(&copy_statement(query));
        let (copied, _) = tokio::join!(biased; self.copy_all(prepared, take), self.roll_back());
        self.hear();
        copied
    }

    /// A failure to prepare is handed out once; the next snapshot tries again.
    fn take_prepared(&self, text: &str) -> Result<Statement, Error> {
        let mut prepared = self.prepared.lock().expect("no panic while holding the lock");
        if let Some(Ok(statement)) = prepared.get(text) {
            return Ok(statement.clone());
        }
        match prepared.remove(text) {
            Some(Err(error)) => Err(self.failed("read it", error)),
            _ => Err(Error::found(Side::Remote, "read it", "another datasource with the same query failed")),
        }
    }

    async fn copy_all(
        &self,
        prepared: Result<Statement, Error>,
        mut take: impl FnMut(&[u8]) -> std::io::Result<()>,
    ) -> Result<(), Error> {
        let failed = |error| self.failed("read it", error);
        let statement = prepared?;
        let mut stream = pin!(self.client.copy_out(&statement).await.map_err(failed)?);
        let mut taken = Ok(());
        while let Some(piece) = stream.try_next().await.map_err(failed)? {
            self.hear();
            // The rest is read even when it can no longer be taken, or the session would be of no more use.
            if taken.is_ok() {
                taken = take(&piece);
            }
        }
        taken.map_err(|error| Error::local(Side::Remote, "keep what was read in the spool", error))
    }

    /// Runs a datasource's clean-up and rolls back to the savepoint. Sent when first polled, as [`Self::copy_out`] is.
    ///
    /// # Errors
    /// The statement fails.
    pub async fn clean_up(&self, statement: &str) -> Result<(), Error> {
        let (done, _) = tokio::join!(biased; self.client.batch_execute(statement), self.roll_back());
        self.hear();
        done.map_err(|error| self.failed("clean up after it", error))
    }

    fn hear(&self) {
        let now = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.heard.store(now, Ordering::Relaxed);
    }

    /// Gives up work that goes on while the server says nothing for longer than a statement may take: by then, a server
    /// that is alive has cancelled the statement itself.
    ///
    /// # Errors
    /// The server was silent for too long.
    pub async fn unless_silent<T>(&self, doing: &str, work: impl Future<Output = T>) -> Result<T, Error> {
        let limit = self.timeouts.query + self.timeouts.connect;
        self.hear();
        let silence = async {
            loop {
                let heard = self.opened + Duration::from_millis(self.heard.load(Ordering::Relaxed));
                if heard.elapsed() > limit {
                    break;
                }
                tokio::time::sleep_until((heard + limit + Duration::from_millis(1)).into()).await;
            }
        };
        tokio::select! {
            done = work => Ok(done),
            () = silence => {
                Err(Error::elapsed(Side::Remote, format!("{doing} in database \"{}\"", self.dbname), limit))
            }
        }
    }

    async fn roll_back(&self) -> Result<(), tokio_postgres::Error> {
        self.client.batch_execute(ROLL_BACK).await
    }

    /// Ends the transaction.
    ///
    /// # Errors
    /// The connection was lost.
    pub async fn end(&self) -> Result<(), Error> {
        self.answer_to("end the snapshot", self.client.batch_execute("commit")).await
    }

    /// The versions the repository wants to know.
    ///
    /// # Errors
    /// The server does not answer as expected.
    pub async fn versions(&self) -> Result<RemoteVersions, Error> {
        let asking = async {
            tokio::try_join!(
                biased;
                self.client.query_one(&self.own.version, &[]),
                self.client.query(&self.own.extensions, &[]),
                self.client.query_typed(include_str!("../../sql/remote/hypopg_version.sql"), &[]),
            )
        };
        let doing = "read the versions of PostgreSQL and of its extensions";
        let (version, extensions, hypopg) = self.answer_to(doing, asking).await?;
        Ok(RemoteVersions {
            server: version.get(1),
            extensions: extensions_of(&extensions),
            hypopg: hypopg.first().and_then(|row| row.get(0)),
        })
    }

    /// Ends the session in the middle of what it does: asks the server to cancel it, and closes the connection. Closing
    /// alone would not do: the server goes on until it has something to send.
    pub async fn cancel(&self) {
        /// A server that is in a state to cancel does so at once; a daemon that stops cannot wait for the others.
        const PATIENCE: Duration = Duration::from_secs(2);

        if self.client.is_closed() {
            return;
        }
        match timeout(PATIENCE, self.client.cancel_token().cancel_query(NoTls)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the remote server could not be asked to cancel"),
            Err(_) => tracing::debug!("the remote server did not answer the request to cancel"),
        }
        self.driver.task.abort();
    }

    /// Waits for what takes no longer than a statement may.
    async fn answer_to<T>(
        &self,
        doing: &str,
        asking: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Error> {
        match timeout(self.timeouts.query, asking).await {
            Ok(answer) => answer.map_err(|error| self.failed(doing, error)),
            Err(_) => Err(Error::elapsed(Side::Remote, doing, self.timeouts.query)),
        }
    }

    fn failed(&self, doing: &str, error: tokio_postgres::Error) -> Error {
        Error::new(Side::Remote, format!("{doing} in database \"{}\"", self.dbname), error)
    }
}

fn copy_statement(query: &str) -> String {
    format!("copy ({query}) to stdout")
}

fn database_info(row: &Row) -> DatabaseInfo {
    DatabaseInfo { now: row.get(0), oid: row.get(1), name: row.get(2) }
}

/// Runs futures side by side that have to send their requests in the order given. Up to 30, `join_all` polls them in
/// that order; beyond, it makes no promise, so it gets them in groups.
pub async fn in_order<T>(futures: Vec<BoxFuture<'_, T>>) -> Vec<T> {
    const GROUP: usize = 30;
    let mut futures = futures.into_iter().peekable();
    let mut groups = Vec::new();
    while futures.peek().is_some() {
        groups.push(join_all(futures.by_ref().take(GROUP).collect::<Vec<_>>()));
    }
    join_all(groups).await.into_iter().flatten().collect()
}
