//! Tokens: a password is exchanged for one, which programs then send instead.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::super::login::{Credential, token};
use super::super::routes::AppState;
use super::change::{Change, Changing};
use super::extract::{Id, NoParameters, OptionalBody, Parameters, Viewer};
use super::integer;
use super::openapi::Errors;
use super::page::{Page, PageParameters};
use super::problem::Problem;
use crate::control::timestamp;
use crate::repository::{ApiRole, NewToken, StoredToken};

const DAY: u64 = 86_400;
const DEFAULT_LIFETIME: u64 = 30 * DAY;
const MAX_LIFETIME: u64 = 366 * DAY;

/// Bytes of a token's name.
const MAX_NAME: usize = 100;

/// A token to be made.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TokenRequest {
    /// For your own orientation; it is in the list of tokens and in the audit log.
    #[schema(max_length = 100)]
    name: Option<String>,
    /// Seconds until it expires; 30 days if it is not given.
    #[schema(minimum = 60, maximum = 31622400)]
    #[serde(default, deserialize_with = "integer::optional")]
    expires_in: Option<u64>,
    /// At most what the token may do; what its owner may do if it is not given.
    role: Option<ApiRole>,
}

/// A new token.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NewTokenObject {
    /// Shown only once.
    token: String,
    id: i64,
    name: String,
    role: ApiRole,
    #[schema(value_type = String, format = DateTime)]
    expires_at: String,
}

/// A token that has not expired.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TokenObject {
    id: i64,
    name: String,
    /// The PostgreSQL role that it stands for.
    owner: String,
    role: ApiRole,
    #[schema(value_type = String, format = DateTime)]
    created_at: String,
    #[schema(value_type = String, format = DateTime)]
    expires_at: String,
    /// To the minute.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_used_at: Option<String>,
}

impl From<StoredToken> for TokenObject {
    fn from(token: StoredToken) -> Self {
        let time = |time| timestamp::text(time);
        Self {
            id: token.id,
            name: token.name,
            owner: token.owner,
            role: token.role,
            created_at: time(token.created_at),
            expires_at: time(token.expires_at),
            last_used_at: token.last_used_at.map(time),
        }
    }
}

/// Exchanges a password for a token. A token cannot make another one.
#[utoipa::path(
    post, path = "/api/v1/token", operation_id = "createToken", tag = "tokens", request_body = Option<TokenRequest>,
    responses((status = 201, description = "the token, which is not shown again", body = NewTokenObject), Errors),
    security(("password" = []))
)]
pub(super) async fn create(
    State(app): State<Arc<AppState>>,
    Viewer(caller): Viewer,
    Parameters(NoParameters {}): Parameters<NoParameters>,
    OptionalBody(wanted): OptionalBody<TokenRequest>,
) -> Result<Response, Problem> {
    if caller.password().is_none() {
        return Err(Problem::forbidden("only a password can be exchanged for a token"));
    }
    let name = wanted.name.unwrap_or_default();
    if name.len() > MAX_NAME || name.contains(char::is_control) {
        return Err(Problem::invalid(format!("\"name\" can have at most {MAX_NAME} bytes, and no control characters")));
    }
    let seconds = wanted.expires_in.unwrap_or(DEFAULT_LIFETIME);
    if !(60..=MAX_LIFETIME).contains(&seconds) {
        return Err(Problem::invalid(format!("\"expires_in\" must be an integer from 60 to {MAX_LIFETIME} (seconds)")));
    }
    let role = wanted.role.unwrap_or(caller.rights);
    if role > caller.rights {
        return Err(Problem::forbidden(format!("\"role\" can be at most {}", caller.rights.word())));
    }
    let secret = token::generate().map_err(|_| Problem::internal("there are no random numbers"))?;
    let changing = Arc::new(Changing::new(&app, &caller)?);
    let details = json!({"name": name, "role": role, "expires_in": seconds});
    let digest = token::digest(secret.reveal());
    let (backend, owner) = (Arc::clone(&changing.backend), caller.name.clone());
    let stored = changing
        .run(Change::new("create token", None, details), |_| None, async move {
            let lifetime = Duration::from_secs(seconds);
            let new = NewToken { digest: &digest, name: &name, owner: &owner, role, lifetime };
            let stored = backend.repository.create_token(&new).await?;
            stored.ok_or_else(|| {
                Problem::conflict("there are too many tokens of this role")
                    .with_hint("delete some: DELETE /api/v1/tokens/{id}")
            })
        })
        .await?;
    let stored = TokenObject::from(stored);
    let object = NewTokenObject {
        token: secret.reveal().to_owned(),
        id: stored.id,
        name: stored.name,
        role: stored.role,
        expires_at: stored.expires_at,
    };
    Ok((StatusCode::CREATED, Json(object)).into_response())
}

/// Deletes the token that the request is sent with.
#[utoipa::path(
    delete, path = "/api/v1/token", operation_id = "deleteOwnToken", tag = "tokens",
    responses((status = 204, description = "it is deleted"), Errors), security(("token" = []))
)]
pub(super) async fn delete_own(
    State(app): State<Arc<AppState>>,
    Viewer(caller): Viewer,
    Parameters(NoParameters {}): Parameters<NoParameters>,
) -> Result<StatusCode, Problem> {
    let Credential::Token { id, .. } = caller.credential else {
        return Err(Problem::conflict("the request is not sent with a token of the API")
            .with_hint("DELETE /api/v1/tokens/{id} deletes another one; those of http.tokens_file are deleted there"));
    };
    let owner = Some(caller.name.clone());
    delete_one(&app, &caller, (id, owner)).await
}

/// Lists the caller's tokens; an admin's list has those of all.
#[utoipa::path(
    get, path = "/api/v1/tokens", operation_id = "listTokens", tag = "tokens", params(PageParameters),
    responses((status = 200, description = "the result", body = Page<TokenObject>), Errors)
)]
pub(super) async fn list(
    State(app): State<Arc<AppState>>,
    Viewer(caller): Viewer,
    Parameters(page): Parameters<PageParameters>,
) -> Result<Json<Page<TokenObject>>, Problem> {
    let (limit, after) = (page.limit()?, page.after_number()?.unwrap_or(0));
    require_own_tokens(&caller)?;
    let owner = if caller.rights == ApiRole::Admin { None } else { Some(caller.name.as_str()) };
    let tokens = app.api.backend()?.repository.tokens(owner, after, limit as i64 + 1).await?;
    let tokens = tokens.into_iter().map(TokenObject::from).collect();
    Ok(Json(Page::of(tokens, limit, |token: &TokenObject| token.id.to_string())))
}

/// Deletes a token of the caller; an admin can delete any.
#[utoipa::path(
    delete, path = "/api/v1/tokens/{id}", operation_id = "deleteToken", tag = "tokens", params(("id" = i64, Path, description = "id of the token")),
    responses((status = 204, description = "it is deleted"), Errors)
)]
pub(super) async fn delete(
    State(app): State<Arc<AppState>>,
    Viewer(caller): Viewer,
    Id(id): Id,
    Parameters(NoParameters {}): Parameters<NoParameters>,
) -> Result<StatusCode, Problem> {
    let is_admin = caller.rights == ApiRole::Admin;
    require_own_tokens(&caller)?;
    let owner = (!is_admin).then(|| caller.name.clone());
    delete_one(&app, &caller, (id, owner)).await
}

/// The name of a token in a file may be that of a role.
fn require_own_tokens(caller: &super::super::login::Caller) -> Result<(), Problem> {
    let is_admin = caller.rights == ApiRole::Admin;
    if !is_admin && matches!(caller.credential, Credential::FileToken) {
        return Err(Problem::forbidden("a token of http.tokens_file has no tokens of its own"));
    }
    Ok(())
}

async fn delete_one(
    app: &Arc<AppState>,
    caller: &Arc<super::super::login::Caller>,
    (id, owner): (i64, Option<String>),
) -> Result<StatusCode, Problem> {
    let changing = Arc::new(Changing::new(app, caller)?);
    let backend = Arc::clone(&changing.backend);
    let unknown = || Problem::not_found("there is no such token, or it belongs to another role");
    // A guess is no change, and must not fill the audit log.
    let found = backend.repository.tokens(owner.as_deref(), id.saturating_sub(1), 1).await?;
    if found.first().is_none_or(|token| token.id != id) {
        return Err(unknown());
    }
    changing
        .run(Change::new("delete token", None, json!({"token": id})), |()| None, async move {
            match backend.repository.delete_token(id, owner.as_deref()).await? {
                true => Ok(()),
                false => Err(unknown()),
            }
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
