//! Owns the workers: starts, reconfigures, stops and restarts them.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, SystemTime};

use backon::ExponentialBackoff;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::backoff;
use crate::server::{Server, ServerDiff, ServerId};
use crate::snapshot::CatalogRefresh;
use crate::worker::{Context, ForceRefused, ForcedSnapshot, Handle, Status, Worker, WorkerDetail};

/// The longest pause before a worker that panicked is restarted.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// All workers, and the tasks they run in.
pub(crate) struct Supervisor {
    context: Context,
    /// Includes workers that panicked and wait to be restarted.
    workers: BTreeMap<ServerId, Handle>,
    panics: BTreeMap<ServerId, Panic>,
    /// Workers of removed servers that have not ended yet.
    leaving: HashMap<Id, Handle>,
    tasks: JoinSet<()>,
    /// The server of each task.
    server_of_task: HashMap<Id, ServerId>,
}

/// A worker that panicked. That is a bug, but it must not affect the other workers.
struct Panic {
    at: Instant,
    /// When to restart it. `None` if it has been restarted since.
    restart: Option<Instant>,
    pauses: ExponentialBackoff,
}

/// Why a request to a worker was refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("Server id {0} not found")]
    Unknown(ServerId),
    #[error("The worker of server id {0} failed and will be restarted")]
    Panicked(ServerId),
    #[error("{} {} of server id {server}: excluded by collect.exclude_databases",
        if .databases.len() == 1 { "Database" } else { "Databases" }, quoted_list(.databases))]
    ExcludedDatabases { server: ServerId, databases: Vec<String> },
    #[error(transparent)]
    Force(#[from] ForceRefused),
}

impl Supervisor {
    /// Creates a supervisor without workers.
    pub(crate) fn new(context: Context) -> Self {
        Self {
            context,
            workers: BTreeMap::new(),
            panics: BTreeMap::new(),
            leaving: HashMap::new(),
            tasks: JoinSet::new(),
            server_of_task: HashMap::new(),
        }
    }

    /// The resources and settings that the workers share.
    pub(crate) fn context(&self) -> &Context {
        &self.context
    }

    /// Makes the workers match `servers`, by id: stops those of removed servers, starts those of new ones, and sends changed
    /// settings to the others.
    pub(crate) fn reconcile(&mut self, servers: Vec<Server>) {
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

    /// Sends new shared settings to all workers.
    pub(crate) fn set_context(&mut self, context: Context) {
        context.spools.configure(&context.config.spool);
        self.context = context;
        for handle in self.workers.values_mut() {
            handle.change(handle.server().clone(), self.context.clone());
        }
    }

    /// Requests all workers to compare the stored versions with those of their servers.
    pub(crate) fn check_versions(&self) {
        self.workers.values().for_each(Handle::check_versions);
    }

    /// Notifies all workers that the repository is reachable again.
    pub(crate) fn repository_reconnected(&self) {
        self.workers.values().for_each(Handle::repository_reconnected);
    }

    fn start(&mut self, server: Server) {
        let id = server.id;
        let (worker, handle) = Worker::new(server, self.context.clone(), CancellationToken::new());
        let task = self.tasks.spawn(worker.run());
        self.server_of_task.insert(task.id(), id);
        self.workers.insert(id, handle);
    }

    fn stop_one(&mut self, id: ServerId) {
        let handle = self.workers.remove(&id).expect("the difference is to the workers there are");
        tracing::info!(id = id.get(), name = self.context.name_of(handle.server()), "server removed");
        handle.stop();
        self.panics.remove(&id);
        let task = self.server_of_task.iter().find(|(_, owner)| **owner == id).map(|(task, _)| *task);
        if let Some(task) = task {
            // The server may get a new worker while this one stops.
            self.server_of_task.remove(&task);
            self.leaving.insert(task, handle);
        }
    }

    /// The status of each worker, including those that are stopping.
    pub(crate) fn statuses(&self) -> BTreeMap<ServerId, Status> {
        let leaving = self.leaving.values().map(|handle| (handle.server().id, handle.status()));
        let current = self.workers.iter().map(|(id, handle)| (*id, handle.status()));
        leaving.chain(current).collect()
    }

    /// The state of each worker, including those that are stopping.
    pub(crate) fn details(&self) -> BTreeMap<ServerId, WorkerDetail> {
        let handles = self.leaving.values().chain(self.workers.values());
        handles.map(|handle| (handle.server().id, handle.detail(self.context.name_of(handle.server())))).collect()
    }

    /// When the last snapshot of any server was begun.
    pub(crate) fn last_snapshot(&self) -> Option<SystemTime> {
        self.workers.values().filter_map(Handle::last_snapshot).max()
    }

    fn worker(&self, id: ServerId) -> Result<&Handle, Refused> {
        match self.panics.get(&id) {
            Some(panic) if panic.restart.is_some() => Err(Refused::Panicked(id)),
            _ => self.workers.get(&id).ok_or(Refused::Unknown(id)),
        }
    }

    /// Requests a snapshot of a server now.
    ///
    /// # Errors
    /// There is no such worker, or it refuses.
    pub(crate) fn force_snapshot(&self, id: ServerId) -> Result<ForcedSnapshot, Refused> {
        Ok(self.worker(id)?.force_snapshot()?)
    }

    /// Registers catalogs to be copied with the next snapshot of a server.
    ///
    /// # Errors
    /// There is no such worker, or one of the databases is excluded. Nothing is registered then.
    pub(crate) fn refresh_catalogs(&self, id: ServerId, refresh: CatalogRefresh) -> Result<(), Refused> {
        let worker = self.worker(id)?;
        if let CatalogRefresh::Only(names) = &refresh {
            let selection = self.context.config.collect.of(id, worker.server().alias.as_deref());
            let databases: Vec<_> = names.iter().filter(|name| selection.excludes(name)).cloned().collect();
            if !databases.is_empty() {
                return Err(Refused::ExcludedDatabases { server: id, databases });
            }
        }
        worker.refresh_catalogs(refresh);
        Ok(())
    }

    /// Waits until a worker ends or is due to be restarted, and handles that. Cancel-safe.
    pub(crate) async fn next_event(&mut self) {
        let restart = self.panics.iter().filter_map(|(id, panic)| Some((panic.restart?, *id))).min();
        tokio::select! {
            Some(ended) = self.tasks.join_next_with_id() => self.on_worker_exit(ended.map(|(id, ())| id)),
            id = due(restart) => self.restart(id),
        }
    }

    fn on_worker_exit(&mut self, ended: Result<Id, JoinError>) {
        let task = ended.as_ref().map_or_else(JoinError::id, |id| *id);
        self.leaving.remove(&task);
        let Some(server) = self.server_of_task.remove(&task) else { return };
        match ended {
            Err(error) if error.is_panic() => self.note_panic(server),
            _ => drop(self.workers.remove(&server)),
        }
    }

    /// Schedules the restart of a worker that panicked. The panic itself is logged by the panic hook. The handle stays and
    /// reports the status `stopped`.
    fn note_panic(&mut self, id: ServerId) {
        let now = Instant::now();
        let fresh = || Panic { at: now, restart: None, pauses: backoff::growing_delays(LONGEST_PAUSE) };
        let panic = self.panics.entry(id).or_insert_with(fresh);
        if now - panic.at > 2 * LONGEST_PAUSE {
            *panic = fresh();
        }
        let pause = panic.pauses.next().unwrap_or(LONGEST_PAUSE);
        (panic.at, panic.restart) = (now, Some(now + pause));
        let name = self.workers.get(&id).map(|handle| self.context.name_of(handle.server()));
        tracing::error!(id = id.get(), name, in_ms = pause.as_millis(), "worker panicked and will be restarted");
    }

    fn restart(&mut self, id: ServerId) {
        if let Some(panic) = self.panics.get_mut(&id) {
            panic.restart = None;
        }
        if let Some(server) = self.workers.get(&id).map(|handle| handle.server().clone()) {
            tracing::info!(id = id.get(), name = self.context.name_of(&server), "worker restarted");
            self.start(server);
        }
    }

    /// Stops all workers and waits until they have ended. Workers that do not end within `grace` are logged and aborted.
    pub(crate) async fn stop(&mut self, grace: Duration) {
        self.workers.values().for_each(Handle::stop);
        let all_workers = async {
            while let Some(ended) = self.tasks.join_next_with_id().await {
                self.on_worker_exit(ended.map(|(id, ())| id));
            }
        };
        if tokio::time::timeout(grace, all_workers).await.is_err() {
            for handle in self.workers.values().chain(self.leaving.values()) {
                let server = handle.server();
                tracing::warn!(id = server.id.get(), name = self.context.name_of(server), "worker did not end in time");
            }
            self.tasks.shutdown().await;
        }
    }
}

fn quoted_list(databases: &[String]) -> String {
    let each: Vec<_> = databases.iter().map(|name| format!("\"{name}\"")).collect();
    each.join(", ")
}

/// Waits until a worker is due to be restarted; forever if none is.
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

    use tracing::field::{Field, Visit};
    use tracing::span::{Attributes, Id as SpanId};
    use tracing_subscriber::Layer;
    use tracing_subscriber::layer::{Context as LayerContext, SubscriberExt};

    use super::*;
    use crate::config::Config;
    use crate::config::endpoints;
    use crate::metrics::Metrics;
    use crate::repository::Repository;
    use crate::server::ServerRow;
    use crate::spool::Spools;
    use crate::worker::{CollectPermits, ErrorLog};
    use session::Connectors;
    use session::Side;

    /// A log layer that panics on the first spans of server 1. It stands for any bug in a worker.
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

    /// No server listens at any of its addresses.
    fn context() -> Context {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("powa-collector.conf");
        std::fs::write(&file, r#"{"repository": {"dsn": "host=127.0.0.1 port=1 user=nobody"}}"#).unwrap();
        let config = Config::read(&file).unwrap();
        let repository = Repository::new(&endpoints::repository(&config).unwrap(), &config).unwrap();
        Context {
            collect_permits: CollectPermits::new(config.limits.collects),
            spools: Spools::new(&config.spool),
            connectors: Connectors::default(),
            repository,
            metrics: Metrics::new(),
            errors: ErrorLog::default(),
            config: Arc::new(config),
        }
    }

    fn servers() -> Vec<Server> {
        // No server listens there.
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
            supervisor.next_event().await;
            let failed = Instant::now();
            // Reconciling does not restart it.
            supervisor.reconcile(servers());
            assert_eq!(supervisor.statuses(), BTreeMap::from([(first, Status::Stopped), (second, not_connected)]));
            assert_eq!(supervisor.force_snapshot(first).err(), Some(Refused::Panicked(first)));
            supervisor.next_event().await;
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
