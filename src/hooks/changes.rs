//! Decides when a server has failed, and when it has recovered. Pure.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use super::event::{Event, Kind};
use crate::server::ServerId;
use crate::worker::WorkerDetail;

/// What is known of the servers that fail.
#[derive(Debug, Default)]
pub(super) struct Changes(BTreeMap<ServerId, Failing>);

/// A server that fails, or whose events are not all carried out.
#[derive(Debug)]
struct Failing {
    name: String,
    since: SystemTime,
    error: String,
    stage: Stage,
    /// An event of this server is being carried out.
    is_running: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Fails, for less than the delay or while no event could be started.
    Failing,
    /// The failure is to be reported.
    Failed,
    /// The failure was reported.
    Reported,
    /// The recovery is to be reported.
    Recovered,
    /// The recovery was reported.
    Done,
}

impl Changes {
    /// Notes which servers fail. One that has failed for `delay` is reported, and its recovery after that.
    pub(super) fn update(&mut self, workers: &BTreeMap<ServerId, WorkerDetail>, now: SystemTime, delay: Duration) {
        let is_needed =
            |server: &ServerId, failing: &Failing| failing.stage != Stage::Done && workers.contains_key(server);
        self.0.retain(|server, failing| is_needed(server, failing) || failing.is_running);
        for (server, worker) in workers {
            match (&worker.progress.error, self.0.get_mut(server)) {
                (Some(error), None) => {
                    let (name, error) = (worker.name.clone(), error.clone());
                    let new = Failing { name, since: now, error, stage: Stage::Failing, is_running: false };
                    self.0.insert(*server, new);
                }
                (Some(error), Some(failing)) => failing.fails_still(error),
                (None, Some(failing)) if has_recovered(worker, failing.since) => failing.recovers(),
                (None, _) => {}
            }
        }
        for failing in self.0.values_mut() {
            let age = now.duration_since(failing.since).unwrap_or_default();
            if failing.stage == Stage::Failing && age >= delay {
                failing.stage = Stage::Failed;
            }
        }
    }

    /// The next event, which runs until [`Self::ended`] is called.
    pub(super) fn start_next(&mut self) -> Option<(ServerId, Event)> {
        let is_due =
            |failing: &Failing| !failing.is_running && matches!(failing.stage, Stage::Failed | Stage::Recovered);
        let (server, failing) = self.0.iter_mut().find(|(_, failing)| is_due(failing))?;
        let (kind, stage) = match failing.stage {
            Stage::Failed => (Kind::Failure, Stage::Reported),
            _ => (Kind::Recovery, Stage::Done),
        };
        (failing.stage, failing.is_running) = (stage, true);
        let (name, error) = (failing.name.clone(), failing.error.clone());
        Some((*server, Event { kind, server: *server, name, since: failing.since, error }))
    }

    pub(super) fn ended(&mut self, server: ServerId) {
        if let Some(failing) = self.0.get_mut(&server) {
            failing.is_running = false;
        }
    }

    pub(super) fn all_ended(&mut self) {
        self.0.values_mut().for_each(|failing| failing.is_running = false);
    }
}

impl Failing {
    fn fails_still(&mut self, error: &str) {
        match self.stage {
            // It fails again before its recovery was reported: for whoever reads the reports, it has failed all the time.
            Stage::Recovered => self.stage = Stage::Reported,
            // It fails again while its recovery is being reported, and will be observed as new.
            Stage::Done => {}
            Stage::Failing | Stage::Failed | Stage::Reported => {
                if self.error != error {
                    error.clone_into(&mut self.error);
                }
            }
        }
    }

    fn recovers(&mut self) {
        self.stage = match self.stage {
            // Nobody was informed.
            Stage::Failing | Stage::Failed => Stage::Done,
            Stage::Reported | Stage::Recovered => Stage::Recovered,
            Stage::Done => Stage::Done,
        };
    }
}

/// Whether a snapshot that was begun after a time is stored. That the connection works again is not enough.
fn has_recovered(worker: &WorkerDetail, since: SystemTime) -> bool {
    worker.progress.last.is_some_and(|last| last >= since)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::Status;
    use crate::worker::detail::Progress;

    const DELAY: Duration = Duration::from_secs(60);

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds)
    }

    fn id(id: i32) -> ServerId {
        ServerId::new(id).unwrap()
    }

    fn worker(error: Option<&str>, last: Option<SystemTime>) -> BTreeMap<ServerId, WorkerDetail> {
        let progress = Progress { error: error.map(Into::into), last, ..Progress::default() };
        let worker =
            WorkerDetail { name: "db1".into(), frequency: Duration::from_secs(300), status: Status::Running, progress };
        [(id(1), worker)].into()
    }

    /// Passes states at these seconds, and carries out each event at once.
    fn events(states: &[(u64, Option<&str>, Option<u64>)]) -> Vec<(u64, Kind)> {
        let mut changes = Changes::default();
        let mut found = Vec::new();
        for (second, error, last) in states {
            changes.update(&worker(*error, last.map(at)), at(*second), DELAY);
            while let Some((server, event)) = changes.start_next() {
                assert_eq!(changes.start_next(), None, "one at a time");
                changes.ended(server);
                found.push((*second, event.kind));
            }
        }
        found
    }

    #[test]
    fn a_failure_is_one_event_and_its_recovery_another() {
        let states = [
            (0, None, Some(0)),
            (10, Some("a"), Some(0)),
            (69, Some("a"), Some(0)),
            (70, Some("b"), Some(0)),
            (500, Some("b"), Some(0)),
            // Connected again, and no snapshot yet.
            (510, None, Some(0)),
            (520, None, Some(515)),
            (530, None, Some(515)),
        ];
        assert_eq!(events(&states), [(70, Kind::Failure), (520, Kind::Recovery)]);
    }

    #[test]
    fn what_is_over_before_the_delay_is_no_event() {
        assert_eq!(events(&[(0, Some("a"), None), (59, None, Some(58)), (200, None, Some(58))]), []);
        let flapping = [(0, Some("a"), None), (30, None, None), (59, Some("a"), None), (60, Some("a"), None)];
        assert_eq!(events(&flapping), [(60, Kind::Failure)], "connected, but without a snapshot");
    }

    #[test]
    fn two_failures_are_two_events_each() {
        let states = [
            (0, Some("a"), None),
            (60, Some("a"), None),
            (70, None, Some(70)),
            (71, Some("a"), Some(70)),
            (130, Some("a"), Some(70)),
            (131, Some("a"), Some(70)),
        ];
        assert_eq!(events(&states), [(60, Kind::Failure), (70, Kind::Recovery), (131, Kind::Failure)]);
    }

    #[test]
    fn while_one_event_runs_the_next_waits_and_what_cancels_out_is_left_out() {
        let mut changes = Changes::default();
        changes.update(&worker(Some("a"), None), at(0), Duration::ZERO);
        assert_eq!(changes.start_next().unwrap().1.kind, Kind::Failure);
        changes.update(&worker(None, Some(at(1))), at(1), Duration::ZERO);
        assert_eq!(changes.start_next(), None);
        // It fails again.
        changes.update(&worker(Some("b"), Some(at(1))), at(2), Duration::ZERO);
        changes.ended(id(1));
        assert_eq!(changes.start_next(), None);
        changes.update(&worker(None, Some(at(3))), at(3), Duration::ZERO);
        assert_eq!(changes.start_next().unwrap().1.kind, Kind::Recovery);
        changes.ended(id(1));
        changes.update(&worker(None, Some(at(3))), at(4), Duration::ZERO);
        assert!(changes.0.is_empty());
    }

    #[test]
    fn a_server_that_is_removed_is_forgotten() {
        let mut changes = Changes::default();
        changes.update(&worker(Some("a"), None), at(0), DELAY);
        changes.update(&BTreeMap::new(), at(100), DELAY);
        assert!(changes.0.is_empty() && changes.start_next().is_none());
    }
}
