//! The bloated tables that could not be emptied: why, whether that is new, and when to retry. Pure.

use std::collections::BTreeMap;

use crate::repository::StagingTable;
use session::on_one_line;

/// The longest pause between two attempts, in rounds of upkeep.
const MAX_PAUSE: u32 = 64;

/// The tables that could not be emptied in the last round.
#[derive(Default)]
pub(super) struct SkippedTables {
    tables: BTreeMap<String, SkippedTable>,
    /// The error of the last query for bloated tables.
    listing_error: Option<String>,
}

struct SkippedTable {
    reason: SkipReason,
    /// Rounds from one attempt to the next.
    pause: u32,
    /// Rounds until the next attempt.
    remaining: u32,
}

/// Why a table was not emptied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SkipReason {
    /// The role lacks this grant.
    NotAllowed(String),
    HasRows,
    Failed(String),
}

impl SkippedTables {
    /// Of the tables that are bloated now, those to try in this round. Each attempt blocks loads, so a table that cannot be
    /// emptied is tried less and less often.
    pub(super) fn due(&mut self, bloated: Vec<StagingTable>) -> Vec<StagingTable> {
        self.listing_error = None;
        self.tables.retain(|name, _| bloated.iter().any(|table| table.name == *name));
        bloated.into_iter().filter(|table| self.tables.get_mut(&table.name).is_none_or(SkippedTable::is_due)).collect()
    }

    /// Records that the query for bloated tables failed. Returns whether the error is new.
    pub(super) fn record_listing_error(&mut self, error: &str) -> bool {
        self.listing_error.replace(error.into()).as_deref() != Some(error)
    }

    /// Records that a table could not be emptied. Returns whether the reason is new.
    pub(super) fn record(&mut self, table: &StagingTable, reason: SkipReason) -> bool {
        let before = self.tables.remove(&table.name);
        let pause = match (&before, &reason) {
            // Nothing was attempted, so it costs nothing to check again.
            (_, SkipReason::NotAllowed(_)) | (None, _) => 1,
            (Some(before), _) => (2 * before.pause).min(MAX_PAUSE),
        };
        let is_new = before.is_none_or(|before| before.reason != reason);
        self.tables.insert(table.name.clone(), SkippedTable { reason, pause, remaining: pause });
        is_new
    }

    /// Records that a table was emptied.
    pub(super) fn forget(&mut self, table: &StagingTable) {
        self.tables.remove(&table.name);
    }
}

impl SkippedTable {
    fn is_due(&mut self) -> bool {
        self.remaining -= 1;
        self.remaining == 0
    }
}

impl SkipReason {
    /// A message of one line, with the cure.
    pub(super) fn message(&self, table: &StagingTable) -> String {
        let StagingTable { name, size, .. } = table;
        let bloated = format!("{name} has bloated to {} MB, but", size >> 20);
        let line = match self {
            Self::NotAllowed(grant) => {
                format!("{bloated} this role may not empty it; either set \"repository.bloat\" to 0, or run: {grant}")
            }
            Self::HasRows => format!(
                "{bloated} is not emptied while it has left-over rows; \"powa-collector check\" prints how to delete them"
            ),
            Self::Failed(error) => format!("{bloated} could not be emptied: {error}"),
        };
        on_one_line(&line).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bloated() -> StagingTable {
        StagingTable::example()
    }

    #[test]
    fn what_cannot_be_emptied_is_tried_ever_less_often_and_told_once() {
        let mut skipped = SkippedTables::default();
        let mut tries = Vec::new();
        let mut new_reports = 0;
        for turn in 0..300 {
            for table in skipped.due(vec![bloated()]) {
                tries.push(turn);
                new_reports += u32::from(skipped.record(&table, SkipReason::HasRows));
            }
        }
        assert_eq!(tries, [0, 1, 3, 7, 15, 31, 63, 127, 191, 255]);
        assert_eq!(new_reports, 1);
        assert!(skipped.record(&bloated(), SkipReason::Failed("no".into())), "it is another reason");
    }

    #[test]
    fn what_may_not_be_emptied_is_looked_at_each_time() {
        let mut skipped = SkippedTables::default();
        let may_not = || SkipReason::NotAllowed("grant it".into());
        let new_reports = (0..5).map(|_| {
            assert_eq!(skipped.due(vec![bloated()]), [bloated()]);
            skipped.record(&bloated(), may_not())
        });
        assert_eq!(new_reports.collect::<Vec<_>>(), [true, false, false, false, false]);
    }

    #[test]
    fn what_was_all_right_in_between_is_news() {
        let mut skipped = SkippedTables::default();
        for again in 0..2 {
            assert_eq!(skipped.due(vec![bloated()]), [bloated()], "{again}");
            assert!(skipped.record(&bloated(), SkipReason::HasRows));
            assert!(skipped.record_listing_error("no"));
            assert!(!skipped.record_listing_error("no"));
            assert_eq!(skipped.due(vec![]), []);
        }
    }

    #[test]
    fn what_is_told_is_one_line() {
        let table = StagingTable { name: "\"a\nb\"".into(), ..bloated() };
        let message = SkipReason::NotAllowed("grant it".into()).message(&table);
        let expected = "\"a\\nb\" has bloated to 3 MB, but this role may not empty it; \
                        either set \"repository.bloat\" to 0, or run: grant it";
        assert_eq!(message, expected);
    }
}
