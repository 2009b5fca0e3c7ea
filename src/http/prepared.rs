//! What is needed to serve: a socket, and the files. To prepare changes nothing; what was prepared is taken up, or not.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use openssl::sha::{Sha256, sha256};
use openssl::ssl::SslAcceptor;
use tokio::net::TcpListener;

use super::auth::Tokens;
use super::tls;
use crate::config::Http;
use crate::private_file::{self, Kept, Unreadable};

/// Why nobody can be served as the configuration says.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("\"http.listen\" is {address}, where nobody can be served: {source}")]
    Address { address: SocketAddr, source: io::Error },
    #[error("\"{key}\" is {}, which {reason}", file.display())]
    File { key: &'static str, file: PathBuf, reason: String, is_denied: bool },
    #[error("TLS could not be set up: {0}")]
    Tls(#[from] openssl::error::ErrorStack),
}

impl Error {
    /// The operating system does not let us read it: whether it is as it should be, somebody else may know.
    pub fn is_denied(&self) -> bool {
        matches!(self, Self::File { is_denied: true, .. })
    }

    /// The key of the configuration that names the file.
    pub fn key(&self) -> Option<&'static str> {
        match self {
            Self::File { key, .. } => Some(key),
            _ => None,
        }
    }
}

/// What is needed to serve.
pub struct Prepared {
    pub(super) listen: Option<SocketAddr>,
    /// `None` if it is the same as before.
    pub(super) listener: Option<TcpListener>,
    pub(super) face: Face,
}

/// What has been read from files, but for the socket. They may hang; who reads them has to bound that.
pub struct Files {
    http: Http,
    face: Face,
}

/// How strangers are met.
#[derive(Default)]
pub(super) struct Face {
    pub(super) tokens: Option<Tokens>,
    pub(super) tls: Option<SslAcceptor>,
    /// Only this machine is meant, as nobody is asked who they are.
    pub(super) is_for_this_machine: bool,
    shows_tokens: bool,
    /// Of all that is in the files.
    fingerprint: [u8; 32],
    /// Others have taken its place.
    retired: AtomicBool,
}

impl Files {
    /// Reads what the configuration names, if anybody is to be served.
    ///
    /// # Errors
    /// A file cannot be read, or is not what it should be.
    pub fn read(http: &Http) -> Result<Self, Error> {
        let mut face = Face {
            is_for_this_machine: http.is_for_this_machine(),
            shows_tokens: http.shows_tokens(),
            ..Face::default()
        };
        if http.listen.is_some() {
            let mut seen = Sha256::new();
            if let Some(file) = &http.tokens_file {
                let bytes = read("http.tokens_file", file, Kept::Secret)?;
                face.tokens = Some(Tokens::parse(&bytes).map_err(|reason| unusable("http.tokens_file", file, reason))?);
                seen.update(&sha256(&bytes));
            }
            if let Some(identity) = &http.identity {
                let certificate = read("http.certificate", &identity.certificate, Kept::Openly)?;
                let key = read("http.key", &identity.key, Kept::Secret)?;
                face.tls = Some(tls::acceptor(identity, &certificate, &key)?);
                seen.update(&sha256(&certificate));
                seen.update(&sha256(&key));
            }
            seen.update(&[u8::from(face.tokens.is_some()), u8::from(face.tls.is_some())]);
            face.fingerprint = seen.finish();
        }
        Ok(Self { http: http.clone(), face })
    }

    /// With a socket, unless there is one already from before.
    ///
    /// # Errors
    /// There is none to be had at this address.
    pub fn prepare(self, before: Option<&Http>) -> Result<Prepared, Error> {
        let listen = self.http.listen;
        let before = before.and_then(|before| before.listen);
        let listener = match listen.filter(|_| listen != before) {
            Some(address) => Some(bind(address).map_err(|source| Error::Address { address, source })?),
            None => None,
        };
        Ok(Prepared { listen, listener, face: self.face })
    }
}

impl Face {
    /// Whether strangers are met as by another one.
    pub(super) fn is_as(&self, other: &Self) -> bool {
        let warned = (self.shows_tokens, self.is_for_this_machine);
        self.fingerprint == other.fingerprint && warned == (other.shows_tokens, other.is_for_this_machine)
    }

    /// From now on, nobody is served who was met like this: not even in the moment until they are cut off.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }

    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    pub(super) fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    pub(super) fn takes_tokens(&self) -> bool {
        self.tokens.is_some()
    }

    pub(super) fn warn(&self) {
        if self.shows_tokens {
            tracing::warn!(
                "tokens go over the network in plain text: name \"http.certificate\" and \"http.key\", or listen on \
                 this machine only, behind something that encrypts"
            );
        }
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

fn read(key: &'static str, file: &Path, kept: Kept) -> Result<Vec<u8>, Error> {
    /// More than anybody writes.
    const LONGEST: u64 = 1 << 20;

    private_file::read(file, LONGEST, kept).map_err(|error| {
        let is_denied = matches!(&error, Unreadable::Io(error) if error.kind() == io::ErrorKind::PermissionDenied);
        let reason = match error {
            Unreadable::Io(error) => format!("cannot be read: {error}"),
            Unreadable::NotRegular => "is not a regular file".into(),
            Unreadable::TooLong(longest) => format!("is longer than {longest} bytes"),
            Unreadable::OpenToOthers => {
                "can be read by others: its mode has to be 0600 or less, or, if root owns it, 0640 or less".into()
            }
        };
        Error::File { key, file: file.to_owned(), reason, is_denied }
    })
}

pub(super) fn unusable(key: &'static str, file: &Path, reason: impl Into<String>) -> Error {
    Error::File { key, file: file.to_owned(), reason: reason.into(), is_denied: false }
}
