//! Whether the collector can listen on the configured address. The probe binds but does not listen, so that it does not keep a
//! collector that starts at the same moment from listening.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode};
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_openssl::SslStream;

use super::middleware::SERVER;
use crate::config::Http;

/// Bytes of a response that are read: more than its head.
const MAX_RESPONSE: u64 = 4096;

/// The state of an address.
#[derive(Debug)]
pub(crate) enum AddressState {
    /// The collector can listen on it.
    Free,
    /// A collector listens on it.
    UsedByCollector,
    /// The collector cannot listen on it.
    Unusable(io::Error),
}

/// Probes the configured address. `None`: HTTP is off. A program that listens there has the time `limit` to respond.
pub(crate) async fn probe_address(http: &Http, limit: Duration) -> Option<AddressState> {
    let address = http.listen?;
    let error = match try_bind(address) {
        Ok(()) => return Some(AddressState::Free),
        Err(error) => error,
    };
    if error.kind() != io::ErrorKind::AddrInUse {
        return Some(AddressState::Unusable(error));
    }
    Some(if is_collector(address, limit).await { AddressState::UsedByCollector } else { AddressState::Unusable(error) })
}

/// Binds the address without listening. With `SO_REUSEADDR`, as for every listener, two sockets can be bound at once.
fn try_bind(address: SocketAddr) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())
}

/// Whether a collector responds in time, by HTTP or HTTPS: it may run with another configuration than ours.
async fn is_collector(address: SocketAddr, limit: Duration) -> bool {
    let address = SocketAddr::new(as_destination(address.ip()), address.port());
    let plain = async { responds_as_collector(TcpStream::connect(address).await?).await };
    let encrypted = async { responds_as_collector(encrypt(TcpStream::connect(address).await?).await?).await };
    let (plain, encrypted) = tokio::join!(timeout(limit, plain), timeout(limit, encrypted));
    [plain, encrypted].iter().any(|answer| matches!(answer, Ok(Ok(true))))
}

/// The address to connect to for a listener on all addresses.
fn as_destination(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}

/// Does not verify the certificate: nothing secret is sent.
async fn encrypt(stream: TcpStream) -> io::Result<SslStream<TcpStream>> {
    let mut builder = SslConnector::builder(SslMethod::tls_client())?;
    builder.set_verify(SslVerifyMode::NONE);
    let mut configuration = builder.build().configure()?;
    configuration.set_verify_hostname(false);
    let mut stream = SslStream::new(configuration.into_ssl("localhost")?, stream)?;
    std::pin::Pin::new(&mut stream).connect().await.map_err(io::Error::other)?;
    Ok(stream)
}

async fn responds_as_collector(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<bool> {
    stream.write_all(b"HEAD /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await?;
    let mut response = Vec::new();
    // The head may be complete even if reading ends with an error.
    let _ = stream.take(MAX_RESPONSE).read_to_end(&mut response).await;
    let head = String::from_utf8_lossy(&response).to_ascii_lowercase();
    Ok(head.lines().any(|line| line.strip_prefix("server:").is_some_and(|name| name.trim() == SERVER)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    fn at(listen: SocketAddr) -> Http {
        Http { listen: Some(listen), ..Http::default() }
    }

    #[tokio::test]
    async fn an_address_is_free_or_somebody_elses() {
        assert!(probe_address(&Http::default(), LIMIT).await.is_none());
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = at(listener.local_addr().unwrap());
        std::thread::spawn(move || {
            use std::io::Write;
            for stream in listener.incoming().take(2) {
                let mut stream = stream.unwrap();
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nserver: another\r\n\r\n");
            }
        });
        let found = probe_address(&taken, LIMIT).await;
        assert!(
            matches!(&found, Some(AddressState::Unusable(error)) if error.kind() == io::ErrorKind::AddrInUse),
            "{found:?}"
        );
        assert!(matches!(probe_address(&at("127.0.0.1:0".parse().unwrap()), LIMIT).await, Some(AddressState::Free)));
        // An address that is reserved for documentation.
        let elsewhere = probe_address(&at("192.0.2.1:9187".parse().unwrap()), LIMIT).await;
        assert!(
            matches!(&elsewhere, Some(AddressState::Unusable(error)) if error.kind() == io::ErrorKind::AddrNotAvailable)
        );
    }
}
