//! Errors of the API: `application/problem+json` (RFC 9457), with a hint how to cure them.

use std::time::Duration;

use axum::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::super::login::LoginError;
use crate::fleet;
use crate::fleet::server_name::NotFound;
use session::{ErrorKind, on_one_line};

const MEDIA_TYPE: &str = "application/problem+json";

/// What to do if the tables of the API are missing.
const SET_UP: &str = "run \"powa-collector setup\" as a role that may create a schema in the repository; it also prints the grants \
                      that the collector's role needs";

/// Why a request failed.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct Problem {
    /// Always `about:blank`: the status says what kind of problem it is.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The text of the status.
    title: &'static str,
    status: u16,
    /// What is wrong, in one sentence.
    detail: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    #[serde(skip)]
    headers: Vec<(axum::http::HeaderName, String)>,
}

impl Problem {
    pub(in crate::http) fn new(status: StatusCode, detail: impl AsRef<str>) -> Self {
        Self {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or_default(),
            status: status.as_u16(),
            // Names and messages of servers may have several lines.
            detail: on_one_line(detail.as_ref()).into_owned(),
            hint: None,
            headers: vec![],
        }
    }

    #[must_use]
    pub(in crate::http) fn with_hint(self, hint: impl AsRef<str>) -> Self {
        Self { hint: Some(on_one_line(hint.as_ref()).into_owned()), ..self }
    }

    #[must_use]
    pub(super) fn with_header(mut self, name: axum::http::HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    #[must_use]
    pub(super) fn retry_after(self, time: Duration) -> Self {
        self.with_header(RETRY_AFTER, (time.as_secs() + 1).to_string())
    }

    pub(super) fn bad_request(detail: impl AsRef<str>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// The request is well-formed, and a value in it is not possible.
    pub(super) fn invalid(detail: impl AsRef<str>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
    }

    pub(super) fn forbidden(detail: impl AsRef<str>) -> Self {
        Self::new(StatusCode::FORBIDDEN, detail)
    }

    pub(super) fn conflict(detail: impl AsRef<str>) -> Self {
        Self::new(StatusCode::CONFLICT, detail)
    }

    pub(super) fn not_found(detail: impl AsRef<str>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    pub(super) fn unavailable(detail: impl AsRef<str>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    }

    pub(super) fn internal(detail: impl AsRef<str>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
    }

    /// No valid credentials. One answer for all reasons and all paths.
    pub(super) fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "valid credentials are required")
            .with_hint(
                "send the name and the password of a PostgreSQL role of the repository, or a token; see docs/api.md",
            )
            .with_header(WWW_AUTHENTICATE, "Basic realm=\"powa-collector\", charset=\"UTF-8\"")
            .with_header(WWW_AUTHENTICATE, "Bearer realm=\"powa-collector\"")
    }

    pub(super) fn method_not_allowed(allowed: &str) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "this path does not have the method")
            .with_hint(format!("use one of {allowed}"))
            .with_header(ALLOW, allowed)
    }

    #[cfg(test)]
    pub(super) fn status(&self) -> u16 {
        self.status
    }

    pub(super) fn detail(&self) -> &str {
        &self.detail
    }

    /// An error of a change in a session of the caller's own, or of the role for changes.
    pub(super) fn of_change(error: session::Error, is_own_session: bool) -> Self {
        match error.kind() {
            ErrorKind::Login if is_own_session => Self::unauthorized(),
            ErrorKind::Denied if is_own_session => Self::forbidden(error.to_string()),
            _ => error.into(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let text = serde_json::to_string(&self).unwrap_or_default();
        let mut response = (status, [(CONTENT_TYPE, MEDIA_TYPE)], text).into_response();
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().append(name, value);
            }
        }
        response
    }
}

impl From<LoginError> for Problem {
    fn from(error: LoginError) -> Self {
        match error {
            LoginError::Unauthorized => Self::unauthorized(),
            LoginError::NoRights { role } => {
                Self::forbidden(format!("the role \"{role}\" may not read PoWA's data, or may not log in any more"))
                    .with_hint("grant it one of PoWA's roles, such as powa_read_all_metrics; see docs/api.md")
            }
            LoginError::TooManyFailures { retry_after } => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, "too many failed logins").retry_after(retry_after)
            }
            LoginError::Busy => Self::unavailable("too many logins are in progress, or the repository is slow")
                .retry_after(Duration::ZERO),
            LoginError::Unavailable(error) if error.is_connection() => {
                // Nobody has shown yet that they may see names of hosts and roles.
                tracing::debug!(%error, "the API cannot use the repository");
                Self::unavailable("the repository cannot be reached, so the credentials cannot be verified")
                    .with_hint("see /readyz and the collector's log")
                    .retry_after(Duration::ZERO)
            }
            LoginError::Unavailable(error) if is_about_schema(&error) => Self::from(error),
            LoginError::Unavailable(error) => {
                tracing::warn!(%error, "the API cannot verify credentials");
                Self::unavailable("the repository cannot verify the credentials now")
                    .with_hint("see the collector's log")
            }
            LoginError::Internal => Self::internal("the credentials cannot be verified"),
        }
    }
}

impl From<session::Error> for Problem {
    fn from(error: session::Error) -> Self {
        let detail = error.to_string();
        let class = error.sqlstate().and_then(|code| code.get(..2)).unwrap_or_default();
        match error.kind() {
            _ if is_about_schema(&error) => Self::unavailable(
                "the repository has no tables for this request, or the collector's role may not use them",
            )
            .with_hint(SET_UP),
            ErrorKind::Denied => Self::unavailable(detail).with_hint(
                "grant the privilege to the role of the collector, or of http.admin_dsn, or send a password",
            ),
            ErrorKind::UnknownName => Self::invalid(detail),
            _ if class == "22" || error.sqlstate() == Some("P0001") => Self::invalid(detail),
            _ if class == "23" || class == "2B" || class == "42" => Self::conflict(detail),
            _ if error.is_connection() || error.is_momentary() => {
                Self::unavailable(detail).retry_after(Duration::from_secs(1))
            }
            _ => {
                tracing::warn!(%error, "a request to the API failed");
                Self::internal(detail)
            }
        }
    }
}

/// Whether the collector's own schema, or a privilege on it, is missing.
fn is_about_schema(error: &session::Error) -> bool {
    let is_missing = matches!(error.sqlstate(), Some("42P01" | "3F000" | "42703"));
    let message = error.server_message().unwrap_or_default();
    let is_ours =
        ["powa_collector", "table tokens", "table audit_log", "table errors", "table schedules", "table tags"];
    (is_missing && message.contains("powa_collector"))
        || (error.kind() == ErrorKind::Denied && is_ours.iter().any(|name| message.contains(name)))
}

impl From<fleet::Error> for Problem {
    fn from(error: fleet::Error) -> Self {
        match error {
            fleet::Error::OutOfRange(number) => Self::invalid(number.to_string()),
            fleet::Error::Duplicate(duplicate) => Self::conflict(duplicate.to_string()),
            fleet::Error::MissingRights(missing) => {
                // One statement a line.
                Self::forbidden(missing.to_string().replace("\n ", ""))
                    .with_hint("a superuser can run these statements in the repository")
            }
            fleet::Error::NoCollectorSchema(missing) => Self::unavailable(missing.to_string()).with_hint(SET_UP),
            fleet::Error::Pause(invalid) => Self::invalid(invalid.to_string()),
            fleet::Error::Tag(invalid) => Self::invalid(invalid.to_string()),
            // The repository refuses a retention by a message of ours.
            fleet::Error::Repository(error) if error.kind() == ErrorKind::UnexpectedAnswer => {
                Self::invalid(error.to_string())
            }
            fleet::Error::Repository(error) => error.into(),
        }
    }
}

impl From<NotFound> for Problem {
    fn from(error: NotFound) -> Self {
        match error {
            NotFound::Unknown { name, nearest: Some(nearest) } => {
                Self::not_found(format!("no server \"{name}\" is registered"))
                    .with_hint(format!("did you mean \"{nearest}\"?"))
            }
            NotFound::Unknown { name, nearest: None } => Self::not_found(format!("no server \"{name}\" is registered"))
                .with_hint("GET /api/v1/servers lists the servers"),
            NotFound::Several { name, ids } => Self::not_found(format!("several servers match \"{name}\""))
                .with_hint(format!("use one of the ids {}", ids.join(", "))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_has_a_status_a_sentence_and_a_hint() {
        let problem = Problem::not_found("no \"x\"\ny").with_hint("look");
        let expected = serde_json::json!({
            "type": "about:blank", "title": "Not Found", "status": 404, "detail": "no \"x\"\\ny", "hint": "look",
        });
        assert_eq!(serde_json::to_value(&problem).unwrap(), expected);
        let response = problem.into_response();
        assert_eq!(response.headers()[CONTENT_TYPE], MEDIA_TYPE);
    }

    #[test]
    fn a_wait_is_rounded_up() {
        let response = Problem::unavailable("later").retry_after(Duration::from_millis(5900)).into_response();
        assert_eq!(response.headers()[RETRY_AFTER], "6");
    }
}
