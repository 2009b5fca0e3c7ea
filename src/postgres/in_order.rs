//! In which order are requests sent that wait for each other's answers no more than they have to?

use std::task::Poll;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;

/// Runs futures side by side that have to send their requests in the order given: each is polled once, in that order,
/// before this waits for anything. From then on, only those are polled that have something to go on with: of those that
/// stand in a row, all others are waiting for their turn.
pub async fn in_order<T>(futures: Vec<BoxFuture<'_, T>>) -> Vec<T> {
    let mut done: Vec<Option<T>> = Vec::with_capacity(futures.len());
    let mut waiting = FuturesUnordered::new();
    for (place, mut future) in futures.into_iter().enumerate() {
        match futures_util::poll!(&mut future) {
            Poll::Ready(value) => done.push(Some(value)),
            Poll::Pending => {
                done.push(None);
                waiting.push(async move { (place, future.await) });
            }
        }
    }
    while let Some((place, value)) = waiting.next().await {
        done[place] = Some(value);
    }
    done.into_iter().map(|value| value.expect("all have ended")).collect()
}
