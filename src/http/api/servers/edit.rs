//! Changes, enables, disables and removes a server.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::IF_MATCH;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{IntoParams, PartialSchema, ToSchema};

use super::super::super::routes::AppState;
use super::super::change::{Change, Changing};
use super::super::extract::{Admin, Body, Name, NoParameters, Operator, OptionalBody, Parameters};
use super::super::integer;
use super::super::openapi::Errors;
use super::super::problem::Problem;
use super::object::{ServerObject, entity_tag, is_matched};
use super::{add, find, list, read_again, show_changed};
use crate::fleet::{self, parse_frequency};
use crate::repository::{AdminTask, Changes, RegisteredServer};

/// What to change of a server. What is not given stays as it is.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http::api) struct ServerChangesRequest {
    #[schema(min_length = 1)]
    host: Option<String>,
    #[schema(minimum = 1, maximum = 65535)]
    #[serde(default, deserialize_with = "integer::optional")]
    port: Option<u16>,
    #[schema(min_length = 1)]
    user: Option<String>,
    /// Null removes it: the collector then uses its password file.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, min_length = 1, format = Password, write_only)]
    password: Option<Option<String>>,
    #[schema(min_length = 1)]
    dbname: Option<String>,
    /// Null removes it.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, pattern = "[^0-9]")]
    alias: Option<Option<String>>,
    /// Seconds from one snapshot to the next. Enables a server that is disabled.
    #[schema(minimum = 5)]
    #[serde(default, deserialize_with = "integer::optional")]
    frequency: Option<i32>,
    #[schema(minimum = 5)]
    #[serde(default, deserialize_with = "integer::optional")]
    coalesce: Option<i32>,
    retention: Option<String>,
    allow_ui_connection: Option<bool>,
}

/// Distinguishes null from what is not given.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// How to enable a server.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::http::api) struct EnableRequest {
    /// Seconds from one snapshot to the next. PoWA does not keep the frequency of a disabled server.
    #[schema(minimum = 5, default = 300)]
    #[serde(default, deserialize_with = "integer::optional")]
    frequency: Option<i32>,
}

/// Whether to delete the history.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http::api) struct RemoveParameters {
    /// Must be true: the history of the server is deleted with it.
    #[param(required = true, value_type = OnlyTrue, inline)]
    purge: Option<bool>,
}

/// The description of a parameter that must be true.
struct OnlyTrue;

impl PartialSchema for OnlyTrue {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new().schema_type(Type::Boolean).enum_values(Some([true])).into()
    }
}

impl ToSchema for OnlyTrue {}

/// Changes the registration of a server.
#[utoipa::path(
    patch, path = "/api/v1/servers/{server}", operation_id = "changeServer", tag = "servers",
    params(
        ("server" = String, Path, description = "id, alias or host:port"),
        ("If-Match" = String, Header, description = "the ETag of the server as it was read, or *"),
    ),
    request_body = ServerChangesRequest,
    responses((status = 200, description = "the result", body = ServerObject, headers(("ETag" = String))), Errors)
)]
pub(in crate::http::api) async fn change(
    State(app): State<Arc<AppState>>,
    Admin(caller): Admin,
    (Name(name), Parameters(NoParameters {})): (Name, Parameters<NoParameters>),
    headers: HeaderMap,
    Body(wanted): Body<ServerChangesRequest>,
) -> Result<Response, Problem> {
    let server = find(&app, &name).await?;
    let version = expected_version(&headers, &server)?;
    let (changes, details) = parse(wanted)?;
    let (changing, id) = (Arc::new(Changing::new(&app, &caller)?), server.id);
    let making = Arc::clone(&changing);
    changing
        .run(Change::new("change server", Some(id), details), |()| None, async move {
            let repository = making.repository()?;
            let task = AdminTask::Change { with_check: false };
            fleet::require_rights(&repository, task).await.map_err(|error| making.fleet_problem(error))?;
            let servers = making.backend.repository.registered_servers().await?;
            let checked = fleet::check_changes(&repository, &servers, &server, &changes).await;
            checked.map_err(|error| making.fleet_problem(error))?;
            let changed = repository.configure_version(id, version.as_deref(), &changes).await;
            if changed.map_err(|error| making.problem(error))? { Ok(()) } else { Err(has_changed()) }
        })
        .await?;
    show_changed(&app, id).await
}

/// Removes a server and deletes its history. A load of the server is waited for.
#[utoipa::path(
    delete, path = "/api/v1/servers/{server}", operation_id = "removeServer", tag = "servers",
    params(
        ("server" = String, Path, description = "id, alias or host:port"),
        RemoveParameters,
        ("If-Match" = String, Header, description = "the ETag of the server as it was read, or *"),
    ),
    responses((status = 204, description = "the server and its history are deleted"), Errors)
)]
pub(in crate::http::api) async fn remove(
    State(app): State<Arc<AppState>>,
    Admin(caller): Admin,
    Name(name): Name,
    headers: HeaderMap,
    Parameters(RemoveParameters { purge }): Parameters<RemoveParameters>,
) -> Result<StatusCode, Problem> {
    if purge != Some(true) {
        return Err(Problem::bad_request("a server is removed with its history, which needs ?purge=true")
            .with_hint("POST /api/v1/servers/{server}/disable keeps the history"));
    }
    let server = find(&app, &name).await?;
    expected_version(&headers, &server)?;
    let (changing, reading) = (Arc::new(Changing::new(&app, &caller)?), Arc::clone(&app));
    let making = Arc::clone(&changing);
    let details = json!({"host": server.host, "port": server.port, "alias": server.alias});
    changing
        .run(Change::new("remove server", Some(server.id), details), |()| None, async move {
            let repository = making.repository()?;
            let task = AdminTask::Remove { is_enabled: server.is_active() };
            fleet::require_rights(&repository, task).await.map_err(|error| making.fleet_problem(error))?;
            if server.is_active() {
                repository.deactivate(server.id).await.map_err(|error| making.problem(error))?;
                read_again(&reading).await;
            }
            let purged = repository.purge(server.id).await.map_err(|error| making.problem(error));
            purged.map_err(|problem| {
                problem.with_hint("the server is disabled, and its history is unchanged; try again later")
            })
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Enables a server that is disabled.
#[utoipa::path(
    post, path = "/api/v1/servers/{server}/enable", operation_id = "enableServer", tag = "servers",
    params(("server" = String, Path, description = "id, alias or host:port")),
    request_body = Option<EnableRequest>,
    responses((status = 200, description = "the result", body = ServerObject, headers(("ETag" = String))), Errors)
)]
pub(in crate::http::api) async fn enable(
    State(app): State<Arc<AppState>>,
    Operator(caller): Operator,
    Name(name): Name,
    Parameters(NoParameters {}): Parameters<NoParameters>,
    OptionalBody(wanted): OptionalBody<EnableRequest>,
) -> Result<Response, Problem> {
    let frequency = wanted.frequency.map(|seconds| parse_frequency(&seconds.to_string())).transpose();
    let frequency = frequency.map_err(|error| Problem::invalid(error.to_string()))?;
    let server = find(&app, &name).await?;
    if server.is_active() && frequency.is_none_or(|frequency| frequency == server.frequency) {
        return Ok(list::shown(&app, &server).await);
    }
    let frequency = frequency.unwrap_or(fleet::DEFAULT_FREQUENCY);
    let (changing, id) = (Arc::new(Changing::for_operators(&app, &caller)?), server.id);
    let making = Arc::clone(&changing);
    let details = json!({"frequency": frequency});
    changing
        .run(Change::new("enable server", Some(id), details), |()| None, async move {
            let repository = making.repository()?;
            let task = AdminTask::Change { with_check: false };
            fleet::require_rights(&repository, task).await.map_err(|error| making.fleet_problem(error))?;
            let checked = fleet::check_frequency(&repository, &server, frequency).await;
            checked.map_err(|error| making.fleet_problem(error.into()))?;
            let changes = Changes { frequency: Some(frequency), ..Changes::default() };
            repository.configure(id, &changes).await.map_err(|error| making.problem(error))
        })
        .await?;
    show_changed(&app, id).await
}

/// Disables a server: no more snapshots are taken, and its history is kept.
#[utoipa::path(
    post, path = "/api/v1/servers/{server}/disable", operation_id = "disableServer", tag = "servers",
    params(("server" = String, Path, description = "id, alias or host:port")),
    responses((status = 200, description = "the result", body = ServerObject, headers(("ETag" = String))), Errors)
)]
pub(in crate::http::api) async fn disable(
    State(app): State<Arc<AppState>>,
    Operator(caller): Operator,
    Name(name): Name,
    Parameters(NoParameters {}): Parameters<NoParameters>,
) -> Result<Response, Problem> {
    let server = find(&app, &name).await?;
    if !server.is_active() {
        return Ok(list::shown(&app, &server).await);
    }
    let (changing, id) = (Arc::new(Changing::for_operators(&app, &caller)?), server.id);
    let making = Arc::clone(&changing);
    let details = json!({"frequency": server.frequency});
    changing
        .run(Change::new("disable server", Some(id), details), |()| None, async move {
            let repository = making.repository()?;
            let task = AdminTask::Change { with_check: false };
            fleet::require_rights(&repository, task).await.map_err(|error| making.fleet_problem(error))?;
            repository.deactivate(id).await.map_err(|error| making.problem(error))
        })
        .await?;
    show_changed(&app, id).await
}

/// The version that the row must have. `None`: any.
fn expected_version(headers: &HeaderMap, server: &RegisteredServer) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(IF_MATCH).iter().peekable();
    if values.peek().is_none() {
        return Err(Problem::new(StatusCode::PRECONDITION_REQUIRED, "the request has no If-Match")
            .with_hint("send the ETag of GET /api/v1/servers/{server}, or * for any version"));
    }
    let tag = entity_tag(server);
    let mut is_any = false;
    let mut is_same = false;
    for value in values {
        is_any |= value == "*";
        is_same |= is_matched(value, &tag);
    }
    match (is_same, is_any) {
        (_, true) => Ok(None),
        (true, false) => Ok(Some(server.row_version.clone())),
        (false, false) => Err(has_changed()),
    }
}

fn has_changed() -> Problem {
    Problem::new(StatusCode::PRECONDITION_FAILED, "the server was changed since it was read")
        .with_hint("read it again: GET /api/v1/servers/{server}")
}

/// The changes, and what the audit log gets of them.
fn parse(wanted: ServerChangesRequest) -> Result<(Changes, Value), Problem> {
    let changes = Changes {
        host: wanted.host.as_deref().map(add::host).transpose()?,
        port: wanted.port,
        alias: match wanted.alias {
            Some(Some(alias)) => Some(Some(add::alias(&alias)?)),
            Some(None) => Some(None),
            None => None,
        },
        user: add::text("user", wanted.user)?,
        password: match wanted.password {
            Some(Some(password)) => Some(add::password(Some(password))?),
            Some(None) => Some(None),
            None => None,
        },
        dbname: add::text("dbname", wanted.dbname)?,
        frequency: wanted.frequency,
        coalesce: wanted.coalesce,
        retention: wanted.retention.as_deref().map(add::retention).transpose()?,
        allow_ui_connection: wanted.allow_ui_connection,
    };
    let password = changes.password.as_ref().map(|password| if password.is_some() { "changed" } else { "removed" });
    let columns = [
        ("host", json!(changes.host)),
        ("port", json!(changes.port)),
        ("user", json!(changes.user)),
        ("dbname", json!(changes.dbname)),
        ("frequency", json!(changes.frequency)),
        ("coalesce", json!(changes.coalesce)),
        ("retention", json!(changes.retention)),
        ("allow_ui_connection", json!(changes.allow_ui_connection)),
        ("password", json!(password)),
    ];
    let changed = columns.into_iter().filter(|(_, value)| !value.is_null());
    let mut details: serde_json::Map<_, _> = changed.map(|(name, value)| (name.to_owned(), value)).collect();
    if let Some(alias) = &changes.alias {
        details.insert("alias".into(), json!(alias));
    }
    if details.is_empty() {
        return Err(Problem::invalid("the body has nothing to change"));
    }
    Ok((changes, details.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(body: Value) -> (Changes, Value) {
        parse(serde_json::from_value(body).unwrap()).ok().unwrap()
    }

    #[test]
    fn null_removes_and_what_is_missing_stays() {
        let (changes, _) = parsed(json!({"port": 1}));
        assert!(changes.alias.is_none() && changes.password.is_none());
        let (changes, details) = parsed(json!({"alias": null, "password": null}));
        assert!(changes.alias == Some(None) && changes.password == Some(None));
        assert_eq!(details, json!({"alias": null, "password": "removed"}));
    }

    #[test]
    fn the_audit_log_gets_no_password() {
        let (_, details) = parsed(json!({"password": "s3cret", "port": 5433}));
        assert_eq!(details, json!({"password": "changed", "port": 5433}));
    }

    #[test]
    fn a_change_of_nothing_or_to_nothing_is_refused() {
        for body in
            [json!({}), json!({"host": ""}), json!({"alias": "12"}), json!({"password": ""}), json!({"user": ""})]
        {
            assert!(parse(serde_json::from_value(body.clone()).unwrap()).is_err(), "{body}");
        }
    }
}
