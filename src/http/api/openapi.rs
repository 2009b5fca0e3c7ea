//! The description of the API, OpenAPI 3.1, generated from its handlers and types.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use bytes::Bytes;
use serde_json::Value;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{IntoResponses, Modify, OpenApi};

use super::super::routes::AppState;
use super::problem::Problem;
use super::{collectors, servers, tokens, users};

/// What any request can be refused by.
#[derive(IntoResponses)]
#[allow(dead_code, reason = "only its description is used")]
pub(super) enum Errors {
    /// The request is not well-formed.
    #[response(status = 400, content_type = "application/problem+json")]
    BadRequest(Problem),
    /// No valid credentials.
    #[response(status = 401, content_type = "application/problem+json")]
    Unauthorized(Problem),
    /// The role of the caller may not do this, or a web page of another origin has sent it.
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(Problem),
    /// There is no such path, server, user or token.
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(Problem),
    /// The body did not arrive in time.
    #[response(status = 408, content_type = "application/problem+json")]
    RequestTimeout(Problem),
    /// The state of the collector or the repository does not allow it, or not now.
    #[response(status = 409, content_type = "application/problem+json")]
    Conflict(Problem),
    /// The server was changed since it was read.
    #[response(status = 412, content_type = "application/problem+json")]
    PreconditionFailed(Problem),
    /// The body is too long.
    #[response(status = 413, content_type = "application/problem+json")]
    PayloadTooLarge(Problem),
    /// The body is not JSON.
    #[response(status = 415, content_type = "application/problem+json")]
    UnsupportedMediaType(Problem),
    /// A value is not possible.
    #[response(status = 422, content_type = "application/problem+json")]
    UnprocessableEntity(Problem),
    /// If-Match is missing.
    #[response(status = 428, content_type = "application/problem+json")]
    PreconditionRequired(Problem),
    /// Too many failed logins.
    #[response(status = 429, content_type = "application/problem+json")]
    TooManyRequests(Problem),
    /// Something has failed; the collector's log has more.
    #[response(status = 500, content_type = "application/problem+json")]
    InternalServerError(Problem),
    /// The repository cannot be reached, or its schema powa_collector is missing.
    #[response(status = 503, content_type = "application/problem+json")]
    ServiceUnavailable(Problem),
    /// It took too long.
    #[response(status = 504, content_type = "application/problem+json")]
    GatewayTimeout(Problem),
}

#[derive(OpenApi)]
#[openapi(
    info(title = "powa-collector", description = "Runs a fleet of PostgreSQL servers that powa-collector collects. See docs/api.md."),
    paths(
        get,
        tokens::create,
        tokens::delete_own,
        tokens::list,
        tokens::delete,
        servers::list::list,
        servers::list::get,
        servers::add::add,
        servers::edit::change,
        servers::edit::remove,
        servers::edit::enable,
        servers::edit::disable,
        servers::schedule::get,
        servers::schedule::set,
        servers::schedule::remove,
        servers::tags::get,
        servers::tags::set,
        servers::pause::pause,
        servers::pause::resume,
        servers::commands::refresh_catalogs,
        servers::snapshot::take,
        servers::check::check,
        servers::errors::list,
        collectors::list,
        collectors::status,
        collectors::reload,
        users::list,
        users::create,
        users::change,
        users::delete,
    ),
    modifiers(&Schemes),
    security(("password" = []), ("token" = []))
)]
struct Description;

/// How requests are authenticated.
struct Schemes;

impl Modify for Schemes {
    fn modify(&self, description: &mut utoipa::openapi::OpenApi) {
        let components = description.components.get_or_insert_default();
        for (name, scheme) in [("password", HttpAuthScheme::Basic), ("token", HttpAuthScheme::Bearer)] {
            components.add_security_scheme(name, SecurityScheme::Http(Http::new(scheme)));
        }
    }
}

/// The description as JSON.
pub(super) fn description() -> Value {
    serde_json::to_value(Description::openapi()).unwrap_or_default()
}

/// This description.
#[utoipa::path(
    get, path = "/api/v1/openapi.json", operation_id = "getDescription", tag = "description", security(()),
    responses((status = 200, description = "OpenAPI 3.1", body = Object))
)]
pub(super) async fn get(State(app): State<Arc<AppState>>) -> impl IntoResponse {
    let text = app.api.openapi.get_or_init(|| Bytes::from(description().to_string())).clone();
    ([(CONTENT_TYPE, "application/json")], text)
}
