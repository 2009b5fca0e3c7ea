//! What every request to the API has to pass: encryption, no foreign web page, and a login.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{HOST, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::super::access::AccessPolicy;
use super::super::auth::Credentials;
use super::super::connection::ConnectionState;
use super::super::login;
use super::super::routes::AppState;
use super::problem::Problem;
use crate::config::ApiAccess;

/// What the middleware needs.
#[derive(Clone)]
pub(super) struct Gate {
    pub(super) app: Arc<AppState>,
    pub(super) policy: Arc<AccessPolicy>,
}

/// Passes a request on with its caller as an extension.
pub(super) async fn admit(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    if gate.policy.api == ApiAccess::NeedsTls {
        return needs_tls().into_response();
    }
    let is_safe = [Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method());
    if !is_safe && !is_same_origin(request.headers()) {
        return Problem::forbidden("a web page of another origin must not change anything")
            .with_hint("send the request without Origin and Sec-Fetch-Site, or from the status page")
            .into_response();
    }
    let connection = request.extensions().get::<Arc<ConnectionState>>().cloned().unwrap_or_default();
    let Some(backend) = gate.app.api.backends.current() else {
        return Problem::unavailable("the API is being configured; send the request again").into_response();
    };
    let login = login::Request {
        backend: &backend,
        tokens: gate.policy.tokens.as_ref(),
        credentials: Credentials::of(request.headers()),
        client: connection.client(),
    };
    match gate.app.api.login.authenticate(login).await {
        Ok(caller) => {
            connection.set_authenticated();
            request.extensions_mut().insert(Arc::new(caller));
            next.run(request).await
        }
        Err(error) => Problem::from(error).into_response(),
    }
}

fn needs_tls() -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "passwords and tokens would cross the network in plain text").with_hint(
        "set http.certificate and http.key, or listen on a loopback address behind a proxy that encrypts, or set \
         http.api_without_tls to true",
    )
}

/// Whether no browser has sent the request for a page of another origin. What browsers say about that themselves counts first: a
/// proxy may have changed the host name.
fn is_same_origin(headers: &HeaderMap) -> bool {
    let mut sites = headers.get_all("sec-fetch-site").iter();
    match (sites.next(), sites.next()) {
        (Some(site), None) => return site == "same-origin",
        (Some(_), Some(_)) => return false,
        (None, _) => {}
    }
    let mut origins = headers.get_all(ORIGIN).iter();
    let (origin, host) = match (origins.next(), origins.next()) {
        (None, _) => return true,
        (Some(origin), None) => (origin.to_str().ok(), headers.get(HOST).and_then(|host| host.to_str().ok())),
        (Some(_), Some(_)) => return false,
    };
    let authority =
        origin.and_then(|origin| origin.split_once("://")).map(|(_, authority)| authority.parse::<Authority>());
    let host = host.map(str::parse::<Authority>);
    matches!((authority, host), (Some(Ok(origin)), Some(Ok(host))) if origin == host)
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn a_request_of_another_origin_is_recognized() {
        let is_same = |headers: &[(&'static str, &'static str)]| {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
            }
            is_same_origin(&map)
        };
        for good in [
            &[][..],
            &[("host", "db:9187")],
            &[("sec-fetch-site", "same-origin"), ("origin", "https://db"), ("host", "127.0.0.1:1")],
            &[("origin", "http://db:9187"), ("host", "db:9187")],
            &[("origin", "https://DB"), ("host", "db")],
        ] {
            assert!(is_same(good), "{good:?}");
        }
        for bad in [
            &[("sec-fetch-site", "cross-site")][..],
            &[("sec-fetch-site", "same-site")],
            &[("sec-fetch-site", "none")],
            &[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "same-origin")],
            &[("origin", "http://evil.example"), ("host", "db")],
            &[("origin", "http://db:1"), ("host", "db:2")],
            &[("origin", "null"), ("host", "db")],
            &[("origin", "http://db")],
            &[("origin", "http://db"), ("origin", "http://db"), ("host", "db")],
        ] {
            assert!(!is_same(bad), "{bad:?}");
        }
    }
}
