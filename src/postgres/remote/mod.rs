//! A session on a remote server. It only ever reads, and what it says is the same text every time.

mod copying;
mod inspection;

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::{Client, Row, Statement};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::connect::{Driver, Opened, Route, drive_until};
use super::hearing::Hearing;
use super::session::extensions_of;
use super::{Endpoint, Error, Extensions, Side};
use crate::config::Timeouts;
use copying::Prepared;
pub use inspection::{Inspection, Needed};

/// A session in one database of a remote server.
pub struct RemoteSession {
    client: Client,
    driver: Driver,
    /// With it, the driver's time is up.
    _leaving: DropGuard,
    route: Route,
    dbname: String,
    /// `pg_database.oid` of it, for as long as the session lasts.
    oid: String,
    version_num: i32,
    /// The database has no encoding: it is `SQL_ASCII`.
    any_bytes: bool,
    set_up_for: Extensions,
    timeouts: Timeouts,
    own: OnceCell<Statements>,
    hearing: Hearing,
    /// What was prepared in this session, by its text, until a plan does without it.
    prepared: Mutex<HashMap<String, Prepared>>,
}

/// What is only said in the database that has PoWA.
struct Statements {
    now: Statement,
    extensions: Statement,
    databases: Statement,
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

/// With the savepoint that every datasource goes back to: see `copying`.
const BEGIN: &str = "start transaction isolation level read committed read only; savepoint datasource";

/// Asked when a session is opened, and hardly ever again.
const VERSION: &str = include_str!("../../../sql/remote/version.sql");

impl RemoteSession {
    /// Opens the session.
    ///
    /// # Errors
    /// No connection could be made, or the session cannot be set up.
    pub async fn open(endpoint: &Endpoint) -> Result<Self, Error> {
        let Opened { client, line, route, set_up_for } = endpoint.open().await?;
        let left = CancellationToken::new();
        // From here on: whoever waits for the rest may give up too.
        let leaving = left.clone().drop_guard();
        let driver = drive_until(after_farewell(left), line, Side::Remote);
        let setting_up = async {
            let version = client.query_typed_one(VERSION, &[]).await?;
            let any_bytes = version.try_get::<_, &str>(2)? == "SQL_ASCII";
            Ok((version.try_get(0)?, any_bytes, brief(version.try_get(3)?)))
        };
        let dbname = endpoint.dbname().to_owned();
        let doing = "set up a session";
        let timeouts = endpoint.timeouts();
        let (version_num, any_bytes, oid) = match timeout(timeouts.connect, setting_up).await {
            Ok(set_up) => set_up.map_err(|error| failed(&driver, &dbname, doing, error))?,
            Err(_) => {
                return Err(Error::elapsed(Side::Remote, in_database(&dbname, doing), timeouts.connect));
            }
        };
        Ok(Self {
            client,
            driver,
            _leaving: leaving,
            route,
            dbname,
            oid,
            version_num,
            any_bytes,
            set_up_for,
            timeouts,
            own: OnceCell::new(),
            hearing: Hearing::new(),
            prepared: Mutex::default(),
        })
    }

    /// Opens a session in another database of the same server.
    ///
    /// # Errors
    /// As for [`Self::open`].
    pub async fn open_beside(&self, endpoint: &Endpoint, dbname: &str) -> Result<Self, Error> {
        Self::open(&endpoint.database(dbname, &self.route)?).await
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

    /// Whether the session was set up for these extensions.
    pub fn is_set_up_for(&self, extensions: &Extensions) -> bool {
        self.set_up_for == *extensions
    }

    /// Begins the transaction of a snapshot in the database that has PoWA.
    ///
    /// # Errors
    /// The server does not answer as expected.
    pub async fn begin_server(&self) -> Result<RemoteServerInfo, Error> {
        let beginning = async {
            let own = self.own().await?;
            let (_, now, extensions, databases) = tokio::try_join!(
                biased;
                self.client.batch_execute(BEGIN),
                self.client.query_one(&own.now, &[]),
                self.client.query(&own.extensions, &[]),
                self.client.query(&own.databases, &[]),
            )?;
            Ok(RemoteServerInfo {
                database: database_info(&now)?,
                extensions: extensions_of(&extensions)?,
                databases: databases.iter().map(remote_database).collect::<Result<_, _>>()?,
            })
        };
        self.answer_to("begin a snapshot", beginning).await
    }

    async fn own(&self) -> Result<&Statements, tokio_postgres::Error> {
        let preparing = async || {
            let (now, extensions, databases) = tokio::try_join!(
                biased;
                self.client.prepare(include_str!("../../../sql/remote/now.sql")),
                self.client.prepare(include_str!("../../../sql/extensions.sql")),
                self.client.prepare(include_str!("../../../sql/remote/databases.sql")),
            )?;
            Ok(Statements { now, extensions, databases })
        };
        self.own.get_or_try_init(preparing).await
    }

    /// Begins the transaction of a snapshot in any other database, of which all is known that has to be. Sent when first
    /// polled, as [`Self::copy_out`] is, so that it costs no round trip of its own.
    ///
    /// # Errors
    /// The connection was lost.
    pub async fn begin_database(&self) -> Result<(), Error> {
        self.client.batch_execute(BEGIN).await.map_err(|error| self.failed("begin a snapshot", error))
    }

    /// The database that the session is in, in a snapshot of this time.
    pub fn database_at(&self, now: &str) -> DatabaseInfo {
        DatabaseInfo { now: now.to_owned(), oid: self.oid.clone(), name: self.dbname.clone() }
    }

    /// When the server was last heard of while it was collected.
    pub fn last_heard(&self) -> Instant {
        self.hearing.last()
    }

    /// Gives up work that goes on while the server says nothing for longer than a statement may take: by then, a server
    /// that is alive has cancelled the statement itself.
    ///
    /// # Errors
    /// The server was silent for too long.
    pub async fn unless_silent<T>(&self, doing: &str, work: impl Future<Output = T>) -> Result<T, Error> {
        let limit = self.timeouts.query + self.timeouts.connect;
        self.hearing.hear();
        tokio::select! {
            done = work => Ok(done),
            () = self.hearing.silence(limit) => {
                Err(Error::elapsed(Side::Remote, in_database(&self.dbname, doing), limit))
            }
        }
    }

    /// Ends the transaction. Sent when first polled, as [`Self::copy_out`] is.
    ///
    /// # Errors
    /// The connection was lost.
    pub async fn end(&self) -> Result<(), Error> {
        self.client.batch_execute("commit").await.map_err(|error| self.failed("end the snapshot", error))
    }

    /// The versions the repository wants to know.
    ///
    /// # Errors
    /// The server does not answer as expected.
    pub async fn versions(&self) -> Result<RemoteVersions, Error> {
        let asking = async {
            let own = self.own().await?;
            let (version, extensions, hypopg) = tokio::try_join!(
                biased;
                self.client.query_typed_one(VERSION, &[]),
                self.client.query(&own.extensions, &[]),
                self.client.query_typed(include_str!("../../../sql/remote/hypopg_version.sql"), &[]),
            )?;
            Ok(RemoteVersions {
                server: version.try_get(1)?,
                extensions: extensions_of(&extensions)?,
                hypopg: hypopg.first().map(|row| row.try_get(0)).transpose()?.flatten(),
            })
        };
        self.answer_to("read the versions of PostgreSQL and of its extensions", asking).await
    }

    /// Ends the session in the middle of what it does: asks the server to cancel it, and closes the connection.
    pub async fn cancel(&self) {
        if self.client.is_closed() {
            return;
        }
        self.route.cancel(self.client.cancel_token()).await;
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
        failed(&self.driver, &self.dbname, doing, error)
    }
}

fn failed(driver: &Driver, dbname: &str, doing: &str, error: tokio_postgres::Error) -> Error {
    let doing = in_database(dbname, doing);
    match driver.lost.get().filter(|_| error.is_closed()) {
        Some(reason) => Error::no_session(Side::Remote, doing, reason),
        None => Error::new(Side::Remote, doing, error),
    }
}

fn in_database(dbname: &str, doing: &str) -> String {
    format!("{doing} in database \"{dbname}\"")
}

/// When a connection ends that was left: a session that is idle says goodbye at once. The driver would also wait for
/// every answer that is still to come, and so for ever for that of a server that is frozen.
async fn after_farewell(left: CancellationToken) {
    const GRACE: Duration = Duration::from_secs(1);

    left.cancelled().await;
    sleep(GRACE).await;
}

fn database_info(row: &Row) -> Result<DatabaseInfo, tokio_postgres::Error> {
    Ok(DatabaseInfo { now: brief(row.try_get(0)?), oid: brief(row.try_get(1)?), name: row.try_get(2)? })
}

/// What is put in front of every row must not make much of little: a server might send a long one, and then many rows.
fn brief(mut text: String) -> String {
    const LONGEST: usize = 64;
    text.truncate(text.floor_char_boundary(LONGEST));
    text
}

fn remote_database(row: &Row) -> Result<RemoteDatabase, tokio_postgres::Error> {
    Ok(RemoteDatabase { name: row.try_get(0)?, is_template: row.try_get(1)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_in_front_of_every_row_is_brief() {
        assert_eq!(brief("2026-01-01 00:00:00.123456+00".into()), "2026-01-01 00:00:00.123456+00");
        assert_eq!(brief("é".repeat(1_000_000)), "é".repeat(32));
    }
}
