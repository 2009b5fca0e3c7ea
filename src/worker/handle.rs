//! What others can do with a worker: ask how it is, and leave it word. Nothing here waits for the worker.
//!
//! Word that is left twice is the same word: the mailbox has a place for each kind, so it cannot overflow.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::account::{Account, Phase, Progress};
use super::{Context, Status};
use crate::postgres::Side;
use crate::server::Server;
use crate::snapshot::CatalogRefresh;

/// A snapshot is not forced this soon after the one before.
pub const TOO_SOON: Duration = Duration::from_secs(10);

/// Held by the supervisor; the worker has the other end.
pub struct Handle {
    shared: Arc<Shared>,
    cancel: CancellationToken,
    server: Server,
}

/// Between a handle and its worker.
#[derive(Default)]
pub(super) struct Shared {
    mailbox: Mutex<Mailbox>,
    mail: Notify,
    /// Snapshots begun so far.
    begun: watch::Sender<u64>,
}

#[derive(Default)]
struct Mailbox {
    settings: Option<(Server, Context)>,
    check_versions: bool,
    hurry: bool,
    repository_is_back: bool,
    forced: bool,
    refresh: CatalogRefresh,
    state: State,
    progress: Progress,
}

#[derive(Default)]
struct State {
    unreachable: Option<Side>,
    finished: bool,
    snapshot_in_progress: bool,
    last_begun: Option<Instant>,
}

/// What a worker finds in its mailbox, a forced snapshot aside.
pub(super) struct Mail {
    pub(super) settings: Option<(Server, Context)>,
    pub(super) check_versions: bool,
    /// Whoever writes wants something done now, not after a pause.
    pub(super) hurry: bool,
    /// What waits for the repository need not wait any longer.
    pub(super) repository_is_back: bool,
}

/// Why no snapshot can be forced, in the words of the Python collector, which powa-web shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForceRefused {
    #[error("A snapshot is already in progress")]
    InProgress,
    #[error("A forced snapshot is already scheduled")]
    Scheduled,
    #[error("Last snapshot was less than 10s. ago")]
    TooSoon,
}

impl ForceRefused {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::InProgress, Self::Scheduled, Self::TooSoon];
}

/// Tells when the forced snapshot begins.
pub struct Forced(watch::Receiver<u64>);

impl Forced {
    /// Whether it begins within `patience`.
    pub async fn begins_within(mut self, patience: Duration) -> bool {
        tokio::time::timeout(patience, self.0.changed()).await.is_ok_and(|changed| changed.is_ok())
    }
}

impl Handle {
    pub(super) fn new(server: Server, cancel: CancellationToken) -> (Self, Arc<Shared>) {
        let shared = Arc::new(Shared::default());
        shared.tell(|progress| progress.started = Some(SystemTime::now()));
        // Until it has connected for the first time.
        shared.set_unreachable(Some(Side::Remote));
        (Self { shared: Arc::clone(&shared), cancel, server }, shared)
    }

    /// The server, as the worker was last told.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// How the worker is.
    pub fn status(&self) -> Status {
        self.status_of(&self.shared.lock().state)
    }

    fn status_of(&self, state: &State) -> Status {
        match state {
            state if state.finished => Status::Stopped,
            _ if self.cancel.is_cancelled() => Status::Stopping,
            state => state.unreachable.map_or(Status::Running, Status::NoConnection),
        }
    }

    /// All that is known of the worker, whose server is called `name`.
    pub fn account(&self, name: String) -> Account {
        let mailbox = self.shared.lock();
        Account {
            name,
            frequency: self.server.frequency,
            status: self.status_of(&mailbox.state),
            progress: mailbox.progress.clone(),
        }
    }

    /// When the last snapshot that is in the repository was begun, as far as the worker knows.
    pub fn last_snapshot(&self) -> Option<SystemTime> {
        self.shared.lock().progress.last
    }

    /// Gives the worker other settings.
    pub fn change(&mut self, server: Server, context: Context) {
        self.server = server.clone();
        self.shared.post(|mailbox| (mailbox.settings, mailbox.hurry) = (Some((server, context)), true));
    }

    /// Asks for the stored versions to be compared with the server's.
    pub fn check_versions(&self) {
        self.shared.post(|mailbox| mailbox.check_versions = true);
    }

    /// Tells that the repository can be reached again.
    pub fn repository_is_back(&self) {
        self.shared.post(|mailbox| mailbox.repository_is_back = true);
    }

    /// Asks for a snapshot now.
    ///
    /// # Errors
    /// There is one already, or there was just now.
    pub fn force_snapshot(&self) -> Result<Forced, ForceRefused> {
        let mut mailbox = self.shared.lock();
        if mailbox.state.snapshot_in_progress {
            return Err(ForceRefused::InProgress);
        }
        if mailbox.forced {
            return Err(ForceRefused::Scheduled);
        }
        if mailbox.state.last_begun.is_some_and(|begun| begun.elapsed() < TOO_SOON) {
            return Err(ForceRefused::TooSoon);
        }
        (mailbox.forced, mailbox.hurry) = (true, true);
        let forced = Forced(self.shared.begun.subscribe());
        self.shared.mail.notify_one();
        Ok(forced)
    }

    /// Registers catalogs to be copied with the next snapshot.
    pub fn refresh_catalogs(&self, refresh: CatalogRefresh) {
        self.shared.lock().refresh.add(refresh);
    }

    /// Asks the worker to end.
    pub fn stop(&self) {
        self.cancel.cancel();
    }
}

impl Shared {
    /// A mailbox is as good as before when someone panicked who held the lock: each of its places stands for itself.
    fn lock(&self) -> MutexGuard<'_, Mailbox> {
        self.mailbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn post(&self, write: impl FnOnce(&mut Mailbox)) {
        write(&mut self.lock());
        self.mail.notify_one();
    }

    /// Waits for mail.
    pub(super) async fn mail(&self) {
        self.mail.notified().await;
    }

    pub(super) fn take_mail(&self) -> Mail {
        let mut mailbox = self.lock();
        Mail {
            settings: mailbox.settings.take(),
            check_versions: std::mem::take(&mut mailbox.check_versions),
            hurry: std::mem::take(&mut mailbox.hurry),
            repository_is_back: std::mem::take(&mut mailbox.repository_is_back),
        }
    }

    pub(super) fn is_forced(&self) -> bool {
        self.lock().forced
    }

    /// A snapshot begins, forced or not. The catalogs it has to refresh are taken out; what comes in meanwhile is for the
    /// next one.
    pub(super) fn begin_snapshot(&self) -> CatalogRefresh {
        let refresh = {
            let mut mailbox = self.lock();
            mailbox.forced = false;
            mailbox.state.snapshot_in_progress = true;
            mailbox.state.last_begun = Some(Instant::now());
            mailbox.progress.phase = Phase::Collecting;
            std::mem::take(&mut mailbox.refresh)
        };
        self.begun.send_modify(|begun| *begun += 1);
        refresh
    }

    /// The snapshot has ended; the refresh it did not carry out is for the next one.
    pub(super) fn end_snapshot(&self, not_refreshed: CatalogRefresh) {
        let mut mailbox = self.lock();
        mailbox.state.snapshot_in_progress = false;
        mailbox.refresh.add(not_refreshed);
    }

    /// What was collected waits to be loaded again. Meanwhile another snapshot may be forced.
    pub(super) fn pause_snapshot(&self) {
        self.lock().state.snapshot_in_progress = false;
    }

    /// Which side cannot be reached, if any.
    pub(super) fn set_unreachable(&self, side: Option<Side>) {
        self.lock().state.unreachable = side;
    }

    /// Tells how far the worker has got.
    pub(super) fn tell(&self, progress: impl FnOnce(&mut Progress)) {
        progress(&mut self.lock().progress);
    }

    /// Tells what it is about.
    pub(super) fn enter(&self, phase: Phase) {
        self.tell(|progress| progress.phase = phase);
    }

    pub(super) fn finish(&self) {
        self.lock().state.finished = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::ServerRow;

    fn handle() -> (Handle, Arc<Shared>) {
        let row = ServerRow { frequency: Some(5), ..ServerRow::example(1) };
        Handle::new(Server::parse(row).unwrap(), CancellationToken::new())
    }

    #[test]
    fn a_snapshot_is_forced_once_and_not_too_soon() {
        let (handle, worker) = handle();
        assert!(handle.force_snapshot().is_ok());
        assert_eq!(handle.force_snapshot().err(), Some(ForceRefused::Scheduled));
        worker.begin_snapshot();
        assert_eq!(handle.force_snapshot().err(), Some(ForceRefused::InProgress));
        worker.end_snapshot(CatalogRefresh::None);
        assert_eq!(handle.force_snapshot().err(), Some(ForceRefused::TooSoon));
    }

    #[tokio::test]
    async fn the_one_who_forces_learns_whether_it_begins() {
        let (handle, worker) = handle();
        let forced = handle.force_snapshot().unwrap();
        worker.begin_snapshot();
        assert!(forced.begins_within(Duration::from_secs(10)).await);
        worker.end_snapshot(CatalogRefresh::None);
        worker.lock().state.last_begun = None;
        let forced = handle.force_snapshot().unwrap();
        assert!(!forced.begins_within(Duration::from_millis(1)).await);
    }

    #[test]
    fn a_refresh_stays_registered_until_a_snapshot_has_used_it_up() {
        let (handle, worker) = handle();
        handle.refresh_catalogs(CatalogRefresh::All);
        let refresh = worker.begin_snapshot();
        assert_eq!(refresh, CatalogRefresh::All);
        worker.end_snapshot(refresh);
        assert_eq!(worker.begin_snapshot(), CatalogRefresh::All);
        handle.refresh_catalogs(CatalogRefresh::Only(["asked for meanwhile".into()].into()));
        worker.end_snapshot(CatalogRefresh::None);
        assert_eq!(worker.begin_snapshot(), CatalogRefresh::Only(["asked for meanwhile".into()].into()));
    }

    #[test]
    fn the_status_tells_stopping_from_stopped() {
        let (handle, worker) = handle();
        assert_eq!(handle.status(), Status::NoConnection(Side::Remote));
        worker.set_unreachable(None);
        assert_eq!(handle.status(), Status::Running);
        handle.stop();
        assert_eq!(handle.status(), Status::Stopping);
        worker.finish();
        assert_eq!(handle.status(), Status::Stopped);
    }
}
