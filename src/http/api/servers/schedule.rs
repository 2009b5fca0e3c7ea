//! The schedule of a server, which takes the place of its frequency.

use std::sync::Arc;
use std::time::SystemTime;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Json;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::super::super::routes::AppState;
use super::super::change::{Change, Changing};
use super::super::extract::{Body, Name, NoParameters, Operator, Parameters, Viewer};
use super::super::openapi::Errors;
use super::super::problem::Problem;
use super::{find, read_again, readable};
use crate::control::timestamp;
use crate::fleet;
use crate::repository::{OwnTable, RegisteredServer};
use crate::schedule::{Cron, DEFAULT_ZONE, Timing, parse_time};

/// How many of the next due times are shown.
const SHOWN_TIMES: usize = 5;

/// When to collect a server.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http::api) struct ScheduleRequest {
    /// Five fields: minute, hour, day of month, month, day of week; or six, with the second first. See docs/schedules.md.
    #[schema(examples("*/5 8-18 * * mon-fri"))]
    cron: String,
    /// A name of the IANA time zone database.
    #[schema(default = "UTC", examples("Europe/Paris"))]
    time_zone: Option<String>,
    /// Nothing is collected before. A time in the time zone of the schedule, or with an offset.
    #[schema(examples("2026-05-07T18:00", "2026-05-07T18:00:00+02:00"))]
    start: Option<String>,
}

/// When a server is collected.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http::api) struct ScheduleObject {
    cron: String,
    time_zone: String,
    /// Nothing is collected before.
    #[schema(value_type = Option<String>, format = DateTime)]
    start: Option<String>,
}

/// The schedule of a server, with its next times.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http::api) struct ScheduleDetails {
    cron: String,
    time_zone: String,
    /// Nothing is collected before.
    #[schema(value_type = Option<String>, format = DateTime)]
    start: Option<String>,
    /// The next five due times, after the start and the end of a pause.
    #[schema(value_type = Vec<String>)]
    next: Vec<String>,
}

impl ScheduleObject {
    /// `None`: the server has no schedule.
    pub(super) fn of(timing: &Timing) -> Option<Self> {
        let cron = timing.cron.as_ref()?;
        Some(Self {
            cron: cron.text().to_owned(),
            time_zone: cron.zone_name().to_owned(),
            start: timing.start.map(timestamp::text),
        })
    }
}

impl ScheduleDetails {
    /// `None`: the server has no schedule.
    fn of(server: &RegisteredServer, now: SystemTime) -> Option<Self> {
        let timing = server.timing.as_deref()?;
        let ScheduleObject { cron, time_zone, start } = ScheduleObject::of(timing)?;
        let next = timing.upcoming(now, SHOWN_TIMES).into_iter().map(timestamp::text).collect();
        Some(Self { cron, time_zone, start, next })
    }
}

/// The schedule of a server. 404 if it has none: it is then collected by its frequency.
#[utoipa::path(
    get, path = "/api/v1/servers/{server}/schedule", operation_id = "getSchedule", tag = "servers",
    params(("server" = String, Path, description = "id, alias or host:port")),
    responses((status = 200, description = "the result", body = ScheduleDetails), Errors)
)]
pub(in crate::http::api) async fn get(
    State(app): State<Arc<AppState>>,
    Viewer(_): Viewer,
    Name(name): Name,
    Parameters(NoParameters {}): Parameters<NoParameters>,
) -> Result<Json<ScheduleDetails>, Problem> {
    let server = find(&app, &name).await?;
    match ScheduleDetails::of(&server, SystemTime::now()) {
        Some(schedule) => Ok(Json(schedule)),
        None => Err(without_schedule(&app, &server).await?),
    }
}

/// Why there is no schedule to show.
async fn without_schedule(app: &AppState, server: &RegisteredServer) -> Result<Problem, Problem> {
    if let Some(invalid) = server.timing.as_deref().and_then(|timing| timing.invalid.as_ref()) {
        return Ok(Problem::not_found(format!("{invalid}; {}", invalid.effect())));
    }
    readable(app, OwnTable::Schedules).await?;
    Ok(Problem::not_found("the server has no schedule").with_hint("PUT /api/v1/servers/{server}/schedule sets one"))
}

/// Sets the schedule of a server, which takes the place of its frequency. A pause is kept.
#[utoipa::path(
    put, path = "/api/v1/servers/{server}/schedule", operation_id = "setSchedule", tag = "servers",
    params(("server" = String, Path, description = "id, alias or host:port")),
    request_body = ScheduleRequest,
    responses((status = 200, description = "the result", body = ScheduleDetails), Errors)
)]
pub(in crate::http::api) async fn set(
    State(app): State<Arc<AppState>>,
    Operator(caller): Operator,
    Name(name): Name,
    Parameters(NoParameters {}): Parameters<NoParameters>,
    Body(wanted): Body<ScheduleRequest>,
) -> Result<Json<ScheduleDetails>, Problem> {
    let cron = Cron::parse(&wanted.cron, wanted.time_zone.as_deref().unwrap_or(DEFAULT_ZONE));
    let cron = cron.map_err(|error| Problem::invalid(error.to_string()))?;
    let start = wanted.start.map(|start| parse_time(&start, cron.zone())).transpose();
    let start = start.map_err(|error| Problem::invalid(format!("\"start\": {error}")))?;
    let server = find(&app, &name).await?;
    let (changing, id) = (Arc::new(Changing::for_operators(&app, &caller)?), server.id);
    let making = Arc::clone(&changing);
    let details = json!({"cron": cron.text(), "time_zone": cron.zone_name(), "start": start.map(timestamp::text)});
    changing
        .run(Change::new("set schedule", Some(id), details), |()| None, async move {
            let repository = making.repository()?;
            let set = fleet::set_schedule(&repository, &server, &cron, start).await;
            set.map_err(|error| making.fleet_problem(error))
        })
        .await?;
    read_again(&app).await;
    let server = find(&app, &id.to_string()).await?;
    let schedule = ScheduleDetails::of(&server, SystemTime::now());
    schedule.map(Json).ok_or_else(|| Problem::conflict("the schedule was removed meanwhile"))
}

/// Removes the schedule of a server, if it has one, so that its frequency holds again. A pause is kept.
#[utoipa::path(
    delete, path = "/api/v1/servers/{server}/schedule", operation_id = "removeSchedule", tag = "servers",
    params(("server" = String, Path, description = "id, alias or host:port")),
    responses((status = 204, description = "the server has no schedule"), Errors)
)]
pub(in crate::http::api) async fn remove(
    State(app): State<Arc<AppState>>,
    Operator(caller): Operator,
    Name(name): Name,
    Parameters(NoParameters {}): Parameters<NoParameters>,
) -> Result<StatusCode, Problem> {
    let server = find(&app, &name).await?;
    let changing = Arc::new(Changing::for_operators(&app, &caller)?);
    let making = Arc::clone(&changing);
    let cron = server.timing.as_deref().and_then(|timing| timing.cron.as_ref()).map(Cron::text);
    let details = json!({"cron": cron});
    changing
        .run(Change::new("remove schedule", Some(server.id), details), |()| None, async move {
            let repository = making.repository()?;
            let removed = fleet::remove_schedule(&repository, &server).await;
            removed.map(drop).map_err(|error| making.fleet_problem(error))
        })
        .await?;
    read_again(&app).await;
    Ok(StatusCode::NO_CONTENT)
}
