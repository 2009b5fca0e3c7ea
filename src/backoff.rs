//! Retries with growing delays.

use std::fmt::Display;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::time::sleep;

/// Endless delays that grow from one second to `longest`, with jitter.
pub(crate) fn growing_delays(longest: Duration) -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_secs(1))
        .with_max_delay(longest)
        .without_max_times()
        .with_jitter()
        .build()
}

/// Retries `attempt` until it succeeds, with growing delays. Calls `report` for each failure whose reason differs from the
/// previous one.
pub(crate) async fn retry_until_ok<T, Reason, Try>(
    longest: Duration,
    mut attempt: impl FnMut() -> Try,
    mut report: impl FnMut(Reason),
) -> T
where
    Reason: Clone + Display + PartialEq,
    Try: Future<Output = Result<T, Reason>>,
{
    let mut last_reason = None;
    for pause in growing_delays(longest) {
        match attempt().await {
            Ok(done) => return done,
            Err(reason) if last_reason.as_ref() == Some(&reason) => tracing::debug!("{reason}; still waiting"),
            Err(reason) => {
                last_reason = Some(reason.clone());
                report(reason);
            }
        }
        sleep(pause).await;
    }
    unreachable!("the pauses never end")
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_reason_is_told_when_it_is_another_one_than_before() {
        let started = Instant::now();
        let mut outcomes = [Err("no"), Err("no"), Err("never"), Err("no"), Ok(7)].into_iter();
        let mut reported = Vec::new();
        let attempt = || ready(outcomes.next().unwrap().map_err(str::to_owned));
        assert_eq!(retry_until_ok(Duration::from_secs(2), attempt, |reason| reported.push(reason)).await, 7);
        assert_eq!(reported, ["no", "never", "no"]);
        assert!(started.elapsed() >= Duration::from_secs(4), "{:?}", started.elapsed());
    }
}
