//! Splits large rows of a COPY into pieces.
//!
//! The driver buffers a message until it is complete, and PostgreSQL sends each row as one message. On its way to the
//! driver, a message with a large row is split into several messages. The reader of the rows (`incoming`) accepts any
//! split. A row of any length so takes the memory of one piece.

use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

/// Bytes of a large row in one message.
pub(crate) const PIECE: usize = 32 << 10;

/// Bytes of the longest row that is kept whole: enough for three statement texts of 10 MB with every character escaped.
/// A longer row is preceded by a message that announces its length: see [`announced_length`].
pub const LARGEST_ROW: u64 = 64 << 20;

/// Bytes of a message header: its type and its length.
pub(crate) const HEADER: usize = 5;

/// The first byte of an announcement. COPY's text format never contains it.
const ANNOUNCEMENT: u8 = 0;

/// The length of the row that begins with the next piece, if this piece is an announcement.
pub fn announced_length(piece: &[u8]) -> Option<u64> {
    let (&first, length) = piece.split_first()?;
    (first == ANNOUNCEMENT).then(|| Some(u64::from_be_bytes(length.try_into().ok()?))).flatten()
}

/// The part of a large row that the driver has not received yet.
#[derive(Default)]
pub(crate) struct RowPieces {
    buffer: Vec<u8>,
    /// The part of the buffer that is ready for the driver.
    ready: Range<usize>,
    /// Bytes of the row that were not received yet.
    left: u64,
}

impl RowPieces {
    /// Begins a row of this length, with its first bytes.
    pub(crate) fn begin(&mut self, length: u64, first: &[u8]) {
        self.buffer.clear();
        if length > LARGEST_ROW {
            let length = length.to_be_bytes();
            self.buffer.extend_from_slice(&header(1 + length.len()));
            self.buffer.push(ANNOUNCEMENT);
            self.buffer.extend_from_slice(&length);
        }
        if !first.is_empty() {
            self.buffer.extend_from_slice(&header(first.len()));
            self.buffer.extend_from_slice(first);
        }
        self.ready = 0..self.buffer.len();
        self.left = length - first.len() as u64;
    }

    /// Queues bytes that are not part of a row.
    pub(crate) fn prepare(&mut self, bytes: &[u8]) {
        self.buffer.clear();
        self.buffer.extend_from_slice(bytes);
        self.ready = 0..bytes.len();
    }

    /// More bytes of the row are expected.
    pub(crate) fn is_within_row(&self) -> bool {
        self.left > 0
    }

    /// Copies queued bytes, as many as fit. Returns whether there were any.
    pub(crate) fn pass_on(&mut self, into: &mut ReadBuf<'_>) -> bool {
        if self.ready.is_empty() {
            return false;
        }
        let bytes = self.ready.len().min(into.remaining());
        into.put_slice(&self.buffer[self.ready.start..self.ready.start + bytes]);
        self.ready.start += bytes;
        if self.ready.is_empty() && self.left == 0 {
            *self = Self::default();
        }
        true
    }

    /// Receives the next piece. Returns false at the end of the stream.
    pub(crate) fn poll_receive(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        context: &mut Context<'_>,
    ) -> Poll<io::Result<bool>> {
        let most = usize::try_from(self.left).map_or(PIECE, |left| left.min(PIECE));
        self.buffer.resize(HEADER + most, 0);
        let mut piece = ReadBuf::new(&mut self.buffer[HEADER..]);
        ready!(Pin::new(stream).poll_read(context, &mut piece))?;
        let bytes = piece.filled().len();
        if bytes > 0 {
            self.buffer[..HEADER].copy_from_slice(&header(bytes));
            self.ready = 0..HEADER + bytes;
            self.left -= bytes as u64;
        }
        Poll::Ready(Ok(bytes > 0))
    }
}

/// The header of a message with this many bytes of a row.
fn header(bytes: usize) -> [u8; HEADER] {
    let length = u32::try_from(bytes + 4).expect("a piece is shorter than the message that it was in");
    let [a, b, c, d] = length.to_be_bytes();
    [b'd', a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_header_announces_a_long_row() {
        let mut pieces = RowPieces::default();
        pieces.begin(LARGEST_ROW + 1, b"");
        let mut buffer = [0; 100];
        let mut into = ReadBuf::new(&mut buffer);
        assert!(pieces.pass_on(&mut into));
        assert_eq!(announced_length(&into.filled()[HEADER..]), Some(LARGEST_ROW + 1));
        for other in [&b""[..], b"\0", b"\0\0\0\0\0\0\0\0\0\n", b"12345678\n", b"select 1\n"] {
            assert_eq!(announced_length(other), None, "{other:?}");
        }
    }
}
