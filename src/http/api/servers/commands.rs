//! Has catalogs read again with the next snapshot.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Json;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::super::super::routes::AppState;
use super::super::change::{Change, Changing};
use super::super::extract::{Name, NoParameters, Operator, OptionalBody, Parameters};
use super::super::openapi::Errors;
use super::super::problem::Problem;
use super::find;
use crate::control::Call;
use crate::snapshot::CatalogRefresh;
use crate::worker::supervisor::Refused;
use session::ErrorKind;

/// Which catalogs.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::http::api) struct RefreshRequest {
    /// Those of these databases; of all databases if it is empty or not given.
    #[schema(value_type = Vec<String>)]
    databases: BTreeSet<String>,
}

/// What is going to be read.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http::api) struct RefreshObject {
    /// Empty: all databases.
    databases: BTreeSet<String>,
}

/// Has the copies of system catalogs read again with the next snapshot. PoWA 4 has none.
#[utoipa::path(
    post, path = "/api/v1/servers/{server}/refresh-catalogs", operation_id = "refreshCatalogs", tag = "servers",
    params(("server" = String, Path, description = "id, alias or host:port")),
    request_body = Option<RefreshRequest>,
    responses((status = 200, description = "the result", body = RefreshObject), Errors)
)]
pub(in crate::http::api) async fn refresh_catalogs(
    State(app): State<Arc<AppState>>,
    Operator(caller): Operator,
    Name(name): Name,
    Parameters(NoParameters {}): Parameters<NoParameters>,
    OptionalBody(RefreshRequest { databases }): OptionalBody<RefreshRequest>,
) -> Result<Json<RefreshObject>, Problem> {
    let server = find(&app, &name).await?;
    let changing = Arc::new(Changing::new(&app, &caller)?);
    let repository = &changing.backend.repository;
    if !repository.powa().await?.has_modules() {
        return Err(Problem::conflict("PoWA 4 copies no catalogs; this needs PoWA 5"));
    }
    let known = match repository.known_databases(server.id).await {
        // The next snapshot reports those that do not exist.
        Err(error) if error.kind() == ErrorKind::Denied => vec![],
        known => known?,
    };
    if let Some(unknown) = databases.iter().find(|name| !known.is_empty() && !known.contains(name)) {
        return Err(Problem::invalid(format!("the server had no database \"{unknown}\" in its last snapshot")));
    }
    let wanted = if databases.is_empty() { CatalogRefresh::All } else { CatalogRefresh::Only(databases.clone()) };
    let (calling, id) = (Arc::clone(&app), server.id);
    let command = Change::command("refresh catalogs", Some(id), json!({"databases": databases}));
    changing
        .run(command, |()| None, async move {
            let registered = calling.api.call(|reply| Call::RefreshCatalogs(id, wanted, reply)).await?;
            registered.map_err(|refused| refusal(&refused))
        })
        .await?;
    Ok(Json(RefreshObject { databases }))
}

/// Why a worker does not do what it should.
pub(super) fn refusal(refused: &Refused) -> Problem {
    match refused {
        Refused::Unknown(_) => {
            Problem::conflict("the server is not collected: it is disabled, or its registration is not valid")
                .with_hint("POST /api/v1/servers/{server}/enable, or see the collector's log")
        }
        Refused::Panicked(_) => Problem::unavailable(refused.to_string()),
        Refused::ExcludedDatabases { .. } | Refused::Force(_) => Problem::conflict(refused.to_string()),
    }
}
