//! The log of blocks of one snapshot: in memory while it fits, then in a file. After a failed write it is broken and stays so.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use super::Spools;
use super::mapped_buffer::MappedBuffer;
use crate::config;

const WRITE_FAILED: &str = "could not write to the temporary file in";

pub(super) struct Log {
    spools: Spools,
    /// The most bytes in memory; a longer log is in a file.
    memory_limit: usize,
    /// The most bytes of the log (`spool.limit`).
    limit: u64,
    directory: PathBuf,
    length: u64,
    pub(super) store: Store,
}

pub(super) enum Store {
    Empty,
    /// The buffer is shared with parts that are being loaded, and with the thread that moves it to a file.
    Memory(Arc<MappedBuffer>),
    /// Blocks have the same offsets as in memory.
    File(Arc<File>),
    /// A write failed with this error.
    Broken(io::ErrorKind, String),
    /// The log only counts bytes.
    Discarded,
}

impl Log {
    pub(super) fn new(spools: &Spools, config: &config::Spool) -> Self {
        Self {
            spools: spools.clone(),
            memory_limit: config.memory.min(config.total_memory),
            limit: config.limit,
            directory: config.directory.clone().unwrap_or_else(std::env::temp_dir),
            length: 0,
            store: Store::Empty,
        }
    }

    pub(super) fn discarding(spools: &Spools, config: &config::Spool) -> Self {
        Self { store: Store::Discarded, ..Self::new(spools, config) }
    }

    /// Appends a block. Returns its range in the log, and the buffer for reuse.
    pub(super) async fn append(&mut self, block: Vec<u8>) -> io::Result<(Range<u64>, Vec<u8>)> {
        self.check()?;
        let appended = self.try_append(block).await;
        if let Err(error) = &appended {
            // This frees the memory and the file.
            self.store = Store::Broken(error.kind(), error.to_string());
        }
        appended
    }

    /// Cancel-safe: if it is dropped, the block is lost and the log stays intact.
    async fn try_append(&mut self, block: Vec<u8>) -> io::Result<(Range<u64>, Vec<u8>)> {
        let range = self.length..self.length + block.len() as u64;
        if range.end > self.limit {
            let limit = self.limit >> 20;
            let reason = format!("the snapshot is larger than spool.limit ({limit} MB)");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, reason));
        }
        if self.append_in_memory(&block) {
            self.length = range.end;
            return Ok((range, block));
        }
        let file = match &self.store {
            Store::File(file) => Arc::clone(file),
            Store::Memory(buffer) if !buffer.bytes().is_empty() => {
                let buffer = Some(Arc::clone(buffer));
                self.move_to_file(buffer).await?
            }
            Store::Empty | Store::Memory(_) => self.move_to_file(None).await?,
            Store::Discarded | Store::Broken(..) => unreachable!("the log is intact, and discarded blocks always fit"),
        };
        // Before the write: it may still happen after this future is dropped.
        self.length = range.end;
        let start = range.start;
        let writing = move || file.write_all_at(&block, start).map(|()| block);
        let block = self.spools.disk.run(writing).await.map_err(|error| self.error_in(WRITE_FAILED, &error))?;
        Ok((range, block))
    }

    /// Appends a block in memory if it fits. Returns whether it did.
    fn append_in_memory(&mut self, block: &[u8]) -> bool {
        if matches!(self.store, Store::Empty) {
            if block.len() > self.memory_limit {
                return false;
            }
            // If the operating system refuses the memory, use a file.
            let Ok(buffer) = MappedBuffer::new(self.memory_limit, self.spools.budget.reservation()) else {
                return false;
            };
            self.store = Store::Memory(Arc::new(buffer));
        }
        match &mut self.store {
            // Not exclusive if an abandoned thread is still writing the buffer to a file.
            Store::Memory(buffer) => Arc::get_mut(buffer).is_some_and(|buffer| buffer.try_append(block)),
            Store::Discarded => true,
            _ => false,
        }
    }

    async fn move_to_file(&mut self, buffer: Option<Arc<MappedBuffer>>) -> io::Result<Arc<File>> {
        let file = Arc::new(self.file_with(buffer).await?);
        self.store = Store::File(Arc::clone(&file));
        Ok(file)
    }

    async fn file_with(&self, buffer: Option<Arc<MappedBuffer>>) -> io::Result<File> {
        let directory = self.directory.clone();
        // Check the directory first, for an error about the directory instead of a random file name in it.
        let making = move || std::fs::metadata(&directory).and_then(|_| tempfile::tempfile_in(&directory));
        let made = self.spools.disk.run(making).await;
        let file = made.map_err(|error| self.error_in("could not create a temporary file in", &error))?;
        let Some(buffer) = buffer else { return Ok(file) };
        let writing = move || file.write_all_at(buffer.bytes(), 0).map(|()| file);
        self.spools.disk.run(writing).await.map_err(|error| self.error_in(WRITE_FAILED, &error))
    }

    pub(super) async fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        match &self.store {
            Store::Memory(buffer) => {
                let index = |at| usize::try_from(at).expect("what is in memory has an address");
                Ok(buffer.slice(index(range.start)..index(range.end)))
            }
            Store::File(file) => {
                let file = Arc::clone(file);
                let mut part = vec![0; usize::try_from(range.end - range.start).expect("a part is small")];
                let reading = move || file.read_exact_at(&mut part, range.start).map(|()| part.into());
                let read = self.spools.disk.run(reading).await;
                read.map_err(|error| self.error_in("could not read from the temporary file in", &error))
            }
            Store::Empty | Store::Discarded => Ok(Bytes::new()),
            Store::Broken(..) => self.check().map(|()| Bytes::new()),
        }
    }

    pub(super) fn check(&self) -> io::Result<()> {
        match &self.store {
            Store::Broken(kind, reason) => Err(io::Error::new(*kind, reason.clone())),
            _ => Ok(()),
        }
    }

    pub(super) fn is_in_file(&self) -> bool {
        matches!(self.store, Store::File(_))
    }

    fn error_in(&self, what: &str, error: &io::Error) -> io::Error {
        // Without the random name of the file, so that the same error always has the same message.
        let reason = match (error.raw_os_error(), error.kind()) {
            (Some(_), _) | (None, io::ErrorKind::TimedOut) => error.to_string(),
            (None, kind) => kind.to_string(),
        };
        let directory = self.directory.display();
        let cure = "spool.directory must be a writable directory with room for a snapshot";
        io::Error::new(error.kind(), format!("{what} \"{directory}\": {reason}; {cure}"))
    }
}
