//! Pauses a server, and ends its pause.

use std::sync::Arc;
use std::time::SystemTime;

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::super::super::routes::AppState;
use super::super::change::{Change, Changing};
use super::super::extract::{Body, Name, NoParameters, Operator, Parameters};
use super::super::openapi::Errors;
use super::super::problem::Problem;
use super::object::ServerObject;
use super::{find, show_changed};
use crate::control::timestamp;
use crate::fleet;
use crate::repository::RegisteredServer;

/// How long to pause: one of both.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http::api) struct PauseRequest {
    /// A duration.
    #[serde(rename = "for")]
    #[schema(examples("30m", "2h", "1day 12h"))]
    duration: Option<String>,
    /// A time in the time zone of the server's schedule (without one, in UTC), or with an offset.
    #[schema(examples("2026-05-07T18:00", "2026-05-07T18:00:00+02:00"))]
    until: Option<String>,
}

impl PauseRequest {
    /// The end of the pause.
    fn end(&self, server: &RegisteredServer) -> Result<SystemTime, Problem> {
        match (&self.duration, &self.until) {
            (Some(duration), None) => match fleet::parse_pause(duration) {
                Ok(duration) => Ok(SystemTime::now() + duration),
                Err(error) => Err(Problem::invalid(format!("\"for\": {error}"))),
            },
            (None, Some(until)) => {
                let until = fleet::parse_time_of(server, until);
                until.map_err(|error| Problem::invalid(format!("\"until\": {error}")))
            }
            _ => Err(Problem::invalid("the body must have either \"for\" or \"until\"")),
        }
    }
}

/// Pauses a server: nothing is collected until then, except on request. Its frequency or schedule is kept.
#[utoipa::path(
    post, path = "/api/v1/servers/{server}/pause", operation_id = "pauseServer", tag = "servers",
    params(("server" = String, Path, description = "id, alias or host:port")),
    request_body = PauseRequest,
    responses((status = 200, description = "the result", body = ServerObject, headers(("ETag" = String))), Errors)
)]
pub(in crate::http::api) async fn pause(
    State(app): State<Arc<AppState>>,
    Operator(caller): Operator,
    Name(name): Name,
    Parameters(NoParameters {}): Parameters<NoParameters>,
    Body(wanted): Body<PauseRequest>,
) -> Result<Response, Problem> {
    let server = find(&app, &name).await?;
    let until = wanted.end(&server)?;
    let (changing, id) = (Arc::new(Changing::for_operators(&app, &caller)?), server.id);
    let making = Arc::clone(&changing);
    let details = json!({"until": timestamp::text(until)});
    changing
        .run(Change::new("pause server", Some(id), details), |()| None, async move {
            let repository = making.repository()?;
            fleet::pause(&repository, &server, until).await.map_err(|error| making.fleet_problem(error))
        })
        .await?;
    show_changed(&app, id).await
}

/// Ends the pause of a server, if it is paused.
#[utoipa::path(
    post, path = "/api/v1/servers/{server}/resume", operation_id = "resumeServer", tag = "servers",
    params(("server" = String, Path, description = "id, alias or host:port")),
    responses((status = 200, description = "the result", body = ServerObject, headers(("ETag" = String))), Errors)
)]
pub(in crate::http::api) async fn resume(
    State(app): State<Arc<AppState>>,
    Operator(caller): Operator,
    Name(name): Name,
    Parameters(NoParameters {}): Parameters<NoParameters>,
) -> Result<Response, Problem> {
    let server = find(&app, &name).await?;
    let (changing, id) = (Arc::new(Changing::for_operators(&app, &caller)?), server.id);
    let making = Arc::clone(&changing);
    changing
        .run(Change::new("resume server", Some(id), json!({})), |()| None, async move {
            let repository = making.repository()?;
            let resumed = fleet::resume(&repository, &server).await;
            resumed.map(drop).map_err(|error| making.fleet_problem(error))
        })
        .await?;
    show_changed(&app, id).await
}
