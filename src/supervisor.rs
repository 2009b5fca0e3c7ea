//! Owns the workers: starts, changes and stops them until they are the ones that should be.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::server::{Server, ServerDiff, ServerId};
use crate::snapshot::CatalogRefresh;
use crate::worker::{Context, ForceRefused, Forced, Handle, Status, Worker};

/// All workers, and the tasks they run in.
pub struct Supervisor {
    context: Context,
    workers: BTreeMap<ServerId, Handle>,
    /// Told to stop because their server has gone, and not ended yet.
    leaving: HashMap<Id, Handle>,
    tasks: JoinSet<()>,
    /// Whose task it is.
    owners: HashMap<Id, ServerId>,
}

/// Why a worker did not do what it was asked.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("Server id {0} not found")]
    Unknown(ServerId),
    #[error(transparent)]
    Force(#[from] ForceRefused),
}

impl Supervisor {
    /// Without any worker yet.
    pub fn new(context: Context) -> Self {
        Self {
            context,
            workers: BTreeMap::new(),
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
            tracing::info!(id = %server.id, name = self.context.name_of(&server), "server changed");
            handle.change(server, self.context.clone());
        }
        for server in diff.added {
            tracing::info!(id = %server.id, name = self.context.name_of(&server), "server added");
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

    fn start(&mut self, server: Server) {
        let id = server.id;
        let (worker, handle) = Worker::new(server, self.context.clone(), CancellationToken::new());
        let task = self.tasks.spawn(worker.run());
        self.owners.insert(task.id(), id);
        self.workers.insert(id, handle);
    }

    fn stop_one(&mut self, id: ServerId) {
        let handle = self.workers.remove(&id).expect("the difference is to the workers there are");
        tracing::info!(%id, name = self.context.name_of(handle.server()), "server removed");
        handle.stop();
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

    fn worker(&self, id: ServerId) -> Result<&Handle, Refused> {
        self.workers.get(&id).ok_or(Refused::Unknown(id))
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

    /// Waits for a worker to end, for whatever reason. Safe to drop: nothing is taken before it is dealt with.
    pub async fn tend(&mut self) {
        match self.tasks.join_next_with_id().await {
            Some(ended) => self.bury(ended.map(|(id, ())| id)),
            None => std::future::pending().await,
        }
    }

    fn bury(&mut self, ended: Result<Id, JoinError>) {
        let task = ended.as_ref().map_or_else(JoinError::id, |id| *id);
        self.leaving.remove(&task);
        let Some(server) = self.owners.remove(&task) else { return };
        let handle = self.workers.remove(&server);
        if let (Err(error), Some(handle)) = (ended, handle) {
            // It is missed, and started again, when the servers are looked at the next time.
            tracing::error!(id = %server, name = self.context.name_of(handle.server()), %error, "worker failed");
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
                tracing::warn!(id = %server.id, name = self.context.name_of(server), "worker did not end in time");
            }
            self.tasks.shutdown().await;
        }
    }
}
