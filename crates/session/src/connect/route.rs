//! How a session was connected. A cancel request must use the same address and encryption.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::CancelToken;

use super::Address;
use crate::socket::Socket;
use crate::tls::{self, AlreadyEncrypted, Connector, Stream, TlsError};
use libpq::{Host, SslNegotiation, Tcp};

/// An address, with or without TLS.
#[derive(Clone)]
pub struct Route {
    pub(crate) address: Address,
    pub(crate) tcp: Tcp,
    pub(crate) tls: Option<Arc<TlsSetup>>,
}

/// What is needed to encrypt a socket.
pub(crate) struct TlsSetup {
    pub(crate) connector: Arc<Connector>,
    pub(crate) negotiation: SslNegotiation,
}

impl Route {
    pub fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    /// Sends a cancel request for a session. Closing the connection is not enough: the server notices it only when it
    /// has something to send.
    pub async fn cancel(&self, token: CancelToken) {
        /// A responsive server cancels at once; a stopping collector must not wait for others.
        const CANCEL_TIMEOUT: Duration = Duration::from_secs(2);

        let request = async {
            let stream = self.open().await?;
            token.cancel_query_raw(stream, AlreadyEncrypted).await.map_err(|error| error.to_string())
        };
        match timeout(CANCEL_TIMEOUT, request).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::debug!(target: crate::LOG_TARGET, peer = %self.address.peer, error, "could not send the cancel request")
            }
            Err(_) => {
                tracing::debug!(target: crate::LOG_TARGET, peer = %self.address.peer, "the server did not accept the cancel request in time")
            }
        }
    }

    async fn open(&self) -> Result<Stream, String> {
        let mut socket = self.address.peer.connect(&self.tcp).await.map_err(|error| error.to_string())?;
        let Some(tls) = &self.tls else { return Ok(Stream::plain(socket)) };
        if tls.negotiation == SslNegotiation::Postgres {
            let is_offered = tls::is_offered(&mut socket).await.map_err(|error| error.to_string())?;
            if !is_offered {
                return Err("the server no longer offers TLS".into());
            }
        }
        tls.wrap(socket, &self.address.host).await.map_err(|error| error.to_string())
    }
}

impl TlsSetup {
    pub(crate) async fn wrap(&self, socket: Socket, host: &Host) -> Result<Stream, TlsError> {
        self.connector.connect(socket, host).await
    }
}
