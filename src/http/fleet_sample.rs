//! The state of the fleet, as requested from the main task: at most about once a second, however many clients ask.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::{Instant, timeout};

use crate::control::{Call, Overview};

/// How long a sample is reused. Shorter than the interval of events, or every second event would repeat an old sample.
const MAX_AGE: Duration = Duration::from_millis(900);

/// Time limit for the main task, which normally answers within milliseconds.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// The main task did not answer in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the main task does not respond")]
pub(super) struct MainTaskUnresponsive;

/// The answer of the main task.
pub(super) type FleetState = Result<Arc<Overview>, MainTaskUnresponsive>;

/// The state of the fleet at one time. No two samples have the same time.
#[derive(Clone)]
pub(super) struct FleetSample {
    /// When it was requested: the answer may be late.
    pub(super) time: Instant,
    pub(super) state: FleetState,
}

/// Takes samples, and shares each with all callers of the same moment.
pub(super) struct FleetSampler {
    calls: mpsc::Sender<Call>,
    /// When the last sample was answered, and the sample.
    last: Mutex<Option<(Instant, FleetSample)>>,
}

impl FleetSampler {
    pub(super) fn new(calls: mpsc::Sender<Call>) -> Self {
        Self { calls, last: Mutex::new(None) }
    }

    /// The last sample if it is recent, otherwise a new one. Callers that arrive during a request share its answer.
    pub(super) async fn sample(&self) -> FleetSample {
        let called = Instant::now();
        let mut last = self.last.lock().await;
        if let Some((answered, sample)) = &*last
            && (sample.time.elapsed() < MAX_AGE || *answered >= called)
        {
            return sample.clone();
        }
        let time = Instant::now();
        let state = match timeout(ANSWER_TIMEOUT, self.request()).await {
            Ok(Some(overview)) => Ok(Arc::new(overview)),
            Ok(None) | Err(_) => Err(MainTaskUnresponsive),
        };
        last.insert((Instant::now(), FleetSample { time, state })).1.clone()
    }

    async fn request(&self) -> Option<Overview> {
        let (reply, answer) = oneshot::channel();
        self.calls.send(Call::Overview(reply)).await.ok()?;
        answer.await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_main_task_is_asked_once_a_second_at_most() {
        let (calls, mut requests) = mpsc::channel(64);
        let fleet = FleetSampler::new(calls);
        let answering = async {
            let mut count = 0;
            while let Ok(Some(Call::Overview(reply))) = timeout(MAX_AGE / 2, requests.recv()).await {
                reply.send(Overview::at_start(None)).unwrap();
                count += 1;
            }
            count
        };
        let many = futures_util::future::join_all((0..100).map(|_| fleet.sample()));
        let (samples, count) = tokio::join!(many, answering);
        assert!(samples.iter().all(|sample| sample.state.is_ok()));
        assert_eq!(count, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_main_task_that_does_not_turn_is_noticed_by_all_at_once() {
        let (calls, _never_read) = mpsc::channel(1);
        let fleet = FleetSampler::new(calls);
        let started = Instant::now();
        let samples = futures_util::future::join_all((0..100).map(|_| fleet.sample())).await;
        assert!(samples.iter().all(|sample| sample.state.as_ref().err() == Some(&MainTaskUnresponsive)));
        assert!(started.elapsed() < ANSWER_TIMEOUT + MAX_AGE, "{:?}", started.elapsed());
    }
}
