//! The state of a server, in one word: on the status page and in the metrics.

use std::time::SystemTime;

use serde::Serialize;

use crate::worker::{ExclusionReason, Status, WorkerDetail};

/// The state of a server, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ServerState {
    /// An error prevents snapshots.
    Failing,
    /// No error is known, but the last snapshot is too old.
    Overdue,
    /// The last snapshot was stored without some of its datasources.
    Incomplete,
    /// Its worker has not connected yet.
    Starting,
    Running,
    /// It is in recovery, and not collected because of `collect.standby`.
    Standby,
    /// Nothing is collected until the end of a pause, or the start of its schedule.
    Paused,
    /// It was disabled or removed, and its worker is ending.
    Stopping,
}

impl ServerState {
    /// In the order of severity.
    pub(super) const ALL: [Self; 8] = [
        Self::Failing,
        Self::Overdue,
        Self::Incomplete,
        Self::Starting,
        Self::Running,
        Self::Standby,
        Self::Paused,
        Self::Stopping,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Failing => "failing",
            Self::Overdue => "overdue",
            Self::Incomplete => "incomplete",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Standby => "standby",
            Self::Paused => "paused",
            Self::Stopping => "stopping",
        }
    }

    pub(super) fn of(account: &WorkerDetail, now: SystemTime) -> Self {
        let progress = &account.progress;
        let is_new = progress.error.is_none() && progress.failures == 0 && progress.taken == 0;
        match account.status {
            Status::Stopping => Self::Stopping,
            // A worker that ends without an error is removed from the fleet.
            Status::Stopped => Self::Failing,
            // It may be down meanwhile.
            _ if account.quiet_until(now).is_some() => Self::Paused,
            Status::NoConnection(_) if is_new => Self::Starting,
            Status::NoConnection(_) => Self::Failing,
            Status::Running if progress.error.is_some() => Self::Failing,
            Status::Running if progress.excluded == Some(ExclusionReason::Standby) => Self::Standby,
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
    use crate::snapshot::Report;
    use crate::worker::detail::Progress;
    use session::Side;

    #[test]
    fn the_worst_is_what_is_said() {
        let now = SystemTime::now();
        let ago = |seconds| Some(now - Duration::from_secs(seconds));
        let report = |errors: &[&str]| {
            let errors = errors.iter().map(ToString::to_string).collect();
            Some(Arc::new(Report { errors, ..Report::default() }))
        };
        let fine = Progress { taken: 1, last: ago(3), report: report(&[]), ..Progress::default() };
        let trouble = Progress { error: Some("an error".into()), ..fine.clone() };
        let late = Progress { last: ago(21), ..fine.clone() };
        let never = |seconds| Progress { started: ago(seconds), ..Progress::default() };
        let (not_yet, too_long) = (never(20), never(21));
        let lacking = Progress { report: report(&["one failed"]), ..fine.clone() };
        let lacking_and_late = Progress { last: ago(21), ..lacking.clone() };
        let left_out = Progress { excluded: Some(ExclusionReason::Standby), ..lacking_and_late.clone() };
        let left_out_in_trouble = Progress { error: trouble.error.clone(), ..left_out.clone() };
        let away = Status::NoConnection(Side::Remote);
        let cases = [
            (Status::Running, &fine, ServerState::Running),
            (Status::Running, &trouble, ServerState::Failing),
            (Status::Running, &late, ServerState::Overdue),
            (Status::Running, &lacking, ServerState::Incomplete),
            (Status::Running, &lacking_and_late, ServerState::Overdue),
            (Status::Running, &Progress::default(), ServerState::Running),
            (Status::Running, &not_yet, ServerState::Running),
            (Status::Running, &too_long, ServerState::Overdue),
            (Status::Running, &left_out, ServerState::Standby),
            (Status::Running, &left_out_in_trouble, ServerState::Failing),
            (away, &left_out, ServerState::Failing),
            (away, &Progress::default(), ServerState::Starting),
            (away, &fine, ServerState::Failing),
            (away, &trouble, ServerState::Failing),
            (Status::NoConnection(Side::Repository), &fine, ServerState::Failing),
            (Status::Stopped, &fine, ServerState::Failing),
            (Status::Stopping, &trouble, ServerState::Stopping),
        ];
        for (status, progress, expected) in cases {
            let frequency = Duration::from_secs(5);
            let account = WorkerDetail {
                name: "a".into(),
                alias: None,
                address: "a:5432".into(),
                frequency,
                timing: None,
                status,
                progress: progress.clone(),
            };
            assert_eq!(ServerState::of(&account, now), expected, "{account:?}");
        }
    }
}
