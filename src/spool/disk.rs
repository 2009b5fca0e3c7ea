//! Runs file operations in a few threads, with a timeout.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout};

/// The most operations that run at a time, each in a thread of the runtime. More would not make a disk faster.
pub(crate) const THREADS: usize = 4;

/// How long an operation may take, including the wait for a thread. A disk that takes longer counts as hanging.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Runs the file operations of all spools. Clones share the threads.
///
/// A thread that hangs cannot be ended. While all threads hang, operations fail at once, so that snapshots that do not fit into
/// memory do not delay those that do.
#[derive(Clone)]
pub(super) struct Disk {
    permits: Arc<Semaphore>,
    running: Arc<Running>,
}

/// The start times of the running operations.
#[derive(Default)]
struct Running(Mutex<[Option<Instant>; THREADS]>);

/// The slot of one running operation. It is freed when the operation ends, also by a panic.
struct Slot {
    running: Arc<Running>,
    index: usize,
    _permit: OwnedSemaphorePermit,
}

impl Default for Disk {
    fn default() -> Self {
        Self { permits: Arc::new(Semaphore::new(THREADS)), running: Arc::default() }
    }
}

impl Disk {
    /// Runs an operation when a thread is free. If the future is dropped before that, the operation never runs; once begun,
    /// it runs to its end.
    ///
    /// # Errors
    /// The operation fails, or takes too long.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        if self.running.all_hang() {
            return Err(timed_out());
        }
        let working = async {
            let permit = Arc::clone(&self.permits).acquire_owned().await.expect("nobody closes the semaphore");
            let slot = Running::start(&self.running, permit);
            let working = spawn_blocking(move || {
                let done = work();
                drop(slot);
                done
            });
            working.await.unwrap_or_else(|error| Err(io::Error::other(error)))
        };
        timeout(TIMEOUT, working).await.unwrap_or_else(|_| Err(timed_out()))
    }
}

fn timed_out() -> io::Error {
    let reason = format!("the disk did not answer within {} s", TIMEOUT.as_secs());
    io::Error::new(io::ErrorKind::TimedOut, reason)
}

impl Running {
    fn lock(&self) -> MutexGuard<'_, [Option<Instant>; THREADS]> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(this: &Arc<Self>, permit: OwnedSemaphorePermit) -> Slot {
        let mut slots = this.lock();
        let index = slots.iter().position(Option::is_none).expect("there is a slot for each permit");
        slots[index] = Some(Instant::now());
        Slot { running: Arc::clone(this), index, _permit: permit }
    }

    fn all_hang(&self) -> bool {
        self.lock().iter().all(|started| started.is_some_and(|started| started.elapsed() >= TIMEOUT))
    }
}

impl Drop for Slot {
    /// Frees the slot before the permit is returned, so that there is a slot for each permit.
    fn drop(&mut self) {
        self.running.lock()[self.index] = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::{Sender, channel};
    use tokio::task::yield_now;
    use tokio::time::advance;

    /// Begins an operation that hangs until the sender is used or dropped.
    async fn hang(disk: &Disk) -> Sender<()> {
        let (end, ended) = channel::<()>();
        let hang = move || {
            ended.recv().ok();
            Ok(())
        };
        let mut work = Box::pin(disk.run(hang));
        assert!((&mut work).now_or_never().is_none());
        // The future is dropped, and the operation continues.
        drop(work);
        end
    }

    #[tokio::test]
    async fn a_few_operations_run_at_once() {
        let disk = Disk::default();
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let all = (0..100).map(|number| {
            let (running, most) = (Arc::clone(&running), Arc::clone(&most));
            disk.run(move || {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(1));
                running.fetch_sub(1, Ordering::SeqCst);
                Ok(number)
            })
        });
        let done: Vec<_> = futures_util::future::join_all(all).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(done, (0..100).collect::<Vec<_>>());
        assert!((1..=THREADS).contains(&most.load(Ordering::SeqCst)), "{most:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_disk_that_hangs_is_an_error_and_then_one_at_once_until_it_answers() {
        let disk = Disk::default();
        let mut hanging = Vec::new();
        for _ in 0..THREADS {
            hanging.push(hang(&disk).await);
        }
        let others = disk.clone();
        let waiting = tokio::spawn(async move { others.run(|| Ok(())).await });
        yield_now().await;
        assert!(!waiting.is_finished());
        advance(TIMEOUT).await;
        let error = waiting.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(error.to_string().contains("did not answer within 60 s"), "{error}");
        let at_once = disk.run(|| Ok(())).now_or_never();
        assert!(at_once.is_some_and(|failed| failed.is_err()));
        drop(hanging.pop());
        while disk.running.all_hang() {
            yield_now().await;
        }
        assert_eq!(disk.run(|| Ok(7)).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn what_is_given_up_before_its_turn_is_never_done() {
        let disk = Disk::default();
        let mut hanging = Vec::new();
        for _ in 0..THREADS {
            hanging.push(hang(&disk).await);
        }
        let given_up = Arc::new(());
        let held = Arc::clone(&given_up);
        let work = move || {
            drop(held);
            Ok(())
        };
        assert!(disk.run(work).now_or_never().is_none());
        assert_eq!(Arc::strong_count(&given_up), 1, "nothing is kept of it");
        drop(hanging);
        disk.run(|| Ok(())).await.unwrap();
    }

    #[tokio::test]
    async fn an_operation_that_panics_frees_its_thread() {
        let disk = Disk::default();
        for _ in 0..2 * THREADS {
            assert!(disk.run(|| -> io::Result<()> { panic!("on purpose") }).await.is_err());
        }
        assert_eq!(disk.run(|| Ok(7)).await.unwrap(), 7);
    }
}
