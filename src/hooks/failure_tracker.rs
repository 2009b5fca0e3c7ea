//! Decides when a server has failed, and when that is over. Pure.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use super::event::{Event, EventKind, Recovery};
use crate::server::ServerId;
use crate::worker::WorkerDetail;

/// What is known of the servers that fail.
#[derive(Debug, Default)]
pub(super) struct FailureTracker(BTreeMap<ServerId, Failing>);

/// A server that fails, or whose events are not all handled.
#[derive(Debug)]
struct Failing {
    name: String,
    since: SystemTime,
    error: String,
    stage: Stage,
    /// An event of this server is being handled.
    hook_is_running: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Has failed for less than the delay.
    Failing,
    /// The failure is to be reported.
    Failed,
    /// The failure was reported.
    Reported,
    /// The recovery is to be reported.
    Recovered(Recovery),
    /// The recovery was reported.
    Done,
}

impl FailureTracker {
    /// Notes which servers fail. One that has failed for `delay` is reported, and its recovery after that.
    pub(super) fn update(&mut self, workers: &BTreeMap<ServerId, WorkerDetail>, now: SystemTime, delay: Duration) {
        self.0.retain(|_, failing| failing.stage != Stage::Done || failing.hook_is_running);
        for (_, failing) in self.0.iter_mut().filter(|(server, _)| !workers.contains_key(server)) {
            failing.record_recovery(Recovery::NotCollected);
        }
        for (server, worker) in workers {
            match (&worker.progress.error, self.0.get_mut(server)) {
                // A paused server may be down.
                (_, failing) if worker.quiet_until(now).is_some() => {
                    failing.into_iter().for_each(|failing| failing.record_recovery(Recovery::NotCollected));
                }
                (Some(error), None) => {
                    let (name, error) = (worker.name.clone(), error.clone());
                    let new = Failing { name, since: now, error, stage: Stage::Failing, hook_is_running: false };
                    self.0.insert(*server, new);
                }
                (Some(error), Some(failing)) => failing.record_failure(error),
                (None, Some(failing)) if worker.progress.excluded.is_some() => {
                    failing.record_recovery(Recovery::NotCollected);
                }
                (None, Some(failing)) if has_recovered(worker, failing.since) => {
                    failing.record_recovery(Recovery::Stored);
                }
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

    /// The next event, which runs until [`Self::mark_ended`] is called.
    pub(super) fn start_next(&mut self) -> Option<Event> {
        let is_due = |failing: &Failing| {
            !failing.hook_is_running && matches!(failing.stage, Stage::Failed | Stage::Recovered(_))
        };
        let (server, failing) = self.0.iter_mut().find(|(_, failing)| is_due(failing))?;
        let (kind, stage) = match failing.stage {
            Stage::Recovered(how) => (EventKind::Recovery(how), Stage::Done),
            _ => (EventKind::Failure, Stage::Reported),
        };
        (failing.stage, failing.hook_is_running) = (stage, true);
        let (name, error) = (failing.name.clone(), failing.error.clone());
        Some(Event { kind, server: *server, name, since: failing.since, error })
    }

    pub(super) fn mark_ended(&mut self, server: ServerId) {
        if let Some(failing) = self.0.get_mut(&server) {
            failing.hook_is_running = false;
        }
    }

    pub(super) fn mark_all_ended(&mut self) {
        self.0.values_mut().for_each(|failing| failing.hook_is_running = false);
    }
}

impl Failing {
    fn record_failure(&mut self, error: &str) {
        match self.stage {
            // It fails again before its recovery was reported: for whoever reads the reports, it has failed all the time.
            Stage::Recovered(_) => self.stage = Stage::Reported,
            // It fails again while its recovery is being reported, and will be observed as new.
            Stage::Done => {}
            Stage::Failing | Stage::Failed | Stage::Reported => {
                if self.error != error {
                    error.clone_into(&mut self.error);
                }
            }
        }
    }

    fn record_recovery(&mut self, how: Recovery) {
        self.stage = match self.stage {
            // Nobody was informed.
            Stage::Failing | Stage::Failed => Stage::Done,
            Stage::Reported | Stage::Recovered(_) => Stage::Recovered(how),
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
    use std::sync::Arc;

    use super::*;
    use crate::schedule::{Timing, TimingRow};
    use crate::worker::detail::Progress;
    use crate::worker::{ExclusionReason, Status};

    const DELAY: Duration = Duration::from_secs(60);

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds)
    }

    fn id(id: i32) -> ServerId {
        ServerId::new(id).unwrap()
    }

    fn worker(error: Option<&str>, last: Option<SystemTime>) -> BTreeMap<ServerId, WorkerDetail> {
        let progress = Progress { error: error.map(Into::into), last, ..Progress::default() };
        let worker = WorkerDetail {
            name: "db1".into(),
            alias: None,
            address: "db1:5432".into(),
            frequency: Duration::from_secs(300),
            timing: None,
            status: Status::Running,
            progress,
        };
        [(id(1), worker)].into()
    }

    /// Passes states at these seconds, and carries out each event at once.
    fn events(states: &[(u64, Option<&str>, Option<u64>)]) -> Vec<(u64, EventKind)> {
        let mut tracker = FailureTracker::default();
        let mut found = Vec::new();
        for (second, error, last) in states {
            tracker.update(&worker(*error, last.map(at)), at(*second), DELAY);
            while let Some(event) = tracker.start_next() {
                assert_eq!(tracker.start_next(), None, "one at a time");
                tracker.mark_ended(event.server);
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
        assert_eq!(events(&states), [(70, EventKind::Failure), (520, EventKind::Recovery(Recovery::Stored))]);
    }

    #[test]
    fn a_pause_ends_a_failure_and_prevents_one() {
        let row = TimingRow { paused_until: Some(1_000_500.0), ..TimingRow::default() };
        let timing = Arc::new(Timing::of_row(1, &row));
        let (mut tracker, mut found) = (FailureTracker::default(), Vec::new());
        for (second, is_paused) in
            [(0, false), (60, false), (70, true), (200, true), (500, true), (559, true), (560, true)]
        {
            let mut workers = worker(Some("a"), None);
            let server = workers.get_mut(&id(1)).unwrap();
            server.timing = is_paused.then(|| Arc::clone(&timing));
            tracker.update(&workers, at(second), DELAY);
            while let Some(event) = tracker.start_next() {
                tracker.mark_ended(event.server);
                found.push((second, event.kind));
            }
        }
        // It begins to fail anew with the end of the pause.
        let expected =
            [(60, EventKind::Failure), (70, EventKind::Recovery(Recovery::NotCollected)), (560, EventKind::Failure)];
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_over_before_the_delay_is_no_event() {
        assert_eq!(events(&[(0, Some("a"), None), (59, None, Some(58)), (200, None, Some(58))]), []);
        let flapping = [(0, Some("a"), None), (30, None, None), (59, Some("a"), None), (60, Some("a"), None)];
        assert_eq!(events(&flapping), [(60, EventKind::Failure)], "connected, but without a snapshot");
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
        assert_eq!(
            events(&states),
            [(60, EventKind::Failure), (70, EventKind::Recovery(Recovery::Stored)), (131, EventKind::Failure)]
        );
    }

    #[test]
    fn while_one_event_runs_the_next_waits_and_what_cancels_out_is_left_out() {
        let mut tracker = FailureTracker::default();
        tracker.update(&worker(Some("a"), None), at(0), Duration::ZERO);
        assert_eq!(tracker.start_next().unwrap().kind, EventKind::Failure);
        tracker.update(&worker(None, Some(at(1))), at(1), Duration::ZERO);
        assert_eq!(tracker.start_next(), None);
        // It fails again.
        tracker.update(&worker(Some("b"), Some(at(1))), at(2), Duration::ZERO);
        tracker.mark_ended(id(1));
        assert_eq!(tracker.start_next(), None);
        tracker.update(&worker(None, Some(at(3))), at(3), Duration::ZERO);
        assert_eq!(tracker.start_next().unwrap().kind, EventKind::Recovery(Recovery::Stored));
        tracker.mark_ended(id(1));
        tracker.update(&worker(None, Some(at(3))), at(4), Duration::ZERO);
        assert!(tracker.0.is_empty());
    }

    #[test]
    fn a_server_that_is_not_collected_any_more_does_not_fail_for_ever() {
        let mut tracker = FailureTracker::default();
        tracker.update(&worker(Some("a"), None), at(0), Duration::ZERO);
        assert_eq!(tracker.start_next().unwrap().kind, EventKind::Failure);
        tracker.mark_ended(id(1));
        tracker.update(&BTreeMap::new(), at(1), Duration::ZERO);
        assert_eq!(tracker.start_next().unwrap().kind, EventKind::Recovery(Recovery::NotCollected));
        tracker.mark_ended(id(1));
        tracker.update(&worker(Some("a"), None), at(2), Duration::ZERO);
        assert_eq!(tracker.start_next().unwrap().kind, EventKind::Failure);
        tracker.mark_ended(id(1));
        let mut excluded = worker(None, None);
        excluded.get_mut(&id(1)).unwrap().progress.excluded = Some(ExclusionReason::Standby);
        tracker.update(&excluded, at(3), Duration::ZERO);
        assert_eq!(tracker.start_next().unwrap().kind, EventKind::Recovery(Recovery::NotCollected));
    }

    #[test]
    fn a_server_that_is_removed_before_it_was_reported_is_forgotten() {
        let mut tracker = FailureTracker::default();
        tracker.update(&worker(Some("a"), None), at(0), DELAY);
        tracker.update(&BTreeMap::new(), at(100), DELAY);
        assert!(tracker.start_next().is_none());
        tracker.update(&BTreeMap::new(), at(101), DELAY);
        assert!(tracker.0.is_empty());
    }
}
