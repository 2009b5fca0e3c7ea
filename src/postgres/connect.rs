//! The only place that opens a connection.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::config::{Config, Host};
use tokio_postgres::tls::NoTlsStream;
use tokio_postgres::{Client, Connection, NoTls, Socket};
use tokio_util::sync::CancellationToken;

use super::{Error, Side};
use crate::config::Timeouts;
use crate::server::Server;

/// What the names of the daemon's sessions begin with; powa-web looks for them in `pg_stat_activity`.
const NAME: &str = "PoWA collector";

/// Somewhere to connect to, and how.
#[derive(Clone)]
pub struct Endpoint {
    side: Side,
    config: Config,
    timeouts: Timeouts,
}

/// The connection string of the configuration cannot be parsed. What was parsed is not part of the message, as it may
/// hold a password.
#[derive(Debug, thiserror::Error)]
#[error("\"repository.dsn\" is not a valid connection string: {0}")]
pub struct InvalidDsn(String);

impl Endpoint {
    /// The repository, for the pool that workers share.
    ///
    /// # Errors
    /// The connection string cannot be parsed.
    pub fn repository(config: &crate::config::Config) -> Result<Self, InvalidDsn> {
        let mut parsed: Config = config.repository.dsn.reveal().parse().map_err(|error| invalid(&error))?;
        if parsed.get_hosts().is_empty() {
            parsed.host("localhost");
        }
        let mut endpoint = Self { side: Side::Repository, config: parsed, timeouts: config.timeouts };
        endpoint.name_sessions("repository");
        endpoint.watch_the_peer();
        Ok(endpoint)
    }

    /// The repository, for the main task: powa-web reads the daemon's version out of this session's name.
    #[must_use]
    pub fn for_main_task(mut self) -> Self {
        self.name_sessions(&format!("main thread ({})", env!("CARGO_PKG_VERSION")));
        self
    }

    /// A remote server, called `name` wherever it is spoken of.
    pub fn remote(server: &Server, name: &str, timeouts: Timeouts) -> Self {
        let mut config = Config::new();
        config.host(&server.host).port(server.port).user(&server.user).dbname(&server.dbname);
        if let Some(password) = &server.password {
            config.password(password.reveal());
        }
        let mut endpoint = Self { side: Side::Remote, config, timeouts };
        endpoint.name_sessions(&format!("worker {name}"));
        endpoint.watch_the_peer();
        endpoint
    }

    /// Another database of the same server.
    #[must_use]
    pub fn database(&self, dbname: &str) -> Self {
        let mut other = self.clone();
        other.config.dbname(dbname);
        other
    }

    /// Set at start-up of the connection, not by a statement: a statement would end up in `pg_stat_statements`.
    fn name_sessions(&mut self, role: &str) {
        self.config.application_name(format!("{NAME} - {role}"));
    }

    /// A peer that vanished without a word is noticed while nothing is being said, and while something is.
    fn watch_the_peer(&mut self) {
        self.config.keepalives_idle(Duration::from_secs(30));
        self.config.keepalives_interval(Duration::from_secs(10));
        self.config.keepalives_retries(3);
        if self.config.get_tcp_user_timeout().is_none() {
            self.config.tcp_user_timeout(Duration::from_secs(60));
        }
        if self.config.get_connect_timeout().is_none() {
            self.config.connect_timeout(self.timeouts.connect);
        }
    }

    pub(super) fn side(&self) -> Side {
        self.side
    }

    pub(super) fn timeouts(&self) -> Timeouts {
        self.timeouts
    }

    pub(super) fn driver_config(&self) -> &Config {
        &self.config
    }

    /// The database, as the server will take it.
    pub(super) fn dbname(&self) -> &str {
        self.config.get_dbname().or(self.config.get_user()).unwrap_or_default()
    }

    /// Address and database, for messages.
    pub(super) fn described(&self) -> String {
        format!("{}, database \"{}\"", self.address(), self.dbname())
    }

    fn address(&self) -> String {
        let hosts = self.config.get_hosts().iter().map(|host| match host {
            Host::Tcp(name) => name.clone(),
            Host::Unix(folder) => folder.display().to_string(),
        });
        let ports = self.config.get_ports();
        let port = |at: usize| ports.get(at).or(ports.first()).copied().unwrap_or(5432);
        hosts.enumerate().map(|(at, host)| format!("{host}:{}", port(at))).collect::<Vec<_>>().join(",")
    }

    /// Opens a connection, within the time allowed for it.
    pub(super) async fn open(&self) -> Result<(Client, Connection<Socket, NoTlsStream>), Error> {
        self.briefly(format!("connect to {}", self.described()), self.config.connect(NoTls)).await
    }

    /// Bounds a step of opening a session by the time that opening may take.
    pub(super) async fn briefly<T>(
        &self,
        doing: String,
        step: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Error> {
        match timeout(self.timeouts.connect, step).await {
            Ok(result) => result.map_err(|error| Error::new(self.side, doing, error)),
            Err(_) => Err(Error::elapsed(self.side, doing, self.timeouts.connect)),
        }
    }
}

/// The pool's connections are opened here too; the pool bounds the time it takes.
impl deadpool_postgres::Connect for Endpoint {
    fn connect(&self, config: &Config) -> BoxFuture<'_, Result<(Client, JoinHandle<()>), tokio_postgres::Error>> {
        let config = config.clone();
        async move {
            let (client, connection) = config.connect(NoTls).await?;
            Ok((client, drive(connection, self.side).task))
        }
        .boxed()
    }
}

/// The task that moves a connection's bytes. It ends when the client is dropped, or the connection lost.
pub(super) struct Driver {
    pub(super) task: JoinHandle<()>,
    /// Cancelled when the task has ended, however it ended.
    pub(super) ended: CancellationToken,
}

pub(super) fn drive(connection: Connection<Socket, NoTlsStream>, side: Side) -> Driver {
    let ended = CancellationToken::new();
    let guard = ended.clone().drop_guard();
    let task = tokio::spawn(async move {
        let _guard = guard;
        if let Err(error) = connection.await {
            tracing::debug!(%side, %error, "connection lost");
        }
    });
    Driver { task, ended }
}

fn invalid(error: &tokio_postgres::Error) -> InvalidDsn {
    let source = std::error::Error::source(error);
    InvalidDsn(source.map_or_else(|| error.to_string(), ToString::to_string))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_dsn_is_refused_without_being_quoted() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("c.conf");
        std::fs::write(&file, r#"{"repository": {"dsn": "host=a password=s3cret nonsense=1"}}"#).unwrap();
        let config = crate::config::Config::read(&file).unwrap();
        let error = Endpoint::repository(&config).err().unwrap().to_string();
        assert!(error.contains("repository.dsn") && error.contains("nonsense"), "{error}");
        assert!(!error.contains("s3cret"), "{error}");
    }
}
