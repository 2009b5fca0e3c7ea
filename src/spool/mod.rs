//! Holds the rows of a snapshot between collect and load. The datasources of a snapshot share one log of blocks: in memory up
//! to a limit (`mapped_buffer`), beyond it in one unnamed temporary file.
//!
//! All spools of the collector share one memory budget (`budget`) and a few threads for file operations (`disk`).

mod budget;
mod disk;
mod log;
mod mapped_buffer;
#[cfg(test)]
mod tests;

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::config;
use budget::{Budget, Reservation};
use disk::Disk;
use log::Log;

pub(crate) use disk::THREADS;

/// The size of a block in bytes: how much a writer gathers before it appends to the log in memory. The buffer grows by doubling
/// from `INITIAL_BLOCK`; a little less than a power of two keeps the last row of a block from doubling it once more.
pub(crate) const BLOCK: usize = 7 * 1024;

/// The size of a block for a log in a file, where each block is a system call.
const FILE_BLOCK: usize = 15 * 1024;

/// The initial size of a block buffer: most datasources have few rows.
const INITIAL_BLOCK: usize = 2 * 1024;

/// The number of bytes that are read from the log at a time.
const READ_SIZE: u64 = 128 * 1024;

/// The memory budget and threads that the spools of all snapshots share. Clones share them too.
#[derive(Clone)]
pub(crate) struct Spools {
    budget: Budget,
    disk: Disk,
}

impl Spools {
    /// Creates it with a budget of `config.total_memory`.
    pub(crate) fn new(config: &config::Spool) -> Self {
        Self { budget: Budget::new(config.total_memory), disk: Disk::default() }
    }

    /// Applies a new configuration. Memory that exceeds a lower limit stays in use until its rows are loaded.
    pub(crate) fn configure(&self, config: &config::Spool) {
        self.budget.set_limit(config.total_memory);
    }
}

/// The spool of one snapshot. Several datasources can write to it concurrently.
pub(crate) struct Spool {
    shared: Arc<Shared>,
}

struct Shared {
    log: Mutex<Log>,
    budget: Budget,
    /// Whether the log is in a file.
    is_in_file: AtomicBool,
    broken: CancellationToken,
}

impl Spool {
    /// Creates an empty spool. Creates no file yet.
    pub(crate) fn new(spools: &Spools, config: &config::Spool) -> Self {
        Self::with_log(Log::new(spools, config), spools)
    }

    /// Creates a spool that counts rows and discards them.
    pub(crate) fn discarding(config: &config::Spool) -> Self {
        let spools = Spools::new(config);
        Self::with_log(Log::discarding(&spools, config), &spools)
    }

    fn with_log(log: Log, spools: &Spools) -> Self {
        let (budget, broken) = (spools.budget.clone(), CancellationToken::new());
        Self { shared: Arc::new(Shared { log: Mutex::new(log), budget, is_in_file: AtomicBool::new(false), broken }) }
    }

    /// A writer for the rows of one datasource. It uses no memory before the first row and after the last one.
    pub(crate) fn writer(&self) -> Writer {
        let reservation = self.shared.budget.reservation();
        Writer { shared: Arc::clone(&self.shared), block: Vec::new(), reservation, extents: Vec::new() }
    }

    /// Runs work that writes to the spool, until the spool fails. When a block cannot be written, the whole log is discarded:
    /// its memory is free for other snapshots at once, and the rest need not be collected.
    ///
    /// # Errors
    /// The temporary file cannot be created or written.
    pub(crate) async fn unless_broken<T>(&self, work: impl Future<Output = T>) -> io::Result<T> {
        let done = tokio::select! {
            biased;
            done = work => Some(done),
            () = self.shared.broken.cancelled() => None,
        };
        self.shared.log.lock().await.check()?;
        Ok(done.expect("unfinished work means a broken log"))
    }
}

impl Shared {
    async fn append(&self, block: Vec<u8>) -> io::Result<(Range<u64>, Vec<u8>)> {
        let mut log = self.log.lock().await;
        let appended = log.append(block).await;
        self.is_in_file.store(log.is_in_file(), Ordering::Relaxed);
        if appended.is_err() {
            self.broken.cancel();
        }
        appended
    }

    /// The size of a block.
    fn block(&self) -> usize {
        if self.is_in_file.load(Ordering::Relaxed) { FILE_BLOCK } else { BLOCK }
    }
}

/// Writes the rows of one datasource. If it is dropped without [`Self::finish`], because the datasource failed, the space of
/// its rows is wasted until the snapshot is loaded. That is rare, so it is not worth a list of free ranges.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    block: Vec<u8>,
    /// The memory of the block.
    reservation: Reservation,
    extents: Vec<Range<u64>>,
}

impl Writer {
    /// The buffer to append rows to. Call [`Self::flush`] when [`Self::is_full`].
    pub(crate) fn block(&mut self) -> &mut Vec<u8> {
        if self.block.capacity() == 0 {
            self.block.reserve(INITIAL_BLOCK);
        }
        // Rows that arrive cannot be refused, so this may exceed the budget; other spools get less then.
        self.reservation.grow(self.shared.block().saturating_sub(self.reservation.bytes()));
        &mut self.block
    }

    /// Whether the block has to be flushed.
    pub(crate) fn is_full(&self) -> bool {
        self.block.len() >= self.shared.block()
    }

    /// Flushes the last block, and returns the rows for reading. `name` is the name of the datasource in messages, `target` its
    /// table, qualified and quoted.
    ///
    /// # Errors
    /// The temporary file cannot be created or written.
    pub(crate) async fn finish(mut self, name: String, target: String, rows: u64) -> io::Result<SpooledRows> {
        self.flush().await?;
        let Self { shared, mut extents, .. } = self;
        extents.shrink_to_fit();
        Ok(SpooledRows { name, target, rows, shared, extents, extent: 0, read: 0 })
    }

    /// Appends the block to the log.
    ///
    /// # Errors
    /// The temporary file cannot be created or written.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        if self.block.is_empty() {
            return Ok(());
        }
        let (range, mut block) = self.shared.append(std::mem::take(&mut self.block)).await?;
        block.clear();
        self.block = block;
        match self.extents.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => self.extents.push(range),
        }
        Ok(())
    }
}

/// The spooled rows of one datasource. They can be read repeatedly.
pub(crate) struct SpooledRows {
    name: String,
    target: String,
    rows: u64,
    shared: Arc<Shared>,
    /// The ranges of the log that have the rows.
    extents: Vec<Range<u64>>,
    /// The index of the extent to read next, and the bytes that were read of it.
    extent: usize,
    read: u64,
}

impl SpooledRows {
    /// The number of rows.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// Their size in bytes, in the text format of COPY.
    pub(crate) fn bytes(&self) -> u64 {
        self.extents.iter().map(|extent| extent.end - extent.start).sum()
    }

    /// The target table, qualified and quoted.
    pub(crate) fn target(&self) -> &str {
        &self.target
    }

    /// The name of the datasource in messages.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The next part of the rows, empty at the end.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) async fn next_part(&mut self) -> io::Result<Bytes> {
        let Some(extent) = self.extents.get(self.extent) else { return Ok(Bytes::new()) };
        let start = extent.start + self.read;
        let end = extent.end.min(start + READ_SIZE);
        let part = self.shared.log.lock().await.read(start..end).await?;
        if end == extent.end {
            (self.extent, self.read) = (self.extent + 1, 0);
        } else {
            self.read += end - start;
        }
        Ok(part)
    }

    /// Restarts reading at the first row.
    pub(crate) fn rewind(&mut self) {
        (self.extent, self.read) = (0, 0);
    }
}
