//! Where rows wait between the collect and the load: in memory up to a bound, then in a temporary file without a name.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

use bytes::Bytes;

use crate::config;

/// Bytes read back from the file at a time.
const PART: usize = 128 * 1024;

/// Takes the rows of one datasource.
pub struct Spool {
    /// Also the buffer before the file.
    memory: Vec<u8>,
    bound: usize,
    directory: PathBuf,
    file: Option<File>,
    in_file: u64,
}

impl Spool {
    /// Empty; nothing is made on disk yet.
    pub fn new(config: &config::Spool) -> Self {
        Self {
            memory: Vec::new(),
            bound: config.memory,
            directory: config.directory.clone().unwrap_or_else(std::env::temp_dir),
            file: None,
            in_file: 0,
        }
    }

    /// Ends the taking.
    pub fn finish(mut self, name: String, target: String, rows: u64) -> SpooledRows {
        // What waits takes no more memory than it is long.
        self.memory.shrink_to_fit();
        let tail = Bytes::from(self.memory);
        SpooledRows { name, target, rows, file: self.file, in_file: self.in_file, tail, next: 0 }
    }

    fn move_to_file(&mut self) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(tempfile::tempfile_in(&self.directory).map_err(|error| {
                let folder = self.directory.display();
                io::Error::new(error.kind(), format!("no temporary file can be made in \"{folder}\": {error}"))
            })?),
        };
        // The disk may be slow; the other tasks of this thread go on elsewhere meanwhile.
        tokio::task::block_in_place(|| file.write_all(&self.memory))?;
        self.in_file += self.memory.len() as u64;
        self.memory.clear();
        Ok(())
    }
}

impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.memory.extend_from_slice(bytes);
        if self.memory.len() > self.bound {
            self.move_to_file()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The rows of one datasource, to be read from the beginning as often as needed.
pub struct SpooledRows {
    name: String,
    target: String,
    rows: u64,
    file: Option<File>,
    in_file: u64,
    tail: Bytes,
    /// Where the next part begins.
    next: u64,
}

impl SpooledRows {
    /// How many there are.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// How long they are together, as COPY writes them.
    pub fn bytes(&self) -> u64 {
        self.in_file + self.tail.len() as u64
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
    pub fn next_part(&mut self) -> io::Result<Bytes> {
        let part = match &mut self.file {
            Some(file) if self.next < self.in_file => tokio::task::block_in_place(|| {
                file.seek(SeekFrom::Start(self.next))?;
                let mut part = Vec::with_capacity(PART);
                file.take(PART as u64).read_to_end(&mut part)?;
                io::Result::Ok(Bytes::from(part))
            })?,
            _ if self.next == self.in_file => self.tail.clone(),
            _ => Bytes::new(),
        };
        self.next += part.len() as u64;
        Ok(part)
    }

    /// Goes back to the beginning.
    pub fn rewind(&mut self) {
        self.next = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_back(rows: &mut SpooledRows) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            let part = rows.next_part().unwrap();
            if part.is_empty() {
                return all;
            }
            all.extend_from_slice(&part);
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_goes_in_comes_out_in_order_and_again() {
        for (bound, size) in [(1000, 0), (1000, 10), (0, 10), (100, 1000), (100, 300_000)] {
            let bytes: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
            let mut spool = Spool::new(&config::Spool { memory: bound, directory: None });
            for piece in bytes.chunks(77) {
                spool.write_all(piece).unwrap();
            }
            let mut rows = spool.finish("n".into(), "t".into(), 1);
            assert_eq!(rows.bytes(), size as u64);
            assert_eq!(read_back(&mut rows), bytes, "bound {bound}, size {size}");
            rows.rewind();
            assert_eq!(read_back(&mut rows), bytes, "again: bound {bound}, size {size}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_folder_that_is_not_there_is_named() {
        let mut spool = Spool::new(&config::Spool { memory: 0, directory: Some("/nowhere/at/all".into()) });
        let error = spool.write_all(b"row").unwrap_err().to_string();
        assert!(error.contains("/nowhere/at/all"), "{error}");
    }
}
