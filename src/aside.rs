//! Work that blocks, and may hang: on a resolver, on a disk. It is done by a thread of its own, so that it holds up nobody
//! else, nor is held up by another disk that hangs, as in the pool of threads that the runtime has for all of it.

use std::io;
use std::sync::Arc;

use tokio::sync::{Semaphore, oneshot};

/// Threads that work at once. What hangs cannot be ended, so there must not be any number of it.
const THREADS: usize = 4;

/// Where such work is done, for one server for example.
#[derive(Clone)]
pub struct Aside(Arc<Semaphore>);

impl Default for Aside {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(THREADS)))
    }
}

impl Aside {
    /// Does the work, when one of the threads is free. Who waits for it has to bound that.
    ///
    /// # Errors
    /// There is no thread to be had, or it panicked.
    pub async fn run<T: Send + 'static>(&self, name: &str, work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        let turn = Arc::clone(&self.0).acquire_owned().await.expect("nobody closes the semaphore");
        let (tell, told) = oneshot::channel();
        std::thread::Builder::new().name(name.into()).spawn(move || {
            let done = work();
            drop(turn);
            // There may be nobody any more who waits for it.
            tell.send(done).ok();
        })?;
        told.await.map_err(|_| io::Error::other("the thread that was at work has failed"))
    }
}
