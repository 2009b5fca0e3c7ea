//! Registers a server.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

use super::super::super::routes::AppState;
use super::super::change::{Change, Changing};
use super::super::extract::{Admin, Body, Parameters};
use super::super::integer;
use super::super::openapi::Errors;
use super::super::problem::Problem;
use super::object::ServerObject;
use super::{check, find, list, read_again};
use crate::fleet;
use crate::repository::{AdminTask, NewServer};
use libpq::Secret;

/// A server to be registered. What is not given has the defaults of "powa-collector servers add".
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http::api) struct NewServerRequest {
    /// Host name, IP address, or directory of a Unix socket; several, separated by commas, for a server that may be on any.
    #[schema(min_length = 1)]
    host: String,
    #[schema(minimum = 1, maximum = 65535, default = 5432)]
    #[serde(default, deserialize_with = "integer::optional")]
    port: Option<u16>,
    /// Role to connect as.
    #[schema(min_length = 1, default = "powa")]
    user: Option<String>,
    /// Stored in powa_servers, in plain text. Without one, the collector uses its password file.
    #[schema(min_length = 1, format = Password, write_only)]
    password: Option<String>,
    /// Database that has the extension powa.
    #[schema(min_length = 1, default = "powa")]
    dbname: Option<String>,
    /// Name to show instead of host:port; not digits only.
    #[schema(min_length = 1, pattern = "[^0-9]")]
    alias: Option<String>,
    /// Seconds from one snapshot to the next.
    #[schema(minimum = 5, default = 300)]
    #[serde(default, deserialize_with = "integer::optional")]
    frequency: Option<i32>,
    /// Snapshots that are aggregated into one record.
    #[schema(minimum = 5, default = 100)]
    #[serde(default, deserialize_with = "integer::optional")]
    coalesce: Option<i32>,
    /// How long the history is kept, as an interval of PostgreSQL.
    #[schema(default = "1 day")]
    retention: Option<String>,
    /// Whether powa-web may connect to it.
    #[schema(default = true)]
    allow_ui_connection: Option<bool>,
    /// Extensions to collect, in addition to pg_stat_statements.
    #[serde(default)]
    extensions: Vec<String>,
}

/// Whether to check first.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http::api) struct AddParameters {
    /// Check the server first, and do not register it if something is wrong.
    #[serde(default)]
    check: bool,
}

/// Registers a server.
#[utoipa::path(
    post, path = "/api/v1/servers", operation_id = "addServer", tag = "servers", params(AddParameters), request_body = NewServerRequest,
    responses(
        (status = 201, description = "what was created", body = ServerObject, headers(("Location" = String), ("ETag" = String))),
        Errors
    )
)]
pub(in crate::http::api) async fn add(
    State(app): State<Arc<AppState>>,
    Admin(caller): Admin,
    Parameters(AddParameters { check }): Parameters<AddParameters>,
    Body(wanted): Body<NewServerRequest>,
) -> Result<Response, Problem> {
    let (new, extensions) = parse(wanted)?;
    let details = json!({
        "host": new.host, "port": new.port, "alias": new.alias, "user": new.user, "dbname": new.dbname,
        "password": new.password.is_some(), "frequency": new.frequency, "coalesce": new.coalesce,
        "retention": new.retention, "allow_ui_connection": new.allow_ui_connection, "extensions": extensions,
        "check": check,
    });
    let changing = Arc::new(Changing::new(&app, &caller)?);
    let adding = Arc::clone(&changing);
    let id = changing
        .run(Change::new("add server", None, details), |id| Some(*id), async move {
            let repository = adding.repository()?;
            let task = AdminTask::Register { with_password: new.password.is_some(), with_check: check };
            fleet::require_rights(&repository, task).await.map_err(|error| adding.fleet_problem(error))?;
            fleet::check_new(&repository, &new).await.map_err(|error| adding.fleet_problem(error))?;
            if check {
                check::check_new(&adding.backend, &repository, (&new, &extensions)).await?;
            }
            repository.register(&new, &extensions).await.map_err(|error| adding.problem(error))
        })
        .await?;
    read_again(&app).await;
    let server = find(&app, &id.to_string()).await?;
    let shown = list::shown(&app, &server).await;
    Ok((StatusCode::CREATED, [(LOCATION, format!("/api/v1/servers/{id}"))], shown).into_response())
}

fn parse(wanted: NewServerRequest) -> Result<(NewServer, Vec<String>), Problem> {
    let new = NewServer {
        host: host(&wanted.host)?,
        port: wanted.port.unwrap_or(fleet::DEFAULT_PORT),
        alias: wanted.alias.as_deref().map(alias).transpose()?,
        user: text("user", wanted.user)?.unwrap_or_else(|| fleet::DEFAULT_NAME.into()),
        password: password(wanted.password)?,
        dbname: text("dbname", wanted.dbname)?.unwrap_or_else(|| fleet::DEFAULT_NAME.into()),
        frequency: wanted.frequency.unwrap_or(fleet::DEFAULT_FREQUENCY),
        coalesce: wanted.coalesce.unwrap_or(fleet::DEFAULT_COALESCE),
        retention: wanted.retention.as_deref().map_or_else(|| Ok(fleet::DEFAULT_RETENTION.into()), retention)?,
        allow_ui_connection: wanted.allow_ui_connection.unwrap_or(true),
    };
    for extension in &wanted.extensions {
        text("extensions", Some(extension.clone()))?;
    }
    Ok((new, wanted.extensions))
}

pub(super) fn host(text: &str) -> Result<String, Problem> {
    fleet::parse_host(text).map_err(|error| Problem::invalid(format!("\"host\": {error}")))
}

pub(super) fn alias(value: &str) -> Result<String, Problem> {
    text("alias", Some(value.to_owned()))?;
    fleet::parse_alias(value).map_err(|error| Problem::invalid(format!("\"alias\": {error}")))
}

pub(super) fn retention(value: &str) -> Result<String, Problem> {
    text("retention", Some(value.to_owned()))?;
    fleet::parse_retention(value).map_err(|error| Problem::invalid(format!("\"retention\": {error}")))
}

/// A text that PostgreSQL can store, and that is not empty.
pub(super) fn text(field: &str, value: Option<String>) -> Result<Option<String>, Problem> {
    match value {
        Some(value) if value.is_empty() || value.contains('\0') => {
            Err(Problem::invalid(format!("\"{field}\" must not be empty, and must not contain a NUL character")))
        }
        value => Ok(value),
    }
}

pub(super) fn password(value: Option<String>) -> Result<Option<Secret>, Problem> {
    text("password", value).map(|value| value.map(Secret::new))
}
