//! How long until the next try, and what is said until one works?

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::time::sleep;

/// Pauses without end: from one second on, growing to `longest`, and never the same for two who wait.
pub fn growing_to(longest: Duration) -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_secs(1))
        .with_max_delay(longest)
        .without_max_times()
        .with_jitter()
        .build()
}

/// Tries until it works, with growing pauses. Why it does not is told once, however often in a row that is the reason.
pub async fn until_it_works<T, Try>(
    longest: Duration,
    mut attempt: impl FnMut() -> Try,
    mut tell: impl FnMut(String),
) -> T
where
    Try: Future<Output = Result<T, String>>,
{
    let mut known = String::new();
    for pause in growing_to(longest) {
        match attempt().await {
            Ok(done) => return done,
            Err(reason) if reason == known => tracing::debug!("{reason}; still waiting"),
            Err(reason) => {
                known.clone_from(&reason);
                tell(reason);
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
        let begun = Instant::now();
        let mut outcomes = [Err("no"), Err("no"), Err("never"), Err("no"), Ok(7)].into_iter();
        let mut told = Vec::new();
        let attempt = || ready(outcomes.next().unwrap().map_err(str::to_owned));
        assert_eq!(until_it_works(Duration::from_secs(2), attempt, |reason| told.push(reason)).await, 7);
        assert_eq!(told, ["no", "never", "no"]);
        assert!(begun.elapsed() >= Duration::from_secs(4), "{:?}", begun.elapsed());
    }
}
