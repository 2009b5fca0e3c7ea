//! Locks a server's rows during its load, so that it is neither removed nor loaded by another session.
//!
//! The rows are those in `powa_servers` and `powa_snapshot_metas`. The lock on the former allows updates, such as a
//! rename, but no deletion. Waiting for another lock is limited by `lock_timeout`: another load of the server may be
//! about to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_postgres::Row;

/// The state of a server whose rows are locked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LockedServer {
    /// Incremented by each stored snapshot.
    pub(super) coalesce_seq: i64,
    /// When the last snapshot was stored, as text.
    pub(super) stored_at: Option<String>,
    /// The start of this transaction, which becomes the time of the snapshot that it stores.
    pub(super) now: String,
}

impl LockedServer {
    pub(super) fn of(row: &Row) -> Result<Self, tokio_postgres::Error> {
        Ok(Self { coalesce_seq: row.try_get(0)?, stored_at: row.try_get(1)?, now: row.try_get(2)? })
    }
}

/// The statement for row locks. Clones share what is known about privileges.
#[derive(Clone, Debug, Default)]
pub(super) struct RowLocks {
    is_unprivileged: Arc<AtomicBool>,
}

impl RowLocks {
    /// The statement that locks a server's rows.
    pub(super) fn sql(&self) -> &'static str {
        if self.is_unprivileged.load(Ordering::Relaxed) {
            include_str!("../../sql/repository/lock_server_unprivileged.sql")
        } else {
            include_str!("../../sql/repository/lock_server.sql")
        }
    }

    /// Stops locking rows of `powa_servers`, for which the role lacks the `UPDATE` privilege on a column. Returns
    /// whether this is new.
    pub(super) fn skip_server_row(&self) -> bool {
        !self.is_unprivileged.swap(true, Ordering::Relaxed)
    }
}
