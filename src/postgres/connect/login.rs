//! From an address to a session: the socket, TLS as `sslmode` has it, and the server's question who one is.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;

use tokio_postgres::{Client, Config, config};
use tokio_util::either::Either;

use super::Place;
use super::driver::Line;
use super::route::{Armour, Route};
use crate::aside::Aside;
use crate::libpq::{ChannelBinding, Method, Parameters, SslMode, SslNegotiation};
use crate::postgres::message_guard::MessageGuard;
use crate::postgres::progress::{NotAllowed, Progress, Watch};
use crate::postgres::socket::{Peer, Socket};
use crate::postgres::tls::{self, Connectors, Handed, Stream};
use crate::postgres::{Error, Side};
use crate::secret::Secret;

/// At one address of a host.
pub(super) struct Login<'a> {
    pub(super) side: Side,
    pub(super) doing: String,
    pub(super) parameters: &'a Parameters,
    pub(super) application_name: &'a str,
    pub(super) password: Option<&'a Secret>,
    /// The file that the password is from.
    pub(super) password_file: Option<PathBuf>,
    pub(super) place: &'a Place,
    pub(super) files: &'a Aside,
    pub(super) connectors: &'a Connectors,
}

/// A session that nobody drives yet.
pub(super) struct LoggedIn {
    pub(super) client: Client,
    pub(super) line: Line,
    pub(super) route: Route,
}

/// What protects a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protection {
    Nothing,
    /// TLS, where the server offers it.
    IfOffered,
    Tls,
}

/// A try that has failed.
struct Failed {
    error: Error,
    /// It may be different with another protection.
    is_about_protection: bool,
}

impl Login<'_> {
    /// Tries one protection after the other, as libpq does: what was refused in plain may be let in over TLS, and the
    /// other way round.
    pub(super) async fn log_in(&self, progress: &Progress) -> Result<LoggedIn, Error> {
        let mut tried = Vec::new();
        for protection in self.protections() {
            match self.with(*protection, progress).await {
                Ok(logged_in) => return Ok(logged_in),
                Err(Failed { error, is_about_protection }) => {
                    tried.push(error.at(&progress.told_beside(&self.place.host.name)));
                    if !is_about_protection {
                        break;
                    }
                }
            }
        }
        Err(Error::all_of(self.side, self.doing.clone(), tried))
    }

    /// A Unix socket needs none.
    fn protections(&self) -> &'static [Protection] {
        if matches!(self.place.peer, Peer::Unix(_)) {
            return &[Protection::Nothing];
        }
        match self.parameters.tls.mode {
            SslMode::Disable => &[Protection::Nothing],
            SslMode::Allow => &[Protection::Nothing, Protection::Tls],
            SslMode::Prefer => &[Protection::IfOffered, Protection::Nothing],
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => &[Protection::Tls],
        }
    }

    async fn with(&self, protection: Protection, progress: &Progress) -> Result<LoggedIn, Failed> {
        progress.reached(&self.place.peer);
        let mut socket = self.place.peer.connect(&self.parameters.tcp).await.map_err(|error| self.unreached(error))?;
        self.check_user(&socket).await?;
        let is_encrypted = match protection {
            Protection::Nothing => false,
            Protection::IfOffered => self.is_offered(&mut socket).await?,
            Protection::Tls if self.parameters.tls.negotiation == SslNegotiation::Direct => true,
            Protection::Tls if self.is_offered(&mut socket).await? => true,
            Protection::Tls => {
                return Err(Failed { is_about_protection: false, ..self.tls(tls::TlsError::NotOffered) });
            }
        };
        progress.is_encrypted(is_encrypted);
        let (stream, armour) = if is_encrypted {
            let armour = Arc::new(self.armour(progress).await?);
            let stream = armour.put_on(socket, &self.place.host).await.map_err(|error| self.tls(error))?;
            let is_bindable = stream.tls_server_end_point().is_some();
            if !is_bindable && self.parameters.channel_binding == ChannelBinding::Require {
                return Err(self.barred(
                    "channel_binding is require, and the server's certificate is signed in a way that has no hash to bind to",
                ));
            }
            (stream, Some(armour))
        } else {
            (Stream::plain(socket), None)
        };

        let watch = Watch::new(self.parameters.require_auth.clone(), progress.clone());
        let stream = MessageGuard::new(stream, self.side, watch);
        let (client, line) = self.config(is_encrypted).connect_raw(stream, Handed).await.map_err(|error| {
            let is_about_protection = error.as_db_error().is_some() && protection.may_change(is_encrypted);
            Failed { error: self.not_let_in(error, progress), is_about_protection }
        })?;
        let route = Route { place: self.place.clone(), tcp: self.parameters.tcp.clone(), armour };
        Ok(LoggedIn { client, line, route })
    }

    async fn is_offered(&self, socket: &mut Socket) -> Result<bool, Failed> {
        tls::is_offered(socket).await.map_err(|error| {
            let failed = match error.kind() {
                ErrorKind::InvalidData => self.barred(&error.to_string()),
                _ => self.unreached(error),
            };
            Failed { is_about_protection: true, ..failed }
        })
    }

    async fn armour(&self, progress: &Progress) -> Result<Armour, Failed> {
        let _reading = progress.reading();
        let (settings, connectors) = (self.parameters.tls.clone(), self.connectors.clone());
        let reading = self.files.run("certificates", move || connectors.read(&settings));
        let connector = reading.await.map_err(|error| self.unreached(error))?.map_err(|error| self.tls(error))?;
        Ok(Armour { connector, negotiation: self.parameters.tls.negotiation })
    }

    /// Who has put a socket there may be anybody who can write into its folder.
    async fn check_user(&self, socket: &Socket) -> Result<(), Failed> {
        let (Some(required), Either::Right(socket)) = (&self.parameters.requirepeer, socket) else { return Ok(()) };
        let peer = socket.peer_cred().map_err(|error| self.unreached(error))?;
        let id = peer.uid().into();
        let looking_up = self.files.run("users", move || nix::unistd::User::from_uid(id).ok().flatten());
        let user = looking_up.await.map_err(|error| self.unreached(error))?;
        match user {
            Some(user) if user.name == *required => Ok(()),
            Some(user) => {
                Err(self.barred(&format!("requirepeer is \"{required}\", and the server runs as \"{}\"", user.name)))
            }
            None => Err(self.barred(&format!("requirepeer is \"{required}\", and the server runs as nobody known"))),
        }
    }

    fn config(&self, is_encrypted: bool) -> Config {
        let mut config = Config::new();
        config
            .user(&self.parameters.user)
            .dbname(&self.parameters.dbname)
            .application_name(self.application_name)
            // A stream that is encrypted is handed over as such, see `Handed`.
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

    fn not_let_in(&self, error: tokio_postgres::Error, progress: &Progress) -> Error {
        let barred = |what: String| Error::barred(self.side, self.doing.clone(), what);
        if let Some(method) = progress.refused() {
            return barred(NotAllowed(method).to_string());
        }
        let is_password = matches!(progress.asked(), Some(Method::Password | Method::Md5 | Method::ScramSha256));
        if error.as_db_error().is_none() && is_password && self.password.is_none() {
            return barred("the server asks for a password, and there is none".into());
        }
        let error = Error::new(self.side, self.doing.clone(), error);
        match &self.password_file {
            Some(file) if error.is_refused_login() => {
                error.remarked(&format!("the password is the one in \"{}\"", file.display()))
            }
            _ => error,
        }
    }

    fn unreached(&self, error: std::io::Error) -> Failed {
        Failed { error: Error::network(self.side, self.doing.clone(), error), is_about_protection: false }
    }

    fn tls(&self, error: tls::TlsError) -> Failed {
        Failed { error: Error::tls(self.side, self.doing.clone(), error), is_about_protection: true }
    }

    fn barred(&self, what: &str) -> Failed {
        Failed { error: Error::barred(self.side, self.doing.clone(), what), is_about_protection: false }
    }
}

impl Protection {
    /// What was wanted if offered, and was not, is as good as the plain one that would be tried next.
    fn may_change(self, is_encrypted: bool) -> bool {
        self != Self::IfOffered || is_encrypted
    }
}
