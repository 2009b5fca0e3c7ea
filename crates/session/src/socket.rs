//! The socket of a connection.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpStream, UnixStream};
use tokio_util::either::Either;

use libpq::Tcp;

/// An open TCP or Unix socket.
pub(crate) type Socket = Either<TcpStream, UnixStream>;

/// The address of a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Peer {
    /// The socket in a directory, or with `@` in the abstract namespace.
    pub(crate) fn in_directory(directory: &Path, port: u16) -> Self {
        Self::Unix(directory.join(format!(".s.PGSQL.{port}")))
    }

    /// Connects, with keepalives so that a dead peer is detected.
    pub(crate) async fn connect(&self, tcp: &Tcp) -> io::Result<Socket> {
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

/// An abstract socket: libpq writes `@` for the kernel's leading NUL.
fn in_namespace(path: &Path) -> PathBuf {
    match path.to_str().and_then(|path| path.strip_prefix('@')) {
        Some(name) => format!("\0{name}").into(),
        None => path.to_owned(),
    }
}

/// Unset values are left to the operating system.
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
