//! The list of servers, and one of them.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use axum::extract::State as AppExtension;
use axum::http::header::ETAG;
use axum::response::{IntoResponse, Json, Response};
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{IntoParams, PartialSchema, ToSchema};

use super::super::super::routes::AppState;
use super::super::extract::{Name, NoParameters, Parameters, Viewer};
use super::super::openapi::Errors;
use super::super::page::{Page, check_limit, number};
use super::super::problem::Problem;
use super::object::{ServerObject, State, entity_tag};
use super::{find, readable};
use crate::config::Pattern;
use crate::fleet::TagFilter;
use crate::repository::{OwnTable, RegisteredServer};

/// Which servers.
#[derive(Debug, Default, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::http::api) struct ListParameters {
    /// Only those in this state.
    state: Option<State>,
    /// Only those whose alias or host:port matches the pattern, with `*`, `?` and `[...]` as in a shell.
    #[param(min_length = 1)]
    name: Option<String>,
    /// Only those with this tag, such as `environment:production`. Can be repeated, and all must match.
    #[param(style = Form, explode = true, value_type = Vec<TagText>, inline)]
    tag: Vec<String>,
    /// Items on a page.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u16>,
    /// `next_after` of the page before.
    #[param(pattern = "^[0-9]{0,18}$")]
    after: Option<String>,
}

/// The description of a condition for tags.
struct TagText;

impl PartialSchema for TagText {
    fn schema() -> RefOr<Schema> {
        let pattern = "^[a-z][a-z0-9_]{0,62}:[^\\x00-\\x1f\\x7f-\\x9f]{1,64}$";
        ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern)).into()
    }
}

impl ToSchema for TagText {}

/// `tag` can be repeated, which no derived implementation accepts in a query.
impl<'de> Deserialize<'de> for ListParameters {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ParametersVisitor)
    }
}

struct ParametersVisitor;

impl<'de> Visitor<'de> for ParametersVisitor {
    type Value = ListParameters;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("parameters")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ListParameters, A::Error> {
        let mut parameters = ListParameters::default();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "state" => once(&mut parameters.state, "state", map.next_value()?)?,
                "name" => once(&mut parameters.name, "name", map.next_value()?)?,
                "limit" => once(&mut parameters.limit, "limit", map.next_value()?)?,
                "after" => once(&mut parameters.after, "after", map.next_value()?)?,
                "tag" => parameters.tag.push(map.next_value()?),
                other => return Err(Error::unknown_field(other, &["state", "name", "tag", "limit", "after"])),
            }
        }
        Ok(parameters)
    }
}

fn once<T, E: Error>(place: &mut Option<T>, name: &'static str, value: T) -> Result<(), E> {
    if place.replace(value).is_some() { Err(E::duplicate_field(name)) } else { Ok(()) }
}

/// Lists the registered servers, in the order of their ids.
#[utoipa::path(
    get, path = "/api/v1/servers", operation_id = "listServers", tag = "servers", params(ListParameters),
    responses((status = 200, description = "the result", body = Page<ServerObject>), Errors)
)]
pub(in crate::http::api) async fn list(
    AppExtension(app): AppExtension<Arc<AppState>>,
    Viewer(_): Viewer,
    Parameters(wanted): Parameters<ListParameters>,
) -> Result<Json<Page<ServerObject>>, Problem> {
    let (limit, after) = (check_limit(wanted.limit)?, number(wanted.after.as_deref())?);
    let pattern = wanted.name.as_deref().map(Pattern::parse).transpose();
    let pattern = pattern.map_err(|error| Problem::bad_request(format!("\"name\" {error}")))?;
    let tags: Result<Vec<_>, _> = wanted.tag.iter().map(|tag| TagFilter::parse(tag, ':')).collect();
    let tags = tags.map_err(|error| Problem::bad_request(format!("\"tag\": {error}")))?;
    if !tags.is_empty() {
        readable(&app, OwnTable::Tags).await?;
    }
    let is_named = |server: &RegisteredServer| {
        let matches = |name: &str| pattern.as_ref().is_none_or(|pattern| pattern.matches(name));
        matches(&server.address()) || server.alias.as_deref().is_some_and(matches)
    };
    let servers = app.api.backend()?.repository.registered_servers().await?;
    let overview = app.fleet.sample().await.state.ok();
    let now = SystemTime::now();
    let servers = servers.iter().filter(|server| after.is_none_or(|after| i64::from(server.id.get()) > after));
    let objects = servers
        .filter(|server| is_named(server) && TagFilter::all_match(&tags, server))
        .map(|server| ServerObject::of(server, overview.as_deref(), now));
    let objects = objects.filter(|object| wanted.state.is_none_or(|state| state == object.state));
    let objects = objects.take(limit + 1).collect();
    Ok(Json(Page::of(objects, limit, |object: &ServerObject| object.id.to_string())))
}

/// One server, by its id, alias, or host:port.
#[utoipa::path(
    get, path = "/api/v1/servers/{server}", operation_id = "getServer", tag = "servers",
    params(("server" = String, Path, description = "id, alias or host:port")),
    responses((status = 200, description = "the result", body = ServerObject, headers(("ETag" = String, description = "for If-Match"))), Errors)
)]
pub(in crate::http::api) async fn get(
    AppExtension(app): AppExtension<Arc<AppState>>,
    Viewer(_): Viewer,
    Name(name): Name,
    Parameters(NoParameters {}): Parameters<NoParameters>,
) -> Result<Response, Problem> {
    let server = find(&app, &name).await?;
    Ok(shown(&app, &server).await)
}

/// A server as a response, with its entity tag.
pub(super) async fn shown(app: &AppState, server: &RegisteredServer) -> Response {
    let overview = app.fleet.sample().await.state.ok();
    let object = ServerObject::of(server, overview.as_deref(), SystemTime::now());
    ([(ETAG, entity_tag(server))], Json(object)).into_response()
}
