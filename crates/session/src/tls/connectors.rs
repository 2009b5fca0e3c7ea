//! A cache of loaded TLS settings, shared by all connections with the same parameters until a file changes: loading the
//! system's root certificates takes OpenSSL tens of milliseconds and almost a megabyte.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::{Connector, TlsError, certificates};
use crate::blocking_pool::ThreadLimit;
use libpq::{RootCertificates, Tls};

/// How long an entry is used if changes cannot be detected, as with a directory.
const UNTRACKED_TTL: Duration = Duration::from_secs(60);

/// An unused entry is dropped after this time. Open sessions keep it alive.
const UNUSED_TTL: Duration = Duration::from_secs(600);

/// A file that changed this recently may change again without a different timestamp: file system clocks are coarse.
const TIMESTAMP_GRANULARITY: Duration = Duration::from_secs(2);

/// The cache, and the limit of threads that load files. Clones share both.
#[derive(Clone, Default)]
pub struct Connectors {
    entries: Arc<Mutex<Vec<Entry>>>,
    threads: ThreadLimit,
}

/// The entry for one set of parameters.
struct Entry {
    tls: Tls,
    used: Instant,
    /// Locked while loading, so that others wait instead of loading too.
    cached: Arc<Mutex<Option<CachedConnector>>>,
}

struct CachedConnector {
    connector: Arc<Connector>,
    /// The files as they were before loading.
    files: Vec<Result<Stamp, io::ErrorKind>>,
    since: Instant,
}

/// The identity and timestamps of a file, to detect changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    /// Seconds and nanoseconds, as in `changed`.
    modified: (i64, i64),
    /// Set only by the kernel.
    changed: (i64, i64),
}

/// The wall clock, which file timestamps use, and a monotonic one.
#[derive(Clone, Copy)]
pub(crate) struct Now {
    pub(crate) wall: SystemTime,
    pub(crate) monotonic: Instant,
}

impl Connectors {
    /// The shared limit for threads that block while connecting.
    pub fn threads(&self) -> &ThreadLimit {
        &self.threads
    }

    /// The TLS settings for these parameters. Blocks on files.
    ///
    /// # Errors
    /// A file is unusable, or a required file is missing.
    pub fn read(&self, tls: &Tls) -> Result<Arc<Connector>, TlsError> {
        self.read_at(tls, Now { wall: SystemTime::now(), monotonic: Instant::now() })
    }

    pub(crate) fn read_at(&self, tls: &Tls, now: Now) -> Result<Arc<Connector>, TlsError> {
        let cached = self.entry(tls, now.monotonic);
        // A value is stored only when complete, so a poisoned lock is harmless.
        let mut cached = cached.lock().unwrap_or_else(PoisonError::into_inner);
        // Taken before loading, so that a change in between is detected next time.
        let files: Vec<_> = certificates::files(tls).map(Stamp::of).collect();
        if let Some(cached) = cached.as_ref().filter(|cached| cached.is_current(tls, &files, now.monotonic)) {
            return Ok(Arc::clone(&cached.connector));
        }
        *cached = None;
        let connector = Arc::new(Connector::read(tls)?);
        if files.iter().flatten().all(|file| file.is_settled(now.wall)) {
            *cached = Some(CachedConnector { connector: Arc::clone(&connector), files, since: now.monotonic });
        }
        Ok(connector)
    }

    fn entry(&self, tls: &Tls, now: Instant) -> Arc<Mutex<Option<CachedConnector>>> {
        let mut entries = self.entries.lock().expect("no panic while holding the lock");
        entries.retain(|entry| now.saturating_duration_since(entry.used) < UNUSED_TTL);
        if let Some(entry) = entries.iter_mut().find(|entry| entry.tls == *tls) {
            entry.used = now;
            return Arc::clone(&entry.cached);
        }
        let cached = Arc::default();
        entries.push(Entry { tls: tls.clone(), used: now, cached: Arc::clone(&cached) });
        cached
    }
}

impl CachedConnector {
    fn is_current(&self, tls: &Tls, files: &[Result<Stamp, io::ErrorKind>], now: Instant) -> bool {
        let is_tracked = tls.root_certificates != RootCertificates::System && tls.crl_directory.is_none();
        self.files == files && (is_tracked || now.saturating_duration_since(self.since) < UNTRACKED_TTL)
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
        // The omitted fraction makes it look older by less than a second.
        now.duration_since(changed).is_ok_and(|age| age > TIMESTAMP_GRANULARITY + Duration::from_secs(1))
    }
}
