//! Truncates the texts of one column, in rows in the text format of COPY. Pure.

use memchr::{memchr, memchr2};

/// Keeps the first bytes of one column, and all other columns. Pieces may end anywhere.
///
/// Texts are truncated between characters, and never inside an escape, so that `COPY FROM` accepts the row.
#[derive(Debug)]
pub(crate) struct ColumnCutter {
    /// The index of the column in the row.
    column: usize,
    /// Maximum bytes of the text, without escapes. Not 0, so that `\N` is kept.
    most: usize,
    /// The column of the next byte.
    current: usize,
    /// Bytes of the text so far.
    length: usize,
    /// The last character was a backslash: the next one belongs to it and is already counted.
    is_escaped: bool,
    /// The rest of the text is dropped.
    is_cutting: bool,
}

impl ColumnCutter {
    pub(crate) fn new(column: usize, most: usize) -> Self {
        Self { column, most, current: 0, length: 0, is_escaped: false, is_cutting: false }
    }

    /// Passes the kept parts of the next piece to `keep`, in order.
    pub(crate) fn push(&mut self, mut piece: &str, mut keep: impl FnMut(&str)) {
        while !piece.is_empty() {
            if self.current != self.column {
                let end = self.end_of_other_columns(piece);
                keep(&piece[..end]);
                piece = &piece[end..];
                continue;
            }
            let end = memchr2(b'\t', b'\n', piece.as_bytes());
            let (text, rest) = piece.split_at(end.unwrap_or(piece.len()));
            let kept = if self.is_cutting { 0 } else { self.kept(text) };
            keep(&text[..kept]);
            if let Some(delimiter) = rest.bytes().next() {
                self.pass(delimiter);
                keep(&rest[..1]);
                piece = &rest[1..];
            } else {
                piece = rest;
            }
        }
    }

    /// The end of the part before the column, or after it up to the end of the row.
    fn end_of_other_columns(&mut self, piece: &str) -> usize {
        let bytes = piece.as_bytes();
        let mut at = 0;
        while self.current != self.column {
            let next = if self.current < self.column {
                memchr2(b'\t', b'\n', &bytes[at..])
            } else {
                memchr(b'\n', &bytes[at..])
            };
            let Some(next) = next else { return bytes.len() };
            self.pass(bytes[at + next]);
            at += next + 1;
        }
        at
    }

    fn pass(&mut self, delimiter: u8) {
        self.current = if delimiter == b'\n' { 0 } else { self.current + 1 };
        (self.length, self.is_escaped, self.is_cutting) = (0, false, false);
    }

    /// How many bytes of the next part of the text are kept.
    fn kept(&mut self, text: &str) -> usize {
        let mut at = 0;
        while at < text.len() {
            if self.is_escaped {
                at += text[at..].chars().next().map_or(0, char::len_utf8);
                self.is_escaped = false;
                continue;
            }
            let rest = &text[at..];
            let plain = memchr(b'\\', rest.as_bytes()).unwrap_or(rest.len());
            let room = self.most - self.length;
            if plain > room {
                self.is_cutting = true;
                return at + rest.floor_char_boundary(room);
            }
            self.length += plain;
            at += plain;
            if at < text.len() {
                if self.length == self.most {
                    self.is_cutting = true;
                    return at;
                }
                self.length += 1;
                self.is_escaped = true;
                at += 1;
            }
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cut(column: usize, most: usize, pieces: &[&str]) -> String {
        let mut cutter = ColumnCutter::new(column, most);
        let mut kept = String::new();
        for piece in pieces {
            cutter.push(piece, |part| kept.push_str(part));
        }
        kept
    }

    /// In two pieces, split at every character.
    fn cut_everywhere(column: usize, most: usize, rows: &str) -> String {
        let whole = cut(column, most, &[rows]);
        for (at, _) in rows.char_indices() {
            assert_eq!(cut(column, most, &[&rows[..at], &rows[at..]]), whole, "{rows:?} cut at {at}");
        }
        whole
    }

    #[test]
    fn only_the_column_is_cut_and_only_if_it_is_longer() {
        let cases = [
            (1, "a\tselect 1\tb\n", "a\tselect\tb\n"),
            (1, "a\tselect\tb\n", "a\tselect\tb\n"),
            (1, "a\t\\N\tb\n", "a\t\\N\tb\n"),
            (0, "select 1\tlonger than that\nselect 2\tb\n", "select\tlonger than that\nselect\tb\n"),
            (
                1,
                "longer than that\tselect 1\nlonger than that\tselect 2\n",
                "longer than that\tselect\nlonger than that\tselect\n",
            ),
            (2, "a\tb\nlonger than that\n\t\tselect 1\n", "a\tb\nlonger than that\n\t\tselect\n"),
            (0, "", ""),
        ];
        for (column, rows, kept) in cases {
            assert_eq!(cut_everywhere(column, 6, rows), kept, "{rows:?}");
        }
    }

    #[test]
    fn a_text_is_cut_between_characters_and_between_escapes() {
        let text = "é€\\n\\\\😀x";
        let kept = ["", "é", "é", "é", "é€", "é€\\n", "é€\\n\\\\", "é€\\n\\\\", "é€\\n\\\\", "é€\\n\\\\"];
        for (most, kept) in (1..).zip(kept) {
            assert_eq!(cut_everywhere(0, most, &format!("{text}\t1\n")), format!("{kept}\t1\n"), "at most {most}");
        }
        assert_eq!(cut_everywhere(0, 11, &format!("{text}\t1\n")), "é€\\n\\\\😀\t1\n");
        assert_eq!(cut_everywhere(0, 12, &format!("{text}\t1\n")), format!("{text}\t1\n"));
    }

    /// A text as COPY TO writes it.
    fn escaped(text: &str) -> String {
        let escape = |c| match c {
            '\\' => "\\\\".into(),
            '\n' => "\\n".into(),
            '\t' => "\\t".into(),
            '\r' => "\\r".into(),
            other => String::from(other),
        };
        text.chars().map(escape).collect()
    }

    proptest! {
        #[test]
        fn what_is_kept_is_the_beginning_of_the_text(text in "(\\PC|[\\\\\n\t\r]){0,30}", most in 1_usize..40, at in any::<prop::sample::Index>()) {
            let rows = format!("1\t{}\t2\n3\tb\t4\n", escaped(&text));
            let beginning = escaped(&text[..text.floor_char_boundary(most)]);
            let other = &"b"[..most.min(1)];
            let expected = format!("1\t{beginning}\t2\n3\t{other}\t4\n");
            let at = rows.floor_char_boundary(at.index(rows.len() + 1));
            prop_assert_eq!(cut(1, most, &[&rows[..at], &rows[at..]]), expected);
        }

        #[test]
        fn rows_and_their_columns_stay_whatever_is_sent(rows in "[a\\\\\t\n\ré]{0,40}", column in 0_usize..3, most in 1_usize..4) {
            let kept = cut(column, most, &[&rows]);
            let delimiters = |text: &str| text.chars().filter(|c| "\t\n".contains(*c)).collect::<String>();
            prop_assert_eq!(delimiters(&kept), delimiters(&rows));
        }
    }
}
