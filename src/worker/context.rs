//! The resources and settings that all workers share.

use std::sync::Arc;

use super::{CollectPermits, ErrorLog};
use crate::config::Config;
use crate::metrics::Metrics;
use crate::repository::Repository;
use crate::server::Server;
use crate::spool::Spools;
use session::Connectors;

/// The resources and settings that all workers share. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Context {
    pub config: Arc<Config>,
    pub repository: Repository,
    /// A permit is held while a server is collected, and while its snapshot waits for a load.
    pub collect_permits: CollectPermits,
    /// Where collected rows wait to be loaded.
    pub spools: Spools,
    /// TLS connectors, shared by all servers with the same TLS parameters, so that certificates are read once.
    pub connectors: Connectors,
    pub metrics: Metrics,
    /// The errors of servers that are not stored yet.
    pub errors: ErrorLog,
}

impl Context {
    /// The name of a server in logs and on the page.
    pub(crate) fn name_of(&self, server: &Server) -> String {
        server.name(self.config.use_server_alias)
    }
}
