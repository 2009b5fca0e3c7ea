//! `snapshot --wait`: waits until a snapshot may be taken, and then until it is stored.

use std::error::Error;
use std::time::{Duration, SystemTime};

use indicatif::ProgressBar;
use tokio::time::{Instant, sleep};

use super::unreachable::refuse_unreachable;
use crate::control::asking::{Asker, Unanswered};
use crate::control::detail::{Detail, Taken};
use crate::postgres::RegisteredServer;
use crate::worker::{ForceRefused, Phase, TOO_SOON};

/// How often the daemon is asked whether the snapshot is there.
const BETWEEN_LOOKS: Duration = Duration::from_millis(200);

/// A snapshot that was refused is asked for again after this long at least: the collector logs what it refuses.
const BETWEEN_TRIES: Duration = Duration::from_secs(1);

/// Why there is nothing to wait for any more.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("{0}: {1}")]
    Failed(String, String),
    #[error("{0} is not collected from: \"powa-collector reload\", or the collector's log, may tell why")]
    Unserved(String),
    #[error("the worker of {0} was started anew meanwhile: the collector's log tells why")]
    StartedAnew(String),
}

/// Asks for a snapshot, as soon as it is the time for it, and waits until it is stored. One that begins while its time is
/// waited for is as good: a server with a frequency below 10 s would never get to it.
///
/// # Errors
/// There is nobody to answer, or nothing comes of it.
pub(super) async fn take(asker: &mut Asker, server: &RegisteredServer) -> Result<Taken, Box<dyn Error>> {
    let mut wait = Wait { asker, server, line: Line::new() };
    loop {
        let before = wait.look().await?;
        let refused = match wait.asker.force_snapshot(server.id).await {
            Ok(_) => None,
            Err(Unanswered::NotNow(refused)) => Some(refused),
            Err(error) => return Err(error.into()),
        };
        let is_of_before = refused == Some(ForceRefused::InProgress);
        // What was under way when it was looked at may be over by now, and was begun before anybody asked.
        let before = if refused.is_none() || is_of_before { before } else { wait.look().await? };
        if refused == Some(ForceRefused::Scheduled) {
            // Somebody has asked for it before. Otherwise, to ask is to have the connection tried at once.
            refuse_unreachable(server, &before)?;
        }
        let again = |refused| Instant::now() + until_it_may(refused, before.last, SystemTime::now());
        let stored = wait.until_stored(&before, refused.map(|refused| (refused, again(refused)))).await?;
        if let Some(taken) = stored.filter(|_| !is_of_before) {
            return Ok(taken);
        }
    }
}

/// How long it takes until it makes sense to ask again.
fn until_it_may(refused: ForceRefused, last: Option<SystemTime>, now: SystemTime) -> Duration {
    if refused != ForceRefused::TooSoon {
        return BETWEEN_TRIES;
    }
    // The clocks may differ, and the last snapshot may be one that failed, which is not told: it was no later than now.
    let age = last.and_then(|last| now.duration_since(last).ok()).filter(|age| *age < TOO_SOON);
    (TOO_SOON - age.unwrap_or_default()).max(BETWEEN_TRIES)
}

/// Somebody waits.
struct Wait<'a> {
    asker: &'a mut Asker,
    server: &'a RegisteredServer,
    line: Line,
}

impl Wait<'_> {
    async fn look(&mut self) -> Result<Detail, Box<dyn Error>> {
        let id = self.server.id;
        let mut details = match self.asker.details(&[id]).await {
            // One answer may be lost: it reconnects by itself.
            Err(Unanswered::Silent { .. }) => self.asker.details(&[id]).await?,
            answered => answered?,
        };
        Ok(details.remove(&id).ok_or_else(|| Ended::Unserved(self.server.to_string()))?)
    }

    /// Waits for as long as the collector answers: it has limits of its own to how long anything takes. `None`: nothing
    /// was stored, and it is the time to ask again.
    async fn until_stored(
        &mut self,
        before: &Detail,
        refused: Option<(ForceRefused, Instant)>,
    ) -> Result<Option<Taken>, Box<dyn Error>> {
        loop {
            let now = self.look().await?;
            if now.taken < before.taken {
                return Err(self.started_anew());
            }
            if now.taken > before.taken {
                return Ok(Some(now.snapshot.ok_or_else(|| self.started_anew())?));
            }
            if now.failures > before.failures {
                let reason = now.trouble.unwrap_or_else(|| "the snapshot failed".into());
                return Err(Ended::Failed(self.server.to_string(), reason).into());
            }
            let is_idle = now.phase == Phase::Idle.to_string();
            let left = refused.map(|(refused, again)| (refused, again.saturating_duration_since(Instant::now())));
            match left {
                Some((_, left)) if left.is_zero() && is_idle => return Ok(None),
                Some((ForceRefused::TooSoon, left)) if is_idle => {
                    self.line
                        .say(self.server, &format!("waits for {} s: snapshots are 10 s apart", left.as_secs() + 1));
                }
                _ => self.line.say(self.server, &now.phase),
            }
            sleep(BETWEEN_LOOKS).await;
        }
    }

    fn started_anew(&self) -> Box<dyn Error> {
        Ended::StartedAnew(self.server.to_string()).into()
    }
}

/// A line on standard error, if that is a terminal, wiped away in the end.
struct Line(ProgressBar);

impl Line {
    fn new() -> Self {
        let spinner = ProgressBar::new_spinner();
        spinner.enable_steady_tick(Duration::from_millis(100));
        Self(spinner)
    }

    fn say(&self, server: &RegisteredServer, what: &str) {
        self.0.set_message(format!("{server}: {what}"));
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_too_soon_is_asked_for_when_it_is_time() {
        let now = SystemTime::now();
        let wait = |refused, age: Option<u64>| {
            let last = age.map(|age| now - Duration::from_secs(age));
            until_it_may(refused, last, now).as_secs()
        };
        assert_eq!(wait(ForceRefused::TooSoon, Some(3)), 7);
        assert_eq!(wait(ForceRefused::TooSoon, Some(0)), 10);
        // One that failed came after the last one that is known of.
        assert_eq!([Some(10), Some(3600), None].map(|age| wait(ForceRefused::TooSoon, age)), [10, 10, 10]);
        assert_eq!(until_it_may(ForceRefused::TooSoon, Some(now + BETWEEN_TRIES), now), TOO_SOON);
        assert_eq!([ForceRefused::InProgress, ForceRefused::Scheduled].map(|refused| wait(refused, Some(3))), [1, 1]);
    }
}
