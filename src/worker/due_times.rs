//! When the snapshots of one server are due: on its grid, or at the times of its schedule; and not before a start or the end of a
//! pause. Pure.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::schedule::{LastSnapshot, Schedule};
use crate::pace::Pace;
use crate::schedule::Timing;
use crate::server::Server;

/// The most skipped snapshots that are counted: the clock may have been set.
const MAX_SKIPPED: u64 = 10_000;

/// When the snapshots of one server are due.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct DueTimes {
    grid: Schedule,
    timing: Option<Arc<Timing>>,
}

impl DueTimes {
    pub(super) fn new(server: &Server, pace: Pace) -> Self {
        Self { grid: Schedule::new(server.id, pace.frequency(server.frequency)), timing: server.timing.clone() }
    }

    /// The timing, if it has a schedule, which takes the place of the grid.
    fn schedule(&self) -> Option<&Timing> {
        self.timing.as_deref().filter(|timing| timing.cron.is_some())
    }

    /// Whether nothing is collected now, because of a start or a pause.
    pub(super) fn is_quiet(&self, now: SystemTime) -> bool {
        self.timing.as_ref().is_some_and(|timing| timing.quiet_until(now).is_some())
    }

    /// The last snapshot from its age, for a worker that starts, or whose server is changed.
    pub(super) fn resume(&self, age: Option<Duration>, now: SystemTime) -> LastSnapshot {
        match (self.schedule(), age.and_then(|age| now.checked_sub(age))) {
            (None, _) => self.grid.resume(age, now),
            (Some(_), Some(started)) => LastSnapshot::At { started, quiet_until: started },
            (Some(_), None) => LastSnapshot::Overdue { started: None },
        }
    }

    /// Records a snapshot that was due, begun and ended at these times, and returns how many were due while it was in progress:
    /// these are skipped.
    pub(super) fn after_snapshot(
        &self,
        due: SystemTime,
        started: SystemTime,
        ended: SystemTime,
    ) -> (LastSnapshot, u64) {
        let Some(timing) = self.schedule() else { return self.grid.after_snapshot(due, started, ended) };
        let (mut skipped, mut last) = (0, started);
        while let Some(next) = timing.next_after(Some(last)).filter(|next| *next <= ended && skipped < MAX_SKIPPED) {
            (skipped, last) = (skipped + 1, next);
        }
        (LastSnapshot::At { started, quiet_until: started.max(ended) }, skipped)
    }

    /// When the next snapshot is due. A time that is not after `now` means immediately: a due time was missed.
    pub(super) fn due(&self, last: LastSnapshot, now: SystemTime) -> SystemTime {
        let due = match self.schedule() {
            None => self.grid.due(last, now),
            Some(timing) => {
                let after = match last {
                    // A snapshot in the future means that the clock was set back: take the next one now.
                    _ if last.started().is_some_and(|started| started > now) => None,
                    LastSnapshot::At { quiet_until, .. } => timing.next_after(Some(quiet_until)),
                    LastSnapshot::Overdue { started } => timing.next_after(started),
                };
                after.unwrap_or(now)
            }
        };
        let not_before = self.timing.as_ref().and_then(|timing| timing.not_before());
        not_before.map_or(due, |not_before| due.max(not_before))
    }

    /// Whether the due time after `due` has passed.
    pub(super) fn has_passed(&self, due: SystemTime, now: SystemTime) -> bool {
        match self.schedule() {
            None => self.grid.has_passed(due, now),
            Some(timing) => timing.next_after(Some(due)).is_some_and(|next| next <= now),
        }
    }

    /// The time between two due times: with a schedule, between the next two.
    pub(super) fn interval(&self, now: SystemTime) -> Duration {
        let next = self.schedule().map(|timing| timing.upcoming(now, 2));
        match next.as_deref() {
            Some([first, second]) => second.duration_since(*first).unwrap_or_default(),
            _ => self.grid.frequency(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::schedule::TimingRow;
    use crate::server::ServerRow;

    /// A time on 15 January 2027, which begins at 0.
    fn at(seconds: f64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs_f64(1_799_971_200.0 + seconds)
    }

    fn times(cron: Option<&str>, paused_until: Option<f64>) -> DueTimes {
        let seconds = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        let row = TimingRow {
            cron: cron.map(Into::into),
            time_zone: cron.map(|_| "UTC".into()),
            paused_until: paused_until.map(|until| seconds(at(until))),
            changed_at: Some(seconds(at(-86_400.0))),
            ..TimingRow::default()
        };
        let mut server = Server::parse(ServerRow::example(1)).unwrap();
        server.timing = Some(Arc::new(Timing::of_row(1, &row)));
        DueTimes::new(&server, Pace::of_this_process())
    }

    const EVERY_MINUTE: Option<&str> = Some("* * * * *");

    #[test]
    fn what_was_missed_is_taken_at_once_and_the_schedule_goes_on() {
        let times = times(EVERY_MINUTE, None);
        let last = times.resume(Some(Duration::from_secs(1000)), at(1010.0));
        assert!(times.due(last, at(1010.0)) <= at(1010.0));
        let (last, skipped) = times.after_snapshot(at(60.0), at(1010.1), at(1011.0));
        assert_eq!((times.due(last, at(1011.0)), skipped), (at(1020.0), 0));
        // Nothing was missed.
        let last = times.resume(Some(Duration::from_secs(5)), at(1010.0));
        assert_eq!(times.due(last, at(1010.0)), at(1020.0));
    }

    #[test]
    fn a_server_without_a_snapshot_waits_for_its_schedule() {
        let times = times(Some("0 3 * * *"), None);
        let changed = DueTimes { timing: times.timing.clone(), ..times.clone() };
        // The row was changed at midnight of the day before, so that one was missed.
        assert_eq!(changed.due(changed.resume(None, at(-80_000.0)), at(-80_000.0)), at(-75_600.0));
    }

    #[test]
    fn what_is_due_meanwhile_is_skipped_and_counted() {
        let times = times(EVERY_MINUTE, None);
        for (ended, next, skipped) in [(59.9, 60.0, 0), (60.0, 120.0, 1), (185.0, 240.0, 3)] {
            let (last, found) = times.after_snapshot(at(0.0), at(0.1), at(ended));
            assert_eq!((times.due(last, at(ended)), found), (at(next), skipped));
        }
        let (_, skipped) = times.after_snapshot(at(0.0), at(0.1), at(1e9));
        assert_eq!(skipped, MAX_SKIPPED);
    }

    #[test]
    fn a_pause_moves_what_is_due_to_its_end() {
        let paused = times(None, Some(3600.0));
        assert!(paused.is_quiet(at(0.0)) && !paused.is_quiet(at(3600.0)));
        let last = paused.resume(Some(Duration::from_secs(1000)), at(0.0));
        assert_eq!(paused.due(last, at(0.0)), at(3600.0));
        assert_eq!(paused.due(LastSnapshot::Overdue { started: None }, at(0.0)), at(3600.0));
        let scheduled = times(Some("30 * * * *"), Some(3600.0));
        assert_eq!(scheduled.due(scheduled.resume(None, at(0.0)), at(0.0)), at(5400.0));
        // The clock was set back.
        let last = LastSnapshot::At { started: at(100.0), quiet_until: at(100.0) };
        assert_eq!(scheduled.due(last, at(0.0)), at(3600.0));
        assert_eq!(times(EVERY_MINUTE, None).due(last, at(50.0)), at(50.0));
    }

    #[test]
    fn the_interval_is_that_of_the_next_two_due_times() {
        let interval = |cron| times(cron, None).interval(at(10.0)).as_secs();
        assert_eq!(
            [Some("*/10 * * * * *"), EVERY_MINUTE, Some("0 3 * * *"), None].map(interval),
            [10, 60, 86_400, 300]
        );
    }

    #[test]
    fn a_due_time_has_passed_when_the_next_one_has() {
        let times = times(EVERY_MINUTE, None);
        assert!(times.has_passed(at(0.0), at(60.0)) && !times.has_passed(at(0.0), at(59.0)));
    }
}
