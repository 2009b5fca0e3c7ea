//! The rows of one datasource on their way from a remote server into the spool, where they get their leading columns.

use std::io;

use super::copy_text::RowPrefixer;
use crate::spool::{BLOCK, SpooledRows, Writer};

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

    /// Takes the next piece. A spool that is broken takes nothing: it ends the snapshot, and says why itself.
    pub(super) async fn take(&mut self, piece: &[u8]) {
        // A row may be of any length; no more than a block of it is here twice.
        for part in piece.chunks(BLOCK) {
            self.prefixer.push(part, self.writer.block());
            self.writer.make_room().await.ok();
        }
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
