//! Has a snapshot taken now, and waits for it if that is wanted.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::{Instant, sleep};
use utoipa::{IntoParams, ToSchema};

use super::super::super::routes::AppState;
use super::super::change::{Change, Changing};
use super::super::extract::{Name, Operator, Parameters};
use super::super::openapi::Errors;
use super::super::problem::Problem;
use super::commands::refusal;
use super::find;
use crate::control::Call;
use crate::control::timestamp;
use crate::pace::FORCED_SNAPSHOT_INTERVAL;
use crate::server::ServerId;
use crate::worker::supervisor::Refused;
use crate::worker::{ForceRefused, WorkerDetail};

/// Seconds that a request can wait.
const MAX_WAIT: u64 = 600;

/// Between two samples of the state, which all requests share.
const POLL_INTERVAL: Duration = Duration::from_millis(300);

/// How long to wait.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http::api) struct SnapshotParameters {
    /// Seconds to wait for the snapshot to be stored; 0: do not wait.
    #[param(minimum = 0, maximum = 600, default = 0)]
    wait: Option<u64>,
}

/// A snapshot that was stored, or that will be.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http::api) struct SnapshotObject {
    /// Whether it is stored.
    stored: bool,
    /// When it was begun; null if it was not.
    #[schema(value_type = Option<String>, format = DateTime)]
    begun_at: Option<String>,
    /// Datasources whose rows were stored.
    datasources: Option<usize>,
    rows: Option<u64>,
    /// Bytes of the rows, in the text format of COPY.
    bytes: Option<u64>,
    collect_ms: Option<u64>,
    load_ms: Option<u64>,
    /// Datasources that failed, which the snapshot lacks.
    errors: Vec<String>,
}

/// Has a snapshot taken now. Snapshots are at least 10 s apart.
#[utoipa::path(
    post, path = "/api/v1/servers/{server}/snapshot", operation_id = "takeSnapshot", tag = "servers",
    params(("server" = String, Path, description = "id, alias or host:port"), SnapshotParameters),
    responses(
        (status = 200, description = "it is stored", body = SnapshotObject),
        (status = 202, description = "it is requested", body = SnapshotObject),
        (status = 502, description = "it failed", body = Problem, content_type = "application/problem+json"),
        Errors
    )
)]
pub(in crate::http::api) async fn take(
    State(app): State<Arc<AppState>>,
    Operator(caller): Operator,
    Name(name): Name,
    Parameters(SnapshotParameters { wait }): Parameters<SnapshotParameters>,
) -> Result<Response, Problem> {
    let wait = wait.unwrap_or(0);
    if wait > MAX_WAIT {
        return Err(Problem::bad_request(format!("\"wait\" must be an integer from 0 to {MAX_WAIT} (seconds)")));
    }
    let id = find(&app, &name).await?.id;
    let before = detail(&app, id).await?;
    let (changing, calling) = (Arc::new(Changing::new(&app, &caller)?), Arc::clone(&app));
    changing
        .run(Change::command("snapshot", Some(id), json!({"wait": wait})), |()| None, async move {
            let forced = calling.api.call(|reply| Call::ForceSnapshot(id, reply)).await?;
            forced.map(drop).map_err(|refused| not_now(&refused))
        })
        .await?;
    let deadline = Instant::now() + Duration::from_secs(wait);
    while Instant::now() < deadline {
        sleep(POLL_INTERVAL).await;
        if let Some(taken) = outcome(&before, &sampled(&app, id).await?)? {
            return Ok(Json(taken).into_response());
        }
    }
    Ok((StatusCode::ACCEPTED, Json(requested())).into_response())
}

/// The state of the worker now, not that of a sample.
async fn detail(app: &AppState, id: ServerId) -> Result<WorkerDetail, Problem> {
    let mut details = app.api.call(Call::WorkerDetails).await?;
    details.remove(&id).ok_or_else(|| refusal(&Refused::Unknown(id)))
}

async fn sampled(app: &AppState, id: ServerId) -> Result<WorkerDetail, Problem> {
    let overview = app.fleet.sample().await.state;
    let overview = overview.map_err(|unresponsive| Problem::unavailable(unresponsive.to_string()))?;
    let detail = overview.workers.get(&id).cloned();
    detail.ok_or_else(|| Problem::conflict("the server was disabled or removed meanwhile"))
}

/// What has become of a snapshot; `None` as long as nothing has.
fn outcome(before: &WorkerDetail, now: &WorkerDetail) -> Result<Option<SnapshotObject>, Problem> {
    let (before, progress) = (&before.progress, &now.progress);
    if progress.taken > before.taken {
        let report = progress.report.as_deref();
        return Ok(Some(SnapshotObject {
            stored: true,
            begun_at: progress.last.map(|time: SystemTime| timestamp::text(time)),
            datasources: report.map(|report| report.datasources),
            rows: report.map(|report| report.rows),
            bytes: report.map(|report| report.bytes),
            collect_ms: report.map(|report| report.collect_ms()),
            load_ms: report.map(|report| report.load_ms()),
            errors: report.map(|report| report.errors.clone()).unwrap_or_default(),
        }));
    }
    if progress.failures > before.failures || progress.taken < before.taken {
        let reason = progress.error.as_deref().unwrap_or("the worker of the server was restarted");
        return Err(Problem::new(StatusCode::BAD_GATEWAY, reason)
            .with_hint("POST /api/v1/servers/{server}/check finds out why"));
    }
    if progress.times_excluded > before.times_excluded {
        return Err(Problem::conflict("the server is a standby, and excluded while it is one (collect.standby)"));
    }
    Ok(None)
}

fn requested() -> SnapshotObject {
    SnapshotObject {
        stored: false,
        begun_at: None,
        datasources: None,
        rows: None,
        bytes: None,
        collect_ms: None,
        load_ms: None,
        errors: vec![],
    }
}

fn not_now(refused: &Refused) -> Problem {
    match refused {
        Refused::Force(ForceRefused::TooSoon) => {
            Problem::conflict("the last snapshot was less than 10 s ago").retry_after(FORCED_SNAPSHOT_INTERVAL)
        }
        Refused::Force(ForceRefused::InProgress) => {
            Problem::conflict("a snapshot is in progress").retry_after(Duration::ZERO)
        }
        Refused::Force(ForceRefused::Scheduled) => Problem::conflict("a snapshot is already requested"),
        other => refusal(other),
    }
}
