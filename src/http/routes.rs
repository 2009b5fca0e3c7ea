//! The router: paths, their handlers, and what they share. Every response is bounded, and so is the time until it is there.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::extract::State;
use axum::handler::Handler;
use axum::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderName, StatusCode};
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, any};
use axum::{Extension, Router};
use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::access::AccessPolicy;
use super::api::{self, Api};
use super::connection::ConnectionState;
use super::events::Events;
use super::fleet_sample::{FleetSample, FleetSampler};
use super::middleware::{authorize, refuse_if_revoked, set_response_headers};
use super::{metrics, page, poll};
use crate::config::ApiAccess;
use crate::control::Call;
use crate::metrics::Metrics;

/// The path of the server-sent events.
pub(super) const EVENTS: &str = "/events";

const EVENT_STREAM: &str = "text/event-stream";
const PLAIN_TEXT: &str = "text/plain; charset=utf-8";

/// What handlers share.
pub(super) struct AppState {
    pub(super) fleet: FleetSampler,
    pub(super) events: Events,
    pub(super) api: Api,
    metrics: Metrics,
    /// The last text of `/metrics`, and the time of its sample.
    rendered: Mutex<Option<(Instant, Bytes)>>,
}

/// All paths, under one access policy. Requests need an `Arc<ConnectionState>` as an extension.
pub(super) fn router(state: Arc<AppState>, policy: Arc<AccessPolicy>) -> Router {
    let probes = Router::new().route("/livez", read_only(live)).route("/readyz", read_only(ready));
    let page = page::ASSETS.iter().fold(Router::new(), |router, asset| {
        let respond = || async { ([(CONTENT_TYPE, asset.content_type)], asset.content) };
        router.route(asset.path, read_only(respond))
    });
    let protected = page
        .route("/metrics", read_only(metrics))
        .route(EVENTS, read_only(events).head(events_head))
        .fallback(not_found)
        .layer(from_fn_with_state(Arc::clone(&policy), authorize));
    let api = match policy.api {
        ApiAccess::Off => Router::new(),
        ApiAccess::NeedsTls | ApiAccess::On => api::router(&state, &policy),
    };
    let poll = Router::new().route(poll::PATH, read_only(poll::poll));
    let poll = match policy.api {
        _ if policy.is_poll_open => poll,
        ApiAccess::On => api::require_login(poll, &state, &policy),
        // As for metrics.
        ApiAccess::Off | ApiAccess::NeedsTls => poll.layer(from_fn_with_state(Arc::clone(&policy), authorize)),
    };
    probes
        .merge(poll)
        .merge(api)
        .merge(protected)
        .layer(from_fn_with_state(policy, refuse_if_revoked))
        .layer(map_response(set_response_headers))
        .with_state(state)
}

/// A path that answers GET and HEAD. Built on [`any`], because axum adds `Allow` to whatever its own fallback for other methods
/// returns: a 401 would then show a client without a token which paths exist.
fn read_only<H, T>(handler: H) -> MethodRouter<Arc<AppState>>
where
    H: Handler<T, Arc<AppState>>,
    T: 'static,
{
    any(method_not_allowed).get(handler)
}

impl AppState {
    pub(super) fn new(calls: mpsc::Sender<Call>, metrics: Metrics) -> Self {
        let (api, fleet) = (Api::new(calls.clone()), FleetSampler::new(calls));
        Self { fleet, events: Events::new(), api, metrics, rendered: Mutex::default() }
    }

    /// The text of `/metrics`, which is rendered once a sample for all clients.
    fn metrics(&self, sample: &FleetSample) -> Bytes {
        let mut rendered = self.rendered.lock().unwrap_or_else(PoisonError::into_inner);
        match &*rendered {
            Some((time, text)) if *time == sample.time => text.clone(),
            _ => {
                let text = Bytes::from(metrics::text(&self.metrics, &sample.state));
                rendered.insert((sample.time, text)).1.clone()
            }
        }
    }
}

async fn live(State(app): State<Arc<AppState>>) -> Response {
    probe_response(app.fleet.sample().await.state.map(drop))
}

async fn ready(State(app): State<Arc<AppState>>) -> Response {
    match app.fleet.sample().await.state {
        Ok(overview) => probe_response(overview.readiness.as_ref().map(drop)),
        Err(unresponsive) => probe_response(Err(unresponsive)),
    }
}

fn probe_response(result: Result<(), impl ToString>) -> Response {
    match result {
        Ok(()) => text(StatusCode::OK, "ok"),
        Err(reason) => text(StatusCode::SERVICE_UNAVAILABLE, &reason.to_string()),
    }
}

async fn metrics(State(app): State<Arc<AppState>>) -> impl IntoResponse {
    ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], app.metrics(&app.fleet.sample().await))
}

/// A connection with open events counts as a stream until the response is dropped.
async fn events(State(app): State<Arc<AppState>>, Extension(connection): Extension<Arc<ConnectionState>>) -> Response {
    let Some(events) = app.events.subscribe(&app.fleet).await else {
        let refusal =
            text(StatusCode::SERVICE_UNAVAILABLE, "too many status pages are open; close one, or try again later");
        return ([(RETRY_AFTER, "10")], refusal).into_response();
    };
    let guard = connection.open_stream();
    let events = events.enumerate().map(move |(number, event)| {
        // The second event is asked for when the first one has been sent.
        if number > 0 {
            guard.first_event_sent();
        }
        Ok::<_, Infallible>(event)
    });
    // A proxy must not collect events before it passes them on.
    let headers = [(CONTENT_TYPE, EVENT_STREAM), (HeaderName::from_static("x-accel-buffering"), "no")];
    (headers, Body::from_stream(events)).into_response()
}

/// The headers of [`events`], without a subscription. A stream has no `Content-Length`.
async fn events_head() -> impl IntoResponse {
    ([(CONTENT_TYPE, EVENT_STREAM)], Body::from_stream(stream::empty::<Result<Bytes, Infallible>>()))
}

async fn not_found() -> Response {
    text(StatusCode::NOT_FOUND, "not found")
}

async fn method_not_allowed() -> impl IntoResponse {
    ([(ALLOW, "GET, HEAD")], text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed; use GET or HEAD"))
}

/// A response with one line of plain text.
pub(super) fn text(status: StatusCode, line: &str) -> Response {
    (status, [(CONTENT_TYPE, PLAIN_TEXT)], format!("{line}\n")).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use axum::http::{Method, Request};
    use tower_service::Service;

    use super::super::auth::Tokens;
    use super::*;

    async fn send(method: Method, path: &str) -> Response {
        send_under(AccessPolicy::default(), method, path).await
    }

    async fn send_under(policy: AccessPolicy, method: Method, path: &str) -> Response {
        let (calls, _never_read) = mpsc::channel(1);
        let app = AppState::new(calls, Metrics::new());
        let mut router = router(Arc::new(app), Arc::new(policy));
        let request = Request::builder().method(method).uri(path).extension(Arc::<ConnectionState>::default());
        router.call(request.body(Body::empty()).unwrap()).await.unwrap()
    }

    async fn body(response: Response) -> String {
        let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        String::from_utf8(bytes.into()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_main_task_that_does_not_turn_is_told_of_by_both_probes() {
        for path in ["/livez", "/readyz"] {
            let response = send(Method::GET, path).await;
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE, "{path}");
            assert_eq!(body(response).await, "the main task does not respond\n", "{path}");
        }
        let response = send(Method::GET, "/metrics").await;
        assert!(body(response).await.contains("\npowa_collector_ready 0\n"));
    }

    #[tokio::test(start_paused = true)]
    async fn only_get_and_head_are_allowed_on_paths_that_exist() {
        for path in ["/", "/page.js", "/livez", "/metrics", EVENTS] {
            let refused = send(Method::POST, path).await;
            assert_eq!(refused.status(), StatusCode::METHOD_NOT_ALLOWED, "{path}");
            let allowed: Vec<_> = refused.headers().get_all(ALLOW).iter().collect();
            assert_eq!(allowed, ["GET, HEAD"], "{path}");
            let head = send(Method::HEAD, path).await;
            assert_ne!(head.status(), StatusCode::METHOD_NOT_ALLOWED, "{path}");
            assert_eq!(body(head).await, "", "{path}");
        }
        for (method, path) in [(Method::GET, "/page.js/"), (Method::POST, "/nowhere"), (Method::OPTIONS, "*")] {
            assert_eq!(send(method, path).await.status(), StatusCode::NOT_FOUND, "{path}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_token_paths_that_exist_look_like_others() {
        for method in [Method::GET, Method::HEAD, Method::POST] {
            let mut responses = Vec::new();
            for path in ["/", "/metrics", "/nowhere"] {
                let tokens = Tokens::parse(b"ada:0123456789abcdef").unwrap();
                let mut policy = AccessPolicy::default();
                policy.tokens = Some(tokens);
                let response = send_under(policy, method.clone(), path).await;
                assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{method} {path}");
                responses.push(response.headers().clone());
            }
            assert!(responses.iter().all(|headers| *headers == responses[0]), "{method}: {responses:?}");
        }
    }
}
