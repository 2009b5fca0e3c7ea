//! What the server needs before it starts: the contents of its files, and a listening socket. Preparing it changes nothing, so
//! a reload that fails leaves the running server as it is.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use openssl::sha::{Sha256, sha256};
use tokio::net::TcpListener;

use super::access::AccessPolicy;
use super::auth::Tokens;
use super::backend::BackendSettings;
use super::tls;
use crate::config::endpoints::UnusableDsn;
use crate::config::{ApiAccess, Config, Http};
use libpq::private_file::{self, Privacy, Unreadable};
use session::Endpoint;

/// Bytes of a file; tokens, certificates and keys are much smaller.
const MAX_FILE_SIZE: u64 = 1 << 20;

/// Why the server cannot start as configured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot listen on {address} (\"http.listen\"): {source}")]
    Address { address: SocketAddr, source: io::Error },
    #[error("\"{key}\" is {}, which {reason}", file.display())]
    File { key: &'static str, file: PathBuf, reason: String, is_denied: bool },
    #[error(transparent)]
    Dsn(#[from] UnusableDsn),
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] openssl::error::ErrorStack),
}

impl Error {
    /// Whether this user lacks the permission to read a file, which another user may have.
    pub(crate) fn is_denied(&self) -> bool {
        matches!(self, Self::File { is_denied: true, .. })
    }

    /// The key of the configuration that names the file.
    pub(crate) fn key(&self) -> Option<&'static str> {
        match self {
            Self::File { key, .. } => Some(key),
            _ => None,
        }
    }
}

/// Everything that the server needs to start, or to go on with after a reload.
pub(crate) struct PreparedServer {
    /// `None`: HTTP is off.
    pub(super) listen: Option<SocketAddr>,
    /// `None`: the address is the same as before, and so is the socket.
    pub(super) listener: Option<TcpListener>,
    pub(super) policy: AccessPolicy,
    /// `None`: the API is off.
    pub(super) backend: Option<BackendSettings>,
}

/// The configuration, and the contents of the files that it names.
pub(crate) struct Files {
    http: Http,
    policy: AccessPolicy,
    backend: Option<BackendSettings>,
}

impl Files {
    /// Reads the files that the configuration names, unless HTTP is off. Reading may hang: the caller has to limit its time.
    ///
    /// # Errors
    /// A file cannot be read, or its contents are invalid.
    pub(crate) fn read(http: &Http) -> Result<Self, Error> {
        let mut policy = AccessPolicy::new(http);
        if http.listen.is_some() {
            let mut contents = Sha256::new();
            if let Some(file) = &http.tokens_file {
                let bytes = read("http.tokens_file", file, Privacy::Private)?;
                let tokens = Tokens::parse(&bytes).map_err(|reason| invalid_file("http.tokens_file", file, reason))?;
                policy.tokens = Some(tokens);
                contents.update(&sha256(&bytes));
            }
            if let Some(identity) = &http.identity {
                let certificate = read("http.certificate", &identity.certificate, Privacy::Public)?;
                let key = read("http.key", &identity.key, Privacy::Private)?;
                policy.tls = Some(tls::acceptor(identity, &certificate, &key)?);
                contents.update(&sha256(&certificate));
                contents.update(&sha256(&key));
            }
            contents.update(&[u8::from(policy.tokens.is_some()), u8::from(policy.tls.is_some())]);
            policy.fingerprint = contents.finish();
        }
        Ok(Self { http: http.clone(), policy, backend: None })
    }

    /// The same for a daemon that serves the API too, with sessions to the repository of a configuration.
    ///
    /// # Errors
    /// The connection string for changes is not usable.
    pub(crate) fn with_api(self, config: &Config, repository: &Endpoint) -> Result<Self, Error> {
        let is_served = self.http.api == ApiAccess::On;
        let backend = if is_served { Some(BackendSettings::new(config, repository)?) } else { None };
        Ok(Self { backend, ..self })
    }

    /// Binds the socket, unless the address is that of the `previous` configuration.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub(crate) fn prepare(self, previous: Option<&Http>) -> Result<PreparedServer, Error> {
        let listen = self.http.listen;
        let previous = previous.and_then(|previous| previous.listen);
        let listener = match listen.filter(|_| listen != previous) {
            Some(address) => Some(bind(address).map_err(|source| Error::Address { address, source })?),
            None => None,
        };
        Ok(PreparedServer { listen, listener, policy: self.policy, backend: self.backend })
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

fn read(key: &'static str, file: &Path, privacy: Privacy) -> Result<Vec<u8>, Error> {
    private_file::read(file, MAX_FILE_SIZE, privacy).map_err(|error| {
        let is_denied = matches!(&error, Unreadable::Io(error) if error.kind() == io::ErrorKind::PermissionDenied);
        let reason = match error {
            Unreadable::Io(error) => format!("cannot be read: {error}"),
            Unreadable::NotRegular => "is not a regular file".into(),
            Unreadable::TooLong(limit) => format!("is longer than {limit} bytes"),
            Unreadable::OpenToOthers => {
                "can be read by others; set its mode to 0600, or to 0640 if root owns it".into()
            }
        };
        Error::File { key, file: file.to_owned(), reason, is_denied }
    })
}

/// The file that a key names can be read, but not used. `reason` is a predicate without a subject.
pub(super) fn invalid_file(key: &'static str, file: &Path, reason: impl Into<String>) -> Error {
    Error::File { key, file: file.to_owned(), reason: reason.into(), is_denied: false }
}
