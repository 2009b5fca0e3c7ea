//! The errors of a server, which the collector keeps in its own schema.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Json;
use serde::Serialize;
use utoipa::ToSchema;

use super::super::super::routes::AppState;
use super::super::extract::{Name, Parameters, Viewer};
use super::super::openapi::Errors;
use super::super::page::{Page, PageParameters};
use super::super::problem::Problem;
use super::find;
use crate::control::timestamp;
use crate::repository::StoredError;

/// An error that a server has had.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http::api) struct ErrorObject {
    id: i64,
    message: String,
    #[schema(value_type = String, format = DateTime)]
    first_at: String,
    #[schema(value_type = String, format = DateTime)]
    last_at: String,
    /// How often it has occurred.
    number: i64,
}

impl From<StoredError> for ErrorObject {
    fn from(error: StoredError) -> Self {
        let time = |time| timestamp::text(time);
        Self {
            id: error.id,
            first_at: time(error.first),
            last_at: time(error.last),
            message: error.message,
            number: error.number,
        }
    }
}

/// The errors of a server, the latest first. New ones are there within ten seconds; the last 100 different ones of 90 days are kept.
#[utoipa::path(
    get, path = "/api/v1/servers/{server}/errors", operation_id = "listErrors", tag = "servers",
    params(("server" = String, Path, description = "id, alias or host:port"), PageParameters),
    responses((status = 200, description = "the result", body = Page<ErrorObject>), Errors)
)]
pub(in crate::http::api) async fn list(
    State(app): State<Arc<AppState>>,
    Viewer(_): Viewer,
    Name(name): Name,
    Parameters(page): Parameters<PageParameters>,
) -> Result<Json<Page<ErrorObject>>, Problem> {
    let (limit, after) = (page.limit()?, page.after_number()?);
    let server = find(&app, &name).await?;
    let repository = &app.api.backend()?.repository;
    let errors = repository.server_errors(server.id, after, limit as i64 + 1).await?;
    let errors = errors.into_iter().map(ErrorObject::from).collect();
    Ok(Json(Page::of(errors, limit, |error: &ErrorObject| error.id.to_string())))
}
