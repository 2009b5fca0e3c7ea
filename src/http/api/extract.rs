//! What handlers get of a request: the caller with a role, a server's name in the path, parameters, and a JSON body. Each refuses
//! a request by a [`Problem`].

use std::sync::Arc;
use std::time::Duration;

use axum::body::to_bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::super::login::Caller;
use super::super::routes::AppState;
use super::problem::Problem;
use crate::repository::ApiRole;

/// Bytes of a body.
pub(super) const MAX_BODY: usize = 64 * 1024;

/// Time limit for a body to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// A caller who may read.
pub(super) struct Viewer(pub(super) Arc<Caller>);

/// A caller who may send commands.
pub(super) struct Operator(pub(super) Arc<Caller>);

/// A caller who may change servers and users.
pub(super) struct Admin(pub(super) Arc<Caller>);

/// The caller, whom the middleware has authenticated, if the role suffices.
async fn caller(parts: &Parts, app: &AppState, needed: ApiRole) -> Result<Arc<Caller>, Problem> {
    let caller = parts.extensions.get::<Arc<Caller>>().cloned().ok_or_else(Problem::unauthorized)?;
    if caller.rights >= needed {
        return Ok(caller);
    }
    let (may, needed) = (caller.rights.word(), needed.word());
    let detail = format!("this needs the role {needed}, and \"{}\" is a {may} here", caller.name);
    let hint = match caller.password() {
        Some(_) => "docs/api.md has the grants for each role",
        None => "a token can do no more than its role and its owner; docs/api.md has the grants for each role",
    };
    let problem = Problem::forbidden(detail).with_hint(hint);
    app.api.record_refusal(&caller, (&parts.method, parts.uri.path()), &problem).await;
    Err(problem)
}

macro_rules! caller_with_role {
    ($name:ident) => {
        impl FromRequestParts<Arc<AppState>> for $name {
            type Rejection = Problem;

            async fn from_request_parts(parts: &mut Parts, app: &Arc<AppState>) -> Result<Self, Problem> {
                caller(parts, app, ApiRole::$name).await.map(Self)
            }
        }
    };
}
caller_with_role!(Viewer);
caller_with_role!(Operator);
caller_with_role!(Admin);

/// The last variable part of the path, decoded.
pub(super) struct Name(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        // It is not UTF-8, and so nobody's name.
        path.map(|Path(name)| Self(name)).map_err(|_| Problem::not_found("no such name"))
    }
}

/// A number in the path.
pub(super) struct Id(pub(super) i64);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Name(name) = Name::from_request_parts(parts, state).await?;
        name.parse().map(Self).map_err(|_| Problem::not_found("no such id"))
    }
}

/// The parameters behind the question mark.
pub(super) struct Parameters<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        match Query::<T>::try_from_uri(&parts.uri) {
            Ok(Query(parameters)) => Ok(Self(parameters)),
            Err(error) => {
                let reason = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
                Err(Problem::bad_request(format!("the parameters of the request are not valid: {reason}")))
            }
        }
    }
}

/// No parameters: one that is misspelt must not be ignored.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NoParameters {}

/// A JSON object.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            let detail = "the body must have the Content-Type application/json";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
        }
        parse(&read(request).await?).map(Self)
    }
}

/// A JSON object, or no body at all or null, which are the same as `{}`.
pub(super) struct OptionalBody<T>(pub(super) T);

impl<T: DeserializeOwned + Default, S: Send + Sync> FromRequest<S> for OptionalBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if request.headers().contains_key(CONTENT_TYPE) {
            let Body(body) = Body::<Option<T>>::from_request(request, state).await?;
            return Ok(Self(body.unwrap_or_default()));
        }
        if read(request).await?.is_empty() {
            return Ok(Self(T::default()));
        }
        let detail = "a body must have the Content-Type application/json";
        Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail))
    }
}

/// Whether the body is declared as JSON, in UTF-8.
fn is_json(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    let media_type = value.to_str().ok().and_then(|value| value.split(';').next());
    media_type.is_some_and(|media_type| media_type.trim().eq_ignore_ascii_case("application/json"))
}

async fn read(request: Request) -> Result<bytes::Bytes, Problem> {
    match timeout(BODY_TIMEOUT, to_bytes(request.into_body(), MAX_BODY)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        // It is too long, or the client has gone, who reads no answer.
        Ok(Err(_)) => {
            Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("a body can have at most {MAX_BODY} bytes")))
        }
        Err(_) => {
            let detail = format!("the body did not arrive within {} s", BODY_TIMEOUT.as_secs());
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, detail))
        }
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // A list with the values of a struct would be read as one.
    if bytes.trim_ascii_start().first().is_some_and(|first| b"[\"tf-0123456789".contains(first)) {
        return Err(Problem::invalid("the body must be a JSON object"));
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let parsed = serde_path_to_error::deserialize(&mut reader);
    match parsed {
        Ok(body) => match reader.end() {
            Ok(()) => Ok(body),
            Err(error) => Err(Problem::bad_request(format!("the body is not one JSON object: {}", place(&error)))),
        },
        Err(error) => {
            let path = error.path().to_string();
            Err(describe(&path, error.inner()))
        }
    }
}

/// What is wrong with a body. Values are not quoted: one may be a password in the wrong place.
fn describe(path: &str, error: &serde_json::Error) -> Problem {
    if !error.is_data() {
        return Problem::bad_request(format!("the body is not valid JSON: {}", place(error)));
    }
    let message = error.to_string();
    let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message);
    let is_about_names =
        ["unknown field", "missing field", "duplicate field"].iter().any(|kind| message.starts_with(kind));
    // The last one, because a value may contain the same words.
    let detail = match message.rsplit_once(", expected ") {
        _ if is_about_names => message.to_owned(),
        Some((_, expected)) if path == "." => format!("the body must be {}", in_words(expected)),
        Some((_, expected)) => format!("\"{path}\" must be {}", in_words(expected)),
        None => format!("\"{path}\" is not valid"),
    };
    Problem::invalid(detail)
}

/// A type of Rust, as whoever writes JSON knows it.
fn in_words(expected: &str) -> &str {
    match expected {
        "u16" => "an integer from 0 to 65535",
        "i32" => "an integer of at most 2147483647",
        "u64" => "an integer that is not negative",
        "a boolean" => "true or false",
        expected if expected.starts_with("struct ") => "an object",
        other => other,
    }
}

fn place(error: &serde_json::Error) -> String {
    format!("an error in line {}, column {}", error.line(), error.column())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only whether they are read matters")]
    struct Example {
        name: String,
        port: Option<u16>,
    }

    fn refusal(body: &str) -> (u16, String) {
        let problem = parse::<Example>(body.as_bytes()).unwrap_err();
        (problem.status(), problem.detail().to_owned())
    }

    #[test]
    fn what_is_wrong_with_a_body_is_named_and_no_value_is_quoted() {
        for (body, status, expected) in [
            ("", 400, "the body is not valid JSON: an error in line 1, column 0"),
            ("{\"name\": s3cret}", 400, "the body is not valid JSON: an error in line 1, column 10"),
            ("{\"name\": \"a\"} s3cret", 400, "the body is not one JSON object: an error in line 1, column 15"),
            ("[\"s3cret\"]", 422, "the body must be a JSON object"),
            (" \"s3cret\"", 422, "the body must be a JSON object"),
            ("{\"name\": \"a\", \"naem\": \"s3cret\"}", 422, "unknown field `naem`, expected `name` or `port`"),
            ("{\"name\": \"a\", \"name\": \"s3cret\"}", 422, "duplicate field `name`"),
            ("{\"name\": \"a\", \"port\": \", expected s3cret\"}", 422, "\"port\" must be an integer from 0 to 65535"),
            ("{\"name\": 5}", 422, "\"name\" must be a string"),
            ("{\"name\": \"a\", \"port\": 65536}", 422, "\"port\" must be an integer from 0 to 65535"),
            ("{}", 422, "missing field `name`"),
        ] {
            let (found, detail) = refusal(body);
            assert!(found == status && detail.starts_with(expected), "{body}: {found} {detail}");
            assert!(!detail.contains("s3cret"), "{body}: {detail}");
        }
    }

    #[test]
    fn only_json_is_a_body() {
        let is_json = |value: &str| is_json(&HeaderMap::from_iter([(CONTENT_TYPE, value.parse().unwrap())]));
        for good in ["application/json", "application/json; charset=utf-8", "Application/JSON"] {
            assert!(is_json(good), "{good}");
        }
        for bad in ["text/plain", "application/jsonp", "application/x-www-form-urlencoded", "", "multipart/form-data"] {
            assert!(!is_json(bad), "{bad}");
        }
    }
}
