//! The socket below a connection, and how it is opened.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpStream, UnixStream};
use tokio_util::either::Either;

use crate::libpq::Tcp;

/// An open socket, of either kind.
pub(super) type Socket = Either<TcpStream, UnixStream>;

/// The one address that a connection is made to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Peer {
    /// The socket in a folder, or with `@` the one in the abstract namespace.
    pub(super) fn in_folder(folder: &Path, port: u16) -> Self {
        Self::Unix(folder.join(format!(".s.PGSQL.{port}")))
    }

    /// Opens a socket, which is to notice a peer that vanishes without a word.
    pub(super) async fn connect(&self, tcp: &Tcp) -> io::Result<Socket> {
        match self {
            Self::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                let socket = SockRef::from(&stream);
                socket.set_tcp_user_timeout(tcp.user_timeout)?;
                if tcp.keepalives {
                    socket.set_tcp_keepalive(&keepalive(tcp))?;
                }
                Ok(Either::Left(stream))
            }
            Self::Unix(path) => Ok(Either::Right(UnixStream::connect(in_namespace(path)).await?)),
        }
    }
}

/// libpq writes `@` where the kernel has a NUL.
fn in_namespace(path: &Path) -> PathBuf {
    match path.to_str().and_then(|path| path.strip_prefix('@')) {
        Some(name) => format!("\0{name}").into(),
        None => path.to_owned(),
    }
}

/// What is not given is the system's.
fn keepalive(tcp: &Tcp) -> TcpKeepalive {
    let mut keepalive = TcpKeepalive::new();
    if let Some(idle) = tcp.keepalives_idle {
        keepalive = keepalive.with_time(idle);
    }
    if let Some(interval) = tcp.keepalives_interval {
        keepalive = keepalive.with_interval(interval);
    }
    if let Some(count) = tcp.keepalives_count {
        keepalive = keepalive.with_retries(count);
    }
    keepalive
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.ip().fmt(f),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}
