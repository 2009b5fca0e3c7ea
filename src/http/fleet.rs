//! How everything is, as the main task tells it: asked about once a second at most, however many want to know.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::{Instant, timeout};

use crate::control::{Call, Overview};

/// What was told serves for this long: less than from one event of a page to the next, or every other one would be old news.
const FRESH: Duration = Duration::from_millis(900);

/// The main task never takes this long, unless it does not turn any more.
const PATIENCE: Duration = Duration::from_secs(2);

/// The main task did not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the main task does not answer")]
pub(super) struct Silent;

/// What was told.
pub(super) type Told = Result<Arc<Overview>, Silent>;

/// What was told, and when it was asked for: no two have the same time.
#[derive(Clone)]
pub(super) struct Look {
    pub(super) at: Instant,
    pub(super) told: Told,
}

/// The one who asks.
pub(super) struct Fleet {
    calls: mpsc::Sender<Call>,
    /// The last look, and when it was answered.
    last: Mutex<Option<(Instant, Look)>>,
}

impl Fleet {
    pub(super) fn new(calls: mpsc::Sender<Call>) -> Self {
        Self { calls, last: Mutex::new(None) }
    }

    /// How everything is, or was a moment ago. Whoever comes while it is asked gets the same answer.
    pub(super) async fn look(&self) -> Look {
        let came = Instant::now();
        let mut last = self.last.lock().await;
        if let Some((answered, look)) = &*last
            && (look.at.elapsed() < FRESH || *answered >= came)
        {
            return look.clone();
        }
        // It is as old as the question: the answer may have been late.
        let at = Instant::now();
        let told = match timeout(PATIENCE, self.ask()).await {
            Ok(Some(overview)) => Ok(Arc::new(overview)),
            Ok(None) | Err(_) => Err(Silent),
        };
        last.insert((Instant::now(), Look { at, told })).1.clone()
    }

    async fn ask(&self) -> Option<Overview> {
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
        let (calls, mut asked) = mpsc::channel(64);
        let fleet = Fleet::new(calls);
        let answering = async {
            let mut times = 0;
            while let Ok(Some(Call::Overview(reply))) = timeout(FRESH / 2, asked.recv()).await {
                reply.send(Overview::at_start()).unwrap();
                times += 1;
            }
            times
        };
        let many = futures_util::future::join_all((0..100).map(|_| fleet.look()));
        let (told, times) = tokio::join!(many, answering);
        assert!(told.iter().all(|look| look.told.is_ok()));
        assert_eq!(times, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_main_task_that_does_not_turn_is_noticed_by_all_at_once() {
        let (calls, _nobody_reads) = mpsc::channel(1);
        let fleet = Fleet::new(calls);
        let begun = Instant::now();
        let told = futures_util::future::join_all((0..100).map(|_| fleet.look())).await;
        assert!(told.iter().all(|look| look.told.as_ref().err() == Some(&Silent)));
        assert!(begun.elapsed() < PATIENCE + FRESH, "{:?}", begun.elapsed());
    }
}
