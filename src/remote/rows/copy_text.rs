//! Inserts the leading columns of the repository's tables into every row of a `COPY ... TO STDOUT` stream. Pure.
//!
//! In the text format, a raw newline always ends a row (see the chapter on COPY in PostgreSQL's documentation), so rows
//! need not be parsed. The stream is not trusted: see [`RowPrefixer::push`].

use memchr::memchr2;

use super::column_cutter::ColumnCutter;

/// Bytes of the longest row that is passed on: three times the longest row that is kept whole (64 MB), as if none of
/// its bytes were UTF-8. PostgreSQL accepts no row of 1 GB.
const LONGEST_ROW: usize = 256 << 20;

/// Copies a stream, in pieces that may end anywhere, with a prefix before each row.
#[derive(Debug)]
pub struct RowPrefixer {
    prefix: Vec<u8>,
    at_row_start: bool,
    /// The beginning of a character that the last piece ended in.
    cut: Vec<u8>,
    rows: u64,
    cutter: Option<ColumnCutter>,
    /// Bytes of the current row, without its prefix.
    length: usize,
    is_too_long: bool,
}

impl RowPrefixer {
    /// `columns` are the values to insert, each as PostgreSQL writes it; a tab is added after each.
    pub fn new<'a>(columns: impl IntoIterator<Item = &'a str>) -> Self {
        let mut prefix = Vec::new();
        for column in columns {
            escape_into(column, &mut prefix);
            prefix.push(b'\t');
        }
        Self { prefix, at_row_start: true, cut: Vec::new(), rows: 0, cutter: None, length: 0, is_too_long: false }
    }

    /// Truncates the texts of a column, counted from 0, to so many bytes.
    pub(crate) fn cut_column(&mut self, column: usize, most: usize) {
        self.cutter = Some(ColumnCutter::new(column, most));
    }

    /// There was a row too long for the repository. Nothing more is passed on.
    pub(crate) fn is_too_long(&self) -> bool {
        self.is_too_long
    }

    /// Rows that have begun so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Processes the next piece of the stream.
    ///
    /// Two things are sanitized. Bytes that are not UTF-8, as in a database in `SQL_ASCII`, become U+FFFD: the
    /// repository would refuse the whole stream. A raw carriage return, which only a malicious server sends, becomes
    /// its escape: `COPY FROM` would take it for the end of a row, and what follows for a row without prefix.
    pub fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        if self.cut.is_empty()
            && let Ok(text) = std::str::from_utf8(piece)
        {
            return self.push_valid(text, out);
        }
        let mut bytes = std::mem::take(&mut self.cut);
        bytes.extend_from_slice(piece);
        let mut chunks = bytes.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            self.push_valid(chunk.valid(), out);
            let invalid = chunk.invalid();
            let is_cut_at_the_end =
                chunks.peek().is_none() && std::str::from_utf8(invalid).is_err_and(|error| error.error_len().is_none());
            if is_cut_at_the_end {
                self.cut = invalid.to_vec();
            } else if !invalid.is_empty() {
                self.push_valid("\u{FFFD}", out);
            }
        }
    }

    /// Ends the stream: an incomplete character is replaced.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if !std::mem::take(&mut self.cut).is_empty() {
            self.push_valid("\u{FFFD}", out);
        }
    }

    fn push_valid(&mut self, text: &str, out: &mut Vec<u8>) {
        match self.cutter.take() {
            Some(mut cutter) => {
                cutter.push(text, |part| self.push_kept(part.as_bytes(), out));
                self.cutter = Some(cutter);
            }
            None => self.push_kept(text.as_bytes(), out),
        }
    }

    fn push_kept(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while !bytes.is_empty() && !self.is_too_long {
            if self.at_row_start {
                out.extend_from_slice(&self.prefix);
                self.at_row_start = false;
                self.length = 0;
                self.rows += 1;
            }
            let end = memchr2(b'\n', b'\r', bytes);
            self.length += end.unwrap_or(bytes.len());
            if self.length > LONGEST_ROW {
                self.is_too_long = true;
                return;
            }
            match end {
                None => return out.extend_from_slice(bytes),
                Some(at) if bytes[at] == b'\n' => {
                    out.extend_from_slice(&bytes[..=at]);
                    self.at_row_start = true;
                    bytes = &bytes[at + 1..];
                }
                Some(at) => {
                    out.extend_from_slice(&bytes[..at]);
                    out.extend_from_slice(b"\\r");
                    bytes = &bytes[at + 1..];
                }
            }
        }
    }
}

/// A value in the text format of COPY.
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
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    fn prefixed(columns: &[&str], pieces: &[&[u8]]) -> (Vec<u8>, u64) {
        let mut prefixer = RowPrefixer::new(columns.iter().copied());
        let mut out = Vec::new();
        for piece in pieces {
            prefixer.push(piece, &mut out);
        }
        prefixer.finish(&mut out);
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

    #[test]
    fn a_column_is_cut_at_a_character_wherever_the_stream_is_cut() {
        let row = "é€1\tcafé\t2\n".as_bytes();
        let rows = [row, b"x\tcaf\xe9\xe9\t3\n"].concat();
        for cut in 0..=rows.len() {
            let mut prefixer = RowPrefixer::new(["7"]);
            prefixer.cut_column(1, 4);
            let mut out = Vec::new();
            prefixer.push(&rows[..cut], &mut out);
            prefixer.push(&rows[cut..], &mut out);
            prefixer.finish(&mut out);
            assert_eq!(String::from_utf8(out).unwrap(), "7\té€1\tcaf\t2\n7\tx\tcaf\t3\n", "cut at {cut}");
        }
    }

    #[test]
    fn a_row_without_end_ends_what_is_passed_on() {
        let mut prefixer = RowPrefixer::new(["7"]);
        let mut out = Vec::new();
        prefixer.push(b"a\tb\n", &mut out);
        let piece = vec![b'x'; 1 << 20];
        let passed: usize = (0..300)
            .map(|_| {
                out.clear();
                prefixer.push(&piece, &mut out);
                out.len()
            })
            .sum();
        assert!(prefixer.is_too_long());
        assert_eq!(passed, LONGEST_ROW + b"7\t".len());
    }

    /// Bytes in which what is special to COPY, to UTF-8 or to a forger is frequent.
    fn stream() -> impl Strategy<Value = Vec<u8>> {
        let special: [&[u8]; 18] = [
            b"\n",
            b"\r",
            b"\r\n",
            b"\\",
            b"\\\n",
            b"\\\r",
            b"\\.",
            b"\\.\n",
            b"\n\\.\n",
            b"\t",
            b"\\N",
            b"\0",
            b"99\t",
            b"\xff",
            b"\xc3",
            b"\xe2\x82",
            b"\xf0\x9f\x98",
            b"\xed\xa0\x80",
        ];
        let piece = prop_oneof![
            4 => select(special.to_vec()).prop_map(<[u8]>::to_vec),
            2 => "\\PC{0,8}".prop_map(String::into_bytes),
            1 => vec(any::<u8>(), 0..8),
        ];
        vec(piece, 0..40).prop_map(|pieces| pieces.concat())
    }

    fn cut<'a>(stream: &'a [u8], at: &[prop::sample::Index]) -> Vec<&'a [u8]> {
        let mut cuts: Vec<_> = at.iter().map(|index| index.index(stream.len() + 1)).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        cuts.windows(2).map(|ends| &stream[ends[0]..ends[1]]).collect()
    }

    /// The expected output, computed without pieces.
    fn naively_prefixed(prefix: &str, stream: &[u8]) -> (Vec<u8>, u64) {
        let text = String::from_utf8_lossy(stream).replace('\r', "\\r");
        let rows: Vec<_> = text.split_inclusive('\n').map(|row| format!("{prefix}{row}")).collect();
        (rows.concat().into_bytes(), rows.len() as u64)
    }

    /// What COPY FROM takes for rows, wherever it may see the end of one: also at the newlines and carriage returns
    /// that a backslash would take away from it.
    fn rows_for_copy(text: &str) -> impl Iterator<Item = &str> {
        text.split(['\n', '\r']).filter(|row| !row.is_empty())
    }

    proptest! {
        #[test]
        fn where_the_stream_is_cut_makes_no_difference(stream in stream(), at in vec(any::<prop::sample::Index>(), 0..20)) {
            prop_assert_eq!(prefixed(&["7", "t"], &cut(&stream, &at)), naively_prefixed("7\tt\t", &stream));
        }

        #[test]
        fn whatever_a_server_sends_no_row_is_without_its_prefix(stream in stream(), at in vec(any::<prop::sample::Index>(), 0..20)) {
            let (out, rows) = prefixed(&["7"], &cut(&stream, &at));
            let text = String::from_utf8(out).unwrap();
            prop_assert!(rows_for_copy(&text).all(|row| row.starts_with("7\t")), "{:?}", text);
            prop_assert_eq!(rows_for_copy(&text).count() as u64, rows);
        }

        #[test]
        fn columns_cannot_break_out_of_their_place(column in "[\\x00-\\x7f]{0,10}|\\PC{0,5}", stream in stream()) {
            let (out, _) = prefixed(&["7", &column], &[&stream]);
            let text = String::from_utf8(out).unwrap();
            for row in rows_for_copy(&text) {
                let mut columns = row.splitn(3, '\t');
                prop_assert_eq!(columns.next(), Some("7"));
                prop_assert_eq!(unescaped(columns.next().unwrap()), column.as_str());
                prop_assert!(columns.next().is_some());
            }
        }
    }

    /// What COPY FROM makes of a column that has only the escapes that are written here.
    fn unescaped(column: &str) -> String {
        let mut text = String::new();
        let mut characters = column.chars();
        while let Some(character) = characters.next() {
            text.push(match character {
                '\\' => match characters.next().unwrap() {
                    't' => '\t',
                    'n' => '\n',
                    'r' => '\r',
                    other => other,
                },
                other => other,
            });
        }
        text
    }
}
