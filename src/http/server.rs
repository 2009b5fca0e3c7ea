//! Connections: how many at once, and the time limits of each, so that slow, silent or many clients cost no more than that.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use openssl::ssl::{Ssl, SslAcceptor};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_io_timeout::TimeoutStream;
use tokio_openssl::SslStream;
use tower_service::Service;

use super::access::AccessPolicy;
use super::connection::ConnectionState;
use super::routes::{self, AppState};

/// Connections at once. For one more, an idle one is closed: see [`eviction_candidate`].
const MAX_CONNECTIONS: usize = 64;

/// Time limit for the head of a request, whether the first or a later one of its connection, and for the TLS handshake.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Time limit for a client that does not read what is sent.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of a request's head, and of a response that waits to be sent.
const BUFFER_SIZE: usize = 16 * 1024;

/// How often to look for an idle connection while none can be closed for another one.
const ROOM_INTERVAL: Duration = Duration::from_millis(50);

/// Pause after a connection could not be accepted, for example because of too many open files.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(200);

/// Serves all connections until it is dropped.
pub(super) async fn serve(listener: Arc<TcpListener>, policy: Arc<AccessPolicy>, state: Arc<AppState>) {
    let router = routes::router(Arc::clone(&state), Arc::clone(&policy));
    tokio::join!(accept(&listener, &policy, &router), state.events.run(&state.fleet), state.api.backends.run());
}

async fn accept(listener: &TcpListener, policy: &Arc<AccessPolicy>, router: &Router) {
    let mut connections = Connections::default();
    let mut retries = interval(ROOM_INTERVAL);
    retries.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        // Further connections wait in the listener's queue while all that are open are being served.
        let has_room = connections.has_room();
        tokio::select! {
            accepted = listener.accept(), if has_room => match accepted {
                Ok(accepted) => connections.add(accepted, policy, router),
                Err(error) => {
                    tracing::debug!(%error, "an HTTP connection could not be accepted");
                    tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
                }
            },
            Some(_) = connections.tasks.join_next() => connections.remove_closed(),
            // A connection may have become idle.
            _ = retries.tick(), if !has_room => {}
        }
    }
}

/// The open connections.
#[derive(Default)]
struct Connections {
    tasks: JoinSet<()>,
    /// The oldest first.
    open: VecDeque<Connection>,
}

struct Connection {
    task: AbortHandle,
    state: Arc<ConnectionState>,
}

impl Connections {
    /// Whether another connection can be accepted, for which an idle one may have to be closed.
    fn has_room(&self) -> bool {
        self.open.len() < MAX_CONNECTIONS || self.eviction_candidate().is_some()
    }

    fn eviction_candidate(&self) -> Option<usize> {
        let connections: Vec<_> = self.open.iter().map(|connection| &*connection.state).collect();
        eviction_candidate(&connections)
    }

    /// Starts a task for a new connection. Closes an idle one if there are too many.
    fn add(&mut self, (stream, client): (TcpStream, SocketAddr), policy: &Arc<AccessPolicy>, router: &Router) {
        self.remove_closed();
        if self.open.len() >= MAX_CONNECTIONS {
            let Some(evicted) = self.eviction_candidate().and_then(|position| self.open.remove(position)) else {
                return;
            };
            evicted.task.abort();
        }
        let state = Arc::new(ConnectionState::of(client));
        let task = self.tasks.spawn(handle(stream, Arc::clone(policy), router.clone(), Arc::clone(&state)));
        self.open.push_back(Connection { task, state });
    }

    fn remove_closed(&mut self) {
        while self.tasks.try_join_next().is_some() {}
        self.open.retain(|connection| !connection.task.is_finished());
    }
}

/// The idle connection to close for a new one: without a token if there is one, of the client address that has most of those, the
/// oldest. `connections` are in the order of their age.
fn eviction_candidate(connections: &[&ConnectionState]) -> Option<usize> {
    let idle = || connections.iter().enumerate().filter(|(_, connection)| connection.is_idle());
    let strangers: Vec<_> = idle().filter(|(_, connection)| !connection.is_authenticated()).collect();
    let candidates = if strangers.is_empty() { idle().collect() } else { strangers };
    let mut numbers: HashMap<IpAddr, usize> = HashMap::new();
    for (_, connection) in &candidates {
        *numbers.entry(connection.client().ip()).or_default() += 1;
    }
    // Of several with the same number, the oldest.
    let most =
        candidates.iter().rev().max_by_key(|(_, connection)| numbers[&connection.client().ip()])?.1.client().ip();
    candidates.into_iter().find(|(_, connection)| connection.client().ip() == most).map(|(position, _)| position)
}

/// Handles one connection, with TLS if the policy has a certificate, until it is closed.
async fn handle(stream: TcpStream, policy: Arc<AccessPolicy>, router: Router, connection: Arc<ConnectionState>) {
    // If these options cannot be set, events and the detection of vanished clients are a little delayed.
    stream.set_nodelay(true).ok();
    SockRef::from(&stream).set_tcp_user_timeout(Some(3 * WRITE_TIMEOUT)).ok();
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(WRITE_TIMEOUT));
    let stream = Box::pin(stream);
    match &policy.tls {
        None => serve_requests(stream, &router, &connection).await,
        Some(acceptor) => {
            if let Ok(Some(encrypted)) = timeout(REQUEST_TIMEOUT, tls_handshake(acceptor, stream)).await {
                serve_requests(encrypted, &router, &connection).await;
            }
        }
    }
}

type PlainStream = Pin<Box<TimeoutStream<TcpStream>>>;

/// `None`: the handshake failed.
async fn tls_handshake(acceptor: &SslAcceptor, stream: PlainStream) -> Option<SslStream<PlainStream>> {
    let mut stream = SslStream::new(Ssl::new(acceptor.context()).ok()?, stream).ok()?;
    Pin::new(&mut stream).accept().await.ok()?;
    Some(stream)
}

/// Passes the requests of a connection to the router, one after the other.
async fn serve_requests(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    router: &Router,
    connection: &Arc<ConnectionState>,
) {
    let service = service_fn(|mut request: Request<Incoming>| {
        request.extensions_mut().insert(Arc::clone(connection));
        let guard = connection.begin_request();
        let response = router.clone().call(request);
        async move {
            let response = response.await;
            drop(guard);
            response
        }
    });
    let requests = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_TIMEOUT)
        .max_buf_size(BUFFER_SIZE)
        .serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        // Errors are those of the client or the network: there is nothing to do.
        _ = requests => {}
        () = connection.deadline_missed() => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_go_first_and_who_is_served_never() {
        let client = |host: u8| SocketAddr::from(([192, 0, 2, host], 1));
        let connections = [1, 1, 2, 1, 2].map(|host| Arc::new(ConnectionState::of(client(host))));
        let candidate = || eviction_candidate(&connections.iter().map(|connection| &**connection).collect::<Vec<_>>());
        assert_eq!(candidate(), Some(0));
        connections[0].set_authenticated();
        let stream = connections[1].open_stream();
        assert_eq!(candidate(), Some(2), "of the address with most strangers");
        let request = connections[2].begin_request();
        assert_eq!(candidate(), Some(3), "the oldest of as many");
        for connection in &connections {
            connection.set_authenticated();
        }
        assert_eq!(candidate(), Some(0));
        let _streams = [0, 3, 4].map(|number: usize| connections[number].open_stream());
        assert_eq!(candidate(), None);
        drop(request);
        assert_eq!(candidate(), Some(2));
        drop(stream);
        assert_eq!(candidate(), Some(1));
    }
}
