//! What is answered to a request. Whoever asks, and whatever: an answer is bounded, and so is the time until it is there.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::{Either, Full, StreamBody};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::http::uri::Authority;
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::events::{Events, Frames};
use super::fleet::{Fleet, Look};
use super::metrics;
use super::page::{self, Asset};
use super::prepared::Face;
use super::visitor::Visitor;
use crate::control::Call;
use crate::metrics::Metrics;

pub(super) type Body = Either<Full<Bytes>, StreamBody<Frames>>;

const PLAIN: &str = "text/plain; charset=utf-8";

/// Nothing but what is served here, and nobody may put it into a frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Said with every answer.
const ALWAYS: [(HeaderName, &str); 6] = [
    (hyper::header::CONTENT_SECURITY_POLICY, POLICY),
    (hyper::header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (hyper::header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    // How things are is only true now; and what the page is made of is small.
    (CACHE_CONTROL, "no-store"),
];

/// What there is to be shown.
pub(super) struct Site {
    pub(super) fleet: Fleet,
    pub(super) events: Events,
    metrics: Metrics,
    /// What `/metrics` says, and of which look.
    rendered: Mutex<Option<(Instant, Bytes)>>,
}

/// What is asked for.
enum Place {
    Live,
    Ready,
    Metrics,
    Events,
    Asset(&'static Asset),
}

impl Place {
    fn at(path: &str) -> Option<Self> {
        Some(match path {
            "/livez" => Self::Live,
            "/readyz" => Self::Ready,
            "/metrics" => Self::Metrics,
            "/events" => Self::Events,
            path => Self::Asset(page::at(path)?),
        })
    }

    /// Anybody may know it.
    fn is_probe(&self) -> bool {
        matches!(self, Self::Live | Self::Ready)
    }
}

impl Site {
    pub(super) fn new(calls: mpsc::Sender<Call>, metrics: Metrics) -> Self {
        Self { fleet: Fleet::new(calls), events: Events::new(), metrics, rendered: Mutex::default() }
    }

    /// The answer to a visitor.
    pub(super) async fn answer<B>(
        &self,
        face: &Face,
        request: &Request<B>,
        visitor: &Arc<Visitor>,
    ) -> Result<Response<Body>, Infallible> {
        let mut response = self.respond(face, request, visitor).await;
        for (name, value) in ALWAYS {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        Ok(response)
    }

    async fn respond<B>(&self, face: &Face, request: &Request<B>, visitor: &Arc<Visitor>) -> Response<Body> {
        let (method, place) = (request.method(), Place::at(request.uri().path()));
        let is_probe = place.as_ref().is_some_and(Place::is_probe);
        if face.is_retired() {
            return text(StatusCode::SERVICE_UNAVAILABLE, "the configuration has changed: come again");
        }
        if let Some(tokens) = face.tokens.as_ref().filter(|_| !is_probe) {
            if !tokens.admit(request.headers()) {
                return unauthorized(place.as_ref());
            }
            visitor.admit();
        }
        if !is_probe && face.is_for_this_machine && !names_an_address(request) {
            let reason = "this is served to this machine only, by its address, unless \"http.open_to_all\" is true: see \
                          \"Who may\" in docs/http.md";
            return text(StatusCode::MISDIRECTED_REQUEST, reason);
        }
        let Some(place) = place else { return text(StatusCode::NOT_FOUND, "there is nothing here") };
        if ![Method::GET, Method::HEAD].contains(method) {
            let response = text(StatusCode::METHOD_NOT_ALLOWED, "this can only be read");
            return with(response, ALLOW, "GET, HEAD");
        }
        match place {
            Place::Live => match self.fleet.look().await.told {
                Ok(_) => text(StatusCode::OK, "ok"),
                Err(silent) => text(StatusCode::SERVICE_UNAVAILABLE, &silent.to_string()),
            },
            Place::Ready => {
                let ready = match self.fleet.look().await.told {
                    Ok(overview) => overview.readiness.map_err(|reason| reason.to_string()),
                    Err(silent) => Err(silent.to_string()),
                };
                match ready {
                    Ok(()) => text(StatusCode::OK, "ok"),
                    Err(reason) => text(StatusCode::SERVICE_UNAVAILABLE, &reason),
                }
            }
            Place::Metrics => whole(metrics::CONTENT_TYPE, self.metrics_of(&self.fleet.look().await)),
            Place::Events if method == Method::HEAD => whole("text/event-stream", ""),
            Place::Events => match self.events.listen(&self.fleet).await {
                Some(frames) => {
                    let page = visitor.open_page();
                    let frames = frames.enumerate().map(move |(number, frame)| {
                        if number > 0 {
                            page.goes_on();
                        }
                        frame
                    });
                    let frames: Frames = frames.boxed();
                    let response = Response::new(Either::Right(StreamBody::new(frames)));
                    // One that collects events before it hands them on is of no use.
                    let response = with(response, HeaderName::from_static("x-accel-buffering"), "no");
                    with(response, CONTENT_TYPE, "text/event-stream")
                }
                None => {
                    let response = text(StatusCode::SERVICE_UNAVAILABLE, "as many listen already as may at once");
                    with(response, RETRY_AFTER, "10")
                }
            },
            Place::Asset(asset) => whole(asset.kind, asset.content),
        }
    }

    /// Rendered once a look, however many ask.
    fn metrics_of(&self, look: &Look) -> Bytes {
        let mut rendered = self.rendered.lock().unwrap_or_else(PoisonError::into_inner);
        match &*rendered {
            Some((at, text)) if *at == look.at => text.clone(),
            _ => {
                let text = Bytes::from(metrics::text(&self.metrics, &look.told));
                rendered.insert((look.at, text)).1.clone()
            }
        }
    }
}

/// Whether a request is for an address, or `localhost`. Another name may be that of a page that a browser of this machine has
/// open, whose owner has let it point here to read what is not for them.
fn names_an_address<B>(request: &Request<B>) -> bool {
    let host = request.headers().get(HOST).map(|host| host.to_str().unwrap_or("?"));
    let Some(Ok(host)) = host.map(str::parse::<Authority>) else { return host.is_none() };
    let name = host.host().trim_matches(['[', ']']);
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

/// A browser asks its user for a name and a token where Basic is offered: not for events, as it would ask whoever has a page
/// open in the background. The page says that its token is good no more.
fn unauthorized(place: Option<&Place>) -> Response<Body> {
    const BASIC: &str = "Basic realm=\"powa-collector\", charset=\"UTF-8\"";
    const BEARER: &str = "Bearer realm=\"powa-collector\"";
    let schemes: &[&str] = if matches!(place, Some(Place::Events)) { &[BEARER] } else { &[BASIC, BEARER] };
    let mut response = text(StatusCode::UNAUTHORIZED, "this takes a token of the collector's");
    for scheme in schemes {
        response.headers_mut().append(WWW_AUTHENTICATE, HeaderValue::from_static(scheme));
    }
    response
}

fn text(status: StatusCode, line: &str) -> Response<Body> {
    let mut response = whole(PLAIN, format!("{line}\n"));
    *response.status_mut() = status;
    response
}

fn whole(kind: &'static str, content: impl Into<Bytes>) -> Response<Body> {
    with(Response::new(Either::Left(Full::new(content.into()))), CONTENT_TYPE, kind)
}

fn with(mut response: Response<Body>, name: HeaderName, value: &'static str) -> Response<Body> {
    response.headers_mut().insert(name, HeaderValue::from_static(value));
    response
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[test]
    fn a_name_that_might_be_anybodys_is_not_taken_for_this_machine() {
        let is_taken = |host: &str| names_an_address(&Request::get("/").header(HOST, host).body(()).unwrap());
        for good in ["127.0.0.1", "127.0.0.1:9187", "[::1]:9187", "localhost:1", "LOCALHOST", "192.0.2.1"] {
            assert!(is_taken(good), "{good}");
        }
        for bad in ["evil.example:9187", "localhost.evil.example", "127.0.0.1.evil.example", "", "a b", "\u{e9}"] {
            assert!(!is_taken(bad), "{bad}");
        }
        assert!(names_an_address(&Request::get("/").body(()).unwrap()), "HTTP/1.0 has none");
    }

    #[tokio::test(start_paused = true)]
    async fn a_main_task_that_does_not_turn_is_told_of_by_both_probes() {
        let (calls, _nobody_reads) = mpsc::channel(1);
        let site = Site::new(calls, Metrics::new());
        for path in ["/livez", "/readyz"] {
            let request = Request::get(path).body(()).unwrap();
            let answer = site.answer(&Face::default(), &request, &Arc::default()).await.unwrap();
            assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE, "{path}");
            let text = answer.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(text, "the main task does not answer\n", "{path}");
        }
        let request = Request::get("/metrics").body(()).unwrap();
        let answer = site.answer(&Face::default(), &request, &Arc::default()).await.unwrap();
        let text = answer.into_body().collect().await.unwrap().to_bytes();
        assert!(std::str::from_utf8(&text).unwrap().contains("\npowa_collector_ready 0\n"));
    }
}
