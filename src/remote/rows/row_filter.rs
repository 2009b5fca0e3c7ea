//! Drops the rows of excluded databases from a `COPY ... TO STDOUT` stream, by the column with the database's OID.
//! Pure.
//!
//! In the text format, a tab always ends a column and a newline always ends a row.

use std::collections::HashSet;
use std::sync::Arc;

/// Which rows are dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExcludedRows {
    /// The index of the column with the OID.
    pub column: usize,
    /// `pg_database.oid`.
    pub databases: Arc<HashSet<u32>>,
}

/// A row with more bytes than this up to the end of the column does not come from any known source function. It is
/// passed on instead of being buffered, and the repository refuses it.
const LONGEST_HEAD: usize = 1024;

/// Copies a stream, in pieces that may end anywhere, without the excluded rows.
#[derive(Debug)]
pub(crate) struct RowFilter {
    excluded: ExcludedRows,
    row: Row,
}

/// The state of the current row.
#[derive(Debug, PartialEq)]
enum Row {
    /// Its beginning, if the column is still incomplete.
    Undecided {
        head: Vec<u8>,
        tabs: usize,
    },
    Kept,
    Dropped,
}

impl Row {
    fn new() -> Self {
        Self::Undecided { head: Vec::new(), tabs: 0 }
    }
}

impl RowFilter {
    pub(crate) fn new(excluded: ExcludedRows) -> Self {
        Self { excluded, row: Row::new() }
    }

    /// Processes the next piece of the stream, and passes on what is kept.
    pub(crate) fn push(&mut self, mut piece: &[u8], mut keep: impl FnMut(&[u8])) {
        while !piece.is_empty() {
            match &mut self.row {
                Row::Undecided { head, tabs } => {
                    let end = piece.iter().position(|byte| matches!(byte, b'\t' | b'\n'));
                    let (part, rest) = piece.split_at(end.map_or(piece.len(), |end| end + 1));
                    head.extend_from_slice(part);
                    piece = rest;
                    let is_over = head.last() == Some(&b'\n');
                    let is_column = end.is_some() && *tabs == self.excluded.column;
                    *tabs += usize::from(end.is_some());
                    if !is_over && !is_column && head.len() <= LONGEST_HEAD {
                        continue;
                    }
                    let is_dropped = is_column && self.excluded.has(head);
                    if !is_dropped {
                        keep(head);
                    }
                    self.row = match (is_over, is_dropped) {
                        (true, _) => Row::new(),
                        (false, true) => Row::Dropped,
                        (false, false) => Row::Kept,
                    };
                }
                Row::Kept | Row::Dropped => {
                    let end = memchr::memchr(b'\n', piece);
                    let (part, rest) = piece.split_at(end.map_or(piece.len(), |end| end + 1));
                    if self.row == Row::Kept {
                        keep(part);
                    }
                    if end.is_some() {
                        self.row = Row::new();
                    }
                    piece = rest;
                }
            }
        }
    }

    /// Ends the stream: an incomplete row is passed on as it is.
    pub(crate) fn finish(&mut self, mut keep: impl FnMut(&[u8])) {
        if let Row::Undecided { head, .. } = std::mem::replace(&mut self.row, Row::new())
            && !head.is_empty()
        {
            keep(&head);
        }
    }
}

impl ExcludedRows {
    /// Whether the last column of this beginning, without its end, is the OID of an excluded database.
    fn has(&self, head: &[u8]) -> bool {
        let head = &head[..head.len() - 1];
        let column = head.rsplit(|byte| *byte == b'\t').next().unwrap_or_default();
        let id = std::str::from_utf8(column).ok().and_then(|id| id.parse().ok());
        id.is_some_and(|id| self.databases.contains(&id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn filtered(column: usize, pieces: &[&[u8]]) -> Vec<u8> {
        let databases = Arc::new(HashSet::from([5, 16_384]));
        let mut filter = RowFilter::new(ExcludedRows { column, databases });
        let mut out = Vec::new();
        for piece in pieces {
            filter.push(piece, |kept| out.extend_from_slice(kept));
        }
        filter.finish(|kept| out.extend_from_slice(kept));
        out
    }

    #[test]
    fn rows_of_databases_that_are_excluded_are_dropped() {
        type Case<'a> = (usize, &'a [u8], &'a [u8]);
        let cases: [Case; 9] = [
            (0, b"", b""),
            (0, b"5\ta\n6\tb\n16384\tc\n", b"6\tb\n"),
            (1, b"5\t6\tx\n6\t5\ty\n", b"5\t6\tx\n"),
            (1, b"a\t5\nb\t55\n", b"b\t55\n"),
            (2, b"a\t5\nb\t5\t5\t5\nc\n", b"a\t5\nc\n"),
            (1, b"\t5\t\n\t\\N\t\n", b"\t\\N\t\n"),
            (0, b"5\\n\n 5\n-5\n05\n", b"5\\n\n 5\n-5\n"),
            (0, b"6\t5", b"6\t5"),
            (0, b"5", b"5"),
        ];
        for (column, rows, expected) in cases {
            assert_eq!(filtered(column, &[rows]), expected, "{rows:?}");
            let bytes: Vec<&[u8]> = rows.chunks(1).collect();
            assert_eq!(filtered(column, &bytes), expected, "{rows:?}");
        }
    }

    #[test]
    fn a_row_without_end_is_not_kept() {
        let databases = Arc::new(HashSet::from([5]));
        let mut filter = RowFilter::new(ExcludedRows { column: 1, databases });
        let mut passed = 0;
        for _ in 0..100 {
            filter.push(&[b'x'; LONGEST_HEAD], |kept| passed += kept.len());
        }
        assert_eq!(passed, 100 * LONGEST_HEAD);
    }

    proptest! {
        #[test]
        fn where_the_stream_is_cut_makes_no_difference(
            rows in vec("[0-9a\t]{0,6}", 0..8),
            at in vec(any::<prop::sample::Index>(), 0..8),
            column in 0_usize..3,
        ) {
            let stream: String = rows.iter().map(|row| format!("{row}\n")).collect();
            let mut cuts: Vec<_> = at.iter().map(|index| index.index(stream.len() + 1)).collect();
            cuts.extend([0, stream.len()]);
            cuts.sort_unstable();
            let pieces: Vec<_> = cuts.windows(2).map(|ends| &stream.as_bytes()[ends[0]..ends[1]]).collect();
            let is_kept = |row: &&String| {
                let id = row.split('\t').nth(column).and_then(|id| id.parse::<u32>().ok());
                !id.is_some_and(|id| id == 5 || id == 16_384)
            };
            let expected: String = rows.iter().filter(is_kept).map(|row| format!("{row}\n")).collect();
            prop_assert_eq!(String::from_utf8(filtered(column, &pieces)).unwrap(), expected);
        }
    }
}
