//! A server is not trusted with our memory: whatever it sends is kept until a message is complete, and rows until there
//! are no more. This ends a connection on which more is announced than anyone could want to keep. It stands between the
//! driver and what carries the messages in plain, be it a socket or a TLS stream.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsStream};

use super::Side;
use super::progress::{NotAllowed, Watch};

/// Of one message with rows of a COPY, which are dealt with one by one. A statement's text of 10 MB, each character of
/// which COPY escapes, fits three times over; and a server that is up to no good costs no more than this for each
/// connection to it.
const LARGEST_PIECE: u64 = 64 << 20;

/// Of any other message: an error, the columns of a statement.
const LARGEST_MESSAGE: u64 = 1 << 20;

/// Of an answer together, which is kept until it is complete. Those to the statements of our own are lists: of databases
/// and extensions on the one side, of servers and what to collect on the other. This is enough for 20,000 entries.
const LARGEST_ANSWER: u64 = 8 << 20;

/// What a row of an answer takes beyond its bytes: of short ones, many would fit.
const ROW: u64 = 128;

/// Of the settings that a remote server reports in a session. The driver keeps one of each name for as long as that
/// lasts, and honest servers report some 15. The repository reports the name of the session again with every load.
const LARGEST_REPORTS: u64 = 1 << 20;

/// Of all that a server says before it is ready for the first statement, when it does not know yet who we are, nor we
/// who it is: some settings, and a few notices.
const LARGEST_WELCOME: u64 = 64 << 10;

/// A stream from a server, with its messages followed.
pub(super) struct MessageGuard<S> {
    stream: S,
    messages: Messages,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Unwelcome {
    #[error("the server sent a message of {bytes} bytes, and at most {allowed} are taken")]
    Message { bytes: u64, allowed: u64 },
    #[error("the server sent an answer of more than {allowed} bytes")]
    Answer { allowed: u64 },
    #[error("the server reported settings of more than {LARGEST_REPORTS} bytes")]
    Reports,
    #[error(transparent)]
    NotAllowed(#[from] NotAllowed),
}

/// Follows messages by their headers (a byte for the kind, four for the length), wherever the pieces are cut.
struct Messages {
    header: [u8; 5],
    /// Bytes of the header that are there.
    begun: usize,
    /// Bytes of the body that are not.
    missing: usize,
    /// There until the server is ready for the first time: it is a stranger so far.
    watch: Option<Watch>,
    /// What may still come until the server is ready again.
    left: u64,
    /// What may still be reported of settings, if that counts.
    reports: Option<u64>,
}

impl<S> MessageGuard<S> {
    /// For a connection on which the server has said nothing yet.
    pub(super) fn new(stream: S, side: Side, watch: Watch) -> Self {
        let reports = (side == Side::Remote).then_some(LARGEST_REPORTS);
        let (watch, left) = (Some(watch), LARGEST_WELCOME);
        Self { stream, messages: Messages { header: [0; 5], begun: 0, missing: 0, watch, left, reports } }
    }
}

impl Messages {
    fn follow(&mut self, mut piece: &[u8]) -> Result<(), Unwelcome> {
        while !piece.is_empty() {
            let body = piece.len().min(self.missing);
            self.missing -= body;
            if let Some(watch) = &mut self.watch {
                watch.body(&piece[..body])?;
            }
            piece = &piece[body..];
            let part = piece.len().min(self.header.len() - self.begun);
            self.header[self.begun..self.begun + part].copy_from_slice(&piece[..part]);
            self.begun += part;
            piece = &piece[part..];
            if self.begun == self.header.len() {
                self.begun = 0;
                self.missing = self.admit()?;
            }
        }
        Ok(())
    }

    /// Gives the length of the body whose header is complete.
    fn admit(&mut self) -> Result<usize, Unwelcome> {
        let [kind, length @ ..] = self.header;
        let length = u32::from_be_bytes(length);
        let bytes = u64::from(length) + 1;
        let allowed = match kind {
            _ if self.watch.is_some() => LARGEST_WELCOME,
            b'd' => LARGEST_PIECE,
            b'D' => LARGEST_ANSWER,
            _ => LARGEST_MESSAGE,
        };
        if bytes > allowed {
            return Err(Unwelcome::Message { bytes, allowed });
        }
        if let (b'S', Some(reports)) = (kind, &mut self.reports) {
            *reports = reports.checked_sub(bytes).ok_or(Unwelcome::Reports)?;
        }
        if let Some(watch) = &mut self.watch {
            watch.header(kind);
        }
        match kind {
            // Ready for the next statement: the answer to this one is complete.
            b'Z' => (self.watch, self.left) = (None, LARGEST_ANSWER),
            // Rows of a COPY, notifications and notices are dealt with one by one, so they do not add up.
            b'd' | b'A' | b'N' if self.watch.is_none() => {}
            _ => self.keep(bytes + if kind == b'D' { ROW } else { 0 })?,
        }
        // The length counts itself. One that does not is refused by the driver.
        Ok(usize::try_from(length.saturating_sub(4)).expect("a length that is allowed fits"))
    }

    fn keep(&mut self, bytes: u64) -> Result<(), Unwelcome> {
        let allowed = if self.watch.is_some() { LARGEST_WELCOME } else { LARGEST_ANSWER };
        self.left = self.left.checked_sub(bytes).ok_or(Unwelcome::Answer { allowed })?;
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for MessageGuard<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = into.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(context, into))?;
        Poll::Ready(this.messages.follow(&into.filled()[before..]).map_err(io::Error::other))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for MessageGuard<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl<S: TlsStream + Unpin> TlsStream for MessageGuard<S> {
    fn channel_binding(&self) -> ChannelBinding {
        self.stream.channel_binding()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READY: &[u8] = b"Z\0\0\0\x05I";

    fn message(kind: u8, body: usize) -> Vec<u8> {
        let length = u32::try_from(body + 4).unwrap().to_be_bytes();
        [&[kind], length.as_slice(), &vec![b'Z'; body]].concat()
    }

    fn header(kind: u8, length: u32) -> Vec<u8> {
        [&[kind], length.to_be_bytes().as_slice()].concat()
    }

    fn after(pieces: &[&[u8]]) -> Result<(), Unwelcome> {
        after_from(Side::Remote, pieces)
    }

    fn after_from(side: Side, pieces: &[&[u8]]) -> Result<(), Unwelcome> {
        let mut guard = MessageGuard::new((), side, Watch::of_anything());
        pieces.iter().try_for_each(|piece| guard.messages.follow(piece))
    }

    #[test]
    fn messages_are_followed_wherever_the_pieces_are_cut() {
        let good = [message(b'R', 4), message(b'S', 9), READY.to_vec(), message(b'd', 7), message(b'C', 0)].concat();
        let bad = [good.clone(), header(b'd', 1 << 30)].concat();
        let too_long = Unwelcome::Message { bytes: (1 << 30) + 1, allowed: LARGEST_PIECE };
        for first in 0..=bad.len() {
            for second in first..=bad.len() {
                assert_eq!(after(&[&bad[..first], &bad[first..second], &bad[second..]]), Err(too_long.clone()));
            }
        }
        assert_eq!(after(&[&good]), Ok(()));
        assert_eq!(after(&bad.chunks(1).collect::<Vec<_>>()), Err(too_long));
    }

    #[test]
    fn a_length_that_is_allowed_passes_and_one_more_does_not() {
        for (kind, allowed) in [(b'd', LARGEST_PIECE), (b'D', LARGEST_ANSWER), (b'E', LARGEST_MESSAGE), (b'N', 1 << 20)]
        {
            let most = u32::try_from(allowed - if kind == b'D' { ROW } else { 0 } - 1).unwrap();
            assert_eq!(after(&[READY, &header(kind, most)]), Ok(()), "{kind}");
            let beyond = u32::try_from(allowed).unwrap();
            let one_more = Unwelcome::Message { bytes: allowed + 1, allowed };
            assert_eq!(after(&[READY, &header(kind, beyond)]), Err(one_more), "{kind}");
            let all = Unwelcome::Message { bytes: u64::from(u32::MAX) + 1, allowed };
            assert_eq!(after(&[READY, &header(kind, u32::MAX)]), Err(all), "{kind}");
        }
    }

    #[test]
    fn a_stranger_may_say_little_in_one_message_or_in_many() {
        let allowed = LARGEST_WELCOME;
        let long = after(&[&header(b'E', 100_000)]);
        assert_eq!(long, Err(Unwelcome::Message { bytes: 100_001, allowed }));
        let setting = message(b'S', 995);
        assert_eq!(after(&vec![setting.as_slice(); 65]), Ok(()));
        assert_eq!(after(&vec![setting.as_slice(); 66]), Err(Unwelcome::Answer { allowed }));
        let notice = message(b'N', 995);
        assert_eq!(after(&vec![notice.as_slice(); 66]), Err(Unwelcome::Answer { allowed }));
    }

    #[test]
    fn rows_add_up_until_the_server_is_ready_again_and_those_of_a_copy_do_not() {
        let row = message(b'D', 100_000);
        let rows = vec![row.as_slice(); 80];
        let twice = [&[READY], rows.as_slice(), &[READY], &rows].concat();
        assert_eq!(after(&twice), Ok(()));
        let on_and_on = [&[READY], rows.as_slice(), &rows].concat();
        assert_eq!(after(&on_and_on), Err(Unwelcome::Answer { allowed: LARGEST_ANSWER }));
        let copied = message(b'd', 1 << 20);
        assert_eq!(after(&[&[READY], vec![copied.as_slice(); 200].as_slice()].concat()), Ok(()));
    }

    #[test]
    fn short_rows_count_for_what_they_take() {
        let row = message(b'D', 2);
        assert_eq!(after(&[READY, &row.repeat(50_000)]), Ok(()));
        assert_eq!(after(&[READY, &row.repeat(70_000)]), Err(Unwelcome::Answer { allowed: LARGEST_ANSWER }));
    }

    #[test]
    fn what_the_driver_keeps_of_a_remote_server_counts_for_as_long_as_the_session_lasts() {
        let setting = [message(b'S', 995), READY.to_vec()].concat();
        let (some, many) = ([READY, &setting.repeat(1000)].concat(), [READY, &setting.repeat(1100)].concat());
        assert_eq!(after(&[&some]), Ok(()));
        assert_eq!(after(&[&many]), Err(Unwelcome::Reports));
        assert_eq!(after_from(Side::Repository, &[&many]), Ok(()));
    }
}
