//! What was read from the client's files, shared by all who are told the same, as long as the files are what they were:
//! the system's root certificates take OpenSSL tens of milliseconds, and most of a megabyte.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::{Connector, TlsError, certificates};
use crate::libpq::{RootCertificates, Tls};

/// Where nothing tells of a change, as in a folder, what was read is good for this long.
const UNSEEN: Duration = Duration::from_secs(60);

/// What nobody has asked for in this time is forgotten. Sessions that have it keep it.
const KEPT: Duration = Duration::from_secs(600);

/// A file changed within this time may change once more, and look the same: file systems have clocks that tick slowly.
const TICK: Duration = Duration::from_secs(2);

/// What was read for connections. Clones share it.
#[derive(Clone, Default)]
pub struct Connectors(Arc<Mutex<Vec<Shelf>>>);

/// For who is told the same.
struct Shelf {
    tls: Tls,
    used: Instant,
    /// Who reads holds it, so that the others wait for that instead of reading too.
    kept: Arc<Mutex<Option<Kept>>>,
}

struct Kept {
    connector: Arc<Connector>,
    /// The files, as they were before they were read.
    files: Vec<Result<Stamp, io::ErrorKind>>,
    since: Instant,
}

/// What changes when a file does, or another one takes its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    /// In seconds and nanoseconds, as is `changed`.
    modified: (i64, i64),
    /// Set by the kernel, and by nobody else.
    changed: (i64, i64),
}

/// By the clock of files, and by one that nobody sets.
#[derive(Clone, Copy)]
pub(super) struct Now {
    pub(super) clock: SystemTime,
    pub(super) steady: Instant,
}

impl Connectors {
    /// What a connection needs that is told this. Blocks on files.
    ///
    /// # Errors
    /// A file cannot be used, or is missing and cannot be done without.
    pub(in crate::postgres) fn read(&self, tls: &Tls) -> Result<Arc<Connector>, TlsError> {
        self.read_at(tls, Now { clock: SystemTime::now(), steady: Instant::now() })
    }

    pub(super) fn read_at(&self, tls: &Tls, now: Now) -> Result<Arc<Connector>, TlsError> {
        let kept = self.shelf(tls, now.steady);
        // What is there is put there in one piece, whatever became of who was to put something else there.
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        // Looked at before they are read: what changes in between looks different the next time.
        let files: Vec<_> = certificates::files(tls).map(Stamp::of).collect();
        if let Some(kept) = kept.as_ref().filter(|kept| kept.is_good(tls, &files, now.steady)) {
            return Ok(Arc::clone(&kept.connector));
        }
        *kept = None;
        let connector = Arc::new(Connector::read(tls)?);
        if files.iter().flatten().all(|file| file.is_settled(now.clock)) {
            *kept = Some(Kept { connector: Arc::clone(&connector), files, since: now.steady });
        }
        Ok(connector)
    }

    fn shelf(&self, tls: &Tls, now: Instant) -> Arc<Mutex<Option<Kept>>> {
        let mut shelves = self.0.lock().expect("no panic while holding the lock");
        shelves.retain(|shelf| now.saturating_duration_since(shelf.used) < KEPT);
        if let Some(shelf) = shelves.iter_mut().find(|shelf| shelf.tls == *tls) {
            shelf.used = now;
            return Arc::clone(&shelf.kept);
        }
        let kept = Arc::default();
        shelves.push(Shelf { tls: tls.clone(), used: now, kept: Arc::clone(&kept) });
        kept
    }
}

impl Kept {
    fn is_good(&self, tls: &Tls, files: &[Result<Stamp, io::ErrorKind>], now: Instant) -> bool {
        let is_seen = tls.root_certificates != RootCertificates::System && tls.crl_folder.is_none();
        self.files == files && (is_seen || now.saturating_duration_since(self.since) < UNSEEN)
    }
}

impl Stamp {
    fn of(file: &Path) -> Result<Self, io::ErrorKind> {
        let metadata = fs::metadata(file).map_err(|error| error.kind())?;
        Ok(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }

    fn is_settled(&self, now: SystemTime) -> bool {
        let seconds = u64::try_from(self.changed.0).unwrap_or_default();
        let changed = UNIX_EPOCH + Duration::from_secs(seconds);
        // The part of a second that is left out makes it look older by less than one.
        now.duration_since(changed).is_ok_and(|age| age > TICK + Duration::from_secs(1))
    }
}
