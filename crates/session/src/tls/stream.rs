//! A plain or TLS stream, and its handover to the driver.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use openssl::ssl;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_openssl::SslStream;
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};

use super::channel_binding;
use super::error::{self, TlsError};
use crate::socket::Socket;

/// A connection on which a session or a cancel request can start.
pub struct Stream(Kind);

enum Kind {
    Plain(Socket),
    Encrypted { stream: Box<SslStream<Socket>>, tls_server_end_point: Option<Vec<u8>> },
}

impl Stream {
    pub fn plain(socket: Socket) -> Self {
        Self(Kind::Plain(socket))
    }

    #[cfg(test)]
    pub(crate) fn is_encrypted(&self) -> bool {
        matches!(self.0, Kind::Encrypted { .. })
    }

    /// With TLS, after the handshake.
    pub(crate) fn encrypted(stream: SslStream<Socket>) -> Self {
        let certificate = stream.ssl().peer_certificate();
        let tls_server_end_point = certificate.as_deref().and_then(channel_binding::tls_server_end_point);
        Self(Kind::Encrypted { stream: Box::new(stream), tls_server_end_point })
    }

    /// The channel binding hash of the server's certificate, if there is one.
    pub fn tls_server_end_point(&self) -> Option<&[u8]> {
        match &self.0 {
            Kind::Encrypted { tls_server_end_point, .. } => tls_server_end_point.as_deref(),
            Kind::Plain(_) => None,
        }
    }
}

impl TlsStream for Stream {
    fn channel_binding(&self) -> ChannelBinding {
        match self.tls_server_end_point() {
            Some(hash) => ChannelBinding::tls_server_end_point(hash.to_vec()),
            None => ChannelBinding::none(),
        }
    }
}

/// Replaces the driver's TLS handshake: the stream is already encrypted, so it is passed on unchanged. The driver needs
/// `SslMode::Require` and `SslNegotiation::Direct` for this, to send no `SSLRequest`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AlreadyEncrypted;

impl<S: TlsStream + Unpin> TlsConnect<S> for AlreadyEncrypted {
    type Stream = S;
    type Error = Infallible;
    type Future = Ready<Result<S, Infallible>>;

    fn connect(self, stream: S) -> Self::Future {
        ready(Ok(stream))
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Kind::Plain(socket) => Pin::new(socket).poll_read(context, into),
            Kind::Encrypted { stream, .. } => Pin::new(stream).poll_read(context, into).map_err(in_words),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().0 {
            Kind::Plain(socket) => Pin::new(socket).poll_write(context, bytes),
            Kind::Encrypted { stream, .. } => {
                Pin::new(&mut **stream).poll_write(context, bytes).map_err(|error| why_gone(stream, context, error))
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Kind::Plain(socket) => Pin::new(socket).poll_flush(context),
            Kind::Encrypted { stream, .. } => Pin::new(stream).poll_flush(context).map_err(in_words),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Kind::Plain(socket) => Pin::new(socket).poll_shutdown(context),
            Kind::Encrypted { stream, .. } => Pin::new(stream).poll_shutdown(context).map_err(in_words),
        }
    }
}

/// A server that refuses the client closes the connection. A failed write therefore reads the alert that came before.
fn why_gone(stream: &mut SslStream<Socket>, context: &mut Context<'_>, error: io::Error) -> io::Error {
    let mut byte = [0];
    match Pin::new(stream).poll_read(context, &mut ReadBuf::new(&mut byte)).map_err(in_words) {
        Poll::Ready(Err(alert)) if alert.get_ref().is_some_and(|cause| cause.is::<TlsError>()) => alert,
        _ => in_words(error),
    }
}

/// Converts OpenSSL errors. With TLS 1.3, the server's refusal of our certificate arrives after the handshake. A
/// connection closed without close_notify is not an error: message lengths show whether messages are complete.
fn in_words(error: io::Error) -> io::Error {
    let Some(stack) = error.get_ref().and_then(|error| error.downcast_ref::<ssl::Error>()?.ssl_error()) else {
        return error;
    };
    match error::alert(stack) {
        Some(alert) => io::Error::new(error.kind(), TlsError::RefusedAfterHandshake(alert)),
        None => io::Error::new(error.kind(), TlsError::Broken(error::in_short(stack))),
    }
}
