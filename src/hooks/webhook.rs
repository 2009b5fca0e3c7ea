//! Posts an event to a URL as JSON.

use std::io;
use std::net::ToSocketAddrs;
use std::pin::{Pin, pin};
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HOST, USER_AGENT};
use axum::http::{Method, Request, StatusCode, Uri};
use backon::{ExponentialBuilder, Retryable};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use openssl::ssl::{SslConnector, SslMethod};
use session::BlockingPool;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_openssl::SslStream;

use super::event::Event;

/// Attempts after the first one.
const RETRIES: usize = 3;

/// Posts an event. Retries if there is no answer, or one that means to try again later.
///
/// # Errors
/// All attempts have failed, or the answer is no success. The message does not contain the path of the URL, which may be secret.
pub(super) async fn post(url: &str, event: &Event, limit: Duration, blocking: &BlockingPool) -> Result<(), String> {
    let url: Uri = url.parse().map_err(|_| "the URL is not valid".to_owned())?;
    let body = event.json().to_string();
    let attempt = || async {
        timeout(limit, send(&url, body.clone(), blocking))
            .await
            .unwrap_or_else(|_| Err(Failure::Transient(format!("no answer within {} s", limit.as_secs()))))
    };
    let pauses =
        ExponentialBuilder::default().with_min_delay(Duration::from_secs(1)).with_max_times(RETRIES).with_jitter();
    let result = attempt.retry(pauses).sleep(sleep).when(|failure| matches!(failure, Failure::Transient(_))).await;
    let host = url.authority().map(|authority| authority.host().to_owned()).unwrap_or_default();
    result.map_err(|failure| match failure {
        Failure::Transient(reason) | Failure::Permanent(reason) => format!("{host}: {reason}"),
    })
}

enum Failure {
    /// A later attempt may succeed.
    Transient(String),
    Permanent(String),
}

impl Failure {
    fn transient(error: impl ToString) -> Self {
        Self::Transient(error.to_string())
    }
}

async fn send(url: &Uri, body: String, blocking: &BlockingPool) -> Result<(), Failure> {
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
    let is_encrypted = url.scheme_str() == Some("https");
    let port = url.port_u16().unwrap_or(if is_encrypted { 443 } else { 80 });
    let stream = connect(host.to_owned(), port, blocking).await.map_err(Failure::transient)?;
    let request = request(url, body).map_err(|error| Failure::Permanent(error.to_string()))?;
    let status = if is_encrypted {
        exchange(encrypt(host, stream, blocking).await?, request).await
    } else {
        exchange(stream, request).await
    };
    match status? {
        status if status.is_success() => Ok(()),
        status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
            Err(Failure::Transient(format!("the answer was {status}")))
        }
        status => Err(Failure::Permanent(format!("the answer was {status}"))),
    }
}

async fn connect(host: String, port: u16, blocking: &BlockingPool) -> io::Result<TcpStream> {
    let look_up = move || (host.as_str(), port).to_socket_addrs().map(Iterator::collect::<Vec<_>>);
    TcpStream::connect(&blocking.run("hook lookup", look_up).await??[..]).await
}

/// Verifies the certificate with the system's authorities.
async fn encrypt(host: &str, stream: TcpStream, blocking: &BlockingPool) -> Result<SslStream<TcpStream>, Failure> {
    let permanent = |error: openssl::error::ErrorStack| Failure::Permanent(error.to_string());
    // Reads files.
    let connector = blocking.run("hook files", || SslConnector::builder(SslMethod::tls_client()));
    let connector = connector.await.map_err(Failure::transient)?.map_err(permanent)?.build();
    let ssl = connector.configure().and_then(|configuration| configuration.into_ssl(host)).map_err(permanent)?;
    let mut stream = SslStream::new(ssl, stream).map_err(permanent)?;
    Pin::new(&mut stream).connect().await.map_err(Failure::transient)?;
    Ok(stream)
}

fn request(url: &Uri, body: String) -> axum::http::Result<Request<Body>> {
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let authority = url.authority().map(axum::http::uri::Authority::as_str).unwrap_or_default();
    Request::builder()
        .method(Method::POST)
        .uri(path)
        .header(HOST, authority)
        .header(CONTENT_TYPE, "application/json")
        .header(USER_AGENT, concat!("powa-collector/", env!("CARGO_PKG_VERSION")))
        .body(body.into())
}

/// Sends a request, and returns the status of the response.
async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<Body>,
) -> Result<StatusCode, Failure> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(Failure::transient)?;
    let mut response = pin!(sender.send_request(request));
    let response = tokio::select! {
        biased;
        response = &mut response => response,
        ended = connection => {
            ended.map_err(Failure::transient)?;
            // The server has closed the connection, maybe after its response.
            response.await
        }
    };
    Ok(response.map_err(Failure::transient)?.status())
}
