//! The way that a session was opened by. A request to cancel has to take the same.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::CancelToken;

use super::Place;
use crate::libpq::{Host, SslNegotiation, Tcp};
use crate::postgres::socket::Socket;
use crate::postgres::tls::{self, Connector, Handed, Stream, TlsError};

/// To an address, in plain or over TLS.
#[derive(Clone)]
pub(in crate::postgres) struct Route {
    pub(super) place: Place,
    pub(super) tcp: Tcp,
    pub(super) armour: Option<Arc<Armour>>,
}

/// What makes a socket a TLS stream.
pub(super) struct Armour {
    pub(super) connector: Arc<Connector>,
    pub(super) negotiation: SslNegotiation,
}

impl Route {
    pub(in crate::postgres) fn is_encrypted(&self) -> bool {
        self.armour.is_some()
    }

    /// Asks the server to cancel what is under way in a session, which closing the connection alone does not: the server
    /// goes on until it has something to send.
    pub(in crate::postgres) async fn cancel(&self, token: CancelToken) {
        /// A server that is in a state to cancel does so at once; a daemon that stops cannot wait for the others.
        const PATIENCE: Duration = Duration::from_secs(2);

        let asking = async {
            let stream = self.open().await?;
            token.cancel_query_raw(stream, Handed).await.map_err(|error| error.to_string())
        };
        match timeout(PATIENCE, asking).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::debug!(peer = %self.place.peer, error, "the server could not be asked to cancel")
            }
            Err(_) => tracing::debug!(peer = %self.place.peer, "the server did not take the request to cancel"),
        }
    }

    async fn open(&self) -> Result<Stream, String> {
        let mut socket = self.place.peer.connect(&self.tcp).await.map_err(|error| error.to_string())?;
        let Some(armour) = &self.armour else { return Ok(Stream::plain(socket)) };
        if armour.negotiation == SslNegotiation::Postgres {
            let is_offered = tls::is_offered(&mut socket).await.map_err(|error| error.to_string())?;
            if !is_offered {
                return Err("it does not offer TLS any more".into());
            }
        }
        armour.put_on(socket, &self.place.host).await.map_err(|error| error.to_string())
    }
}

impl Armour {
    pub(super) async fn put_on(&self, socket: Socket, host: &Host) -> Result<Stream, TlsError> {
        self.connector.connect(socket, host).await
    }
}
