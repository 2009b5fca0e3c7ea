//! The rows of one datasource on their way from a remote server to the spool.

use std::io;

use super::copy_text::RowPrefixer;
use super::long_rows::LongRows;
use super::row_filter::{ExcludedRows, RowFilter};
use crate::spool::{SpooledRows, Writer};
use session::announced_length;

/// The column of `powa_statements_src()` with the text of a statement.
pub(crate) const QUERY_TEXT: &str = "query";

/// Processes the output of a datasource's `COPY`.
pub(crate) struct IncomingRows {
    /// Applied before the columns are inserted.
    filter: Option<RowFilter>,
    prefixer: RowPrefixer,
    writer: Writer,
    /// `None` if texts are truncated: then the rest of a long row is kept.
    long_rows: Option<LongRows>,
    /// The next piece begins a row.
    is_at_row_start: bool,
}

impl IncomingRows {
    /// `leading` are the values to insert before each row. `columns` are the names of the received columns, if known,
    /// and
    /// `query_text` is how many bytes of a statement's text are kept, if limited.
    pub(crate) fn new<'a>(
        leading: impl IntoIterator<Item = &'a str>,
        columns: &[String],
        query_text: Option<usize>,
        writer: Writer,
    ) -> Self {
        let mut prefixer = RowPrefixer::new(leading);
        let column = columns.iter().position(|column| column == QUERY_TEXT);
        let long_rows = match column.zip(query_text) {
            Some((column, most)) => {
                prefixer.cut_column(column, most);
                None
            }
            None => Some(LongRows::with_columns(columns)),
        };
        Self { filter: None, prefixer, writer, long_rows, is_at_row_start: true }
    }

    /// Excludes the rows of some databases.
    #[must_use]
    pub(crate) fn without(self, excluded: Option<ExcludedRows>) -> Self {
        Self { filter: excluded.map(RowFilter::new), ..self }
    }

    /// Processes the next piece, of one block at most: rows may be of any length, and no more than a block is held
    /// twice. If it is full then, [`Self::flush`] must follow.
    pub(crate) fn push(&mut self, piece: &[u8]) {
        let Some(last) = piece.last() else { return };
        let ends_row = *last == b'\n';
        let Self { filter, prefixer, writer, long_rows, is_at_row_start } = self;
        let mut rest = piece;
        match long_rows {
            Some(rows) if *is_at_row_start || rows.is_in_one() => {
                let is_announced = !rows.is_in_one() && announced_length(piece).is_some();
                rest = rows.take(piece);
                if is_announced {
                    return;
                }
            }
            // Only the end of its text is dropped.
            None if *is_at_row_start && announced_length(piece).is_some() => return,
            _ => {}
        }
        *is_at_row_start = ends_row;
        match filter {
            Some(filter) => filter.push(rest, |kept| prefixer.push(kept, writer.block())),
            None => prefixer.push(rest, writer.block()),
        }
    }

    /// The rows that were dropped because of their length.
    pub(crate) fn left_out(&self) -> Option<&LongRows> {
        self.long_rows.as_ref().filter(|rows| !rows.is_empty())
    }

    /// There was a row too long for any repository; it and the rows after it were dropped.
    pub(crate) fn is_incomplete(&self) -> bool {
        self.prefixer.is_too_long()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.writer.is_full()
    }

    /// Writes to the spool. A failed spool accepts nothing: it ends the snapshot and reports the reason itself.
    pub(crate) async fn flush(&mut self) {
        self.writer.flush().await.ok();
    }

    /// Ends the stream.
    ///
    /// # Errors
    /// The spool has failed.
    pub(crate) async fn finish(mut self, name: String, target: String) -> io::Result<SpooledRows> {
        if let Some(filter) = &mut self.filter {
            filter.finish(|kept| self.prefixer.push(kept, self.writer.block()));
        }
        self.prefixer.finish(self.writer.block());
        self.writer.finish(name, target, self.prefixer.rows()).await
    }
}
