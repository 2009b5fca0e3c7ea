//! The only place that opens PostgreSQL connections: to the first usable host of an endpoint.
//!
//! Reading order: `source` reads the connection parameters, `hosts` lists the hosts to try, `login` is one attempt at
//! one address, `session_attrs` checks the server's role, `host_search` makes one attempt after the other; `route` and
//! `driver` belong to the open session.

mod driver;
mod host_search;
mod hosts;
mod login;
mod route;
mod session_attrs;
mod source;

use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::timeout;
use tokio_postgres::Client;

pub use self::driver::{Connection, Driver, drive, drive_until};
use self::host_search::{HostSearch, NoUsableHost};
use self::hosts::Hosts;
pub use self::route::Route;
use self::session_attrs::Requirement;
pub use self::source::Source;
use self::source::{Resolved, Unreadable};
use super::socket::Peer;
use super::tls::Connectors;
use super::{BlockingPool, Error, Extensions, Side, Timeouts};
use libpq::Parameters;

/// A server and database to connect to, and how.
#[derive(Clone)]
pub struct Endpoint {
    side: Side,
    source: Source,
    /// The `application_name` of its sessions. Sent in the startup packet, not as a statement, which would appear in
    /// `pg_stat_statements`.
    application_name: String,
    target: Target,
    hosts: Hosts,
    /// The only address to use, if the host search is skipped.
    fixed_address: Option<Address>,
    /// The threads that read files.
    file_threads: BlockingPool,
    connectors: Connectors,
    /// The last warning about an ignored file.
    warned: Arc<Mutex<Option<String>>>,
    timeouts: Timeouts,
}

/// Where an endpoint connects to: its connection parameters, and their short form for messages.
pub struct Destination {
    pub source: Source,
    pub target: Target,
}

/// What an endpoint connects to, for messages.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    /// With ports.
    pub hosts: String,
    pub dbname: String,
}

impl Target {
    #[must_use]
    pub fn of(parameters: &Parameters) -> Self {
        Self { hosts: listed(parameters), dbname: parameters.dbname.clone() }
    }
}

/// One address of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    host: libpq::Host,
    peer: Peer,
}

/// An open session with its settings pinned. The caller must drive its connection.
pub struct Opened {
    pub client: Client,
    pub connection: Connection,
    pub route: Route,
    /// The extensions of the database.
    pub extensions: Extensions,
}

impl Endpoint {
    /// An endpoint that connects as `application_name`. Invalid parameters are reported when connecting.
    #[must_use]
    pub fn new(side: Side, destination: Destination, application_name: &str, timeouts: Timeouts) -> Self {
        let Destination { source, target } = destination;
        Self {
            side,
            source,
            application_name: application_name.to_owned(),
            target,
            hosts: Hosts::default(),
            fixed_address: None,
            file_threads: BlockingPool::default(),
            connectors: Connectors::default(),
            warned: Arc::default(),
            timeouts,
        }
    }

    /// The same, sharing certificates and threads with other endpoints.
    #[must_use]
    pub fn sharing(self, connectors: &Connectors) -> Self {
        let threads = connectors.threads();
        let (file_threads, hosts) = (BlockingPool::sharing(threads), Hosts::new(threads));
        Self { file_threads, hosts, connectors: connectors.clone(), ..self }
    }

    /// The same with another `application_name`.
    #[must_use]
    pub fn with_application_name(self, application_name: &str) -> Self {
        Self { application_name: application_name.to_owned(), ..self }
    }

    /// Another database of the server that a session is connected to: with several hosts, a new search could find
    /// another server.
    ///
    /// # Errors
    /// The database name is invalid.
    pub fn database(&self, dbname: &str, route: &Route) -> Result<Self, Error> {
        let hosts = Hosts::new(self.connectors.threads());
        let mut other = Self { hosts, fixed_address: Some(route.address.clone()), ..self.clone() };
        other.target.dbname = dbname.to_owned();
        match other.source.given.set("dbname", dbname) {
            Ok(()) => Ok(other),
            Err(error) => Err(Error::unexpected(self.side, other.connect_action(), error.to_string())),
        }
    }

    /// Whether sessions of both are interchangeable.
    pub fn is_interchangeable_with(&self, other: &Self) -> bool {
        self.has_same_parameters(other)
            && self.application_name == other.application_name
            && self.timeouts == other.timeouts
    }

    pub fn timeouts(&self) -> Timeouts {
        self.timeouts
    }

    /// The role, if given explicitly.
    pub fn user(&self) -> Option<&str> {
        self.source.given.get("user")
    }

    /// What it connects to, for messages.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The name of the database.
    pub fn dbname(&self) -> &str {
        &self.target.dbname
    }

    /// Hosts and database, for messages.
    pub fn described(&self) -> String {
        format!("{}, database \"{}\"", self.target.hosts, self.target.dbname)
    }

    /// Whether both connect to the same database, judging by name and address.
    pub fn is_same_database(&self, other: &Self) -> bool {
        self.target == other.target
    }

    /// Whether both have the same connection parameters. The application name does not count.
    pub fn has_same_parameters(&self, other: &Self) -> bool {
        self.source == other.source && self.is_same_database(other)
    }

    /// Opens a session with the first usable host.
    ///
    /// Each address of each host has its own time limit. As in libpq, a refused login ends the search: a wrong password
    /// is wrong everywhere.
    ///
    /// Boxed: the future is large and rarely used, and would make every task that opens sessions as large.
    pub fn open(&self) -> BoxFuture<'_, Result<Opened, Error>> {
        self.find_and_open().boxed()
    }

    async fn find_and_open(&self) -> Result<Opened, Error> {
        let Resolved { parameters, passwords, warning } = self.read().await?;
        self.warn(warning);
        let mut failed = None;
        let requirements = match self.fixed_address {
            // Its state was checked before.
            Some(_) => vec![Requirement::any(self.side)],
            None => Requirement::by_preference(parameters.target_session_attrs, self.side),
        };
        for requirement in requirements {
            let search = HostSearch { endpoint: self, parameters: &parameters, passwords: &passwords, requirement };
            match search.first_usable().await {
                Ok(opened) => return Ok(opened),
                Err(NoUsableHost { error, is_refused }) => {
                    failed = Some(error);
                    if is_refused {
                        break;
                    }
                }
            }
        }
        Err(failed.expect("there is at least one set of requirements"))
    }

    /// The addresses of the hosts; not all of them need be reachable.
    ///
    /// # Errors
    /// The connection parameters are invalid, or no host has an address.
    pub async fn addresses(&self) -> Result<Vec<String>, Error> {
        let Resolved { parameters, passwords, .. } = self.read().await?;
        let requirement = Requirement::any(self.side);
        let search = HostSearch { endpoint: self, parameters: &parameters, passwords: &passwords, requirement };
        Ok(search.addresses().await?.iter().map(ToString::to_string).collect())
    }

    async fn read(&self) -> Result<Resolved, Error> {
        let limit = self.timeouts.connect;
        if !self.source.may_block() {
            return self.source.read().map_err(|error| self.unreadable(&error));
        }
        let source = self.source.clone();
        match timeout(limit, self.file_threads.run("files", move || source.read())).await {
            Ok(Ok(read)) => read.map_err(|error| self.unreadable(&error)),
            Ok(Err(error)) => Err(Error::network(self.side, self.connect_action(), error)),
            Err(_) => {
                let reason = format!("the service file or password file was not read within {} s", limit.as_secs());
                Err(Error::parameters_timeout(self.side, self.connect_action(), reason))
            }
        }
    }

    fn unreadable(&self, error: &Unreadable) -> Error {
        Error::bad_parameters(self.side, self.connect_action(), error.to_string())
    }

    /// Logs a warning when it changes.
    fn warn(&self, warning: Option<String>) {
        let mut warned = self.warned.lock().expect("no panic while holding the lock");
        if *warned != warning {
            if let Some(warning) = &warning {
                tracing::warn!(target: crate::LOG_TARGET, "{warning}");
            }
            *warned = warning;
        }
    }

    /// What the endpoint does, to complete "could not ...".
    fn connect_action(&self) -> String {
        format!("connect to {}", self.described())
    }

    /// Runs a step of opening a session with the connection timeout.
    pub async fn within_connect_timeout<T>(
        &self,
        action: String,
        step: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Error> {
        match timeout(self.timeouts.connect, step).await {
            Ok(result) => result.map_err(|error| Error::new(self.side, action, error)),
            Err(_) => Err(Error::elapsed(self.side, action, self.timeouts.connect)),
        }
    }
}

/// Hosts and ports, as listed.
fn listed(parameters: &Parameters) -> String {
    let each: Vec<_> = parameters.hosts.iter().map(|host| format!("{}:{}", host.name, host.port)).collect();
    each.join(",")
}
