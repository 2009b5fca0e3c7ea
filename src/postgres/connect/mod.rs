//! The only place that opens a connection: to the first host of an endpoint that is fit for it.
//!
//! Reading order: `source` is what says how to connect, `hosts` are the ones to try, `login` is one try at one address,
//! `progress` how far it got, `fitness` whether the server is the one that is looked for; `route` and `driver` are what
//! is left of it in an open session.

mod driver;
mod fitness;
mod hosts;
mod login;
mod progress;
mod route;
mod source;

use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::timeout;
use tokio_postgres::Client;

pub(super) use self::driver::{Driver, Line, drive, drive_until};
use self::fitness::{Standing, Unfit, Wanted};
use self::hosts::{Host, Hosts};
use self::login::{LoggedIn, Login};
use self::progress::Progress;
pub(super) use self::progress::{NotAllowed, Watch};
pub(super) use self::route::Route;
use self::source::{Found, Read, Source};
use super::aside::Aside;
use super::socket::Peer;
use super::{Error, Extensions, Side, session};
use crate::config::{Config, Timeouts};
use crate::libpq::{InvalidParameter, Parameters, TargetSessionAttrs};
use crate::server::Server;

/// What the names of the daemon's sessions begin with; powa-web looks for them in `pg_stat_activity`.
const NAME: &str = "PoWA collector";

/// Somewhere to connect to, and how.
#[derive(Clone)]
pub struct Endpoint {
    side: Side,
    source: Source,
    /// Of its sessions. Set at start-up of the connection, not by a statement: a statement would end up in
    /// `pg_stat_statements`.
    application_name: String,
    /// Hosts and ports, for messages.
    address: String,
    dbname: String,
    hosts: Hosts,
    files: Aside,
    /// What was said last about a file that is left alone.
    warned: Arc<Mutex<Option<String>>>,
    timeouts: Timeouts,
}

/// A session that is set up. Nothing moves on its line until somebody drives it.
pub(super) struct Opened {
    pub(super) client: Client,
    pub(super) line: Line,
    pub(super) route: Route,
    /// The extensions that it is set up for.
    pub(super) set_up_for: Extensions,
}

/// The connection string of the configuration does not tell where to connect to. Values that may be secret are not part
/// of the message.
#[derive(Debug, thiserror::Error)]
#[error("\"repository.dsn\" cannot be used: {0}")]
pub struct UnusableDsn(String);

impl Endpoint {
    /// The repository, for the pool that workers share.
    ///
    /// # Errors
    /// What is configured contradicts itself, or names a service that there is not, or a server that can be read only.
    pub fn repository(config: &Config) -> Result<Self, UnusableDsn> {
        let unusable = |error: InvalidParameter| UnusableDsn(error.to_string());
        let source = Source {
            given: config.repository.given.clone(),
            surroundings: Arc::clone(&config.surroundings),
            password_file: config.repository.password_file.clone(),
        };
        let parameters = Parameters::resolve(&source.given, &source.surroundings).map_err(unusable)?;
        if parameters.target_session_attrs == TargetSessionAttrs::Standby {
            let reason = "target_session_attrs is standby, and the repository has to be writable";
            return Err(UnusableDsn(reason.into()));
        }
        let address = address(&parameters);
        Ok(Self::new(Side::Repository, source, address, parameters.dbname, "repository", config.timeouts))
    }

    /// The repository, for the main task: powa-web reads the daemon's version out of this session's name.
    #[must_use]
    pub fn for_main_task(self) -> Self {
        Self { application_name: format!("{NAME} - main thread ({})", env!("CARGO_PKG_VERSION")), ..self }
    }

    /// A remote server, called `name` wherever it is spoken of. What is wrong with its parameters is told when it is
    /// connected to.
    pub fn remote(server: &Server, name: &str, config: &Config) -> Self {
        let source = Source {
            given: server.given(&config.remote),
            surroundings: Arc::clone(&config.surroundings),
            password_file: None,
        };
        let address = format!("{}:{}", server.host, server.port);
        let role = format!("worker {name}");
        Self::new(Side::Remote, source, address, server.dbname.clone(), &role, config.timeouts)
    }

    fn new(side: Side, source: Source, address: String, dbname: String, role: &str, timeouts: Timeouts) -> Self {
        Self {
            side,
            source,
            application_name: format!("{NAME} - {role}"),
            address,
            dbname,
            hosts: Hosts::default(),
            files: Aside::new(),
            warned: Arc::default(),
            timeouts,
        }
    }

    /// Another database of the same server.
    #[must_use]
    pub fn database(&self, dbname: &str) -> Self {
        let mut other = self.clone();
        other.source.given.set("dbname", dbname).expect("libpq knows it");
        other.dbname = dbname.to_owned();
        other
    }

    pub(super) fn timeouts(&self) -> Timeouts {
        self.timeouts
    }

    /// The database, as the server will take it.
    pub(super) fn dbname(&self) -> &str {
        &self.dbname
    }

    /// Address and database, for messages.
    pub(super) fn described(&self) -> String {
        format!("{}, database \"{}\"", self.address, self.dbname)
    }

    /// Whether both lead to the same database, as far as its name and address tell.
    pub fn is_same_database(&self, other: &Self) -> bool {
        self.described() == other.described()
    }

    /// Whether both connect in the same way. What their sessions are called does not count.
    pub(super) fn is_same_way(&self, other: &Self) -> bool {
        self.source == other.source && self.is_same_database(other)
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
        let Read { parameters, passwords, warning } = self.read().await?;
        self.warn(warning);
        let mut tried = Vec::new();
        for wanted in Wanted::in_turn(parameters.target_session_attrs, self.side) {
            tried.clear();
            let walk = Walk { endpoint: self, parameters: &parameters, passwords: &passwords, wanted };
            if let Some(opened) = walk.first_that_fits(&mut tried).await {
                return Ok(opened);
            }
        }
        Err(Error::all_of(self.side, self.connecting(), tried))
    }

    async fn read(&self) -> Result<Read, Error> {
        let limit = self.timeouts.connect;
        let source = self.source.clone();
        match timeout(limit, self.files.run("files", move || source.read())).await {
            Ok(Ok(read)) => read.map_err(|error| Error::barred(self.side, self.connecting(), error.to_string())),
            Ok(Err(error)) => Err(Error::network(self.side, self.connecting(), error)),
            Err(_) => {
                let reason = format!("its service or password file was not read within {} s", limit.as_secs());
                Err(Error::no_session(self.side, self.connecting(), reason))
            }
        }
    }

    /// Once for each change.
    fn warn(&self, warning: Option<String>) {
        let mut warned = self.warned.lock().expect("no panic while holding the lock");
        if *warned != warning {
            if let Some(warning) = &warning {
                tracing::warn!("{warning}");
            }
            *warned = warning;
        }
    }

    fn connecting(&self) -> String {
        format!("connect to {}", self.described())
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

/// Hosts and ports, as they are listed.
fn address(parameters: &Parameters) -> String {
    let each: Vec<_> = parameters.hosts.iter().map(|host| format!("{}:{}", host.name, host.port)).collect();
    each.join(",")
}

/// One after the other, until one is fit.
struct Walk<'a> {
    endpoint: &'a Endpoint,
    parameters: &'a Parameters,
    passwords: &'a [Found],
    wanted: Wanted,
}

impl Walk<'_> {
    async fn first_that_fits(&self, tried: &mut Vec<Error>) -> Option<Opened> {
        let at_random = self.parameters.load_balance;
        let is_one_of_many = self.parameters.hosts.len() > 1;
        for host in self.endpoint.hosts.in_order(&self.parameters.hosts, at_random) {
            let place = if is_one_of_many { host.to_string() } else { String::new() };
            let peers = match self.resolve(&host).await {
                Ok(peers) => peers,
                Err(error) => {
                    host.failed();
                    tried.push(error.at(&place));
                    continue;
                }
            };
            for peer in peers {
                match self.open_at(&host, &peer).await {
                    Ok(opened) => {
                        host.succeeded_at(&peer);
                        return Some(opened);
                    }
                    Err(error) => {
                        let is_refused = error.is_refused_login();
                        tried.push(error.at(&place));
                        if is_refused {
                            return None;
                        }
                    }
                }
            }
            host.failed();
        }
        None
    }

    async fn resolve(&self, host: &Host) -> Result<Vec<Peer>, Error> {
        let (side, connecting) = (self.endpoint.side, self.endpoint.connecting());
        match timeout(self.limit(), host.peers(self.parameters.load_balance)).await {
            Ok(peers) => peers.map_err(|error| Error::network(side, connecting, error)),
            Err(_) => {
                let reason = format!("its name was not resolved within {} s", self.limit().as_secs());
                Err(Error::no_session(side, connecting, reason))
            }
        }
    }

    async fn open_at(&self, host: &Host, peer: &Peer) -> Result<Opened, Error> {
        let endpoint = self.endpoint;
        let at = self.parameters.hosts.iter().position(|listed| *listed == host.listed);
        let found = at.and_then(|at| self.passwords.get(at)).cloned().unwrap_or_default();
        let login = Login {
            side: endpoint.side,
            doing: endpoint.connecting(),
            parameters: self.parameters,
            application_name: &endpoint.application_name,
            password: found.password.as_ref(),
            password_file: found.file,
            host: &host.listed,
            peer,
            files: &endpoint.files,
        };
        let progress = Progress::default();
        let opening = async {
            let LoggedIn { client, mut line, route } = login.log_in(&progress).await?;
            let setting_up = async {
                tokio::try_join!(
                    biased;
                    session::pin(&client, endpoint.side, endpoint.timeouts),
                    self.standing(&client),
                )
            };
            let (set_up_for, standing) = meanwhile(&mut line, setting_up).await.map_err(|error| {
                Error::new(endpoint.side, endpoint.connecting(), error).at(&progress.told_beside(&host.listed.name))
            })?;
            self.must_be_fit(standing).map_err(|error| error.at(&progress.told_beside(&host.listed.name)))?;
            Ok(Opened { client, line, route, set_up_for })
        };
        let limit = self.limit();
        timeout(limit, opening).await.unwrap_or_else(|_| {
            let error = Error::elapsed(endpoint.side, endpoint.connecting(), limit);
            Err(error.at(&progress.told_beside(&host.listed.name)))
        })
    }

    /// What a server says of itself comes in the same round trip as the answer to what is pinned.
    async fn standing(&self, client: &Client) -> Result<Standing, tokio_postgres::Error> {
        if self.wanted.takes_any() {
            return Ok(Standing::default());
        }
        let rows = client.query_typed(include_str!("../../../sql/standing.sql"), &[]).await?;
        let Some(row) = rows.first() else { return Ok(Standing::default()) };
        Ok(Standing { is_standby: row.try_get(0)?, is_read_only: row.try_get(1)? })
    }

    fn must_be_fit(&self, standing: Standing) -> Result<(), Error> {
        let (side, connecting) = (self.endpoint.side, self.endpoint.connecting());
        match self.wanted.objection(standing) {
            None => Ok(()),
            Some(Unfit::Role(reason)) => Err(Error::no_session(side, connecting, reason)),
            Some(Unfit::Setting(reason)) => Err(Error::barred(side, connecting, reason)),
        }
    }

    /// The time for each address.
    fn limit(&self) -> Duration {
        self.parameters.connect_timeout.unwrap_or(self.endpoint.timeouts.connect)
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
