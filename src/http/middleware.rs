//! What applies to every request, or to every request but probes: revoked policies, tokens, host names, response headers.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;

use super::access::AccessPolicy;
use super::connection::ConnectionState;
use super::routes::{EVENTS, text};

/// Scripts and styles of this server only, and no frames.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
                                       base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The `Server` header, by which `check` distinguishes a collector from another program on the same address.
pub(super) const SERVER: &str = "powa-collector";

/// Sent with every response.
const RESPONSE_HEADERS: [(HeaderName, &str); 7] = [
    (header::SERVER, SERVER),
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    // The state is out of date after a second, and the files of the page are small.
    (CACHE_CONTROL, "no-store"),
];

pub(super) async fn set_response_headers(mut response: Response) -> Response {
    for (name, value) in RESPONSE_HEADERS {
        // A response may have its own rule for caches.
        if name != CACHE_CONTROL || !response.headers().contains_key(CACHE_CONTROL) {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
    }
    response
}

/// Refuses requests on connections that are about to be closed by a reload.
pub(super) async fn refuse_if_revoked(
    State(policy): State<Arc<AccessPolicy>>,
    request: Request,
    next: Next,
) -> Response {
    if policy.is_revoked() {
        return text(StatusCode::SERVICE_UNAVAILABLE, "the configuration has changed; send the request again");
    }
    next.run(request).await
}

/// Requires a token if the policy has tokens, and otherwise an acceptable host name.
pub(super) async fn authorize(
    State(policy): State<Arc<AccessPolicy>>,
    Extension(connection): Extension<Arc<ConnectionState>>,
    request: Request,
    next: Next,
) -> Response {
    if let Some(tokens) = &policy.tokens {
        if !tokens.accept(request.headers()) {
            return unauthorized(request.uri().path());
        }
        connection.set_authenticated();
    }
    if !policy.allows_host(request.headers()) {
        let reason = "without tokens, the host name must be an IP address or \"localhost\"; see \"Who may\" in docs/http.md, \
                      or set \"http.open_to_all\" to true";
        return text(StatusCode::MISDIRECTED_REQUEST, reason);
    }
    next.run(request).await
}

/// A browser asks its user for a password where Basic is offered. Not so for events: the question would appear on a page that
/// is open in the background, which shows that its token was revoked instead.
fn unauthorized(path: &str) -> Response {
    const BASIC: &str = "Basic realm=\"powa-collector\", charset=\"UTF-8\"";
    const BEARER: &str = "Bearer realm=\"powa-collector\"";
    let schemes: &[&str] = if path == EVENTS { &[BEARER] } else { &[BASIC, BEARER] };
    let mut response = text(StatusCode::UNAUTHORIZED, "a token of \"http.tokens_file\" is required");
    for scheme in schemes {
        response.headers_mut().append(WWW_AUTHENTICATE, HeaderValue::from_static(scheme));
    }
    response
}
