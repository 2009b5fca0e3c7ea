//! `snapshot --wait`: waits until a snapshot is possible, and then until it is stored.

use std::error::Error;
use std::time::{Duration, SystemTime};

use indicatif::ProgressBar;
use tokio::time::{Instant, sleep};

use super::unreachable::refuse_unreachable;
use crate::control::client::{Client, ClientError};
use crate::control::detail::{Detail, SnapshotFigures};
use crate::pace::FORCED_SNAPSHOT_INTERVAL;
use crate::repository::RegisteredServer;
use crate::worker::{ForceRefused, Phase};

/// Between two reads of the worker's state.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// Between two requests, as the collector logs each request that it refuses.
const MIN_RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Why waiting ended without a snapshot.
#[derive(Debug, thiserror::Error)]
enum WaitError {
    #[error("{0}: {1}")]
    Failed(String, String),
    #[error("the collector does not collect {0}; run \"powa-collector reload\" and see the collector's log")]
    NotCollected(String),
    #[error("{0} is a standby and is excluded while it is one (collect.standby)")]
    Excluded(String),
    #[error("the worker of {0} was restarted while waiting; see the collector's log")]
    Restarted(String),
}

/// Requests a snapshot as soon as it is possible, and waits until it is stored. A regular snapshot that begins in the meantime
/// counts too: with a frequency below 10 s, no other would be possible.
///
/// # Errors
/// No collector answers, or the snapshot fails.
pub(super) async fn take(client: &mut Client, server: &RegisteredServer) -> Result<SnapshotFigures, Box<dyn Error>> {
    let mut wait = Wait { client, server, line: ProgressLine::new() };
    loop {
        let before = wait.read_detail().await?;
        // Do not send a request that would be refused, as the collector logs refusals.
        let refused = match expected_refusal(&before, SystemTime::now()) {
            Some(refused) => Some(refused),
            None => match wait.client.force_snapshot(server.id).await {
                Ok(_) => None,
                Err(ClientError::NotNow(refused)) => Some(refused),
                Err(error) => return Err(error.into()),
            },
        };
        let was_in_progress = refused == Some(ForceRefused::InProgress);
        // Read again, so that a snapshot that has ended since the first read, and was started before the request, does not count.
        let before = if refused.is_none() || was_in_progress { before } else { wait.read_detail().await? };
        if refused == Some(ForceRefused::Scheduled) {
            // Requested before. A first request makes the collector reconnect at once.
            refuse_unreachable(server, &before)?;
        }
        let again = |refused| Instant::now() + retry_delay(refused, before.last, SystemTime::now());
        let stored = wait.until_stored(&before, refused.map(|refused| (refused, again(refused)))).await?;
        if let Some(taken) = stored.filter(|_| !was_in_progress) {
            return Ok(taken);
        }
    }
}

/// Why a request would be refused now, as far as the worker's state shows. It does not have failed snapshots, and the clocks can
/// differ.
fn expected_refusal(detail: &Detail, now: SystemTime) -> Option<ForceRefused> {
    if [Phase::Collecting, Phase::Loading].iter().any(|phase| phase.to_string() == detail.phase) {
        return Some(ForceRefused::InProgress);
    }
    let age = now.duration_since(detail.last?).ok()?;
    (age < FORCED_SNAPSHOT_INTERVAL).then_some(ForceRefused::TooSoon)
}

/// The time until the next request.
fn retry_delay(refused: ForceRefused, last: Option<SystemTime>, now: SystemTime) -> Duration {
    if refused != ForceRefused::TooSoon {
        return MIN_RETRY_INTERVAL;
    }
    // If the clocks differ, or the last snapshot failed and is not in the state, assume that it was just now.
    let age = last.and_then(|last| now.duration_since(last).ok()).filter(|age| *age < FORCED_SNAPSHOT_INTERVAL);
    (FORCED_SNAPSHOT_INTERVAL - age.unwrap_or_default()).max(MIN_RETRY_INTERVAL)
}

struct Wait<'a> {
    client: &'a mut Client,
    server: &'a RegisteredServer,
    line: ProgressLine,
}

impl Wait<'_> {
    async fn read_detail(&mut self) -> Result<Detail, Box<dyn Error>> {
        let id = self.server.id;
        let mut details = match self.client.details(&[id]).await {
            // Retry once: the client reconnects, and an answer can be lost.
            Err(ClientError::Silent { .. }) => self.client.details(&[id]).await?,
            answered => answered?,
        };
        Ok(details.remove(&id).ok_or_else(|| WaitError::NotCollected(self.server.to_string()))?)
    }

    /// Waits without a time-out, as the collector has its own. Returns `None` when it is the time for another request.
    async fn until_stored(
        &mut self,
        before: &Detail,
        refused: Option<(ForceRefused, Instant)>,
    ) -> Result<Option<SnapshotFigures>, Box<dyn Error>> {
        loop {
            let now = self.read_detail().await?;
            if now.taken < before.taken {
                return Err(self.restarted());
            }
            if now.taken > before.taken {
                return Ok(Some(now.snapshot.ok_or_else(|| self.restarted())?));
            }
            if now.failures > before.failures {
                let reason = now.trouble.unwrap_or_else(|| "the snapshot failed".into());
                return Err(WaitError::Failed(self.server.to_string(), reason).into());
            }
            if now.times_left_out > before.times_left_out {
                return Err(WaitError::Excluded(self.server.to_string()).into());
            }
            let is_idle = now.phase == Phase::Idle.to_string();
            let remaining = refused.map(|(refused, again)| (refused, again.saturating_duration_since(Instant::now())));
            match remaining {
                Some((_, left)) if left.is_zero() && is_idle => return Ok(None),
                Some((ForceRefused::TooSoon, left)) if is_idle => {
                    self.line
                        .show(self.server, &format!("waiting for {} s: snapshots are 10 s apart", left.as_secs() + 1));
                }
                _ => self.line.show(self.server, &now.phase),
            }
            sleep(POLL_INTERVAL).await;
        }
    }

    fn restarted(&self) -> Box<dyn Error> {
        WaitError::Restarted(self.server.to_string()).into()
    }
}

/// A line on standard error, if that is a terminal. Cleared at the end.
struct ProgressLine(ProgressBar);

impl ProgressLine {
    fn new() -> Self {
        let spinner = ProgressBar::new_spinner();
        spinner.enable_steady_tick(Duration::from_millis(100));
        Self(spinner)
    }

    fn show(&self, server: &RegisteredServer, state: &str) {
        self.0.set_message(format!("{server}: {state}"));
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_would_be_refused_is_not_sent() {
        let now = SystemTime::now();
        let refused = |phase: Phase, age: Option<u64>| {
            let last = age.map(|age| now - Duration::from_secs(age));
            let (status, frequency, name) = (String::new(), 5, String::new());
            let phase = phase.to_string();
            let detail = Detail {
                name,
                status,
                phase,
                frequency,
                schedule: None,
                time_zone: None,
                paused_until: None,
                invalid_schedule: None,
                next: None,
                last,
                snapshot: None,
                trouble: None,
                left_out: None,
                taken: 0,
                failures: 0,
                times_left_out: 0,
            };
            expected_refusal(&detail, now)
        };
        assert_eq!(refused(Phase::Idle, Some(3)), Some(ForceRefused::TooSoon));
        assert_eq!([Some(10), None].map(|age| refused(Phase::Idle, age)), [None; 2]);
        assert_eq!(refused(Phase::Collecting, Some(60)), Some(ForceRefused::InProgress));
    }

    #[test]
    fn a_request_that_is_too_soon_is_sent_later() {
        let now = SystemTime::now();
        let wait = |refused, age: Option<u64>| {
            let last = age.map(|age| now - Duration::from_secs(age));
            retry_delay(refused, last, now).as_secs()
        };
        assert_eq!(wait(ForceRefused::TooSoon, Some(3)), 7);
        assert_eq!(wait(ForceRefused::TooSoon, Some(0)), 10);
        // The last snapshot failed, after the one that is known.
        assert_eq!([Some(10), Some(3600), None].map(|age| wait(ForceRefused::TooSoon, age)), [10, 10, 10]);
        assert_eq!(retry_delay(ForceRefused::TooSoon, Some(now + MIN_RETRY_INTERVAL), now), FORCED_SNAPSHOT_INTERVAL);
        assert_eq!([ForceRefused::InProgress, ForceRefused::Scheduled].map(|refused| wait(refused, Some(3))), [1, 1]);
    }
}
