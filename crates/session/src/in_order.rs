//! Runs futures concurrently that must send their requests in a given order.

use std::task::Poll;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;

/// Runs futures concurrently, whose requests must be sent in the given order: each is polled once, in that order,
/// before any is awaited. After that, only futures that can make progress are polled.
pub async fn in_order<T>(futures: Vec<BoxFuture<'_, T>>) -> Vec<T> {
    let mut done: Vec<Option<T>> = Vec::with_capacity(futures.len());
    let mut waiting = FuturesUnordered::new();
    for (index, mut future) in futures.into_iter().enumerate() {
        match futures_util::poll!(&mut future) {
            Poll::Ready(value) => done.push(Some(value)),
            Poll::Pending => {
                done.push(None);
                waiting.push(async move { (index, future.await) });
            }
        }
    }
    while let Some((index, value)) = waiting.next().await {
        done[index] = Some(value);
    }
    done.into_iter().map(|value| value.expect("all have ended")).collect()
}
