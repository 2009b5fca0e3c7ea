//! A read-only session on a remote server, with a fixed set of statements.

mod activity;
mod any_text;
mod copying;
mod inspection;
pub(crate) mod rows;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::{Client, Row, Statement};
use tokio_util::sync::{CancellationToken, DropGuard};

use activity::ActivityMonitor;
use any_text::AnyText;
use copying::Prepared;
pub(crate) use inspection::{EncodedDatabase, Inspection, RequiredPrivileges};
pub(crate) use rows::incoming::IncomingRows;
pub(crate) use rows::long_rows::LongRows;
pub(crate) use rows::row_filter::ExcludedRows;
use session::{Driver, Endpoint, Error, Extensions, Opened, Route, Side, Timeouts, drive_until, extensions_of};

/// A session in one database of a remote server.
pub(crate) struct RemoteSession {
    client: Client,
    driver: Driver,
    /// Starts the grace period of the driver when dropped.
    _grace: DropGuard,
    route: Route,
    dbname: String,
    /// `pg_database.oid` of the database.
    oid: String,
    version_num: i32,
    /// The database has the encoding `SQL_ASCII`.
    any_bytes: bool,
    extensions: Extensions,
    timeouts: Timeouts,
    powa_statements: OnceCell<Statements>,
    activity: ActivityMonitor,
    /// The prepared statements by their queries, until a plan no longer uses them.
    prepared: Mutex<HashMap<Arc<str>, Prepared>>,
}

/// Statements that are used only in the database with PoWA.
struct Statements {
    now: Statement,
    extensions: Statement,
    databases: Statement,
}

/// The database of a session, in one transaction.
#[derive(Clone, Debug)]
pub(crate) struct DatabaseInfo {
    /// `now()` of the transaction.
    pub now: String,
    /// `pg_database.oid` of the database the session is in.
    pub oid: String,
    /// Its name.
    pub name: String,
}

/// A database.
#[derive(Clone, Debug)]
pub(crate) struct RemoteDatabase {
    /// `pg_database.oid`.
    pub oid: u32,
    /// With U+FFFD for bytes that are not UTF-8. Such a database cannot be connected to by this name.
    pub name: String,
    /// It accepts connections.
    pub is_open: bool,
    /// It is a template for new databases, which any session in it would block.
    pub is_template: bool,
}

/// What the plan of a snapshot depends on.
#[derive(Clone, Debug)]
pub(crate) struct RemoteServerInfo {
    pub database: DatabaseInfo,
    pub extensions: Extensions,
    pub databases: Vec<RemoteDatabase>,
    /// It is in recovery.
    pub is_standby: bool,
}

/// The versions that the repository stores for a server.
#[derive(Clone, Debug)]
pub(crate) struct RemoteVersions {
    pub server: String,
    pub extensions: Extensions,
    /// The version of hypopg that could be installed.
    pub hypopg: Option<String>,
}

/// With the savepoint that every datasource rolls back to: see `copying`.
const BEGIN: &str = "start transaction isolation level read committed read only; savepoint datasource";

/// Run when a session is opened, and rarely later.
const VERSION: &str = include_str!("../../sql/remote/version.sql");

impl RemoteSession {
    /// Opens the session.
    ///
    /// # Errors
    /// No connection could be made, or the session cannot be set up.
    pub(crate) async fn open(endpoint: &Endpoint) -> Result<Self, Error> {
        let Opened { client, connection, route, extensions } = endpoint.open().await?;
        let left = CancellationToken::new();
        // Ends the session even if this function is cancelled.
        let leaving = left.clone().drop_guard();
        let driver = drive_until(after_grace_period(left), connection, Side::Remote);
        let setting_up = async {
            let version = client.query_typed_one(VERSION, &[]).await?;
            let any_bytes = version.try_get::<_, &str>(2)? == "SQL_ASCII";
            Ok((version.try_get(0)?, any_bytes, shortened(version.try_get(3)?)))
        };
        let dbname = endpoint.dbname().to_owned();
        let action = "set up a session";
        let timeouts = endpoint.timeouts();
        let (version_num, any_bytes, oid) = match timeout(timeouts.connect, setting_up).await {
            Ok(set_up) => set_up.map_err(|error| failed(&driver, &dbname, action, error))?,
            Err(_) => {
                return Err(Error::elapsed(Side::Remote, in_database(&dbname, action), timeouts.connect));
            }
        };
        Ok(Self {
            client,
            driver,
            _grace: leaving,
            route,
            dbname,
            oid,
            version_num,
            any_bytes,
            extensions,
            timeouts,
            powa_statements: OnceCell::new(),
            activity: ActivityMonitor::new(),
            prepared: Mutex::default(),
        })
    }

    /// Opens a session in another database of the same server.
    pub(crate) async fn open_database(&self, endpoint: &Endpoint, dbname: &str) -> Result<Self, Error> {
        Self::open(&endpoint.database(dbname, &self.route)?).await
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Waits until the connection has ended.
    pub(crate) async fn closed(&self) {
        self.driver.ended.cancelled().await;
    }

    /// Cancelled when the connection has ended after the session was dropped: the server no longer counts it then.
    pub(crate) fn end_of_connection(&self) -> CancellationToken {
        self.driver.ended.clone()
    }

    /// `server_version_num` of the server.
    pub(crate) fn version_num(&self) -> i32 {
        self.version_num
    }

    /// Whether the session was set up for these extensions.
    pub(crate) fn is_set_up_for(&self, extensions: &Extensions) -> bool {
        self.extensions == *extensions
    }

    /// Begins the transaction of a snapshot in the database with PoWA.
    ///
    /// # Errors
    /// The server's answer is invalid.
    pub(crate) async fn begin_server(&self) -> Result<RemoteServerInfo, Error> {
        let beginning = async {
            let powa_statements = self.powa_statements().await?;
            let (_, now, extensions, databases) = tokio::try_join!(
                biased;
                self.client.batch_execute(BEGIN),
                self.client.query_one(&powa_statements.now, &[]),
                self.client.query(&powa_statements.extensions, &[]),
                self.client.query(&powa_statements.databases, &[]),
            )?;
            Ok(RemoteServerInfo {
                database: database_info(&now)?,
                is_standby: now.try_get(3)?,
                extensions: extensions_of(&extensions)?,
                databases: databases.iter().map(remote_database).collect::<Result<_, _>>()?,
            })
        };
        self.with_statement_timeout("begin a snapshot", beginning).await
    }

    async fn powa_statements(&self) -> Result<&Statements, tokio_postgres::Error> {
        let preparing = async || {
            let (now, extensions, databases) = tokio::try_join!(
                biased;
                self.client.prepare(include_str!("../../sql/remote/now.sql")),
                self.client.prepare(include_str!("../../sql/extensions.sql")),
                self.client.prepare(include_str!("../../sql/remote/databases.sql")),
            )?;
            Ok(Statements { now, extensions, databases })
        };
        self.powa_statements.get_or_try_init(preparing).await
    }

    /// Begins the transaction of a snapshot in another database. Sent when first polled, like [`Self::copy_out`], so
    /// that it costs no round trip of its powa_statements.
    ///
    /// # Errors
    /// The connection was lost.
    pub(crate) async fn begin_database(&self) -> Result<(), Error> {
        self.client.batch_execute(BEGIN).await.map_err(|error| self.failed("begin a snapshot", error))
    }

    /// The database of the session, in a snapshot of this time.
    pub(crate) fn database_at(&self, now: &str) -> DatabaseInfo {
        DatabaseInfo { now: now.to_owned(), oid: self.oid.clone(), name: self.dbname.clone() }
    }

    /// When the server was last active during collection.
    pub(crate) fn last_activity(&self) -> Instant {
        self.activity.last()
    }

    /// Runs `work`, and gives up if the server is silent for longer than a statement may take: a responsive server has
    /// cancelled the statement by then.
    ///
    /// # Errors
    /// The server was silent for too long.
    pub(crate) async fn with_silence_limit<T>(&self, action: &str, work: impl Future<Output = T>) -> Result<T, Error> {
        let limit = self.timeouts.statement + self.timeouts.connect;
        self.activity.record();
        tokio::select! {
            done = work => Ok(done),
            () = self.activity.wait_for_silence(limit) => {
                Err(Error::elapsed(Side::Remote, in_database(&self.dbname, action), limit))
            }
        }
    }

    /// Ends the transaction. Sent when first polled, like [`Self::copy_out`].
    ///
    /// # Errors
    /// The connection was lost.
    pub(crate) async fn end(&self) -> Result<(), Error> {
        self.client.batch_execute("commit").await.map_err(|error| self.failed("end the snapshot", error))
    }

    /// Ends the transaction and waits for the answer.
    ///
    /// # Errors
    /// The server's answer is invalid.
    pub(crate) async fn end_and_wait(&self) -> Result<(), Error> {
        self.with_statement_timeout("end the snapshot", self.client.batch_execute("commit")).await
    }

    /// The versions that the repository stores.
    ///
    /// # Errors
    /// The server's answer is invalid.
    pub(crate) async fn versions(&self) -> Result<RemoteVersions, Error> {
        let request = async {
            let powa_statements = self.powa_statements().await?;
            let (version, extensions, hypopg) = tokio::try_join!(
                biased;
                self.client.query_typed_one(VERSION, &[]),
                self.client.query(&powa_statements.extensions, &[]),
                self.client.query_typed(include_str!("../../sql/remote/hypopg_version.sql"), &[]),
            )?;
            Ok(RemoteVersions {
                server: version.try_get(1)?,
                extensions: extensions_of(&extensions)?,
                hypopg: hypopg.first().map(|row| row.try_get(0)).transpose()?.flatten(),
            })
        };
        self.with_statement_timeout("read the versions of PostgreSQL and of its extensions", request).await
    }

    /// Aborts the session: sends a cancel request and closes the connection.
    pub(crate) async fn cancel(&self) {
        if self.client.is_closed() {
            return;
        }
        self.route.cancel(self.client.cancel_token()).await;
        self.driver.task.abort();
    }

    /// Runs a request with the timeout of a statement.
    async fn with_statement_timeout<T>(
        &self,
        action: &str,
        request: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Error> {
        match timeout(self.timeouts.statement, request).await {
            Ok(answer) => answer.map_err(|error| self.failed(action, error)),
            Err(_) => Err(Error::elapsed(Side::Remote, action, self.timeouts.statement)),
        }
    }

    fn failed(&self, action: &str, error: tokio_postgres::Error) -> Error {
        failed(&self.driver, &self.dbname, action, error)
    }
}

fn failed(driver: &Driver, dbname: &str, action: &str, error: tokio_postgres::Error) -> Error {
    let action = in_database(dbname, action);
    match driver.lost.get().filter(|_| error.is_closed()) {
        Some(reason) => Error::no_session(Side::Remote, action, reason),
        None => Error::new(Side::Remote, action, error),
    }
}

fn in_database(dbname: &str, action: &str) -> String {
    format!("{action} in database \"{dbname}\"")
}

/// When to close the connection of a dropped session. An idle session ends at once; otherwise the driver would wait for
/// outstanding answers, forever if the server is frozen.
async fn after_grace_period(left: CancellationToken) {
    const GRACE: Duration = Duration::from_secs(1);

    left.cancelled().await;
    sleep(GRACE).await;
}

fn database_info(row: &Row) -> Result<DatabaseInfo, tokio_postgres::Error> {
    Ok(DatabaseInfo { now: shortened(row.try_get(0)?), oid: shortened(row.try_get(1)?), name: row.try_get(2)? })
}

/// Shortens a value that is repeated in every row, because a server could send a long one and then many rows.
fn shortened(mut text: String) -> String {
    const LONGEST: usize = 64;
    text.truncate(text.floor_char_boundary(LONGEST));
    text
}

fn remote_database(row: &Row) -> Result<RemoteDatabase, tokio_postgres::Error> {
    let AnyText(name) = row.try_get(0)?;
    Ok(RemoteDatabase { name, is_template: row.try_get(1)?, oid: row.try_get(2)?, is_open: row.try_get(3)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_in_front_of_every_row_is_brief() {
        assert_eq!(shortened("2026-01-01 00:00:00.123456+00".into()), "2026-01-01 00:00:00.123456+00");
        assert_eq!(shortened("é".repeat(1_000_000)), "é".repeat(32));
    }
}
