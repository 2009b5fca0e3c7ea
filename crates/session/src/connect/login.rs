//! Opens a session at one address: the socket, TLS according to `sslmode`, and authentication.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;

use tokio_postgres::{Client, Config, config};
use tokio_util::either::Either;

use super::Address;
use super::driver::Connection;
use super::route::{Route, TlsSetup};
use crate::blocking_pool::BlockingPool;
use crate::message_guard::MessageGuard;
use crate::progress::{AuthMonitor, MethodNotAllowed, Progress};
use crate::socket::{Peer, Socket};
use crate::tls::{self, AlreadyEncrypted, Connectors, Stream};
use crate::{Error, Side};
use libpq::Secret;
use libpq::{ChannelBinding, Method, Parameters, SslMode, SslNegotiation};

/// A login at one address of a host.
pub(crate) struct Login<'a> {
    pub(crate) side: Side,
    pub(crate) action: String,
    pub(crate) parameters: &'a Parameters,
    pub(crate) application_name: &'a str,
    pub(crate) password: Option<&'a Secret>,
    /// The file that the password was read from.
    pub(crate) password_file: Option<PathBuf>,
    pub(crate) address: &'a Address,
    pub(crate) file_threads: &'a BlockingPool,
    pub(crate) connectors: &'a Connectors,
}

/// A session whose connection has no driver task yet.
pub(crate) struct LoggedIn {
    pub(crate) client: Client,
    pub(crate) connection: Connection,
    pub(crate) route: Route,
}

/// How a connection is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encryption {
    Off,
    /// TLS, if the server offers it.
    IfOffered,
    Tls,
}

/// A failed attempt.
struct Failed {
    error: Error,
    /// Another kind of encryption may succeed.
    try_other_encryption: bool,
}

impl Login<'_> {
    /// Tries one kind of encryption after the other, as libpq does: a server may accept only plain connections, or only
    /// TLS.
    pub(crate) async fn log_in(&self, progress: &Progress) -> Result<LoggedIn, Error> {
        let mut tried = Vec::new();
        for encryption in self.encryptions() {
            match self.attempt(*encryption, progress).await {
                Ok(logged_in) => return Ok(logged_in),
                Err(Failed { error, try_other_encryption }) => {
                    tried.push(error.with_context(&progress.context_besides(&self.address.host.name)));
                    if !try_other_encryption {
                        break;
                    }
                }
            }
        }
        Err(Error::all_of(self.side, self.action.clone(), tried))
    }

    /// The kinds to try, in order. Never TLS on a Unix socket.
    fn encryptions(&self) -> &'static [Encryption] {
        if matches!(self.address.peer, Peer::Unix(_)) {
            return &[Encryption::Off];
        }
        match self.parameters.tls.mode {
            SslMode::Disable => &[Encryption::Off],
            SslMode::Allow => &[Encryption::Off, Encryption::Tls],
            SslMode::Prefer => &[Encryption::IfOffered, Encryption::Off],
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => &[Encryption::Tls],
        }
    }

    async fn attempt(&self, encryption: Encryption, progress: &Progress) -> Result<LoggedIn, Failed> {
        progress.trying(&self.address.peer);
        let mut socket =
            self.address.peer.connect(&self.parameters.tcp).await.map_err(|error| self.unreachable(error))?;
        self.check_requirepeer(&socket).await?;
        let is_encrypted = match encryption {
            Encryption::Off => false,
            Encryption::IfOffered => self.is_offered(&mut socket).await?,
            Encryption::Tls if self.parameters.tls.negotiation == SslNegotiation::Direct => true,
            Encryption::Tls if self.is_offered(&mut socket).await? => true,
            Encryption::Tls => {
                return Err(Failed { try_other_encryption: false, ..self.tls_error(tls::TlsError::NotOffered) });
            }
        };
        progress.is_encrypted(is_encrypted);
        let (stream, tls) = if is_encrypted {
            let tls = Arc::new(self.tls_setup(progress).await?);
            let stream = tls.wrap(socket, &self.address.host).await.map_err(|error| self.tls_error(error))?;
            let is_bindable = stream.tls_server_end_point().is_some();
            if !is_bindable && self.parameters.channel_binding == ChannelBinding::Require {
                return Err(self.refused(
                    "channel_binding is require, but the signature algorithm of the server's certificate defines no hash to bind to",
                ));
            }
            (stream, Some(tls))
        } else {
            (Stream::plain(socket), None)
        };

        let monitor = AuthMonitor::new(self.parameters.require_auth.clone(), progress.clone());
        let stream = MessageGuard::new(stream, self.side, monitor);
        let (client, connection) =
            self.config(is_encrypted).connect_raw(stream, AlreadyEncrypted).await.map_err(|error| {
                let try_other_encryption =
                    error.as_db_error().is_some() && encryption.next_attempt_differs(is_encrypted);
                Failed { error: self.login_error(error, progress), try_other_encryption }
            })?;
        let route = Route { address: self.address.clone(), tcp: self.parameters.tcp.clone(), tls };
        Ok(LoggedIn { client, connection, route })
    }

    async fn is_offered(&self, socket: &mut Socket) -> Result<bool, Failed> {
        tls::is_offered(socket).await.map_err(|error| {
            let failed = match error.kind() {
                ErrorKind::InvalidData => self.refused(&error.to_string()),
                _ => self.unreachable(error),
            };
            Failed { try_other_encryption: true, ..failed }
        })
    }

    async fn tls_setup(&self, progress: &Progress) -> Result<TlsSetup, Failed> {
        let _reading = progress.reading();
        let (settings, connectors) = (self.parameters.tls.clone(), self.connectors.clone());
        let reading = self.file_threads.run("certificates", move || connectors.read(&settings));
        let connector =
            reading.await.map_err(|error| self.unreachable(error))?.map_err(|error| self.tls_error(error))?;
        Ok(TlsSetup { connector, negotiation: self.parameters.tls.negotiation })
    }

    /// Checks `requirepeer`: anybody who can write to the directory may have created the socket.
    async fn check_requirepeer(&self, socket: &Socket) -> Result<(), Failed> {
        let (Some(required), Either::Right(socket)) = (&self.parameters.requirepeer, socket) else { return Ok(()) };
        let peer = socket.peer_cred().map_err(|error| self.unreachable(error))?;
        let id = peer.uid().into();
        let looking_up = self.file_threads.run("users", move || nix::unistd::User::from_uid(id).ok().flatten());
        let user = looking_up.await.map_err(|error| self.unreachable(error))?;
        match user {
            Some(user) if user.name == *required => Ok(()),
            Some(user) => {
                Err(self.refused(&format!("requirepeer is \"{required}\", but the server runs as \"{}\"", user.name)))
            }
            None => {
                Err(self.refused(&format!("requirepeer is \"{required}\", but the server runs as an unknown user")))
            }
        }
    }

    fn config(&self, is_encrypted: bool) -> Config {
        let mut config = Config::new();
        config
            .user(&self.parameters.user)
            .dbname(&self.parameters.dbname)
            .application_name(self.application_name)
            // An encrypted stream is passed on as it is, see `AlreadyEncrypted`.
            .ssl_mode(if is_encrypted { config::SslMode::Require } else { config::SslMode::Disable })
            .ssl_negotiation(config::SslNegotiation::Direct)
            .channel_binding(match self.parameters.channel_binding {
                ChannelBinding::Disable => config::ChannelBinding::Disable,
                ChannelBinding::Prefer => config::ChannelBinding::Prefer,
                ChannelBinding::Require => config::ChannelBinding::Require,
            });
        if let Some(options) = &self.parameters.options {
            config.options(options);
        }
        if let Some(password) = self.password {
            config.password(password.reveal());
        }
        config
    }

    fn login_error(&self, error: tokio_postgres::Error, progress: &Progress) -> Error {
        let refused = |what: String| Error::refused(self.side, self.action.clone(), what);
        if let Some(method) = progress.refused() {
            return refused(MethodNotAllowed(method).to_string());
        }
        let is_password = matches!(progress.requested(), Some(Method::Password | Method::Md5 | Method::ScramSha256));
        if error.as_db_error().is_none() && is_password && self.password.is_none() {
            return refused("the server asks for a password, but none is configured".into());
        }
        let error = Error::new(self.side, self.action.clone(), error);
        match &self.password_file {
            Some(file) if error.is_refused_login() => {
                error.with_note(&format!("the password was read from \"{}\"", file.display()))
            }
            _ => error,
        }
    }

    fn unreachable(&self, error: std::io::Error) -> Failed {
        let error = match &self.address.peer {
            Peer::Unix(path) => Error::socket(self.side, self.action.clone(), path, error),
            Peer::Tcp(_) => Error::network(self.side, self.action.clone(), error),
        };
        Failed { error, try_other_encryption: false }
    }

    fn tls_error(&self, error: tls::TlsError) -> Failed {
        Failed { error: Error::tls(self.side, self.action.clone(), error), try_other_encryption: true }
    }

    fn refused(&self, what: &str) -> Failed {
        Failed { error: Error::refused(self.side, self.action.clone(), what), try_other_encryption: false }
    }
}

impl Encryption {
    /// Whether the next attempt differs from this one. Without TLS, `IfOffered` is the same as the plain attempt that
    /// follows.
    fn next_attempt_differs(self, is_encrypted: bool) -> bool {
        self != Self::IfOffered || is_encrypted
    }
}
