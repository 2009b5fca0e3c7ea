//! What all workers share.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::config::Config;
use crate::metrics::Metrics;
use crate::postgres::{Connectors, Repository};
use crate::server::Server;

/// What all workers share.
#[derive(Clone)]
pub struct Context {
    pub config: Arc<Config>,
    pub repository: Repository,
    /// One permit a server that is being collected; whoever waits is served in the order of asking.
    pub collects: Arc<Semaphore>,
    /// The certificates of servers that are told the same are read once.
    pub connectors: Connectors,
    /// What is counted while they work.
    pub metrics: Metrics,
}

impl Context {
    /// What a server is called.
    pub fn name_of(&self, server: &Server) -> String {
        server.name(self.config.use_server_alias)
    }
}
