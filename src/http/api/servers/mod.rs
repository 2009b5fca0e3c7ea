//! Servers: `object` is how one is shown, `list` reads them, `add` and `edit` change their rows, `commands` are for the
//! collector, `schedule` and `pause` decide when it is collected, `tags` are names that people give it, `check` runs a check, `errors` lists what went wrong.

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
pub(super) mod tags;

use std::sync::Arc;

use axum::response::Response;

use super::super::routes::AppState;
use super::problem::Problem;
use crate::control::Call;
use crate::fleet;
use crate::fleet::server_name::ServerName;
use crate::repository::{OwnTable, RegisteredServer};
use crate::server::ServerId;

/// The server that the path names by id, alias, or `host:port`.
async fn find(app: &AppState, name: &str) -> Result<RegisteredServer, Problem> {
    let Ok(parsed) = name.parse::<ServerName>();
    let servers = app.api.backend()?.repository.registered_servers().await?;
    Ok(parsed.find(&servers)?.clone())
}

/// Whether a table of the collector's own can be read: otherwise that nothing was read means nothing.
async fn readable(app: &AppState, table: OwnTable) -> Result<(), Problem> {
    match fleet::require_read(&app.api.backend()?.repository, table).await {
        // It is the collector's role, not the caller's.
        Err(fleet::Error::MissingRights(missing)) => Err(Problem::unavailable(missing.to_string().replace("\n ", ""))),
        result => Ok(result?),
    }
}

/// Has the collector read the list of servers now. If it cannot, it does within a minute.
async fn read_again(app: &Arc<AppState>) {
    if let Err(problem) = app.api.call(Call::ReadServers).await {
        tracing::debug!(reason = problem.detail(), "the list of servers is read later");
    }
}

/// Has the collector read the list of servers, and shows a server that was changed.
async fn show_changed(app: &Arc<AppState>, id: ServerId) -> Result<Response, Problem> {
    read_again(app).await;
    let server = find(app, &id.to_string()).await?;
    Ok(list::shown(app, &server).await)
}
