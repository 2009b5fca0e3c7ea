//! The socket below a connection: how it is opened, and how the server at its other end is asked to cancel.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_postgres::{CancelToken, Config, NoTls};
use tokio_util::either::Either;

/// An open socket, of either kind.
pub(super) type Socket = Either<TcpStream, UnixStream>;

/// The one address that a connection was made to. A request to cancel has to go to the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Peer {
    /// Opens a socket for a session, which is to notice a peer that vanishes without a word.
    pub(super) async fn connect(&self, config: &Config) -> io::Result<Socket> {
        let socket = self.open().await?;
        if let Either::Left(stream) = &socket {
            let socket = SockRef::from(stream);
            socket.set_tcp_user_timeout(config.get_tcp_user_timeout().copied())?;
            if config.get_keepalives() {
                socket.set_tcp_keepalive(&keepalive(config))?;
            }
        }
        Ok(socket)
    }

    async fn open(&self) -> io::Result<Socket> {
        match self {
            Self::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Ok(Either::Left(stream))
            }
            Self::Unix(path) => Ok(Either::Right(UnixStream::connect(path).await?)),
        }
    }

    /// Asks the server to cancel what is under way in a session, which closing the connection alone does not: the server
    /// goes on until it has something to send.
    pub(super) async fn cancel(&self, token: CancelToken) {
        /// A server that is in a state to cancel does so at once; a daemon that stops cannot wait for the others.
        const PATIENCE: Duration = Duration::from_secs(2);

        let asking = async {
            let socket = self.open().await.map_err(|error| error.to_string())?;
            token.cancel_query_raw(socket, NoTls).await.map_err(|error| error.to_string())
        };
        match timeout(PATIENCE, asking).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(peer = %self, error, "the server could not be asked to cancel"),
            Err(_) => tracing::debug!(peer = %self, "the server did not take the request to cancel"),
        }
    }
}

fn keepalive(config: &Config) -> TcpKeepalive {
    let mut keepalive = TcpKeepalive::new().with_time(config.get_keepalives_idle());
    if let Some(interval) = config.get_keepalives_interval() {
        keepalive = keepalive.with_interval(interval);
    }
    if let Some(retries) = config.get_keepalives_retries() {
        keepalive = keepalive.with_retries(retries);
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
