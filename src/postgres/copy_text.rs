//! Puts the repository's leading columns in front of every row of a `COPY ... TO STDOUT` stream. Pure.
//!
//! In the text format a raw newline ends a row and never occurs inside one, as the chapter on COPY in PostgreSQL's
//! documentation tells, so rows need not be parsed. What comes is not trusted: see [`RowPrefixer::push`].

use std::io::{self, Write};

use memchr::memchr2;

/// Copies a stream, in pieces cut anywhere, with a prefix before each row.
#[derive(Debug)]
pub struct RowPrefixer {
    prefix: Vec<u8>,
    at_row_start: bool,
    /// The beginning of a character that the last piece was cut in.
    cut: Vec<u8>,
    rows: u64,
}

impl RowPrefixer {
    /// `columns` are the values to put first, each as PostgreSQL writes it; they get the tab that follows each.
    pub fn new<'a>(columns: impl IntoIterator<Item = &'a str>) -> Self {
        let mut prefix = Vec::new();
        for column in columns {
            escape_into(column, &mut prefix);
            prefix.push(b'\t');
        }
        Self { prefix, at_row_start: true, cut: Vec::new(), rows: 0 }
    }

    /// Rows that have begun so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Takes the next piece of the stream.
    ///
    /// Two things that no honest server sends are made harmless. Bytes that are not UTF-8, which a database in
    /// `SQL_ASCII` can hold, become U+FFFD: the repository would refuse the whole stream. A raw carriage return
    /// becomes its escape: `COPY FROM` would take it for the end of a row, and what follows for a row without prefix.
    ///
    /// # Errors
    /// `out` cannot be written to.
    pub fn push(&mut self, piece: &[u8], out: &mut impl Write) -> io::Result<()> {
        if self.cut.is_empty() && std::str::from_utf8(piece).is_ok() {
            return self.push_valid(piece, out);
        }
        let mut bytes = std::mem::take(&mut self.cut);
        bytes.extend_from_slice(piece);
        let mut chunks = bytes.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            self.push_valid(chunk.valid().as_bytes(), out)?;
            let invalid = chunk.invalid();
            let is_cut_at_the_end =
                chunks.peek().is_none() && std::str::from_utf8(invalid).is_err_and(|error| error.error_len().is_none());
            if is_cut_at_the_end {
                self.cut = invalid.to_vec();
            } else if !invalid.is_empty() {
                self.push_valid("\u{FFFD}".as_bytes(), out)?;
            }
        }
        Ok(())
    }

    /// Ends the stream: a character that was begun and never ended is replaced.
    ///
    /// # Errors
    /// `out` cannot be written to.
    pub fn finish(&mut self, out: &mut impl Write) -> io::Result<()> {
        if std::mem::take(&mut self.cut).is_empty() {
            return Ok(());
        }
        self.push_valid("\u{FFFD}".as_bytes(), out)
    }

    fn push_valid(&mut self, mut bytes: &[u8], out: &mut impl Write) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.at_row_start {
                out.write_all(&self.prefix)?;
                self.at_row_start = false;
                self.rows += 1;
            }
            match memchr2(b'\n', b'\r', bytes) {
                None => return out.write_all(bytes),
                Some(at) if bytes[at] == b'\n' => {
                    out.write_all(&bytes[..=at])?;
                    self.at_row_start = true;
                    bytes = &bytes[at + 1..];
                }
                Some(at) => {
                    out.write_all(&bytes[..at])?;
                    out.write_all(b"\\r")?;
                    bytes = &bytes[at + 1..];
                }
            }
        }
        Ok(())
    }
}

/// A value as the text format of COPY writes it.
fn escape_into(value: &str, out: &mut Vec<u8>) {
    for byte in value.bytes() {
        match byte {
            b'\\' => out.extend(b"\\\\"),
            b'\t' => out.extend(b"\\t"),
            b'\n' => out.extend(b"\\n"),
            b'\r' => out.extend(b"\\r"),
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefixed(columns: &[&str], pieces: &[&[u8]]) -> (Vec<u8>, u64) {
        let mut prefixer = RowPrefixer::new(columns.iter().copied());
        let mut out = Vec::new();
        for piece in pieces {
            prefixer.push(piece, &mut out).unwrap();
        }
        prefixer.finish(&mut out).unwrap();
        (out, prefixer.rows())
    }

    #[test]
    fn every_row_gets_the_columns() {
        type Case<'a> = (&'a [&'a [u8]], &'a [u8], u64);
        let cases: [Case; 7] = [
            (&[], b"", 0),
            (&[b"a\tb\n"], b"7\ta\tb\n", 1),
            (&[b"a\nb\n"], b"7\ta\n7\tb\n", 2),
            (&[b"a", b"b\nc", b"\n"], b"7\tab\n7\tc\n", 2),
            (&[b"\n", b"\n"], b"7\t\n7\t\n", 2),
            (&[b"a\\nb\n"], b"7\ta\\nb\n", 1),
            (&[b"\\.\n"], b"7\t\\.\n", 1),
        ];
        for (pieces, expected, rows) in cases {
            assert_eq!(prefixed(&["7"], pieces), (expected.to_vec(), rows), "{pieces:?}");
        }
    }

    #[test]
    fn several_columns_come_in_their_order_and_escaped() {
        let (out, _) = prefixed(&["7", "2026-01-01 00:00:00+00", "a\tb\\"], &[b"x\n"]);
        assert_eq!(out, b"7\t2026-01-01 00:00:00+00\ta\\tb\\\\\tx\n");
    }

    #[test]
    fn bytes_that_are_not_utf8_are_replaced_wherever_the_stream_is_cut() {
        let row = b"caf\xe9 \xc3\xa9 \xe2\x82\xac \xe2\x82\n";
        let expected = "7\tcaf\u{FFFD} é € \u{FFFD}\n".as_bytes();
        for cut in 0..=row.len() {
            assert_eq!(prefixed(&["7"], &[&row[..cut], &row[cut..]]).0, expected, "cut at {cut}");
        }
        let single: Vec<&[u8]> = row.chunks(1).collect();
        assert_eq!(prefixed(&["7"], &single).0, expected);
        assert_eq!(prefixed(&["7"], &[b"a\n\xc3"]).0, "7\ta\n7\t\u{FFFD}".as_bytes());
    }

    #[test]
    fn a_carriage_return_cannot_begin_a_row_of_another_server() {
        let (out, rows) = prefixed(&["7"], &[b"a\r99\tforged\r\n"]);
        assert_eq!(out, b"7\ta\\r99\tforged\\r\n");
        assert_eq!(rows, 1);
    }
}
