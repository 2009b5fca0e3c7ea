//! Finds out whether a load was committed whose connection was lost during the commit.
//!
//! The evidence is PoWA's `coalesce_seq`, which each stored snapshot increments, because it is part of the data.
//! `txid_status()` is not reliable: after a failover to a standby that lacks the load, another transaction gets its id.

use super::load::Loaded;
use super::row_locks::LockedServer;

/// A load whose commit was sent but not confirmed.
#[derive(Debug)]
pub(crate) struct Attempt {
    coalesce_seq: i64,
    stored_at: String,
    loaded: Loaded,
}

/// Whether an attempt was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AttemptState {
    Stored,
    Lost,
    /// Other snapshots of the server were stored since, so only the data can tell.
    Overtaken,
}

impl Attempt {
    /// The attempt of a load that holds the row locks of its server.
    pub(super) fn of(locked: &LockedServer, loaded: Loaded) -> Self {
        let coalesce_seq = locked.coalesce_seq + 1;
        Self { coalesce_seq, stored_at: locked.now.clone(), loaded: Loaded { coalesce_seq, ..loaded } }
    }

    /// Whether it was committed, according to `coalesce_seq`.
    pub(super) fn state(&self, locked: &LockedServer) -> AttemptState {
        if locked.coalesce_seq > self.coalesce_seq {
            AttemptState::Overtaken
        } else if locked.coalesce_seq == self.coalesce_seq && locked.stored_at.as_ref() == Some(&self.stored_at) {
            AttemptState::Stored
        } else {
            AttemptState::Lost
        }
    }

    pub(super) fn loaded(&self) -> &Loaded {
        &self.loaded
    }

    pub(super) fn into_loaded(self) -> Loaded {
        self.loaded
    }
}

/// A history table in which a snapshot can be found by its time.
pub(super) struct Evidence {
    /// The source function of its rows.
    pub(super) source: &'static str,
    /// The function that stores the rows.
    pub(super) function: &'static str,
    pub(super) current: &'static str,
    pub(super) coalesced: &'static str,
}

/// Tables that both PoWA 4 and 5 have, with few rows per snapshot.
pub(super) const EVIDENCE: &[Evidence] = &[
    Evidence {
        source: "powa_statements_src",
        function: "powa_statements_snapshot",
        current: "powa_statements_history_current_db",
        coalesced: "powa_statements_history_db",
    },
    Evidence {
        source: "powa_stat_bgwriter_src",
        function: "powa_stat_bgwriter_snapshot",
        current: "powa_stat_bgwriter_history_current",
        coalesced: "powa_stat_bgwriter_history",
    },
];

impl Evidence {
    /// The query for a snapshot.
    pub(super) fn sql(&self) -> String {
        let sql = include_str!("../../sql/repository/has_sample.sql");
        sql.replace("{current}", self.current).replace("{coalesced}", self.coalesced)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locked(coalesce_seq: i64, stored_at: Option<&str>) -> LockedServer {
        LockedServer { coalesce_seq, stored_at: stored_at.map(Into::into), now: "10:00".into() }
    }

    #[test]
    fn an_attempt_is_stored_if_the_last_snapshot_is_of_its_number_and_time() {
        let attempt = Attempt::of(&locked(7, Some("09:00")), Loaded::default());
        for (now, state) in [
            (locked(8, Some("10:00")), AttemptState::Stored),
            // A standby that lacks it, with a snapshot of another collector.
            (locked(7, Some("09:00")), AttemptState::Lost),
            (locked(3, None), AttemptState::Lost),
            (locked(8, Some("10:01")), AttemptState::Lost),
            (locked(8, None), AttemptState::Lost),
            (locked(9, Some("10:00")), AttemptState::Overtaken),
        ] {
            assert_eq!(attempt.state(&now), state, "{now:?}");
        }
        assert_eq!(attempt.into_loaded().coalesce_seq, 8);
    }
}
