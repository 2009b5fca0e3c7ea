//! Users: roles of PostgreSQL that may use PoWA. They are made and changed in a session of the caller's own, so PostgreSQL decides
//! who may: a token is not enough.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse, Json, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::super::login::Caller;
use super::super::routes::AppState;
use super::change::{Change, Changing};
use super::extract::{Admin, Body, Name, NoParameters, Parameters};
use super::openapi::Errors;
use super::page::{NamedPageParameters, Page};
use super::problem::Problem;
use super::routes::encode;
use crate::control::timestamp;
use crate::repository::{ApiRole, NewUser, User, UserChanges, UserError};
use libpq::Secret;
use session::ErrorKind;

/// A role of PostgreSQL that may use PoWA.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct UserObject {
    name: String,
    role: ApiRole,
    /// Whether it may log in.
    enabled: bool,
    superuser: bool,
    /// When its password expires.
    #[schema(value_type = Option<String>, format = DateTime)]
    valid_until: Option<String>,
    /// PoWA's roles that it is a direct member of.
    powa_roles: Vec<String>,
}

impl From<User> for UserObject {
    fn from(user: User) -> Self {
        Self {
            name: user.name,
            role: user.role,
            enabled: user.can_login,
            superuser: user.is_superuser,
            valid_until: user.valid_until.map(timestamp::text),
            powa_roles: user.powa_roles,
        }
    }
}

/// A user to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewUserRequest {
    /// The name of the role.
    #[schema(min_length = 1, max_length = 63, pattern = r"^(?!pg_)[^\x00-\x1f\x7f-\x9f]+$")]
    name: String,
    role: ApiRole,
    /// Only what PostgreSQL stores of it (SCRAM-SHA-256) is sent to the repository.
    #[schema(min_length = 1, max_length = 1024, format = Password, write_only)]
    password: Option<String>,
}

/// What to change of a user.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UserChangesRequest {
    role: Option<ApiRole>,
    #[schema(min_length = 1, max_length = 1024, format = Password, write_only)]
    password: Option<String>,
    /// Whether it may log in.
    enabled: Option<bool>,
}

/// Lists the roles that may use PoWA.
#[utoipa::path(
    get, path = "/api/v1/users", operation_id = "listUsers", tag = "users", params(NamedPageParameters),
    responses((status = 200, description = "the result", body = Page<UserObject>), Errors)
)]
pub(super) async fn list(
    State(app): State<Arc<AppState>>,
    Admin(_): Admin,
    Parameters(page): Parameters<NamedPageParameters>,
) -> Result<Json<Page<UserObject>>, Problem> {
    let limit = page.limit()?;
    let after = page.after();
    if after.contains('\0') {
        return Err(Problem::bad_request("\"after\" must be \"next_after\" of the page before"));
    }
    let users = app.api.backend()?.repository.users(after, limit as i64 + 1, None).await?;
    let users = users.into_iter().map(UserObject::from).collect();
    Ok(Json(Page::of(users, limit, |user: &UserObject| user.name.clone())))
}

/// Makes a role and grants PoWA's roles to it.
#[utoipa::path(
    post, path = "/api/v1/users", operation_id = "createUser", tag = "users", request_body = NewUserRequest,
    responses((status = 201, description = "what was created", body = UserObject, headers(("Location" = String))), Errors), security(("password" = []))
)]
pub(super) async fn create(
    State(app): State<Arc<AppState>>,
    Admin(caller): Admin,
    Parameters(NoParameters {}): Parameters<NoParameters>,
    Body(wanted): Body<NewUserRequest>,
) -> Result<Response, Problem> {
    require_password(&caller)?;
    check_name(&wanted.name)?;
    let new = NewUser { password: password(wanted.password)?, name: wanted.name, role: wanted.role };
    let name = new.name.clone();
    let details = json!({"name": name, "role": new.role, "password": new.password.is_some()});
    let changing = Arc::new(Changing::new(&app, &caller)?);
    let making = Arc::clone(&changing);
    changing
        .run(Change::new("create user", None, details), |()| None, async move {
            making.repository()?.create_user(&new).await.map_err(|error| problem(&making, error))
        })
        .await?;
    let user = UserObject::from(find(&app, &name).await?);
    Ok((StatusCode::CREATED, [(LOCATION, format!("/api/v1/users/{}", encode(&name)))], Json(user)).into_response())
}

/// Changes a role: its password, PoWA's roles that it has, and whether it may log in.
#[utoipa::path(
    patch, path = "/api/v1/users/{name}", operation_id = "changeUser", tag = "users", params(("name" = String, Path, description = "name of the role")),
    request_body = UserChangesRequest,
    responses((status = 200, description = "the result", body = UserObject), Errors), security(("password" = []))
)]
pub(super) async fn change(
    State(app): State<Arc<AppState>>,
    Admin(caller): Admin,
    Name(name): Name,
    Parameters(NoParameters {}): Parameters<NoParameters>,
    Body(wanted): Body<UserChangesRequest>,
) -> Result<Json<UserObject>, Problem> {
    require_password(&caller)?;
    let user = find(&app, &name).await?;
    check_may_change(&caller, &user)?;
    let changes = UserChanges { password: password(wanted.password)?, role: wanted.role, is_enabled: wanted.enabled };
    let details = json!({
        "name": name, "role": changes.role, "enabled": changes.is_enabled, "password": changes.password.is_some(),
    });
    let changing = Arc::new(Changing::new(&app, &caller)?);
    let making = Arc::clone(&changing);
    changing
        .run(Change::new("change user", None, details), |()| None, async move {
            making.repository()?.change_user(&user, &changes).await.map_err(|error| problem(&making, error))
        })
        .await?;
    Ok(Json(UserObject::from(find(&app, &name).await?)))
}

/// Drops a role.
#[utoipa::path(
    delete, path = "/api/v1/users/{name}", operation_id = "deleteUser", tag = "users", params(("name" = String, Path, description = "name of the role")),
    responses((status = 204, description = "it is dropped"), Errors), security(("password" = []))
)]
pub(super) async fn delete(
    State(app): State<Arc<AppState>>,
    Admin(caller): Admin,
    Name(name): Name,
    Parameters(NoParameters {}): Parameters<NoParameters>,
) -> Result<StatusCode, Problem> {
    require_password(&caller)?;
    let user = find(&app, &name).await?;
    check_may_change(&caller, &user)?;
    let changing = Arc::new(Changing::new(&app, &caller)?);
    let making = Arc::clone(&changing);
    changing
        .run(Change::new("delete user", None, json!({"name": name})), |()| None, async move {
            making.repository()?.drop_user(&user.name).await.map_err(|error| making.problem(error))
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

fn require_password(caller: &Caller) -> Result<(), Problem> {
    match caller.password() {
        Some(_) => Ok(()),
        None => Err(Problem::forbidden("users are changed in a session of the caller's own, which needs a password")
            .with_hint("send the name and the password of a PostgreSQL role (Basic) instead of a token")),
    }
}

fn check_name(name: &str) -> Result<(), Problem> {
    if name.is_empty() || name.len() > 63 || name.contains(char::is_control) || name.starts_with("pg_") {
        let detail = "\"name\" must have 1 to 63 bytes, no control characters, and must not begin with \"pg_\"";
        return Err(Problem::invalid(detail));
    }
    Ok(())
}

fn password(password: Option<String>) -> Result<Option<Secret>, Problem> {
    match password {
        Some(password) if password.is_empty() || password.len() > 1024 || password.contains('\0') => {
            Err(Problem::invalid("\"password\" must have 1 to 1024 bytes, and no NUL character"))
        }
        password => Ok(password.map(Secret::new)),
    }
}

async fn find(app: &AppState, name: &str) -> Result<User, Problem> {
    let unknown = || Problem::not_found(format!("there is no role \"{name}\" that may use PoWA"));
    if name.contains('\0') {
        return Err(unknown());
    }
    let found = app.api.backend()?.repository.users("", 1, Some(name)).await?;
    found.into_iter().next().ok_or_else(unknown)
}

/// Nobody locks themselves or the collector out by mistake, or takes over a superuser.
fn check_may_change(caller: &Caller, user: &User) -> Result<(), Problem> {
    let hint = "change it by SQL in the repository";
    if user.is_superuser {
        return Err(Problem::conflict("the role is a superuser").with_hint(hint));
    }
    if user.name == caller.name {
        return Err(Problem::conflict("the role is your own").with_hint(hint));
    }
    if user.is_collector {
        return Err(Problem::conflict("the role is the collector's own").with_hint(hint));
    }
    Ok(())
}

fn problem(changing: &Changing, error: UserError) -> Problem {
    match error {
        UserError::NoRolesInPowa4 => Problem::conflict(error.to_string()).with_hint(
            "make the role by SQL: create role NAME login; grant select on all tables in PoWA's schema for a viewer, also \
             pg_signal_backend for an operator, and also insert, update and delete for an admin",
        ),
        UserError::RolesNotSetUp => {
            Problem::conflict(error.to_string()).with_hint("run \"select setup_powa_roles()\" in the repository as a superuser")
        }
        UserError::Repository(error) if error.kind() == ErrorKind::UnexpectedAnswer => Problem::conflict(error.to_string()),
        UserError::Repository(error) => changing.problem(error),
    }
}
