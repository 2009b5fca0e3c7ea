//! What all workers share.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::config::Config;
use crate::postgres::Repository;
use crate::server::Server;

/// What all workers share.
#[derive(Clone)]
pub struct Context {
    pub config: Arc<Config>,
    pub repository: Repository,
    /// One permit a server that is being collected; whoever waits is served in the order of asking.
    pub collects: Arc<Semaphore>,
}

impl Context {
    /// What a server is called.
    pub fn name_of(&self, server: &Server) -> String {
        server.name(self.config.use_server_alias)
    }
}
