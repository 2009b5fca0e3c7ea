//! The log of blocks: in memory while it fits, then in the file. Once it could not be written, it is broken for good.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use tokio::task::spawn_blocking;

use crate::config;

const NOT_WRITTEN: &str = "no more can be written to the temporary file in";

pub(super) struct Log {
    bound: usize,
    limit: u64,
    directory: PathBuf,
    length: u64,
    pub(super) store: Store,
}

pub(super) enum Store {
    /// Shared with the thread that writes it to the file when it has become too long.
    Memory(Arc<Vec<u8>>),
    /// A block is in the file where it was in memory.
    File(Arc<File>),
    Broken(io::ErrorKind, String),
    /// It is not kept at all.
    Nowhere,
}

impl Log {
    pub(super) fn new(config: &config::Spool) -> Self {
        Self {
            bound: config.memory,
            limit: config.limit,
            directory: config.directory.clone().unwrap_or_else(std::env::temp_dir),
            length: 0,
            store: Store::Memory(Arc::default()),
        }
    }

    pub(super) fn of_nothing(config: &config::Spool) -> Self {
        Self { store: Store::Nowhere, ..Self::new(config) }
    }

    /// Gives the place of the block from now on, and its memory back.
    pub(super) async fn append(&mut self, block: Vec<u8>) -> io::Result<(Range<u64>, Vec<u8>)> {
        self.intact()?;
        let appended = self.try_append(block).await;
        if let Err(error) = &appended {
            // With this, the memory and the file are given back.
            self.store = Store::Broken(error.kind(), error.to_string());
        }
        appended
    }

    /// Whoever waits for it may give up at any time: then the block is lost, and the log as good as before.
    async fn try_append(&mut self, block: Vec<u8>) -> io::Result<(Range<u64>, Vec<u8>)> {
        let place = self.length..self.length + block.len() as u64;
        if place.end > self.limit {
            let limit = self.limit >> 20;
            let reason =
                format!("it is more than {limit} MB; spool.limit in the configuration tells how much it may be");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, reason));
        }
        let file = match &mut self.store {
            Store::Memory(bytes) if bytes.len() + block.len() <= self.bound => {
                append_within(self.bound, Arc::make_mut(bytes), &block);
                self.length = place.end;
                return Ok((place, block));
            }
            Store::Memory(bytes) => {
                let bytes = Arc::clone(bytes);
                let file = Arc::new(self.file_with(bytes).await?);
                self.store = Store::File(Arc::clone(&file));
                file
            }
            Store::File(file) => Arc::clone(file),
            Store::Nowhere => {
                self.length = place.end;
                return Ok((place, block));
            }
            Store::Broken(..) => unreachable!("it is intact"),
        };
        // Before it is written: what nobody waits for any more is written all the same.
        self.length = place.end;
        let start = place.start;
        let block = blocking(move || file.write_all_at(&block, start).map(|()| block)).await;
        Ok((place, block.map_err(|error| self.failed(NOT_WRITTEN, &error))?))
    }

    async fn file_with(&self, bytes: Arc<Vec<u8>>) -> io::Result<File> {
        let directory = self.directory.clone();
        // A folder that is not there is best spoken of as such, not as a name in it that cannot be opened.
        let making = move || std::fs::metadata(&directory).and_then(|_| tempfile::tempfile_in(&directory));
        let file = blocking(making).await.map_err(|error| self.failed("no temporary file can be made in", &error))?;
        let writing = move || file.write_all_at(&bytes, 0).map(|()| file);
        blocking(writing).await.map_err(|error| self.failed(NOT_WRITTEN, &error))
    }

    pub(super) async fn read(&self, place: Range<u64>) -> io::Result<Bytes> {
        match &self.store {
            Store::Memory(bytes) => {
                let index = |at| usize::try_from(at).expect("what is in memory has an address");
                Ok(Bytes::copy_from_slice(&bytes[index(place.start)..index(place.end)]))
            }
            Store::File(file) => {
                let file = Arc::clone(file);
                let mut part = vec![0; usize::try_from(place.end - place.start).expect("a part is small")];
                blocking(move || file.read_exact_at(&mut part, place.start).map(|()| part.into()))
                    .await
                    .map_err(|error| self.failed("no more can be read from the temporary file in", &error))
            }
            Store::Nowhere => Ok(Bytes::new()),
            Store::Broken(..) => self.intact().map(|()| Bytes::new()),
        }
    }

    pub(super) fn intact(&self) -> io::Result<()> {
        match &self.store {
            Store::Broken(kind, reason) => Err(io::Error::new(*kind, reason.clone())),
            _ => Ok(()),
        }
    }

    fn failed(&self, what: &str, error: &io::Error) -> io::Error {
        // Without the name that a file may have had for a moment: the same trouble is told in the same words.
        let reason = match error.raw_os_error() {
            Some(_) => error.to_string(),
            None => error.kind().to_string(),
        };
        let directory = self.directory.display();
        let cure = "spool.directory in the configuration has to be a folder with room for a snapshot";
        io::Error::new(error.kind(), format!("{what} \"{directory}\": {reason}; {cure}"))
    }
}

/// Its capacity doubles, but not beyond the bound.
fn append_within(bound: usize, bytes: &mut Vec<u8>, block: &[u8]) {
    let needed = bytes.len() + block.len();
    if needed > bytes.capacity() {
        bytes.reserve_exact((2 * needed).min(bound) - bytes.len());
    }
    bytes.extend_from_slice(block);
}

/// Disks may be slow. (`block_in_place` is not for work that is as short and frequent as this: it starts a thread for
/// nearly every call.)
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}
