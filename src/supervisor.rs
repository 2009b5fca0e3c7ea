//! Owns the workers: starts, changes and stops them until they are the ones that should be.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, SystemTime};

use backon::ExponentialBackoff;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::pauses;
use crate::server::{Server, ServerDiff, ServerId};
use crate::snapshot::CatalogRefresh;
use crate::worker::{Account, Context, ForceRefused, Forced, Handle, Status, Worker};

/// The longest pause before a worker that failed is started again.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// All workers, and the tasks they run in.
pub struct Supervisor {
    context: Context,
    /// Those that failed, and wait to be started again, included.
    workers: BTreeMap<ServerId, Handle>,
    failed: BTreeMap<ServerId, Failure>,
    /// Told to stop because their server has gone, and not ended yet.
    leaving: HashMap<Id, Handle>,
    tasks: JoinSet<()>,
    /// Whose task it is.
    owners: HashMap<Id, ServerId>,
}

/// A worker that failed, which is a bug, though not one for the other workers to suffer from.
struct Failure {
    at: Instant,
    /// `None` if it has been started again since.
    restart: Option<Instant>,
    pauses: ExponentialBackoff,
}

/// Why a worker did not do what it was asked.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("Server id {0} not found")]
    Unknown(ServerId),
    #[error("The worker of server id {0} failed, and will be started again")]
    Failed(ServerId),
    #[error(transparent)]
    Force(#[from] ForceRefused),
}

impl Supervisor {
    /// Without any worker yet.
    pub fn new(context: Context) -> Self {
        Self {
            context,
            workers: BTreeMap::new(),
            failed: BTreeMap::new(),
            leaving: HashMap::new(),
            tasks: JoinSet::new(),
            owners: HashMap::new(),
        }
    }

    /// What the workers share.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Makes the workers be those of `servers`, by id: stops what has gone, starts what is new, tells the others what
    /// has changed for them.
    pub fn reconcile(&mut self, servers: Vec<Server>) {
        let current = self.workers.iter().map(|(id, handle)| (*id, handle.server().clone())).collect();
        let diff = ServerDiff::between(&current, servers);
        for id in diff.removed {
            self.stop_one(id);
        }
        for server in diff.changed {
            let handle = self.workers.get_mut(&server.id).expect("the difference is to the workers there are");
            tracing::info!(id = server.id.get(), name = self.context.name_of(&server), "server changed");
            handle.change(server, self.context.clone());
        }
        for server in diff.added {
            tracing::info!(id = server.id.get(), name = self.context.name_of(&server), "server added");
            self.start(server);
        }
    }

    /// Gives all workers something else to share.
    pub fn share(&mut self, context: Context) {
        self.context = context;
        for handle in self.workers.values_mut() {
            handle.change(handle.server().clone(), self.context.clone());
        }
    }

    /// Has all workers compare the stored versions with those of their servers.
    pub fn check_versions(&self) {
        self.workers.values().for_each(Handle::check_versions);
    }

    /// Tells all workers that the repository can be reached again.
    pub fn repository_is_back(&self) {
        self.workers.values().for_each(Handle::repository_is_back);
    }

    fn start(&mut self, server: Server) {
        let id = server.id;
        let (worker, handle) = Worker::new(server, self.context.clone(), CancellationToken::new());
        let task = self.tasks.spawn(worker.run());
        self.owners.insert(task.id(), id);
        self.workers.insert(id, handle);
    }

    fn stop_one(&mut self, id: ServerId) {
        let handle = self.workers.remove(&id).expect("the difference is to the workers there are");
        tracing::info!(id = id.get(), name = self.context.name_of(handle.server()), "server removed");
        handle.stop();
        self.failed.remove(&id);
        let task = self.owners.iter().find(|(_, owner)| **owner == id).map(|(task, _)| *task);
        if let Some(task) = task {
            // The id may be given to another worker from now on.
            self.owners.remove(&task);
            self.leaving.insert(task, handle);
        }
    }

    /// How each worker is, those that are leaving included.
    pub fn statuses(&self) -> BTreeMap<ServerId, Status> {
        let leaving = self.leaving.values().map(|handle| (handle.server().id, handle.status()));
        let current = self.workers.iter().map(|(id, handle)| (*id, handle.status()));
        leaving.chain(current).collect()
    }

    /// What is known of each worker, those that are leaving included.
    pub fn accounts(&self) -> BTreeMap<ServerId, Account> {
        let handles = self.leaving.values().chain(self.workers.values());
        handles.map(|handle| (handle.server().id, handle.account(self.context.name_of(handle.server())))).collect()
    }

    /// When the last snapshot of any server was begun.
    pub fn last_snapshot(&self) -> Option<SystemTime> {
        self.workers.values().filter_map(Handle::last_snapshot).max()
    }

    fn worker(&self, id: ServerId) -> Result<&Handle, Refused> {
        match self.failed.get(&id) {
            Some(failure) if failure.restart.is_some() => Err(Refused::Failed(id)),
            _ => self.workers.get(&id).ok_or(Refused::Unknown(id)),
        }
    }

    /// Asks for a snapshot of a server now.
    ///
    /// # Errors
    /// There is no such worker, or it is not the time for it.
    pub fn force_snapshot(&self, id: ServerId) -> Result<Forced, Refused> {
        Ok(self.worker(id)?.force_snapshot()?)
    }

    /// Registers catalogs to be copied with the next snapshot of a server.
    ///
    /// # Errors
    /// There is no such worker.
    pub fn refresh_catalogs(&self, id: ServerId, refresh: CatalogRefresh) -> Result<(), Refused> {
        self.worker(id)?.refresh_catalogs(refresh);
        Ok(())
    }

    /// Waits for a worker to end, for whatever reason, or for the time to start one again. Safe to drop: nothing is
    /// taken before it is dealt with.
    pub async fn tend(&mut self) {
        let restart = self.failed.iter().filter_map(|(id, failure)| Some((failure.restart?, *id))).min();
        tokio::select! {
            Some(ended) = self.tasks.join_next_with_id() => self.bury(ended.map(|(id, ())| id)),
            id = due(restart) => self.start_again(id),
        }
    }

    fn bury(&mut self, ended: Result<Id, JoinError>) {
        let task = ended.as_ref().map_or_else(JoinError::id, |id| *id);
        self.leaving.remove(&task);
        let Some(server) = self.owners.remove(&task) else { return };
        match ended {
            Err(error) if error.is_panic() => self.note_failure(server),
            _ => drop(self.workers.remove(&server)),
        }
    }

    /// What it failed of has been logged where it did. Its handle stays, and says that it is stopped.
    fn note_failure(&mut self, id: ServerId) {
        let now = Instant::now();
        let fresh = || Failure { at: now, restart: None, pauses: pauses::growing_to(LONGEST_PAUSE) };
        let failure = self.failed.entry(id).or_insert_with(fresh);
        if now - failure.at > 2 * LONGEST_PAUSE {
            *failure = fresh();
        }
        let pause = failure.pauses.next().unwrap_or(LONGEST_PAUSE);
        (failure.at, failure.restart) = (now, Some(now + pause));
        let name = self.workers.get(&id).map(|handle| self.context.name_of(handle.server()));
        tracing::error!(id = id.get(), name, in_ms = pause.as_millis(), "worker failed, and will be started again");
    }

    fn start_again(&mut self, id: ServerId) {
        if let Some(failure) = self.failed.get_mut(&id) {
            failure.restart = None;
        }
        if let Some(server) = self.workers.get(&id).map(|handle| handle.server().clone()) {
            tracing::info!(id = id.get(), name = self.context.name_of(&server), "worker started again");
            self.start(server);
        }
    }

    /// Stops all workers, and returns when they have ended. Whoever has not within `grace` is named, and cut off.
    pub async fn stop(&mut self, grace: Duration) {
        self.workers.values().for_each(Handle::stop);
        let everybody = async {
            while let Some(ended) = self.tasks.join_next_with_id().await {
                self.bury(ended.map(|(id, ())| id));
            }
        };
        if tokio::time::timeout(grace, everybody).await.is_err() {
            for handle in self.workers.values().chain(self.leaving.values()) {
                let server = handle.server();
                tracing::warn!(id = server.id.get(), name = self.context.name_of(server), "worker did not end in time");
            }
            self.tasks.shutdown().await;
        }
    }
}

/// Waits until a worker is to be started again; for ever, if none is.
async fn due(restart: Option<(Instant, ServerId)>) -> ServerId {
    match restart {
        Some((at, id)) => {
            sleep_until(at).await;
            id
        }
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::Semaphore;
    use tracing::field::{Field, Visit};
    use tracing::span::{Attributes, Id as SpanId};
    use tracing_subscriber::Layer;
    use tracing_subscriber::layer::{Context as LayerContext, SubscriberExt};

    use super::*;
    use crate::config::Config;
    use crate::metrics::Metrics;
    use crate::postgres::{Connectors, Endpoint, Repository, Side};
    use crate::server::ServerRow;

    /// A log that cannot stand server 1, some times. It stands for any bug: a worker panics in the middle of its work.
    struct Trap {
        times: AtomicU32,
    }

    impl<S: tracing::Subscriber> Layer<S> for Trap {
        fn on_new_span(&self, attributes: &Attributes<'_>, _: &SpanId, _: LayerContext<'_, S>) {
            struct IsFirst(bool);
            impl Visit for IsFirst {
                fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
                    self.0 |= field.name() == "id" && format!("{value:?}") == "1";
                }
            }
            let mut is_first = IsFirst(false);
            attributes.record(&mut is_first);
            let one_less = |times: u32| times.checked_sub(1);
            if is_first.0 && self.times.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok() {
                panic!("trapped");
            }
        }
    }

    /// There is nobody at any of its addresses.
    fn context() -> Context {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("powa-collector.conf");
        std::fs::write(&file, r#"{"repository": {"dsn": "host=127.0.0.1 port=1 user=nobody"}}"#).unwrap();
        let config = Config::read(&file).unwrap();
        let repository = Repository::new(&Endpoint::repository(&config).unwrap(), config.limits).unwrap();
        let (collects, connectors) = (Arc::new(Semaphore::new(config.limits.collects)), Connectors::default());
        let metrics = Metrics::new();
        Context { collects, connectors, repository, metrics, config: Arc::new(config) }
    }

    fn servers() -> Vec<Server> {
        // Nobody listens there.
        let (host, port) = (Some("127.0.0.1".into()), Some(1));
        let row =
            |id| ServerRow { host: host.clone(), port, frequency: Some(5), alias: None, ..ServerRow::example(id) };
        [1, 2].map(|id| Server::parse(row(id)).unwrap()).into()
    }

    #[tokio::test]
    async fn a_worker_that_waits_is_small() {
        let (worker, _handle) = Worker::new(servers().remove(0), context(), CancellationToken::new());
        let size = size_of_val(&worker.run());
        assert!(size < 8 * 1024, "{size} bytes");
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_fails_is_started_again_after_a_pause_and_the_others_do_not_notice() {
        let trap = Trap { times: AtomicU32::new(3) };
        let _log = tracing::subscriber::set_default(tracing_subscriber::registry().with(trap));
        let mut supervisor = Supervisor::new(context());
        supervisor.reconcile(servers());
        let [first, second] = [1, 2].map(|id| ServerId::new(id).unwrap());
        let not_connected = Status::NoConnection(Side::Remote);

        let mut pauses = Vec::new();
        for _ in 0..3 {
            supervisor.tend().await;
            let failed = Instant::now();
            // A look at the servers does not start it again.
            supervisor.reconcile(servers());
            assert_eq!(supervisor.statuses(), BTreeMap::from([(first, Status::Stopped), (second, not_connected)]));
            assert_eq!(supervisor.force_snapshot(first).err(), Some(Refused::Failed(first)));
            supervisor.tend().await;
            pauses.push(failed.elapsed().as_secs());
        }
        tokio::task::yield_now().await;
        assert!(pauses.is_sorted() && pauses[0] >= 1 && pauses[2] >= 4, "{pauses:?}");
        assert_eq!(supervisor.statuses(), BTreeMap::from([(first, not_connected), (second, not_connected)]));
        assert!(supervisor.force_snapshot(first).is_ok());
        supervisor.stop(Duration::from_secs(10)).await;
        assert_eq!(supervisor.statuses(), BTreeMap::new());
    }
}
