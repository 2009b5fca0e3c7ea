//! In which order are requests sent that wait for each other's answers no more than they have to?

use futures_util::future::{BoxFuture, join_all};

/// Runs futures side by side that have to send their requests in the order given. Up to 30, `join_all` polls them in
/// that order; beyond, it makes no promise, so it gets them in groups.
pub async fn in_order<T>(futures: Vec<BoxFuture<'_, T>>) -> Vec<T> {
    const GROUP: usize = 30;
    let mut futures = futures.into_iter().peekable();
    let mut groups = Vec::new();
    while futures.peek().is_some() {
        groups.push(join_all(futures.by_ref().take(GROUP).collect::<Vec<_>>()));
    }
    join_all(groups).await.into_iter().flatten().collect()
}
