//! Connections: so many at once, each with its times. Strangers who are slow, silent or many cost no more than that.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use openssl::ssl::{Ssl, SslAcceptor};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;
use tokio_io_timeout::TimeoutStream;
use tokio_openssl::SslStream;

use super::prepared::Face;
use super::routes::Site;
use super::visitor::Visitor;

/// Connections at once. For one more, the oldest has to go that is no open page: of those without a token, if there are any.
const MOST_CONNECTIONS: usize = 64;

/// For the head of a request, be it the first or another one on the same connection; and for the hand-shake of TLS.
const UNTIL_ASKED: Duration = Duration::from_secs(10);

/// How long somebody may not take what is sent.
const UNTIL_TAKEN: Duration = Duration::from_secs(10);

/// Bytes of a request's head, and of what waits to be sent.
const BUFFER: usize = 16 * 1024;

/// How long nothing is accepted after that was not possible: there are too many open files, for example.
const BETWEEN_TRIES: Duration = Duration::from_millis(200);

/// Serves whoever comes, until it is dropped.
pub(super) async fn serve(listener: Arc<TcpListener>, face: Arc<Face>, site: Arc<Site>) {
    tokio::join!(accept(&listener, &face, &site), site.events.go_on(&site.fleet));
}

async fn accept(listener: &TcpListener, face: &Arc<Face>, site: &Arc<Site>) {
    let mut crowd = Crowd::default();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => crowd.take_in(stream, face, site),
                Err(error) => {
                    tracing::debug!(%error, "a connection by HTTP could not be accepted");
                    tokio::time::sleep(BETWEEN_TRIES).await;
                }
            },
            Some(_) = crowd.tasks.join_next() => crowd.forget_ended(),
        }
    }
}

/// Those who are connected.
#[derive(Default)]
struct Crowd {
    tasks: JoinSet<()>,
    /// The oldest first.
    members: VecDeque<Member>,
}

struct Member {
    task: AbortHandle,
    visitor: Arc<Visitor>,
}

impl Crowd {
    fn take_in(&mut self, stream: TcpStream, face: &Arc<Face>, site: &Arc<Site>) {
        self.forget_ended();
        if self.members.len() >= MOST_CONNECTIONS {
            let Some(member) = who_goes(self.members.iter().map(|member| &*member.visitor))
                .and_then(|position| self.members.remove(position))
            else {
                return;
            };
            member.task.abort();
        }
        let visitor = Arc::new(Visitor::default());
        let task = self.tasks.spawn(converse(stream, Arc::clone(face), Arc::clone(site), Arc::clone(&visitor)));
        self.members.push_back(Member { task, visitor });
    }

    fn forget_ended(&mut self) {
        while self.tasks.try_join_next().is_some() {}
        self.members.retain(|member| !member.task.is_finished());
    }
}

/// Requests are answered at once: who has been there for longest has nothing to ask, or is not quick about it. Those who
/// have shown a token go only where all others have gone; open pages never do.
fn who_goes<'a>(visitors: impl Iterator<Item = &'a Visitor> + Clone) -> Option<usize> {
    let stranger = visitors.clone().position(|visitor| !visitor.is_admitted() && !visitor.streams());
    stranger.or_else(|| visitors.clone().position(|visitor| !visitor.streams()))
}

/// Somebody's requests, one after the other.
async fn converse(stream: TcpStream, face: Arc<Face>, site: Arc<Site>, visitor: Arc<Visitor>) {
    // Where it does not work, events come a little later, and who vanished is noticed a little later.
    stream.set_nodelay(true).ok();
    SockRef::from(&stream).set_tcp_user_timeout(Some(3 * UNTIL_TAKEN)).ok();
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(UNTIL_TAKEN));
    let stream = Box::pin(stream);
    match &face.tls {
        None => answer(stream, &face, &site, &visitor).await,
        Some(acceptor) => {
            if let Ok(Some(encrypted)) = timeout(UNTIL_ASKED, shake_hands(acceptor, stream)).await {
                answer(encrypted, &face, &site, &visitor).await;
            }
        }
    }
}

type Plain = Pin<Box<TimeoutStream<TcpStream>>>;

/// `None`: it came to nothing.
async fn shake_hands(acceptor: &SslAcceptor, stream: Plain) -> Option<SslStream<Plain>> {
    let mut stream = SslStream::new(Ssl::new(acceptor.context()).ok()?, stream).ok()?;
    Pin::new(&mut stream).accept().await.ok()?;
    Some(stream)
}

async fn answer(stream: impl AsyncRead + AsyncWrite + Unpin, face: &Face, site: &Site, visitor: &Arc<Visitor>) {
    let service = service_fn(async |request| site.answer(face, &request, visitor).await);
    let conversation = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(UNTIL_ASKED)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        // Whatever was wrong with it, it is the other one's business.
        _ = conversation => {}
        () = visitor.is_too_slow() => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_go_first_and_open_pages_never() {
        let visitors = [(); 4].map(|()| Arc::new(Visitor::default()));
        let who_goes = || who_goes(visitors.iter().map(|visitor| &**visitor));
        assert_eq!(who_goes(), Some(0));
        visitors[0].admit();
        let page = visitors[1].open_page();
        assert_eq!(who_goes(), Some(2));
        visitors[2].admit();
        visitors[3].admit();
        assert_eq!(who_goes(), Some(0));
        let _pages = [0, 2, 3].map(|number: usize| visitors[number].open_page());
        assert_eq!(who_goes(), None);
        drop(page);
        assert_eq!(who_goes(), Some(1));
    }
}
