//! Tests of the message guard.

use std::collections::VecDeque;

use futures_util::FutureExt;
use tokio::io::AsyncReadExt;

use super::*;
use crate::row_pieces::announced_length;

const READY: &[u8] = b"Z\0\0\0\x05I";

fn message(kind: u8, body: usize) -> Vec<u8> {
    let length = u32::try_from(body + 4).unwrap().to_be_bytes();
    [&[kind], length.as_slice(), &vec![b'Z'; body]].concat()
}

fn header(kind: u8, length: u32) -> Vec<u8> {
    [&[kind], length.to_be_bytes().as_slice()].concat()
}

/// A stream that returns one piece after the other.
struct Pieces(VecDeque<Vec<u8>>);

impl AsyncRead for Pieces {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some(piece) = self.0.front_mut() {
            let bytes = piece.len().min(into.remaining());
            into.put_slice(&piece[..bytes]);
            piece.drain(..bytes);
            if piece.is_empty() {
                self.0.pop_front();
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// The bytes that pass, read so many at a time, and the final result.
fn through_from(side: Side, pieces: &[&[u8]], at_a_time: usize) -> (Vec<u8>, Result<(), LimitExceeded>) {
    let pieces = pieces.iter().filter(|piece| !piece.is_empty()).map(|piece| piece.to_vec()).collect();
    let mut guard = MessageGuard::new(Pieces(pieces), side, AuthMonitor::of_anything());
    let (mut through, mut buffer) = (Vec::new(), vec![0; at_a_time]);
    loop {
        match guard.read(&mut buffer).now_or_never().unwrap() {
            Ok(0) => return (through, Ok(())),
            Ok(bytes) => through.extend_from_slice(&buffer[..bytes]),
            Err(error) => return (through, Err(*error.into_inner().unwrap().downcast().unwrap())),
        }
    }
}

fn after(pieces: &[&[u8]]) -> Result<(), LimitExceeded> {
    after_from(Side::Remote, pieces)
}

fn after_from(side: Side, pieces: &[&[u8]]) -> Result<(), LimitExceeded> {
    through_from(side, pieces, 8192).1
}

/// The rows of a COPY in some messages, put together again, with the length of the longest message.
fn rows(mut messages: &[u8]) -> (Vec<u8>, usize) {
    let (mut rows, mut longest) = (Vec::new(), 0);
    while let Some((header, rest)) = messages.split_at_checked(HEADER) {
        let length = u32::from_be_bytes(header[1..].try_into().unwrap()) as usize - 4;
        let (body, rest) = rest.split_at(length);
        longest = longest.max(length);
        if header[0] == b'd' && announced_length(body).is_none() {
            rows.extend_from_slice(body);
        }
        messages = rest;
    }
    (rows, longest)
}

fn row(length: usize) -> Vec<u8> {
    let body: Vec<u8> = (0..length).map(|n| (n % 250 + 1) as u8).collect();
    [header(b'd', u32::try_from(length + 4).unwrap()), body].concat()
}

#[test]
fn a_large_row_comes_through_in_pieces_wherever_it_is_cut_and_the_rest_as_it_is() {
    let (before, after) = ([READY, &row(100), &message(b'N', 7)].concat(), [row(0), row(9), READY.to_vec()].concat());
    for length in [PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 7] {
        let all = [before.clone(), row(length), after.clone()].concat();
        let expected = [&row(100)[HEADER..], &row(length)[HEADER..], &row(9)[HEADER..]].concat();
        let begin = before.len();
        for cut in [1, begin - 1, begin, begin + 1, begin + 4, begin + 5, begin + 6, begin + length, begin + length + 7]
        {
            for at_a_time in [1, 7, 8192, 1 << 20] {
                let (through, end) = through_from(Side::Remote, &[&all[..cut], &all[cut..]], at_a_time);
                assert_eq!(end, Ok(()));
                let (rows, longest) = rows(&through);
                assert!(rows == expected, "{length} bytes, cut at {cut}, {at_a_time} at a time");
                assert!(through.starts_with(&before) && through.ends_with(&after));
                // What arrived together with the header is in memory already.
                assert!(longest <= PIECE || at_a_time > PIECE, "{longest}");
            }
        }
    }
}

#[test]
fn a_row_that_is_longer_than_any_that_is_kept_is_announced() {
    let length = LARGEST_ROW + 1;
    let header = header(b'd', u32::try_from(length + 4).unwrap());
    for first in [&b""[..], b"2026-01-01"] {
        let (through, _) = through_from(Side::Remote, &[READY, &header, first], 8192);
        let announcement = &through[READY.len() + HEADER..][..9];
        assert_eq!(announced_length(announcement), Some(length));
        assert_eq!(rows(&through[READY.len()..]).0, first);
    }
    let allowed = LARGEST_ROW;
    let refused = after_from(Side::Repository, &[READY, &header]);
    assert_eq!(refused, Err(LimitExceeded::Message { bytes: length + 5, allowed }));
}

#[test]
fn messages_are_followed_wherever_the_pieces_are_cut() {
    let good = [message(b'R', 4), message(b'S', 9), READY.to_vec(), message(b'd', 7), message(b'C', 0)].concat();
    let bad = [good.clone(), header(b'E', 1 << 30)].concat();
    let too_long = LimitExceeded::Message { bytes: (1 << 30) + 1, allowed: LARGEST_MESSAGE };
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
    for (kind, allowed) in [(b'D', LARGEST_ANSWER), (b'E', LARGEST_MESSAGE), (b'N', 1 << 20)] {
        let most = u32::try_from(allowed - if kind == b'D' { ROW_OVERHEAD } else { 0 } - 1).unwrap();
        assert_eq!(after(&[READY, &header(kind, most)]), Ok(()), "{kind}");
        let beyond = u32::try_from(allowed).unwrap();
        let one_more = LimitExceeded::Message { bytes: allowed + 1, allowed };
        assert_eq!(after(&[READY, &header(kind, beyond)]), Err(one_more), "{kind}");
        let all = LimitExceeded::Message { bytes: u64::from(u32::MAX) + 1, allowed };
        assert_eq!(after(&[READY, &header(kind, u32::MAX)]), Err(all), "{kind}");
    }
}

#[test]
fn before_authentication_only_little_may_be_sent() {
    let allowed = LARGEST_GREETING;
    let long = after(&[&header(b'E', 100_000)]);
    assert_eq!(long, Err(LimitExceeded::Message { bytes: 100_001, allowed }));
    let setting = message(b'S', 995);
    assert_eq!(after(&vec![setting.as_slice(); 65]), Ok(()));
    assert_eq!(after(&vec![setting.as_slice(); 66]), Err(LimitExceeded::Answer { allowed }));
    let notice = message(b'N', 995);
    assert_eq!(after(&vec![notice.as_slice(); 66]), Err(LimitExceeded::Answer { allowed }));
}

#[test]
fn rows_add_up_until_the_server_is_ready_again_and_those_of_a_copy_do_not() {
    let row = message(b'D', 100_000);
    let rows = vec![row.as_slice(); 80];
    let twice = [&[READY], rows.as_slice(), &[READY], &rows].concat();
    assert_eq!(after(&twice), Ok(()));
    let on_and_on = [&[READY], rows.as_slice(), &rows].concat();
    assert_eq!(after(&on_and_on), Err(LimitExceeded::Answer { allowed: LARGEST_ANSWER }));
    let copied = message(b'd', 1 << 20);
    assert_eq!(after(&[&[READY], vec![copied.as_slice(); 200].as_slice()].concat()), Ok(()));
}

#[test]
fn short_rows_count_for_what_they_take() {
    let row = message(b'D', 2);
    assert_eq!(after(&[READY, &row.repeat(50_000)]), Ok(()));
    assert_eq!(after(&[READY, &row.repeat(70_000)]), Err(LimitExceeded::Answer { allowed: LARGEST_ANSWER }));
}

#[test]
fn reported_settings_count_for_the_whole_session() {
    let setting = [message(b'S', 995), READY.to_vec()].concat();
    let (some, many) = ([READY, &setting.repeat(1000)].concat(), [READY, &setting.repeat(1100)].concat());
    assert_eq!(after(&[&some]), Ok(()));
    assert_eq!(after(&[&many]), Err(LimitExceeded::Reports));
    assert_eq!(after_from(Side::Repository, &[&many]), Ok(()));
}
