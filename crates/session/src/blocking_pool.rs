//! A thread pool for work that blocks and may hang, such as name resolution and file access. Unlike the runtime's
//! shared pool, one hanging disk or resolver cannot use up the threads of others.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::sleep;

/// Concurrent threads of one pool. A hanging thread cannot be ended, so their number must be bounded.
const THREADS: usize = 4;

/// Concurrent threads of all pools that share a [`ThreadLimit`]; threads that hang do not count.
const SHARED_THREADS: usize = 8;

/// Work that takes longer may hang: it no longer counts against the shared limit.
const HANG_THRESHOLD: Duration = Duration::from_millis(200);

/// A pool of threads, one pool for each server for example.
#[derive(Clone)]
pub struct BlockingPool {
    own: Arc<Semaphore>,
    shared: ThreadLimit,
}

/// A limit shared by many pools: a fleet that connects at once would otherwise use a thread for each server. Clones
/// share the limit.
#[derive(Clone)]
pub struct ThreadLimit(Arc<Semaphore>);

impl Default for ThreadLimit {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(SHARED_THREADS)))
    }
}

impl Default for BlockingPool {
    fn default() -> Self {
        Self::sharing(&ThreadLimit::default())
    }
}

impl BlockingPool {
    /// A pool that shares a limit with others.
    pub fn sharing(limit: &ThreadLimit) -> Self {
        Self { own: Arc::new(Semaphore::new(THREADS)), shared: limit.clone() }
    }

    /// Runs the work on a thread as soon as one is free. The caller sets a timeout.
    ///
    /// # Errors
    /// No thread could be started, or it panicked.
    pub async fn run<T: Send + 'static>(&self, name: &str, work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        // Its own limit first, so that a hanging server waits without holding a shared permit.
        let own = acquire(&self.own).await;
        let shared = acquire(&self.shared.0).await;
        let (sender, mut receiver) = oneshot::channel();
        std::thread::Builder::new().name(name.into()).spawn(move || {
            let done = work();
            drop(own);
            // The caller may have given up.
            sender.send(done).ok();
        })?;
        let done = tokio::select! {
            done = &mut receiver => done,
            () = sleep(HANG_THRESHOLD) => {
                drop(shared);
                receiver.await
            }
        };
        done.map_err(|_| io::Error::other("the worker thread panicked"))
    }
}

async fn acquire(semaphore: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    Arc::clone(semaphore).acquire_owned().await.expect("the semaphore is never closed")
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::join_all;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::channel;
    use tokio::time::{Instant, timeout};

    #[tokio::test]
    async fn many_share_a_few_threads() {
        let few = ThreadLimit::default();
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let all = (0..100).map(|number| {
            let (aside, running, most) = (BlockingPool::sharing(&few), Arc::clone(&running), Arc::clone(&most));
            async move {
                let work = move || {
                    most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    std::thread::sleep(Duration::from_millis(1));
                    running.fetch_sub(1, Ordering::SeqCst);
                    number
                };
                aside.run("few", work).await.unwrap()
            }
        });
        assert_eq!(join_all(all).await, (0..100).collect::<Vec<_>>());
        // A thread that is slow by chance does not count.
        assert!((1..=2 * SHARED_THREADS).contains(&most.load(Ordering::SeqCst)), "{most:?}");
    }

    #[tokio::test]
    async fn hanging_operations_do_not_block_others() {
        let few = ThreadLimit::default();
        let mut hanging = Vec::new();
        for _ in 0..3 * SHARED_THREADS {
            let aside = BlockingPool::sharing(&few);
            let (end, ended) = channel::<()>();
            let hang = move || {
                ended.recv().ok();
            };
            hanging.push((end, tokio::spawn(async move { aside.run("hangs", hang).await })));
        }
        let started = Instant::now();
        let done = timeout(Duration::from_secs(60), BlockingPool::sharing(&few).run("works", || 7)).await;
        assert_eq!(done.unwrap().unwrap(), 7);
        assert!(started.elapsed() < HANG_THRESHOLD * 30, "{:?}", started.elapsed());
        for (end, task) in hanging {
            drop(end);
            task.await.unwrap().unwrap();
        }
    }
}
