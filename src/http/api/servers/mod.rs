//! Servers: `object` is how one is shown, `list` reads them, `add` and `edit` change their rows, `commands` are for the
//! collector, `schedule` and `pause` decide when it is collected, `check` runs a check, `errors` lists what went wrong.

pub(super) mod add;
pub(super) mod check;
pub(super) mod commands;
pub(super) mod edit;
pub(super) mod errors;
pub(super) mod list;
mod object;
pub(super) mod pause;
pub(super) mod schedule;
pub(super) mod snapshot;

use std::sync::Arc;

use super::super::routes::AppState;
use super::problem::Problem;
use crate::control::Call;
use crate::fleet::server_name::ServerName;
use crate::repository::RegisteredServer;

/// The server that the path names by id, alias, or `host:port`.
async fn find(app: &AppState, name: &str) -> Result<RegisteredServer, Problem> {
    let Ok(parsed) = name.parse::<ServerName>();
    let servers = app.api.backend()?.repository.registered_servers().await?;
    Ok(parsed.find(&servers)?.clone())
}

/// Has the collector read the list of servers now. If it cannot, it does within a minute.
async fn read_again(app: &Arc<AppState>) {
    if let Err(problem) = app.api.call(Call::ReadServers).await {
        tracing::debug!(reason = problem.detail(), "the list of servers is read later");
    }
}
