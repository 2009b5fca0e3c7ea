//! Drops rows that are too long to be kept, and identifies their statements. Pure.

use std::fmt;

use session::{LARGEST_ROW, announced_length};

/// Bytes of a row in which the statement's id is searched. PoWA has only a time and some numbers before the text.
const BEGINNING: usize = 512;

/// Maximum number of statements that are listed; others are counted.
const MOST_NAMED: usize = 3;

/// The identification of a statement in `pg_stat_statements`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StatementId {
    userid: u32,
    dbid: u32,
    queryid: i64,
}

/// The long rows of one datasource that were dropped.
#[derive(Debug, Default)]
pub(crate) struct LongRows {
    /// The columns of the datasource's rows, if known.
    columns: Vec<String>,
    /// Bytes of the current row that are still expected.
    left: u64,
    beginning: Vec<u8>,
    count: u64,
    named: Vec<StatementId>,
}

impl LongRows {
    pub(crate) fn with_columns(columns: &[String]) -> Self {
        Self { columns: columns.to_vec(), ..Self::default() }
    }

    /// Consumes the part of a piece that belongs to a long row, and returns the rest.
    pub(crate) fn take<'a>(&mut self, piece: &'a [u8]) -> &'a [u8] {
        if self.left == 0 {
            let Some(length) = announced_length(piece) else { return piece };
            self.left = length;
            self.count += 1;
            self.beginning.clear();
            return &[];
        }
        let part = usize::try_from(self.left).map_or(piece.len(), |left| left.min(piece.len()));
        let (part, rest) = piece.split_at(part);
        let beginning = BEGINNING.saturating_sub(self.beginning.len()).min(part.len());
        self.beginning.extend_from_slice(&part[..beginning]);
        self.left -= part.len() as u64;
        if self.left == 0 && self.named.len() < MOST_NAMED {
            self.named.extend(self.statement());
        }
        rest
    }

    /// Whether a long row has begun and not ended.
    pub(crate) fn is_in_one(&self) -> bool {
        self.left > 0
    }

    fn statement(&self) -> Option<StatementId> {
        let values: Vec<_> = self.beginning.split(|byte| *byte == b'\t').collect();
        // The last value may be incomplete.
        let (_, values) = values.split_last()?;
        let value = |name: &str| {
            let place = self.columns.iter().position(|column| column == name)?;
            std::str::from_utf8(values.get(place)?).ok()
        };
        let statement = StatementId {
            userid: value("userid")?.parse().ok()?,
            dbid: value("dbid")?.parse().ok()?,
            queryid: value("queryid")?.parse().ok()?,
        };
        Some(statement)
    }

    /// Whether there were none.
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Their statements, as far as they are listed.
    pub(crate) fn statements(&self) -> &[StatementId] {
        &self.named
    }
}

impl fmt::Display for LongRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = if self.count == 1 { "row" } else { "rows" };
        write!(f, "{} {rows} of more than {} MB left out", self.count, LARGEST_ROW >> 20)?;
        for (place, StatementId { userid, dbid, queryid }) in self.named.iter().enumerate() {
            let before = if place == 0 { ": the statement with" } else { "; with" };
            write!(f, "{before} userid {userid}, dbid {dbid}, queryid {queryid}")?;
        }
        match self.count - self.named.len() as u64 {
            more if more > 0 && !self.named.is_empty() => write!(f, "; and {more} more"),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for StatementId {
    /// As the arguments of `pg_stat_statements_reset()`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}, {}", self.userid, self.dbid, self.queryid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announcement(length: u64) -> Vec<u8> {
        [&[0][..], &length.to_be_bytes()].concat()
    }

    fn columns() -> Vec<String> {
        ["ts", "userid", "dbid", "toplevel", "queryid", "query", "calls"].map(Into::into).into()
    }

    #[test]
    fn a_row_that_is_announced_is_left_out_and_named_and_the_others_stay() {
        let row = b"2026-01-01 00:00:00+00\t10\t16384\tt\t-42\tselect 1 /* a long text */\t7\n";
        for cut in 1..row.len() {
            let mut rows = LongRows::with_columns(&columns());
            assert_eq!(rows.take(b"short\n"), b"short\n");
            assert!(rows.is_empty());
            assert_eq!(rows.take(&announcement(row.len() as u64)), b"");
            assert_eq!(rows.take(&row[..cut]), b"");
            assert_eq!(rows.take(&[&row[cut..], b"next"].concat()), b"next");
            assert_eq!(rows.take(b"short\n"), b"short\n");
            let received = "1 row of more than 64 MB left out: the statement with userid 10, dbid 16384, queryid -42";
            assert_eq!(rows.to_string(), received);
            assert_eq!(rows.statements()[0].to_string(), "10, 16384, -42");
        }
    }

    #[test]
    fn what_is_no_statement_is_counted() {
        let row = "10\t20\tselect\n";
        for columns in [vec![], columns()] {
            let mut rows = LongRows::with_columns(&columns);
            for _ in 0..2 {
                rows.take(&announcement(row.len() as u64));
                assert_eq!(rows.take(row.as_bytes()), b"");
            }
            assert_eq!(rows.to_string(), "2 rows of more than 64 MB left out");
        }
    }

    #[test]
    fn not_all_are_named() {
        let mut rows = LongRows::with_columns(&columns());
        for queryid in 1..=5 {
            let row = format!("t\t10\t20\tt\t{queryid}\ttext\n");
            rows.take(&announcement(row.len() as u64));
            rows.take(row.as_bytes());
        }
        let received = "5 rows of more than 64 MB left out: the statement with userid 10, dbid 20, queryid 1; \
                    with userid 10, dbid 20, queryid 2; with userid 10, dbid 20, queryid 3; and 2 more";
        assert_eq!(rows.to_string(), received);
    }
}
