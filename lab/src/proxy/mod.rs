//! A proxy in front of a server that delays, holds back or breaks connections.
//!
//! One thread for each proxy, with a runtime of its own, so that its caller may block. `connection` passes the bytes
//! on, `trap` waits for certain ones.

mod connection;
mod round_trips;
mod trap;

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc as blocking};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use self::round_trips::RoundTrips;
pub use self::trap::Act;
use self::trap::Traps;
use crate::cluster::Cluster;
use crate::port;

const HOST: &str = "127.0.0.1";

/// A TCP proxy on a port of its own, the same for as long as it is there. An order is carried out when its method
/// returns. Dropping the proxy resets what is open.
pub struct Proxy {
    port: u16,
    line: Arc<Line>,
    orders: mpsc::UnboundedSender<Order>,
    thread: Option<JoinHandle<()>>,
}

/// The state that all connections of a proxy share.
struct Line {
    target: (String, u16),
    mode: watch::Sender<Mode>,
    traps: Traps,
    round_trips: RoundTrips,
    connections: AtomicUsize,
}

#[derive(Clone, Copy, Default)]
struct Mode {
    delay: Duration,
    frozen: bool,
    /// How often everything was cut. A connection that sees more than at its beginning is one of those.
    cuts: u64,
}

/// A request to the owner of the listener and the connections, which replies when it is done.
enum Order {
    Cut(blocking::Sender<()>),
    Refuse(blocking::Sender<()>),
    Accept(blocking::Sender<Result<()>>),
    End,
}

impl Proxy {
    /// Starts a proxy before `cluster`.
    ///
    /// # Errors
    /// There is no free port, or no thread.
    pub fn to(cluster: &Cluster) -> Result<Proxy> {
        Proxy::to_address(cluster.host(), cluster.port())
    }

    /// Starts a proxy before whoever listens on `host` and `port`, now or later.
    ///
    /// # Errors
    /// There is no free port, or no thread.
    pub fn to_address(host: &str, port: u16) -> Result<Proxy> {
        let target = (host.to_owned(), port);
        let (port, listener) = (0..10)
            .find_map(|_| {
                let port = port::free().ok()?;
                Some((port, listen(port).ok()?))
            })
            .context("no free port for a proxy")?;
        let line = Arc::new(Line {
            target,
            mode: watch::Sender::new(Mode::default()),
            traps: Traps::default(),
            round_trips: RoundTrips::default(),
            connections: AtomicUsize::new(0),
        });
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting a proxy's runtime")?;
        let (orders, received) = mpsc::unbounded_channel();
        let carried = Arc::clone(&line);
        let thread = thread::Builder::new()
            .name(format!("proxy {port}"))
            .spawn(move || runtime.block_on(run(port, listener, &carried, received)))
            .context("starting a proxy's thread")?;
        Ok(Proxy { port, line, orders, thread: Some(thread) })
    }

    /// The address to connect to instead of the server's.
    pub fn host(&self) -> &str {
        HOST
    }

    /// The port to connect to instead of the server's.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on every byte takes `one_way` longer, in both directions and on open connections too. As on a long
    /// line, others may be on their way meanwhile. (To connect takes no longer: the kernel does that.)
    pub fn delay(&self, one_way: Duration) {
        self.line.mode.send_modify(|mode| mode.delay = one_way);
    }

    /// Lets nothing pass either way, not even the end of a connection, until [`thaw`](Proxy::thaw). New connections
    /// are made, and stay silent.
    pub fn freeze(&self) {
        self.line.mode.send_modify(|mode| mode.frozen = true);
    }

    /// Lets everything pass again, beginning with what was held back.
    pub fn thaw(&self) {
        self.line.mode.send_modify(|mode| mode.frozen = false);
    }

    /// Resets every open connection, at both ends, with what was on its way. New ones can be made.
    pub fn cut(&self) {
        self.order(Order::Cut);
    }

    /// Refuses new connections until [`accept`](Proxy::accept); open ones are not touched.
    pub fn refuse(&self) {
        self.order(Order::Refuse);
    }

    /// Accepts new connections again, on the same port.
    ///
    /// # Errors
    /// Somebody else has taken the port.
    pub fn accept(&self) -> Result<()> {
        self.order(Order::Accept)
    }

    /// Sets a trap that is triggered once: when the server sends `bytes` on one of the connections, everything up to and
    /// including them is delivered, and then `act` is performed. It replaces an earlier trap.
    pub fn when_server_says(&self, bytes: &[u8], act: Act) {
        self.line.traps.lay(bytes, act);
    }

    /// Whether the last trap was triggered.
    pub fn has_sprung(&self) -> bool {
        self.line.traps.has_sprung()
    }

    /// How many connections are open. While frozen, those count too whose client has gone.
    pub fn connections(&self) -> usize {
        self.line.connections.load(Ordering::SeqCst)
    }

    /// The number of consecutive round trips so far. A message that a client sends on any connection after it has received
    /// a response of the last round trip belongs to the next one.
    ///
    /// Responses in many pieces, long messages and unrequested messages of the server do not count. Several connections at
    /// the same time count as one. The resolution depends on the [`delay`](Proxy::delay): messages within the time of a round
    /// trip count as sent without waiting. On a busy machine the number may be too high; so of several measurements of the
    /// same operation, the smallest number is right.
    pub fn round_trips(&self) -> u64 {
        self.line.round_trips.number()
    }

    fn order<T>(&self, order: impl FnOnce(blocking::Sender<T>) -> Order) -> T {
        let (done, answer) = blocking::channel();
        let sent = self.orders.send(order(done));
        sent.ok().and_then(|()| answer.recv().ok()).expect("the proxy's thread lives as long as the proxy")
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // After a panic it receives nothing; the reason is on standard error.
        let _ = self.orders.send(Order::End);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn listen(port: u16) -> Result<TcpListener> {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).with_context(|| format!("listening on port {port}"))?;
    listener.set_nonblocking(true).context("setting up a listener")?;
    Ok(listener)
}

async fn run(port: u16, listener: TcpListener, line: &Arc<Line>, mut orders: mpsc::UnboundedReceiver<Order>) {
    let mut listener = tokio::net::TcpListener::from_std(listener).ok();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(client) = accepted(listener.as_ref()) => {
                line.connections.fetch_add(1, Ordering::SeqCst);
                let cuts = line.mode.borrow().cuts;
                let line = Arc::clone(line);
                connections.spawn(async move {
                    connection::carry(&line, client, cuts).await;
                    line.connections.fetch_sub(1, Ordering::SeqCst);
                });
            }
            Some(_) = connections.join_next() => {}
            order = orders.recv() => match order {
                Some(Order::Cut(done)) => {
                    cut(line, &mut connections).await;
                    let _ = done.send(());
                }
                Some(Order::Refuse(done)) => {
                    listener = None;
                    let _ = done.send(());
                }
                Some(Order::Accept(done)) => {
                    let again = match &listener {
                        Some(_) => Ok(()),
                        None => listen(port)
                            .and_then(|again| tokio::net::TcpListener::from_std(again).context("setting up a listener"))
                            .map(|again| listener = Some(again)),
                    };
                    let _ = done.send(again);
                }
                Some(Order::End) | None => return cut(line, &mut connections).await,
            },
        }
    }
}

/// The next client; nobody while connections are refused.
async fn accepted(listener: Option<&tokio::net::TcpListener>) -> Option<TcpStream> {
    match listener {
        // One that has gone again before it was accepted is an error.
        Some(listener) => listener.accept().await.ok().map(|(client, _)| client),
        None => std::future::pending().await,
    }
}

async fn cut(line: &Line, connections: &mut JoinSet<()>) {
    line.mode.send_modify(|mode| mode.cuts += 1);
    while connections.join_next().await.is_some() {}
}
