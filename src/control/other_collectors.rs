//! Detects other collectors that are connected to the repository. They are detected, not prevented: their harm (duplicate
//! snapshots) is not noticed soon, so it is logged when they appear and disappear. Pure.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::repository::Collector;

/// The age from which a session counts as another collector. While a collector is replaced by a new one, both run for a while:
/// the old one needs about 10 seconds to stop.
pub(super) const GRACE_PERIOD: Duration = Duration::from_secs(15);

/// The known other collectors. Shared by the listeners of one database and the main task.
#[derive(Debug, Default)]
pub(super) struct OtherCollectors(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// The backend processes of this collector's sessions. A lost one may exist for hours before its server notices.
    own: Vec<i32>,
    others: Vec<Collector>,
}

/// The difference from the previous check.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    None,
    /// There are new ones. Has the descriptions of all.
    Appeared(Vec<String>),
    /// There were some, and now there are none.
    AllGone,
}

impl OtherCollectors {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records the backend process of one of this collector's sessions.
    pub(super) fn add_own(&self, process: i32) {
        self.lock().own.push(process);
    }

    /// Descriptions of the collectors that the last check found.
    pub(super) fn descriptions(&self) -> Vec<String> {
        self.lock().others.iter().map(ToString::to_string).collect()
    }

    /// Updates the list from all sessions with the application name of a collector, except the one that ran the query.
    pub(super) fn update(&self, sessions: Vec<Collector>) -> Change {
        let mut known = self.lock();
        // Forget processes that have ended: their ids may be reused. The last one is the session that ran the query.
        let current = known.own.last().copied();
        known.own.retain(|own| Some(*own) == current || sessions.iter().any(|session| session.process == *own));
        let counts = |session: &Collector| session.connected_for.is_none_or(|age| age >= GRACE_PERIOD);
        let is_known = |session: &Collector| known.others.iter().any(|other| other.process == session.process);
        let mut others = sessions;
        others.retain(|session| !known.own.contains(&session.process) && (counts(session) || is_known(session)));
        let has_new = others.iter().any(|session| !is_known(session));
        let had_any = !known.others.is_empty();
        known.others = others;
        if has_new {
            Change::Appeared(known.others.iter().map(ToString::to_string).collect())
        } else if had_any && known.others.is_empty() {
            Change::AllGone
        } else {
            Change::None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(process: i32, seconds: Option<u64>) -> Collector {
        let connected_for = seconds.map(Duration::from_secs);
        Collector { process, name: format!("collector {process}"), address: None, connected_for, role: None }
    }

    fn names(news: Change) -> Vec<String> {
        match news {
            Change::Appeared(names) => {
                names.iter().map(|name| name.split(" since").next().unwrap().to_owned()).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn one_that_comes_and_goes_is_news_once() {
        let others = OtherCollectors::default();
        others.add_own(1);
        assert_eq!(others.update(vec![]), Change::None);
        assert_eq!(names(others.update(vec![session(7, Some(60))])), ["collector 7"]);
        assert_eq!(others.update(vec![session(7, Some(90))]), Change::None);
        assert_eq!(others.descriptions().len(), 1);
        let both = vec![session(7, Some(120)), session(8, None)];
        assert_eq!(names(others.update(both)), ["collector 7", "collector 8"]);
        assert_eq!(others.update(vec![session(8, None)]), Change::None);
        assert_eq!(others.update(vec![]), Change::AllGone);
        assert_eq!(others.update(vec![]), Change::None);
    }

    #[test]
    fn one_that_takes_our_place_does_not_count_before_we_have_left() {
        let others = OtherCollectors::default();
        assert_eq!(others.update(vec![session(7, Some(14))]), Change::None);
        assert_eq!(names(others.update(vec![session(7, Some(15))])), ["collector 7"]);
    }

    #[test]
    fn a_session_of_ours_that_was_lost_is_nobody_elses() {
        let others = OtherCollectors::default();
        others.add_own(1);
        others.add_own(2);
        assert_eq!(others.update(vec![session(1, Some(600))]), Change::None);
        // It has ended, and its process id is reused.
        assert_eq!(others.update(vec![]), Change::None);
        assert_eq!(names(others.update(vec![session(1, Some(60))])), ["collector 1"]);
    }
}
