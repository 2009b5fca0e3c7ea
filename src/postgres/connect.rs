//! The only place that opens a connection.

use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::config::{Config, TargetSessionAttrs};
use tokio_postgres::tls::NoTlsStream;
use tokio_postgres::{Client, Connection, NoTls};
use tokio_util::sync::CancellationToken;

use super::hosts::{Host, Hosts};
use super::message_guard::MessageGuard;
use super::socket::{Peer, Socket};
use super::{Error, Extensions, Side, dsn, error, session};
use crate::config::Timeouts;
use crate::server::Server;

/// What the names of the daemon's sessions begin with; powa-web looks for them in `pg_stat_activity`.
const NAME: &str = "PoWA collector";

/// Somewhere to connect to, and how.
#[derive(Clone)]
pub struct Endpoint {
    side: Side,
    config: Config,
    hosts: Hosts,
    timeouts: Timeouts,
}

/// What moves between a client and its server.
pub(super) type Line = Connection<MessageGuard<Socket>, NoTlsStream>;

/// A session that is set up. Nothing moves on its line until somebody drives it.
pub(super) struct Opened {
    pub(super) client: Client,
    pub(super) line: Line,
    pub(super) peer: Peer,
    /// The extensions that it is set up for.
    pub(super) set_up_for: Extensions,
}

/// What a server says of itself; of one that only is read from, nothing is asked.
#[derive(Default)]
struct Standing {
    is_standby: bool,
    /// By default, for whoever has not been told otherwise.
    is_read_only: bool,
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
        let parsed = dsn::in_the_drivers_form(&config.repository.given).map_err(InvalidDsn)?;
        let hosts = Hosts::of(&parsed).map_err(InvalidDsn)?;
        let mut endpoint = Self { side: Side::Repository, config: parsed, hosts, timeouts: config.timeouts };
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
        let hosts = Hosts::of(&config).expect("there is one host, and one port");
        let mut endpoint = Self { side: Side::Remote, config, hosts, timeouts };
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
    }

    pub(super) fn timeouts(&self) -> Timeouts {
        self.timeouts
    }

    /// The database, as the server will take it.
    pub(super) fn dbname(&self) -> &str {
        self.config.get_dbname().or(self.config.get_user()).unwrap_or_default()
    }

    /// Address and database, for messages.
    pub(super) fn described(&self) -> String {
        format!("{}, database \"{}\"", self.hosts, self.dbname())
    }

    /// Whether both lead to the same database, as far as its name and address tell.
    pub fn is_same_database(&self, other: &Self) -> bool {
        self.described() == other.described()
    }

    /// Opens a session with the first host that is fit for it.
    ///
    /// Each address of each host gets its own time. As with libpq, a host that does not let us in ends the search: what
    /// is wrong with a password is wrong with it everywhere.
    ///
    /// Boxed, because it is large and seldom: every task that may ever open a session would be as large otherwise.
    pub(super) fn open(&self) -> BoxFuture<'_, Result<Opened, Error>> {
        self.find_and_open().boxed()
    }

    async fn find_and_open(&self) -> Result<Opened, Error> {
        let mut tried = Vec::new();
        'hosts: for host in self.hosts.in_order() {
            let peers = match self.resolve(host).await {
                Ok(peers) => peers,
                Err(error) => {
                    host.failed();
                    tried.push((host.to_string(), error));
                    continue;
                }
            };
            let is_one_of_many = peers.len() > 1;
            for peer in peers {
                match self.open_at(&peer).await {
                    Ok(opened) => {
                        host.succeeded_at(&peer);
                        return Ok(opened);
                    }
                    Err(error) => {
                        let is_refused = error.is_refused_login();
                        let place = if is_one_of_many { format!("{host} ({peer})") } else { host.to_string() };
                        tried.push((place, error));
                        if is_refused {
                            break 'hosts;
                        }
                    }
                }
            }
            host.failed();
        }
        Err(Error::no_host(self.side, self.connecting(), tried))
    }

    async fn resolve(&self, host: &Host) -> Result<Vec<Peer>, Error> {
        match timeout(self.limit(), host.peers()).await {
            Ok(peers) => self.reached(peers),
            Err(_) => {
                let reason = format!("its name was not resolved within {} s", self.limit().as_secs());
                Err(Error::no_session(self.side, self.connecting(), reason))
            }
        }
    }

    async fn open_at(&self, peer: &Peer) -> Result<Opened, Error> {
        let opening = async {
            let socket = self.reached(peer.connect(&self.config).await)?;
            let failed = |error| Error::new(self.side, self.connecting(), error);
            let (client, mut line) =
                self.config.connect_raw(MessageGuard::new(socket, self.side), NoTls).await.map_err(failed)?;
            let setting_up = async {
                tokio::try_join!(
                    biased;
                    session::pin(&client, self.side, self.timeouts),
                    self.standing(&client),
                )
            };
            let (set_up_for, standing) = meanwhile(&mut line, setting_up).await.map_err(failed)?;
            self.must_be_fit(standing)?;
            Ok(Opened { client, line, peer: peer.clone(), set_up_for })
        };
        let limit = self.limit();
        timeout(limit, opening).await.unwrap_or_else(|_| Err(Error::elapsed(self.side, self.connecting(), limit)))
    }

    /// What a server says of itself comes in the same round trip as the answer to what is pinned.
    async fn standing(&self, client: &Client) -> Result<Standing, tokio_postgres::Error> {
        if self.side == Side::Remote {
            return Ok(Standing::default());
        }
        let rows = client.query_typed(include_str!("../../sql/repository/standing.sql"), &[]).await?;
        let Some(row) = rows.first() else { return Ok(Standing::default()) };
        Ok(Standing { is_standby: row.try_get(0)?, is_read_only: row.try_get(1)? })
    }

    /// The repository is written to. Whether a server is a standby cannot be told by `transaction_read_only`, which any
    /// database or role may have set, and which is pinned.
    fn must_be_fit(&self, Standing { is_standby, is_read_only }: Standing) -> Result<(), Error> {
        if is_standby {
            let reason = "it is a standby, and the repository has to be writable";
            return Err(Error::no_session(self.side, self.connecting(), reason));
        }
        let reason = match self.config.get_target_session_attrs() {
            TargetSessionAttrs::ReadWrite if is_read_only => {
                "read-only by default, and target_session_attrs is read-write"
            }
            TargetSessionAttrs::ReadOnly if !is_read_only => {
                "read-write by default, and target_session_attrs is read-only"
            }
            _ => return Ok(()),
        };
        Err(Error::found(self.side, self.connecting(), format!("its transactions are {reason}")))
    }

    fn connecting(&self) -> String {
        format!("connect to {}", self.described())
    }

    fn reached<T>(&self, result: std::io::Result<T>) -> Result<T, Error> {
        result.map_err(|error| Error::network(self.side, self.connecting(), error))
    }

    /// The time for each address, with libpq's `connect_timeout` if the connection string has one.
    fn limit(&self) -> Duration {
        self.config.get_connect_timeout().copied().unwrap_or(self.timeouts.connect)
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

/// Does work in a session whose line nobody drives yet.
async fn meanwhile<T>(
    line: &mut Line,
    work: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, tokio_postgres::Error> {
    let mut work = pin!(work);
    tokio::select! {
        biased;
        done = &mut work => done,
        // What the server said last tells more than that it has gone.
        ended = line => match (work.now_or_never(), ended) {
            (Some(done), _) => done,
            (None, Err(error)) => Err(error),
            (None, Ok(())) => unreachable!("a line does not end in peace before its client"),
        },
    }
}

/// The task that moves a connection's bytes. It ends when the client is dropped, or the connection lost.
pub(super) struct Driver {
    pub(super) task: JoinHandle<()>,
    /// Cancelled when the task has ended, however it ended.
    pub(super) ended: CancellationToken,
    /// Why it was lost. The client is told no more than that it is closed.
    pub(super) lost: Arc<OnceLock<String>>,
}

pub(super) fn drive(line: Line, side: Side) -> Driver {
    drive_until(std::future::pending(), line, side)
}

/// Drives a line no longer than until an end, also one on which an answer is still to come.
pub(super) fn drive_until(end: impl Future<Output = ()> + Send + 'static, mut line: Line, side: Side) -> Driver {
    let ended = CancellationToken::new();
    let guard = ended.clone().drop_guard();
    let lost = Arc::<OnceLock<String>>::default();
    let reason = Arc::clone(&lost);
    let task = tokio::spawn(async move {
        let _guard = guard;
        let driven = tokio::select! {
            driven = &mut line => driven,
            () = end => Ok(()),
        };
        if let Err(error) = driven {
            let error = reason.get_or_init(|| error::chain(&error));
            tracing::debug!(%side, %error, "connection lost");
        }
        // Whereupon the client gives up what it waits for, and looks for the reason.
        drop(line);
    });
    Driver { task, ended, lost }
}
