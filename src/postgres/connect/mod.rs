//! The only place that opens a connection: to the first host of an endpoint that is fit for it.
//!
//! Reading order: `source` is what says how to connect, `hosts` are the ones to try, `login` is one try at one address,
//! `fitness` whether the server is the one that is looked for, `walk` one try after the other;
//! `route` and `driver` are what is left of it in an open session.

mod driver;
mod fitness;
mod hosts;
mod login;
mod route;
mod source;
mod walk;

use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::timeout;
use tokio_postgres::Client;

pub(super) use self::driver::{Driver, Line, drive, drive_until};
use self::fitness::Wanted;
use self::hosts::Hosts;
pub(super) use self::route::Route;
use self::source::{Read, Source, Unreadable};
use self::walk::{Fruitless, Walk};
use super::socket::Peer;
use super::tls::Connectors;
use super::{Error, Extensions, Side};
use crate::aside::Aside;
use crate::config::{Config, Remotes, Timeouts};
use crate::libpq::{self, Conninfo, InvalidParameter, Parameters, TargetSessionAttrs};
use crate::server::Server;

/// What the names of the daemon's sessions begin with; powa-web looks for them in `pg_stat_activity`.
const NAME: &str = "PoWA collector";

/// What that of its main task begins with.
pub(super) const MAIN_TASK: &str = "PoWA collector - main thread";

/// Somewhere to connect to, and how.
#[derive(Clone)]
pub struct Endpoint {
    side: Side,
    source: Source,
    /// Of its sessions. Set at start-up of the connection, not by a statement: a statement would end up in
    /// `pg_stat_statements`.
    application_name: String,
    target: Target,
    hosts: Hosts,
    /// The one place to go to, if it is not to be looked for.
    only: Option<Place>,
    files: Aside,
    connectors: Connectors,
    /// What was said last about a file that is left alone.
    warned: Arc<Mutex<Option<String>>>,
    timeouts: Timeouts,
}

/// What an endpoint leads to, for messages.
#[derive(Clone, PartialEq, Eq)]
struct Target {
    /// With their ports.
    hosts: String,
    dbname: String,
}

/// An address of a host: where a session is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    host: libpq::Host,
    peer: Peer,
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
#[error("what \"repository.dsn\", its service and the environment say of the connection cannot be used: {0}")]
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
        let target = Target { hosts: listed(&parameters), dbname: parameters.dbname };
        Ok(Self::new(Side::Repository, source, target, "repository", config.timeouts))
    }

    /// The repository, for the main task: powa-web reads the daemon's version out of this session's name.
    #[must_use]
    pub fn for_main_task(self) -> Self {
        Self { application_name: format!("{MAIN_TASK} ({})", env!("CARGO_PKG_VERSION")), ..self }
    }

    /// An endpoint for somebody who types a command of that name, and is not the daemon.
    #[must_use]
    pub fn for_command(self, name: &str) -> Self {
        Self { application_name: format!("powa-collector {name}"), ..self }
    }

    /// A remote server, called `name` wherever it is spoken of. What is wrong with its parameters is told when it is
    /// connected to. Servers share `connectors`.
    pub fn remote(server: &Server, name: &str, config: &Config, connectors: &Connectors) -> Self {
        let source = Source {
            given: given(server, &config.remote),
            surroundings: Arc::new(config.surroundings.for_remotes()),
            password_file: None,
        };
        let target = Target { hosts: format!("{}:{}", server.host, server.port), dbname: server.dbname.clone() };
        let own = Self::new(Side::Remote, source, target, &format!("worker {name}"), config.timeouts);
        Self { connectors: connectors.clone(), ..own }
    }

    fn new(side: Side, source: Source, target: Target, role: &str, timeouts: Timeouts) -> Self {
        Self {
            side,
            source,
            application_name: format!("{NAME} - {role}"),
            target,
            hosts: Hosts::default(),
            only: None,
            files: Aside::default(),
            connectors: Connectors::default(),
            warned: Arc::default(),
            timeouts,
        }
    }

    /// Another database of the server that a session is on: of several hosts, another may be another server.
    ///
    /// # Errors
    /// There can be no such database.
    pub(super) fn database(&self, dbname: &str, route: &Route) -> Result<Self, Error> {
        let mut other = Self { hosts: Hosts::default(), only: Some(route.place.clone()), ..self.clone() };
        other.target.dbname = dbname.to_owned();
        match other.source.given.set("dbname", dbname) {
            Ok(()) => Ok(other),
            Err(error) => Err(Error::found(self.side, other.connecting(), error.to_string())),
        }
    }

    /// Whether its sessions are all that those of another would be.
    pub fn is_as_good_as(&self, other: &Self) -> bool {
        self.is_same_way(other) && self.application_name == other.application_name && self.timeouts == other.timeouts
    }

    pub(super) fn timeouts(&self) -> Timeouts {
        self.timeouts
    }

    /// The database, as the server will take it.
    pub(super) fn dbname(&self) -> &str {
        &self.target.dbname
    }

    /// Hosts and database, for messages.
    pub(super) fn described(&self) -> String {
        format!("{}, database \"{}\"", self.target.hosts, self.target.dbname)
    }

    /// Whether both lead to the same database, as far as its name and address tell.
    pub fn is_same_database(&self, other: &Self) -> bool {
        self.target == other.target
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
        let mut failed = None;
        let turns = match self.only {
            // It was found fit before.
            Some(_) => vec![Wanted::whatever(self.side)],
            None => Wanted::in_turn(parameters.target_session_attrs, self.side),
        };
        for wanted in turns {
            let walk = Walk { endpoint: self, parameters: &parameters, passwords: &passwords, wanted };
            match walk.first_that_fits().await {
                Ok(opened) => return Ok(opened),
                Err(Fruitless { error, is_refused }) => {
                    failed = Some(error);
                    if is_refused {
                        break;
                    }
                }
            }
        }
        Err(failed.expect("there is something to look for"))
    }

    /// Where its hosts are: the addresses that would be tried, of which not all need be good.
    ///
    /// # Errors
    /// What says how to connect cannot be used, or no host has an address.
    pub async fn addresses(&self) -> Result<Vec<String>, Error> {
        let Read { parameters, passwords, .. } = self.read().await?;
        let wanted = Wanted::whatever(self.side);
        let walk = Walk { endpoint: self, parameters: &parameters, passwords: &passwords, wanted };
        Ok(walk.addresses().await?.iter().map(ToString::to_string).collect())
    }

    async fn read(&self) -> Result<Read, Error> {
        let limit = self.timeouts.connect;
        if !self.source.is_in_files() {
            return self.source.read().map_err(|error| self.unreadable(&error));
        }
        let source = self.source.clone();
        match timeout(limit, self.files.run("files", move || source.read())).await {
            Ok(Ok(read)) => read.map_err(|error| self.unreadable(&error)),
            Ok(Err(error)) => Err(Error::network(self.side, self.connecting(), error)),
            Err(_) => {
                let reason = format!("its service or password file was not read within {} s", limit.as_secs());
                Err(Error::unread(self.side, self.connecting(), reason))
            }
        }
    }

    fn unreadable(&self, error: &Unreadable) -> Error {
        Error::unreadable(self.side, self.connecting(), error.to_string())
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
fn listed(parameters: &Parameters) -> String {
    let each: Vec<_> = parameters.hosts.iter().map(|host| format!("{}:{}", host.name, host.port)).collect();
    each.join(",")
}

/// How to connect to a server: the columns of its row, and beside them what is configured.
fn given(server: &Server, remotes: &Remotes) -> Conninfo {
    let mut given = Conninfo::default();
    let port = server.port.to_string();
    let columns = [("host", &*server.host), ("port", &port), ("user", &server.user), ("dbname", &server.dbname)];
    // Without a password in the row, it is looked for where libpq would look.
    let password = server.password.as_ref().map(|password| ("password", password.reveal()));
    for (keyword, value) in columns.into_iter().chain(password) {
        given.set(keyword, value).expect("libpq knows it, and there is no NUL in a server that is valid");
    }
    given.or(&remotes.parameters(server.id, server.alias.as_deref()))
}
