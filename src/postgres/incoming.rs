//! The rows of one datasource on their way from a remote server into the spool, where they get their leading columns.

use std::io;

use super::copy_text::RowPrefixer;
use crate::spool::{SpooledRows, Writer};

/// Takes what a datasource's `COPY` gives.
pub struct IncomingRows {
    prefixer: RowPrefixer,
    writer: Writer,
}

impl IncomingRows {
    /// `columns` are the values to put in front of each row.
    pub fn new<'a>(columns: impl IntoIterator<Item = &'a str>, writer: Writer) -> Self {
        Self { prefixer: RowPrefixer::new(columns), writer }
    }

    /// Takes the next piece, of a block at most: a row may be of any length, and no more than that of it is here twice.
    /// [`Self::make_room`] has to follow if it is full then.
    pub(super) fn push(&mut self, piece: &[u8]) {
        self.prefixer.push(piece, self.writer.block());
    }

    pub(super) fn is_full(&self) -> bool {
        self.writer.is_full()
    }

    /// A spool that is broken takes nothing: it ends the snapshot, and says why itself.
    pub(super) async fn make_room(&mut self) {
        self.writer.make_room().await.ok();
    }

    /// Ends the taking.
    ///
    /// # Errors
    /// The spool is broken.
    pub async fn finish(mut self, name: String, target: String) -> io::Result<SpooledRows> {
        self.prefixer.finish(self.writer.block());
        self.writer.finish(name, target, self.prefixer.rows()).await
    }
}
