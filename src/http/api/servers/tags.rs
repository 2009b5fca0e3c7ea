//! The tags of a server.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
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
use crate::fleet;
use crate::repository::OwnTable;

/// Tags by their keys, at most 32. A key has a lower-case letter and then at most 62 lower-case letters, digits and underscores; a
/// value has 1 to 256 bytes, without control characters.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(transparent)]
#[schema(examples(json!({"environment": "production"})))]
pub(in crate::http::api) struct TagsObject(pub(super) BTreeMap<String, String>);

/// The tags of a server.
#[utoipa::path(
    get, path = "/api/v1/servers/{server}/tags", operation_id = "getTags", tag = "servers",
    params(("server" = String, Path, description = "id, alias or host:port")),
    responses((status = 200, description = "the result", body = TagsObject), Errors)
)]
pub(in crate::http::api) async fn get(
    State(app): State<Arc<AppState>>,
    Viewer(_): Viewer,
    Name(name): Name,
    Parameters(NoParameters {}): Parameters<NoParameters>,
) -> Result<Json<TagsObject>, Problem> {
    let server = find(&app, &name).await?;
    if server.tags.is_empty() {
        readable(&app, OwnTable::Tags).await?;
    }
    Ok(Json(TagsObject(BTreeMap::clone(&server.tags))))
}

/// Replaces all tags of a server.
#[utoipa::path(
    put, path = "/api/v1/servers/{server}/tags", operation_id = "setTags", tag = "servers",
    params(("server" = String, Path, description = "id, alias or host:port")),
    request_body = TagsObject,
    responses((status = 200, description = "the result", body = TagsObject), Errors)
)]
pub(in crate::http::api) async fn set(
    State(app): State<Arc<AppState>>,
    Operator(caller): Operator,
    Name(name): Name,
    Parameters(NoParameters {}): Parameters<NoParameters>,
    Body(TagsObject(wanted)): Body<TagsObject>,
) -> Result<Json<TagsObject>, Problem> {
    fleet::check_tags(&wanted).map_err(|error| Problem::invalid(error.to_string()))?;
    let server = find(&app, &name).await?;
    let (changing, id) = (Arc::new(Changing::for_operators(&app, &caller)?), server.id);
    let making = Arc::clone(&changing);
    changing
        .run(Change::new("set tags", Some(id), json!(wanted)), |()| None, async move {
            let repository = making.repository()?;
            let set = fleet::replace_tags(&repository, &server, &wanted).await;
            set.map_err(|error| making.fleet_problem(error))
        })
        .await?;
    read_again(&app).await;
    let server = find(&app, &id.to_string()).await?;
    Ok(Json(TagsObject(BTreeMap::clone(&server.tags))))
}
