//! The handle to a worker: reads its state and sends it requests. No call waits for the worker.
//!
//! Mailboxes cannot overflow: a mailbox has one place for each kind of request, and repeated requests are merged.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::detail::{Phase, Progress, WorkerDetail};
use super::{Context, Status};
use crate::pace::Pace;
use crate::server::Server;
use crate::snapshot::CatalogRefresh;
use session::Side;

/// The supervisor's end of the connection to a worker.
pub(crate) struct Handle {
    shared: Arc<Shared>,
    cancel: CancellationToken,
    server: Server,
    pace: Pace,
}

/// The state that a handle and its worker share.
#[derive(Default)]
pub(super) struct Shared {
    mailbox: Mutex<Mailbox>,
    /// Notified when there is something in the mailbox.
    mail: Notify,
    /// The number of snapshots begun so far.
    started: watch::Sender<u64>,
}

#[derive(Default)]
struct Mailbox {
    settings: Option<(Server, Context)>,
    check_versions: bool,
    retry_now: bool,
    repository_reconnected: bool,
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
    last_started: Option<Instant>,
}

/// The content of a mailbox, without the request for a forced snapshot.
pub(super) struct Mail {
    pub(super) settings: Option<(Server, Context)>,
    pub(super) check_versions: bool,
    /// Retry now instead of after the pause.
    pub(super) retry_now: bool,
    /// The repository is reachable again.
    pub(super) repository_reconnected: bool,
}

/// Why a snapshot cannot be forced. The messages are those of the Python collector, which powa-web shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ForceRefused {
    #[error("A snapshot is already in progress")]
    InProgress,
    #[error("A forced snapshot is already scheduled")]
    Scheduled,
    #[error("Last snapshot was less than 10s. ago")]
    TooSoon,
}

impl ForceRefused {
    /// All reasons.
    pub(crate) const ALL: [Self; 3] = [Self::InProgress, Self::Scheduled, Self::TooSoon];
}

/// A snapshot that was forced and may not have begun yet.
pub(crate) struct ForcedSnapshot(watch::Receiver<u64>);

impl ForcedSnapshot {
    /// Whether it begins within `limit`.
    pub(crate) async fn begins_within(mut self, limit: Duration) -> bool {
        tokio::time::timeout(limit, self.0.changed()).await.is_ok_and(|changed| changed.is_ok())
    }
}

impl Handle {
    pub(super) fn new(server: Server, pace: Pace, cancel: CancellationToken) -> (Self, Arc<Shared>) {
        let shared = Arc::new(Shared::default());
        shared.update(|progress| progress.started = Some(SystemTime::now()));
        // Until the first connection.
        shared.set_unreachable(Some(Side::Remote));
        (Self { shared: Arc::clone(&shared), cancel, server, pace }, shared)
    }

    /// The server, with the settings that were last sent to the worker.
    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    /// The status of the worker.
    pub(crate) fn status(&self) -> Status {
        self.status_of(&self.shared.lock().state)
    }

    fn status_of(&self, state: &State) -> Status {
        match state {
            state if state.finished => Status::Stopped,
            _ if self.cancel.is_cancelled() => Status::Stopping,
            state => state.unreachable.map_or(Status::Running, Status::NoConnection),
        }
    }

    /// The state of the worker. `name` is the name of its server.
    pub(crate) fn detail(&self, name: String) -> WorkerDetail {
        let mailbox = self.shared.lock();
        WorkerDetail {
            name,
            alias: self.server.alias.clone(),
            address: self.server.name(false),
            frequency: self.server.frequency,
            timing: self.server.timing.clone(),
            status: self.status_of(&mailbox.state),
            progress: mailbox.progress.clone(),
        }
    }

    /// When the last snapshot in the repository was begun, if the worker knows.
    pub(crate) fn last_snapshot(&self) -> Option<SystemTime> {
        self.shared.lock().progress.last
    }

    /// Sends new settings to the worker.
    pub(crate) fn change(&mut self, server: Server, context: Context) {
        self.server = server.clone();
        self.shared.post(|mailbox| (mailbox.settings, mailbox.retry_now) = (Some((server, context)), true));
    }

    /// Requests a comparison of the stored versions with those of the server.
    pub(crate) fn check_versions(&self) {
        self.shared.post(|mailbox| mailbox.check_versions = true);
    }

    /// Notifies the worker that the repository is reachable again.
    pub(crate) fn repository_reconnected(&self) {
        self.shared.post(|mailbox| mailbox.repository_reconnected = true);
    }

    /// Requests a snapshot now.
    ///
    /// # Errors
    /// A snapshot is in progress or was requested already, or the last one is less than 10 s ago.
    pub(crate) fn force_snapshot(&self) -> Result<ForcedSnapshot, ForceRefused> {
        let mut mailbox = self.shared.lock();
        if mailbox.state.snapshot_in_progress {
            return Err(ForceRefused::InProgress);
        }
        if mailbox.forced {
            return Err(ForceRefused::Scheduled);
        }
        if mailbox.state.last_started.is_some_and(|started| started.elapsed() < self.pace.forced_snapshot_interval) {
            return Err(ForceRefused::TooSoon);
        }
        (mailbox.forced, mailbox.retry_now) = (true, true);
        let forced = ForcedSnapshot(self.shared.started.subscribe());
        self.shared.mail.notify_one();
        Ok(forced)
    }

    /// Registers catalogs to be copied with the next snapshot.
    pub(crate) fn refresh_catalogs(&self, refresh: CatalogRefresh) {
        self.shared.lock().refresh.add(refresh);
    }

    /// Requests the worker to stop.
    pub(crate) fn stop(&self) {
        self.cancel.cancel();
    }
}

impl Shared {
    /// A poisoned lock is used as it is: the fields of a mailbox are independent of each other.
    fn lock(&self) -> MutexGuard<'_, Mailbox> {
        self.mailbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn post(&self, write: impl FnOnce(&mut Mailbox)) {
        write(&mut self.lock());
        self.mail.notify_one();
    }

    /// Waits for something in the mailbox.
    pub(super) async fn mail(&self) {
        self.mail.notified().await;
    }

    pub(super) fn take_mail(&self) -> Mail {
        let mut mailbox = self.lock();
        Mail {
            settings: mailbox.settings.take(),
            check_versions: std::mem::take(&mut mailbox.check_versions),
            retry_now: std::mem::take(&mut mailbox.retry_now),
            repository_reconnected: std::mem::take(&mut mailbox.repository_reconnected),
        }
    }

    pub(super) fn is_forced(&self) -> bool {
        self.lock().forced
    }

    /// Whether the server was excluded when its last snapshot was due.
    pub(super) fn is_excluded(&self) -> bool {
        self.lock().progress.excluded.is_some()
    }

    /// Records that a snapshot begins, and returns the catalogs that it has to refresh. Later requests are for the next one.
    pub(super) fn begin_snapshot(&self) -> CatalogRefresh {
        let refresh = {
            let mut mailbox = self.lock();
            mailbox.forced = false;
            mailbox.state.snapshot_in_progress = true;
            mailbox.state.last_started = Some(Instant::now());
            mailbox.progress.phase = Phase::Collecting;
            std::mem::take(&mut mailbox.refresh)
        };
        self.started.send_modify(|started| *started += 1);
        refresh
    }

    /// Records that the snapshot has ended. The catalogs that it did not refresh are kept for the next one.
    pub(super) fn end_snapshot(&self, not_refreshed: CatalogRefresh) {
        let mut mailbox = self.lock();
        mailbox.state.snapshot_in_progress = false;
        mailbox.refresh.add(not_refreshed);
    }

    /// Records that the snapshot waits for another attempt to load. Meanwhile another one may be forced.
    pub(super) fn pause_snapshot(&self) {
        self.lock().state.snapshot_in_progress = false;
    }

    /// Sets which side is unreachable, if any.
    pub(super) fn set_unreachable(&self, side: Option<Side>) {
        self.lock().state.unreachable = side;
    }

    /// Updates the published progress.
    pub(super) fn update(&self, progress: impl FnOnce(&mut Progress)) {
        progress(&mut self.lock().progress);
    }

    /// Sets the published phase.
    pub(super) fn set_phase(&self, phase: Phase) {
        self.update(|progress| progress.phase = phase);
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
        Handle::new(Server::parse(row).unwrap(), Pace::of_this_process(), CancellationToken::new())
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
        worker.lock().state.last_started = None;
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
