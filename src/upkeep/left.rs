//! Which bloated tables are left as they are, what is said of them, and when is the next try? Pure.

use std::collections::BTreeMap;

use crate::one_line::on_one_line;
use crate::postgres::BloatedTable;

/// As many turns go by without a try at most.
const MOST_TURNS: u32 = 64;

/// What could not be emptied the last time.
#[derive(Default)]
pub(super) struct Left {
    tables: BTreeMap<String, Reason>,
    /// Why it is not known which have bloated.
    blindness: Option<String>,
}

struct Reason {
    why: Why,
    /// From one try to the next.
    pause: u32,
    /// From now on.
    turns: u32,
}

/// Why a table is left as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// What would have to be granted.
    NotAllowed(String),
    HasRows,
    Failed(String),
}

impl Left {
    /// Of the tables that have bloated now, those to be tried in this turn. Each try keeps others waiting, so there are
    /// ever fewer for a table that cannot be emptied.
    pub(super) fn due(&mut self, bloated: Vec<BloatedTable>) -> Vec<BloatedTable> {
        self.blindness = None;
        self.tables.retain(|name, _| bloated.iter().any(|table| table.name == *name));
        bloated.into_iter().filter(|table| self.tables.get_mut(&table.name).is_none_or(Reason::is_due)).collect()
    }

    /// It could not be told which have bloated. Whether that is news.
    pub(super) fn note_blindness(&mut self, reason: &str) -> bool {
        self.blindness.replace(reason.into()).as_deref() != Some(reason)
    }

    /// A table could not be emptied. Whether that is news.
    pub(super) fn note(&mut self, table: &BloatedTable, why: Why) -> bool {
        let before = self.tables.remove(&table.name);
        let pause = match (&before, &why) {
            // Nothing was tried.
            (_, Why::NotAllowed(_)) | (None, _) => 1,
            (Some(before), _) => (2 * before.pause).min(MOST_TURNS),
        };
        let is_news = before.is_none_or(|before| before.why != why);
        self.tables.insert(table.name.clone(), Reason { why, pause, turns: pause });
        is_news
    }

    /// It was emptied.
    pub(super) fn forget(&mut self, table: &BloatedTable) {
        self.tables.remove(&table.name);
    }
}

impl Reason {
    fn is_due(&mut self) -> bool {
        self.turns -= 1;
        self.turns == 0
    }
}

impl Why {
    /// One line about a table, with what to do.
    pub(super) fn told_of(&self, table: &BloatedTable) -> String {
        let BloatedTable { name, size, .. } = table;
        let bloated = format!("{name} has bloated to {} MB, and", size >> 20);
        let line = match self {
            Self::NotAllowed(grant) => format!(
                "{bloated} may not be emptied by this role; either set \"repository.bloat\" to 0, or run: {grant}"
            ),
            Self::HasRows => format!(
                "{bloated} is not emptied, as it has rows; delete them if nobody needs them, of those servers: \
                 select srvid, count(*) from {name} group by srvid"
            ),
            Self::Failed(error) => format!("{bloated} was not emptied: {error}"),
        };
        on_one_line(&line).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bloated() -> BloatedTable {
        BloatedTable { name: "\"a\".\"b_src_tmp\"".into(), size: 3 << 20, missing_grant: None }
    }

    #[test]
    fn what_cannot_be_emptied_is_tried_ever_less_often_and_told_once() {
        let mut left = Left::default();
        let mut tries = Vec::new();
        let mut news = 0;
        for turn in 0..300 {
            for table in left.due(vec![bloated()]) {
                tries.push(turn);
                news += u32::from(left.note(&table, Why::HasRows));
            }
        }
        assert_eq!(tries, [0, 1, 3, 7, 15, 31, 63, 127, 191, 255]);
        assert_eq!(news, 1);
        assert!(left.note(&bloated(), Why::Failed("no".into())), "it is another reason");
    }

    #[test]
    fn what_may_not_be_emptied_is_looked_at_each_time() {
        let mut left = Left::default();
        let may_not = || Why::NotAllowed("grant it".into());
        let news = (0..5).map(|_| {
            assert_eq!(left.due(vec![bloated()]), [bloated()]);
            left.note(&bloated(), may_not())
        });
        assert_eq!(news.collect::<Vec<_>>(), [true, false, false, false, false]);
    }

    #[test]
    fn what_was_all_right_in_between_is_news() {
        let mut left = Left::default();
        for again in 0..2 {
            assert_eq!(left.due(vec![bloated()]), [bloated()], "{again}");
            assert!(left.note(&bloated(), Why::HasRows));
            assert!(left.note_blindness("no"));
            assert!(!left.note_blindness("no"));
            assert_eq!(left.due(vec![]), []);
        }
    }

    #[test]
    fn what_is_told_is_one_line() {
        let table = BloatedTable { name: "\"a\nb\"".into(), ..bloated() };
        let told = Why::NotAllowed("grant it".into()).told_of(&table);
        let expected = "\"a\\nb\" has bloated to 3 MB, and may not be emptied by this role; \
                        either set \"repository.bloat\" to 0, or run: grant it";
        assert_eq!(told, expected);
    }
}
