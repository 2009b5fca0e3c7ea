//! The collectors of the repository, the totals of this one, and its reload.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use std::time::SystemTime;

use axum::extract::State;
use axum::response::Json;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::super::routes::AppState;
use super::super::server_state::ServerState;
use super::change::{Change, Changing};
use super::extract::{NoParameters, Operator, Parameters, Viewer};
use super::openapi::Errors;
use super::page::{Page, PageParameters};
use super::problem::Problem;
use crate::control::timestamp;
use crate::repository::Collector;
use crate::worker::Phase;

/// A collector that is connected to the repository.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CollectorObject {
    /// The process id of its main session in the repository server.
    process: i32,
    /// The name of that session, with the version.
    name: String,
    /// Its address; null for a Unix socket, or if it may not be seen.
    address: Option<String>,
    /// The role of the session.
    role: Option<String>,
    /// When the session was opened.
    #[schema(value_type = Option<String>, format = DateTime)]
    connected_since: Option<String>,
}

/// The totals of this collector.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StatusObject {
    version: &'static str,
    /// Whether commands are received.
    ready: bool,
    /// Why it is not ready.
    reason: Option<String>,
    /// Enabled servers.
    servers: usize,
    /// How many of them are in each state.
    states: BTreeMap<&'static str, usize>,
    /// How many workers do what.
    phases: BTreeMap<String, usize>,
    /// When the last snapshot of any server was begun.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_snapshot: Option<String>,
    /// Other collectors that are connected to the repository.
    other_collectors: Vec<String>,
    /// Sessions to the repository for loads, without those of the API.
    repository_sessions: Option<SessionsObject>,
}

/// Sessions of a pool.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SessionsObject {
    used: usize,
    idle: usize,
    limit: usize,
    waiting: usize,
}

/// A reload that has succeeded.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ReloadObject {
    /// How many servers are enabled.
    servers: usize,
}

/// Lists the collectors that are connected to the repository.
#[utoipa::path(
    get, path = "/api/v1/collectors", operation_id = "listCollectors", tag = "collector", params(PageParameters),
    responses((status = 200, description = "the result", body = Page<CollectorObject>), Errors)
)]
pub(super) async fn list(
    State(app): State<Arc<AppState>>,
    Viewer(_): Viewer,
    Parameters(page): Parameters<PageParameters>,
) -> Result<Json<Page<CollectorObject>>, Problem> {
    let (limit, after) = (page.limit()?, page.after_number()?);
    let mut collectors = app.api.backend()?.repository.collectors().await?;
    collectors.sort_by_key(|collector| collector.process);
    let after = |collector: &Collector| after.is_none_or(|after| i64::from(collector.process) > after);
    let collectors = collectors.into_iter().filter(after).map(object).collect();
    Ok(Json(Page::of(collectors, limit, |collector: &CollectorObject| collector.process.to_string())))
}

fn object(collector: Collector) -> CollectorObject {
    let since = collector.connected_for.and_then(|connected_for| SystemTime::now().checked_sub(connected_for));
    CollectorObject {
        process: collector.process,
        name: collector.name,
        address: collector.address,
        role: collector.role,
        connected_since: since.map(timestamp::text),
    }
}

/// The totals of the collector that answers.
#[utoipa::path(
    get, path = "/api/v1/status", operation_id = "getStatus", tag = "collector", responses((status = 200, description = "the result", body = StatusObject), Errors)
)]
pub(super) async fn status(
    State(app): State<Arc<AppState>>,
    Viewer(_): Viewer,
    Parameters(NoParameters {}): Parameters<NoParameters>,
) -> Result<Json<StatusObject>, Problem> {
    let overview =
        app.fleet.sample().await.state.map_err(|unresponsive| Problem::unavailable(unresponsive.to_string()))?;
    let now = SystemTime::now();
    let mut states: BTreeMap<_, _> = ServerState::ALL.map(|state| (state.name(), 0)).into();
    let mut phases: BTreeMap<_, _> = Phase::ALL.map(|phase| (phase.to_string(), 0)).into();
    for worker in overview.workers.values() {
        *states.entry(ServerState::of(worker, now).name()).or_default() += 1;
        *phases.entry(worker.progress.phase.to_string()).or_default() += 1;
    }
    let last = overview.workers.values().filter_map(|worker| worker.progress.last).max();
    Ok(Json(StatusObject {
        version: env!("CARGO_PKG_VERSION"),
        ready: overview.readiness.is_ok(),
        reason: overview.readiness.as_ref().err().map(crate::control::NotReady::in_full),
        servers: overview.workers.len(),
        states,
        phases,
        last_snapshot: last.map(timestamp::text),
        other_collectors: overview.other_collectors.clone(),
        repository_sessions: overview.repository.map(|usage| SessionsObject {
            used: usage.used,
            idle: usage.idle,
            limit: usage.max,
            waiting: usage.waiting,
        }),
    }))
}

/// When to try again, if the repository is away.
const RELOAD_RETRY: Duration = Duration::from_secs(5);

/// Reads the configuration and the list of servers again. If the configuration is not valid, the previous one is kept.
#[utoipa::path(
    post, path = "/api/v1/reload", operation_id = "reload", tag = "collector", responses((status = 200, description = "the result", body = ReloadObject), Errors)
)]
pub(super) async fn reload(
    State(app): State<Arc<AppState>>,
    Operator(caller): Operator,
    Parameters(NoParameters {}): Parameters<NoParameters>,
) -> Result<Json<ReloadObject>, Problem> {
    let changing = Arc::new(Changing::new(&app, &caller)?);
    let reloading = Arc::clone(&app);
    let servers = changing
        .run(Change::command("reload", None, json!({})), |_| None, async move {
            if let Err(reason) = reloading.api.reload().await? {
                let is_ready = reloading.fleet.sample().await.state.is_ok_and(|overview| overview.readiness.is_ok());
                if !is_ready {
                    return Err(Problem::unavailable(reason).retry_after(RELOAD_RETRY));
                }
                return Err(Problem::conflict(reason)
                    .with_hint("the previous configuration is kept; correct it and reload again"));
            }
            let statuses = reloading.api.call(crate::control::Call::Statuses).await?;
            Ok(statuses.len())
        })
        .await?;
    Ok(Json(ReloadObject { servers }))
}
