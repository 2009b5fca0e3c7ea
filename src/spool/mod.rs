//! Where the rows of a snapshot wait between the collect and the load: its datasources share one log of blocks, which is
//! in memory up to a bound, and beyond it in one temporary file without a name.

mod log;

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::config;
use log::Log;

/// Bytes of one datasource that are gathered before they are appended to the log.
pub const BLOCK: usize = 32 * 1024;

/// What a block begins with: most datasources have little to say.
const FIRST: usize = 2 * 1024;

/// Bytes read back at a time.
const PART: u64 = 128 * 1024;

/// Takes the rows of one snapshot, of several datasources side by side.
pub struct Spool {
    shared: Arc<Shared>,
}

struct Shared {
    log: Mutex<Log>,
    broken: CancellationToken,
}

impl Spool {
    /// Empty; nothing is made on disk yet.
    pub fn new(config: &config::Spool) -> Self {
        Self { shared: Arc::new(Shared { log: Mutex::new(Log::new(config)), broken: CancellationToken::new() }) }
    }

    /// One that keeps nothing of what it takes, and counts it.
    pub fn of_nothing(config: &config::Spool) -> Self {
        let log = Log::of_nothing(config);
        Self { shared: Arc::new(Shared { log: Mutex::new(log), broken: CancellationToken::new() }) }
    }

    /// For the rows of one datasource. It holds no memory before the first of them, and none after the last.
    pub fn writer(&self) -> Writer {
        Writer { shared: Arc::clone(&self.shared), block: Vec::new(), extents: Vec::new() }
    }

    /// Does work that writes to the spool. That ends with the spool: once a block could not be kept, what was kept
    /// before is gone too, so that its room is free at once for others, and the rest need not be read.
    ///
    /// # Errors
    /// The temporary file cannot be made or written to.
    pub async fn unless_broken<T>(&self, work: impl Future<Output = T>) -> io::Result<T> {
        let done = tokio::select! {
            biased;
            done = work => Some(done),
            () = self.shared.broken.cancelled() => None,
        };
        self.shared.log.lock().await.intact()?;
        Ok(done.expect("what is not done was broken"))
    }
}

impl Shared {
    async fn append(&self, block: Vec<u8>) -> io::Result<(Range<u64>, Vec<u8>)> {
        let appended = self.log.lock().await.append(block).await;
        if appended.is_err() {
            self.broken.cancel();
        }
        appended
    }
}

/// Takes the rows of one datasource. What it has taken is wasted when it is dropped: that happens to what failed half-way,
/// is rare, and lasts until the snapshot is loaded; to use the room again would take a list of holes.
pub struct Writer {
    shared: Arc<Shared>,
    block: Vec<u8>,
    extents: Vec<Range<u64>>,
}

impl Writer {
    /// Where to put what comes next. [`Self::make_room`] has to follow if it is full then.
    pub fn block(&mut self) -> &mut Vec<u8> {
        if self.block.capacity() == 0 {
            self.block.reserve(FIRST);
        }
        &mut self.block
    }

    /// Whether there is enough in the block to be handed on.
    pub fn is_full(&self) -> bool {
        self.block.len() >= BLOCK
    }

    /// Ends the taking.
    ///
    /// # Errors
    /// The temporary file cannot be made or written to.
    pub async fn finish(mut self, name: String, target: String, rows: u64) -> io::Result<SpooledRows> {
        self.make_room().await?;
        let Self { shared, extents, .. } = self;
        Ok(SpooledRows { name, target, rows, shared, extents, extent: 0, read: 0 })
    }

    /// Hands on what is in the block.
    ///
    /// # Errors
    /// The temporary file cannot be made or written to.
    pub async fn make_room(&mut self) -> io::Result<()> {
        if self.block.is_empty() {
            return Ok(());
        }
        let (place, mut block) = self.shared.append(std::mem::take(&mut self.block)).await?;
        block.clear();
        self.block = block;
        match self.extents.last_mut() {
            Some(last) if last.end == place.start => last.end = place.end,
            _ => self.extents.push(place),
        }
        Ok(())
    }
}

/// The rows of one datasource, to be read from the beginning as often as needed.
pub struct SpooledRows {
    name: String,
    target: String,
    rows: u64,
    shared: Arc<Shared>,
    /// Where they are in the log.
    extents: Vec<Range<u64>>,
    /// The extent that the next part is of, and what has been read of it.
    extent: usize,
    read: u64,
}

impl SpooledRows {
    /// How many there are.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// How long they are together, as COPY writes them.
    pub fn bytes(&self) -> u64 {
        self.extents.iter().map(|extent| extent.end - extent.start).sum()
    }

    /// The table they are for, qualified and quoted.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// What their datasource is called in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The next part of the rows; an empty one is the end.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn next_part(&mut self) -> io::Result<Bytes> {
        let Some(extent) = self.extents.get(self.extent) else { return Ok(Bytes::new()) };
        let start = extent.start + self.read;
        let end = extent.end.min(start + PART);
        let part = self.shared.log.lock().await.read(start..end).await?;
        if end == extent.end {
            (self.extent, self.read) = (self.extent + 1, 0);
        } else {
            self.read += end - start;
        }
        Ok(part)
    }

    /// Goes back to the beginning.
    pub fn rewind(&mut self) {
        (self.extent, self.read) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::log::Store;
    use super::*;
    use futures_util::FutureExt;
    use futures_util::future::join_all;
    use std::path::Path;

    fn config(memory: usize, directory: Option<&Path>) -> config::Spool {
        config::Spool { memory, limit: 2 << 20, directory: directory.map(Into::into) }
    }

    fn some_bytes(length: usize, seed: usize) -> Vec<u8> {
        (0..length).map(|n| ((n * 7 + seed) % 251) as u8).collect()
    }

    async fn write(writer: &mut Writer, bytes: &[u8]) {
        writer.block().extend_from_slice(bytes);
        if writer.is_full() {
            writer.make_room().await.unwrap();
        }
    }

    async fn finish(writer: Writer) -> SpooledRows {
        writer.finish("n".into(), "t".into(), 1).await.unwrap()
    }

    async fn read_back(rows: &mut SpooledRows) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            let part = rows.next_part().await.unwrap();
            if part.is_empty() {
                return all;
            }
            all.extend_from_slice(&part);
        }
    }

    async fn is_in_memory(spool: &Spool) -> bool {
        matches!(spool.shared.log.lock().await.store, Store::Memory(_))
    }

    #[tokio::test]
    async fn what_is_not_kept_takes_no_room_and_is_bounded_all_the_same() {
        let spool = Spool::of_nothing(&config(0, Some(Path::new("/nowhere"))));
        let mut writer = spool.writer();
        write(&mut writer, &some_bytes(1 << 20, 0)).await;
        let mut rows = finish(writer).await;
        assert_eq!((rows.rows(), rows.bytes()), (1, 1 << 20));
        assert!(read_back(&mut rows).await.is_empty());
        let mut writer = spool.writer();
        writer.block().resize(2 << 20, 0);
        assert!(writer.make_room().await.is_err());
    }

    #[tokio::test]
    async fn what_goes_in_comes_out_in_order_and_again() {
        for (bound, size) in [(1000, 0), (1000, 10), (0, 10), (100, 1000), (100, 300_000), (200_000, 300_000)] {
            for piece in [77, 40_000, 500_000] {
                let case = format!("bound {bound}, size {size}, piece {piece}");
                let bytes = some_bytes(size, 0);
                let spool = Spool::new(&config(bound, None));
                let mut writer = spool.writer();
                for piece in bytes.chunks(piece) {
                    write(&mut writer, piece).await;
                }
                let mut rows = finish(writer).await;
                assert_eq!(is_in_memory(&spool).await, size <= bound, "{case}");
                assert_eq!(rows.bytes(), size as u64, "{case}");
                assert!(rows.extents.len() <= 1, "who writes alone has it in one piece: {case}");
                rows.next_part().await.unwrap();
                rows.rewind();
                assert_eq!(read_back(&mut rows).await, bytes, "{case}");
                rows.rewind();
                assert_eq!(read_back(&mut rows).await, bytes, "again: {case}");
            }
        }
    }

    #[tokio::test]
    async fn datasources_that_are_written_side_by_side_stay_apart() {
        for bound in [0, 500_000, 10_000_000] {
            let spool = Spool::new(&config(bound, None));
            let contents: Vec<_> = (0..5).map(|n| some_bytes(200_000 + 10_000 * n, n)).collect();
            let mut writers: Vec<_> = contents.iter().map(|_| spool.writer()).collect();
            for turn in 0..300 {
                for (writer, content) in writers.iter_mut().zip(&contents) {
                    if let Some(piece) = content.chunks(1000).nth(turn) {
                        write(writer, piece).await;
                    }
                }
            }
            // One that failed half-way spoils nothing.
            drop(writers.remove(2));
            let mut rows = join_all(writers.into_iter().map(finish)).await;
            for (rows, content) in rows.iter_mut().zip([0, 1, 3, 4].map(|n| &contents[n])) {
                assert_eq!(&read_back(rows).await, content, "bound {bound}");
            }
        }
    }

    #[tokio::test]
    async fn a_block_that_nobody_waits_for_any_more_spoils_nothing() {
        for bound in [0, 40_000] {
            let spool = Spool::new(&config(bound, None));
            let mut early = spool.writer();
            write(&mut early, &some_bytes(BLOCK, 1)).await;
            // The first of them would make the file, if it is not there yet.
            for _ in 0..3 {
                let mut given_up = spool.writer();
                given_up.block().resize(BLOCK, 0);
                // Most often it is given up here: the thread that writes may have been quicker.
                drop(given_up.make_room().now_or_never());
                write(&mut early, &some_bytes(BLOCK, 2)).await;
            }
            let expected = [some_bytes(BLOCK, 1), some_bytes(BLOCK, 2).repeat(3)].concat();
            assert_eq!(read_back(&mut finish(early).await).await, expected, "bound {bound}");
        }
    }

    #[tokio::test]
    async fn all_datasources_together_stay_within_the_bound_and_share_one_file() {
        let open_files = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        let spool = Spool::new(&config(10_000, None));
        let mut kept = Vec::new();
        for n in 0..100 {
            let mut writer = spool.writer();
            write(&mut writer, &some_bytes(100, n)).await;
            kept.push(finish(writer).await);
        }
        assert!(is_in_memory(&spool).await);
        let before = open_files();
        for n in 100..1000 {
            let mut writer = spool.writer();
            write(&mut writer, &some_bytes(100, n)).await;
            kept.push(finish(writer).await);
        }
        assert!(!is_in_memory(&spool).await);
        // Other tests of this process open files too, but not hundreds.
        assert!(open_files() < before + 100);
        for (n, rows) in kept.iter_mut().enumerate() {
            assert_eq!(read_back(rows).await, some_bytes(100, n));
        }
    }

    #[tokio::test]
    async fn no_more_is_kept_than_the_limit_in_memory_or_in_the_file() {
        for bound in [0, 4 << 20] {
            let spool = Spool::new(&config(bound, None));
            let (mut one, mut other) = (spool.writer(), spool.writer());
            for _ in 0..32 {
                write(&mut one, &[1; BLOCK]).await;
                write(&mut other, &[2; BLOCK]).await;
            }
            finish(one).await;
            other.block().push(3);
            let error = spool.unless_broken(other.finish("n".into(), "t".into(), 1)).await.err().unwrap().to_string();
            assert!(error.contains("more than 2 MB") && error.contains("spool.limit"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_spool_that_is_broken_says_why_and_ends_the_work() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for directory in [Path::new("/nowhere/at/all"), file.path()] {
            let spool = Spool::new(&config(10, Some(directory)));
            let mut early = spool.writer();
            write(&mut early, b"within").await;
            let mut early = finish(early).await;
            let mut late = spool.writer();
            let never_ending = async {
                late.block().resize(BLOCK, 0);
                late.make_room().await.unwrap_err();
                std::future::pending::<()>().await;
            };
            let error = spool.unless_broken(never_ending).await.unwrap_err().to_string();
            assert!(error.contains(directory.to_str().unwrap()) && error.contains("os error"), "{error}");
            // It says the same ever after, and keeps nothing.
            let at_the_end = async { finish(spool.writer()).await };
            assert_eq!(spool.unless_broken(at_the_end).await.err().unwrap().to_string(), error);
            assert_eq!(early.next_part().await.unwrap_err().to_string(), error);
        }
    }
}
