//! Bounds the memory that a server can make the collector use. The driver buffers each message until it is complete,
//! and the rows of an answer until the last. This ends a connection that announces more than is reasonable, and splits
//! large COPY rows of a remote server into pieces. It sits between the driver and the plain or TLS stream.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsStream};

use super::Side;
use super::progress::{AuthMonitor, MethodNotAllowed};
use super::row_pieces::{HEADER, LARGEST_ROW, PIECE, RowPieces};

/// Bytes of any other message, such as an error or a row description.
const LARGEST_MESSAGE: u64 = 1 << 20;

/// Bytes of a whole answer, which is buffered until it is complete. The answers to our statements are lists of
/// databases, extensions, servers and datasources; this is enough for 20,000 entries.
const LARGEST_ANSWER: u64 = 8 << 20;

/// Overhead of a row in an answer, so that many short rows count too.
const ROW_OVERHEAD: u64 = 128;

/// Bytes of the settings that a remote server reports (ParameterStatus) in a session. The driver keeps one of each
/// name; honest servers report about 15. The repository reports the application name again with each load.
const LARGEST_REPORTS: u64 = 1 << 20;

/// Bytes that a server may send before it is ready for the first statement, while neither side is authenticated: some
/// settings and a few notices.
const LARGEST_GREETING: u64 = 64 << 10;

/// A stream from a server that checks the sizes of its messages.
pub struct MessageGuard<S> {
    stream: S,
    messages: Messages,
    is_shut: bool,
    waits_for_end: bool,
    pieces: RowPieces,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum LimitExceeded {
    #[error("the server sent a message of {bytes} bytes; the limit is {allowed}")]
    Message { bytes: u64, allowed: u64 },
    #[error("the server sent an answer of more than {allowed} bytes")]
    Answer { allowed: u64 },
    #[error("the server reported settings of more than {LARGEST_REPORTS} bytes")]
    Reports,
    #[error(transparent)]
    MethodNotAllowed(#[from] MethodNotAllowed),
}

/// Tracks messages by their headers (one byte for the type, four for the length), wherever the received pieces end.
struct Messages {
    side: Side,
    header: [u8; HEADER],
    /// Bytes of the header that were received.
    header_received: usize,
    /// Bytes of the body that were not received yet.
    missing: usize,
    /// Set until the server is ready for the first time: until then it is not authenticated.
    monitor: Option<AuthMonitor>,
    /// Bytes that the server may still send until it is ready again.
    left: u64,
    /// Bytes of settings that may still be reported, if limited.
    reports: Option<u64>,
    /// The length of a row to be passed on in pieces.
    large_row: Option<u64>,
}

impl<S> MessageGuard<S> {
    /// For a connection on which the server has sent nothing yet.
    pub(crate) fn new(stream: S, side: Side, monitor: AuthMonitor) -> Self {
        let reports = (side == Side::Remote).then_some(LARGEST_REPORTS);
        let (monitor, left) = (Some(monitor), LARGEST_GREETING);
        let messages = Messages {
            side,
            header: [0; HEADER],
            header_received: 0,
            missing: 0,
            monitor,
            left,
            reports,
            large_row: None,
        };
        Self { stream, messages, is_shut: false, waits_for_end: side == Side::Remote, pieces: RowPieces::default() }
    }
}

impl Messages {
    /// Processes received bytes. Returns how many of them, from the start, can be passed on unchanged. The rest is an
    /// incomplete header, or a header and the first bytes of a `large_row`.
    fn follow(&mut self, received: &[u8]) -> Result<usize, LimitExceeded> {
        let mut at = 0;
        while at < received.len() {
            let body = self.missing.min(received.len() - at);
            if let Some(monitor) = &mut self.monitor {
                monitor.body(&received[at..at + body])?;
            }
            self.missing -= body;
            at += body;
            let start = at;
            let part = (HEADER - self.header_received).min(received.len() - at);
            self.header[self.header_received..self.header_received + part].copy_from_slice(&received[at..at + part]);
            self.header_received += part;
            at += part;
            if self.header_received < HEADER {
                return Ok(start);
            }
            self.header_received = 0;
            let length = self.check_header()?;
            if self.is_large(length, received.len() - at) {
                self.large_row = Some(length);
                return Ok(start);
            }
            self.missing = usize::try_from(length).expect("a length that is allowed fits");
        }
        Ok(at)
    }

    /// Whether a message whose header is complete is a row to be passed on in pieces. A row that has already arrived
    /// takes no additional memory.
    fn is_large(&self, length: u64, arrived: usize) -> bool {
        let (kind, is_unauthenticated) = (self.header[0], self.monitor.is_some());
        let most = PIECE.max(arrived) as u64;
        kind == b'd' && self.side == Side::Remote && !is_unauthenticated && length > most
    }

    /// Checks a complete header against the limits. Returns the length of the body.
    fn check_header(&mut self) -> Result<u64, LimitExceeded> {
        let [kind, length @ ..] = self.header;
        let length = u32::from_be_bytes(length);
        let bytes = u64::from(length) + 1;
        let allowed = match kind {
            _ if self.monitor.is_some() => LARGEST_GREETING,
            b'd' if self.side == Side::Remote => u64::MAX,
            b'd' => LARGEST_ROW,
            b'D' => LARGEST_ANSWER,
            _ => LARGEST_MESSAGE,
        };
        if bytes > allowed {
            return Err(LimitExceeded::Message { bytes, allowed });
        }
        if let (b'S', Some(reports)) = (kind, &mut self.reports) {
            *reports = reports.checked_sub(bytes).ok_or(LimitExceeded::Reports)?;
        }
        if let Some(monitor) = &mut self.monitor {
            monitor.header(kind);
        }
        match kind {
            // ReadyForQuery: the answer to this statement is complete.
            b'Z' => (self.monitor, self.left) = (None, LARGEST_ANSWER),
            // The driver passes on rows of a COPY, notifications and notices one by one, so they do not add up.
            b'd' | b'A' | b'N' if self.monitor.is_none() => {}
            _ => self.count(bytes + if kind == b'D' { ROW_OVERHEAD } else { 0 })?,
        }
        // The length includes itself. The driver refuses a smaller one.
        Ok(u64::from(length.saturating_sub(4)))
    }

    fn count(&mut self, bytes: u64) -> Result<(), LimitExceeded> {
        let allowed = if self.monitor.is_some() { LARGEST_GREETING } else { LARGEST_ANSWER };
        self.left = self.left.checked_sub(bytes).ok_or(LimitExceeded::Answer { allowed })?;
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> MessageGuard<S> {
    /// Receives the rest of a header and passes it on when complete. Returns false at the end of the stream.
    fn poll_header(&mut self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut rest = [0; HEADER];
        let mut rest = ReadBuf::new(&mut rest[self.messages.header_received..]);
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut rest))?;
        self.messages.follow(rest.filled()).map_err(io::Error::other)?;
        match self.messages.large_row.take() {
            Some(length) => self.pieces.begin(length, &[]),
            None if self.messages.header_received == 0 => self.pieces.prepare(&self.messages.header),
            None => {}
        }
        Poll::Ready(Ok(!rest.filled().is_empty()))
    }

    /// Receives bytes. Returns whether all of them were held back.
    fn poll_messages(&mut self, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<bool>> {
        let before = into.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, into))?;
        let received = &into.filled()[before..];
        let passed = self.messages.follow(received).map_err(io::Error::other)?;
        if let Some(length) = self.messages.large_row.take() {
            self.pieces.begin(length, &received[passed + HEADER..]);
        }
        let is_held_back = passed == 0 && !received.is_empty();
        into.set_filled(before + passed);
        Poll::Ready(Ok(is_held_back))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for MessageGuard<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // An empty read means the end of the stream, so read until there is something to pass on.
        loop {
            if this.pieces.pass_on(into) {
                return Poll::Ready(Ok(()));
            }
            let received = if this.pieces.is_within_row() {
                ready!(this.pieces.poll_receive(&mut this.stream, context))?
            } else if this.messages.header_received > 0 {
                ready!(this.poll_header(context))?
            } else {
                ready!(this.poll_messages(context, into))?
            };
            if !received {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for MessageGuard<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    /// Waits until a remote server closes the connection too: only then has it ended the session, which otherwise still
    /// counts against a connection limit. The caller sets a timeout.
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_shut {
            ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
            self.is_shut = true;
        }
        while self.waits_for_end {
            let mut bytes = [0; 512];
            let mut rest = ReadBuf::new(&mut bytes);
            match ready!(Pin::new(&mut self.stream).poll_read(context, &mut rest)) {
                Ok(()) if !rest.filled().is_empty() => {}
                _ => self.waits_for_end = false,
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: TlsStream + Unpin> TlsStream for MessageGuard<S> {
    fn channel_binding(&self) -> ChannelBinding {
        self.stream.channel_binding()
    }
}

#[cfg(test)]
mod tests;
