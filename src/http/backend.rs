//! The API's sessions to the repository: a small pool of its own, so that requests never take a session from a load. It opens
//! nothing until the first request, and closes its sessions when no more requests come.

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, sleep_until};

use super::login::Caller;
use crate::config::Config;
use crate::config::endpoints::{self, UnusableDsn};
use crate::repository::Repository;
use libpq::{InvalidConninfo, Secret};
use session::{Connectors, Endpoint};

/// Sessions of the collector's role at once, and of the role for changes.
const MAX_SESSIONS: usize = 2;

/// Servers that are checked at once: a check reads as much as a snapshot.
const MAX_CHECKS: usize = 2;

/// Unused sessions are closed after this time.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// How to connect to the repository, as configured.
pub(crate) struct BackendSettings {
    config: Config,
    endpoint: Endpoint,
    admin: Option<Endpoint>,
}

impl BackendSettings {
    /// Those of a configuration. `endpoint` is its repository.
    ///
    /// # Errors
    /// The connection string for changes is not usable.
    pub(crate) fn new(config: &Config, endpoint: &Endpoint) -> Result<Self, UnusableDsn> {
        let admin = endpoints::for_admin(config)?;
        Ok(Self { config: config.clone(), endpoint: endpoints::for_api(endpoint.clone()), admin })
    }
}

/// The sessions of one configuration.
pub(super) struct Backend {
    /// Another one for each backend.
    pub(super) number: u64,
    pub(super) config: Arc<Config>,
    endpoint: Endpoint,
    admin_endpoint: Option<Endpoint>,
    connectors: Connectors,
    /// As the collector's role: for reading, and for the collector's own tables.
    pub(super) repository: Repository,
    /// As the role for changes.
    pub(super) admin: Repository,
    pub(super) checks: Arc<Semaphore>,
}

/// The backend of the current configuration.
#[derive(Default)]
pub(super) struct Backends {
    current: RwLock<Option<Arc<Backend>>>,
    last_use: Mutex<Option<Instant>>,
    used: Notify,
}

impl Backend {
    fn new(settings: BackendSettings, number: u64) -> Option<Self> {
        let BackendSettings { config, endpoint, admin } = settings;
        let connectors = Connectors::default();
        let endpoint = endpoint.sharing(&connectors);
        let pool = |endpoint| Repository::with_sessions(endpoint, &config, MAX_SESSIONS).ok();
        let repository = pool(&endpoint)?;
        let admin_repository = match &admin {
            Some(admin) => pool(&admin.clone().sharing(&connectors))?,
            // Not those for reading: a removal waits for a load.
            None => pool(&endpoint)?,
        };
        Some(Self {
            number,
            config: Arc::new(config),
            endpoint,
            admin_endpoint: admin,
            connectors,
            repository,
            admin: admin_repository,
            checks: Arc::new(Semaphore::new(MAX_CHECKS)),
        })
    }

    fn is_for(&self, settings: &BackendSettings) -> bool {
        let is_same_admin = match (&self.admin_endpoint, &settings.admin) {
            (Some(current), Some(new)) => current.is_interchangeable_with(new),
            (None, None) => true,
            _ => false,
        };
        *self.config == settings.config && self.endpoint.is_interchangeable_with(&settings.endpoint) && is_same_admin
    }

    /// The repository as somebody who has sent a name and a password.
    pub(super) fn endpoint_of(&self, name: &str, password: &Secret) -> Result<Endpoint, InvalidConninfo> {
        let endpoint = endpoints::for_caller(&self.endpoint, &self.config, (name, password))?;
        Ok(endpoint.sharing(&self.connectors))
    }

    /// The repository in a session of the caller's own. `None`: there is no password, or there can be no session.
    pub(super) fn of_caller(&self, caller: &Caller) -> Option<Repository> {
        let (name, password) = caller.password()?;
        let endpoint = self.endpoint_of(name, password).ok()?;
        Repository::with_sessions(&endpoint, &self.config, 1).ok()
    }

    fn close_idle_sessions(&self) {
        self.repository.close_idle_sessions();
        self.admin.close_idle_sessions();
    }
}

impl Backends {
    /// Replaces the backend, if its settings have changed. `None`: the API is off.
    pub(super) fn apply(&self, settings: Option<BackendSettings>) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        *current = match (current.take(), settings) {
            (_, None) => None,
            (Some(same), Some(settings)) if same.is_for(&settings) => Some(same),
            (previous, Some(settings)) => {
                let number = previous.map_or(0, |previous| previous.number + 1);
                Backend::new(settings, number).map(Arc::new)
            }
        };
    }

    /// The current backend, for a request.
    pub(super) fn current(&self) -> Option<Arc<Backend>> {
        *self.last_use.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        self.used.notify_one();
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Closes sessions that are no longer used. Never returns; sleeps while there are no requests.
    pub(super) async fn run(&self) {
        loop {
            self.used.notified().await;
            while let Some(since) = self.idle_since() {
                sleep_until(since + IDLE_TIMEOUT).await;
            }
            let current = self.current.read().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some(backend) = current {
                backend.close_idle_sessions();
            }
        }
    }

    /// The last use, unless it is longer ago than sessions are kept.
    fn idle_since(&self) -> Option<Instant> {
        let last_use = *self.last_use.lock().unwrap_or_else(PoisonError::into_inner);
        last_use.filter(|last| last.elapsed() < IDLE_TIMEOUT)
    }
}
