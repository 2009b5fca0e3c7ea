//! Connection parameters put together: from what somebody gave, then the service, then the environment, then defaults;
//! and checked as a whole. From then on there are only valid values.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::{Conninfo, Passfile, RequireAuth, Surroundings};
use crate::secret::Secret;

/// How to connect to a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// At least one.
    pub hosts: Vec<Host>,
    pub user: String,
    pub dbname: String,
    pub password: Option<Secret>,
    /// Where a password is looked for that is not given.
    pub passfile: Option<Passfile>,
    /// Command-line options for the session, as `options` has them.
    pub options: Option<String>,
    /// The time for each address.
    pub connect_timeout: Option<Duration>,
    pub tcp: Tcp,
    pub target_session_attrs: TargetSessionAttrs,
    /// Hosts and their addresses are tried in random order.
    pub load_balance: bool,
    pub tls: Tls,
    pub channel_binding: ChannelBinding,
    pub require_auth: RequireAuth,
    /// The operating system's user that the server at the other end of a Unix socket has to run as.
    pub requirepeer: Option<String>,
}

/// One of the hosts of a connection string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// As it was written: for messages, password files and certificates.
    pub name: String,
    pub place: Place,
    pub port: u16,
}

/// Where a host is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The folder of a Unix socket, or `@` and a name in the abstract namespace.
    Folder(PathBuf),
    Address(IpAddr),
    /// To be resolved each time: it may move.
    Name,
}

/// How a peer that vanished is noticed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tcp {
    pub keepalives: bool,
    pub keepalives_idle: Duration,
    pub keepalives_interval: Duration,
    pub keepalives_count: u32,
    /// `None` is the system's.
    pub user_timeout: Option<Duration>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TargetSessionAttrs {
    #[default]
    Any,
    ReadWrite,
    ReadOnly,
    Primary,
    Standby,
    PreferStandby,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    pub mode: SslMode,
    pub negotiation: SslNegotiation,
    pub root_certificates: RootCertificates,
    pub certificate: ClientFile,
    pub key: ClientFile,
    pub certificate_mode: SslCertMode,
    pub password: Option<Secret>,
    pub crl: ClientFile,
    pub crl_folder: Option<PathBuf>,
    pub sni: bool,
    pub least: Option<ProtocolVersion>,
    pub most: Option<ProtocolVersion>,
}

/// A file of the client's: one that was named has to be there, the default one is taken if it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientFile {
    Named(PathBuf),
    Default(PathBuf),
    /// There is no home folder to look in.
    Nowhere,
}

/// Whom a server's certificate has to come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RootCertificates {
    File(ClientFile),
    /// The operating system's, with `sslrootcert=system`.
    System,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SslMode {
    Disable,
    Allow,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SslNegotiation {
    Postgres,
    Direct,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SslCertMode {
    Disable,
    Allow,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProtocolVersion {
    Tls1_0,
    Tls1_1,
    Tls1_2,
    Tls1_3,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelBinding {
    Disable,
    Prefer,
    Require,
}

/// What is wrong with a parameter. It names the keyword; the value only where that cannot be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidParameter(pub(super) String);

impl Parameters {
    /// Puts together what somebody gave, what the service gives that it names, the environment and the defaults. Blocks
    /// on the service file if there is a service.
    ///
    /// # Errors
    /// A value is none for its keyword, two contradict each other, or the service is nowhere to be found.
    pub fn resolve(given: &Conninfo, surroundings: &Surroundings) -> Result<Self, InvalidParameter> {
        todo!()
    }
}
