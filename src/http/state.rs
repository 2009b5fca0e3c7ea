//! How a server is, in one word. Pure.

use std::time::SystemTime;

use serde::Serialize;

use crate::worker::{Account, Status};

/// How a server is, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// Something is in the way of its snapshots.
    Failing,
    /// Nothing is known to be in the way, and there is none for too long.
    Overdue,
    /// The last one lacks some datasources.
    Incomplete,
    /// It was not there before.
    Starting,
    Running,
    /// It is not to be collected from any more.
    Stopping,
}

impl State {
    /// All there are.
    pub(super) const ALL: [Self; 6] =
        [Self::Failing, Self::Overdue, Self::Incomplete, Self::Starting, Self::Running, Self::Stopping];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Failing => "failing",
            Self::Overdue => "overdue",
            Self::Incomplete => "incomplete",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
        }
    }

    pub(super) fn of(account: &Account, now: SystemTime) -> Self {
        let progress = &account.progress;
        let is_new = progress.trouble.is_none() && progress.failures == 0 && progress.taken == 0;
        match account.status {
            Status::Stopping => Self::Stopping,
            // It failed, or it would not be there any more.
            Status::Stopped => Self::Failing,
            Status::NoConnection(_) if is_new => Self::Starting,
            Status::NoConnection(_) => Self::Failing,
            Status::Running if progress.trouble.is_some() => Self::Failing,
            Status::Running if account.is_overdue(now) => Self::Overdue,
            Status::Running if progress.report.as_ref().is_some_and(|report| !report.errors.is_empty()) => {
                Self::Incomplete
            }
            Status::Running => Self::Running,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::postgres::Side;
    use crate::snapshot::Report;
    use crate::worker::Progress;

    #[test]
    fn the_worst_is_what_is_said() {
        let now = SystemTime::now();
        let ago = |seconds| Some(now - Duration::from_secs(seconds));
        let report = |errors: &[&str]| {
            let errors = errors.iter().map(ToString::to_string).collect();
            Some(Arc::new(Report { errors, ..Report::default() }))
        };
        let fine = Progress { taken: 1, last: ago(3), report: report(&[]), ..Progress::default() };
        let trouble = Progress { trouble: Some("in the way".into()), ..fine.clone() };
        let late = Progress { last: ago(21), ..fine.clone() };
        let never = |seconds| Progress { started: ago(seconds), ..Progress::default() };
        let (not_yet, too_long) = (never(20), never(21));
        let lacking = Progress { report: report(&["one failed"]), ..fine.clone() };
        let lacking_and_late = Progress { last: ago(21), ..lacking.clone() };
        let away = Status::NoConnection(Side::Remote);
        let cases = [
            (Status::Running, &fine, State::Running),
            (Status::Running, &trouble, State::Failing),
            (Status::Running, &late, State::Overdue),
            (Status::Running, &lacking, State::Incomplete),
            (Status::Running, &lacking_and_late, State::Overdue),
            (Status::Running, &Progress::default(), State::Running),
            (Status::Running, &not_yet, State::Running),
            (Status::Running, &too_long, State::Overdue),
            (away, &Progress::default(), State::Starting),
            (away, &fine, State::Failing),
            (away, &trouble, State::Failing),
            (Status::NoConnection(Side::Repository), &fine, State::Failing),
            (Status::Stopped, &fine, State::Failing),
            (Status::Stopping, &trouble, State::Stopping),
        ];
        for (status, progress, expected) in cases {
            let frequency = Duration::from_secs(5);
            let account = Account { name: "a".into(), frequency, status, progress: progress.clone() };
            assert_eq!(State::of(&account, now), expected, "{account:?}");
        }
    }
}
