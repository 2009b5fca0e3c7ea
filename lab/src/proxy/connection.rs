//! Passes the bytes of one connection from one side to the other.
//!
//! Each direction has one end that reads and one that writes, and a queue between them in which a byte waits for the
//! delay. Whether the proxy is frozen is checked under the lock under which bytes are received or passed on.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use super::Line;
use super::trap::{Act, Lookout};

/// With the queue's length this bounds what is on its way: 16 MB a direction.
const CHUNK: usize = 16 * 1024;
const CHUNKS_ON_THE_WAY: usize = 1024;

/// Some bytes, when they are to arrive, and the round trip they are of; no bytes are the end of the stream.
struct Chunk {
    bytes: Vec<u8>,
    due: Instant,
    round_trip: u64,
}

/// Carries a connection to its end. Unless both sides have said goodbye, both are reset.
pub(super) async fn carry(line: &Line, mut client: TcpStream, cuts: u64) {
    let mut mode = line.mode.subscribe();
    let cut = mode.wait_for(|mode| mode.cuts != cuts);
    tokio::pin!(cut);
    let server = tokio::select! {
        server = reach(line) => server.ok(),
        _ = &mut cut => None,
    };
    let Some(mut server) = server else {
        reset(&client);
        return;
    };
    // Left off, the kernel would hold small messages back by itself. That it can't be set means that it is closed.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let mut lookout = Lookout::default();
    let ended_well = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let (upward, to_pass_up) = mpsc::channel(CHUNKS_ON_THE_WAY);
        let (downward, to_pass_down) = mpsc::channel(CHUNKS_ON_THE_WAY);
        // The last round trip of which this server was asked something.
        let asked = AtomicU64::new(0);
        let both_ways = async {
            tokio::try_join!(
                take(line, from_client, || line.round_trips.sent(), upward),
                pass(line, to_pass_up, to_server, |round_trip| asked.store(round_trip, Ordering::SeqCst), None),
                take(line, from_server, || asked.load(Ordering::SeqCst), downward),
                pass(
                    line,
                    to_pass_down,
                    to_client,
                    |round_trip| line.round_trips.received(round_trip),
                    Some(&mut lookout)
                ),
            )
        };
        tokio::select! {
            ended = both_ways => ended.is_ok(),
            _ = &mut cut => false,
        }
    };
    if !ended_well {
        reset(&client);
        reset(&server);
    }
    drop((client, server));
    lookout.report(&line.traps);
}

async fn reach(line: &Line) -> io::Result<TcpStream> {
    thawed(line).await;
    let (host, port) = &line.target;
    TcpStream::connect((host.as_str(), *port)).await
}

async fn thawed(line: &Line) {
    // The sender is in the line, so that there is one.
    let _ = line.mode.subscribe().wait_for(|mode| !mode.frozen).await;
}

/// Makes the close that follows a reset. It fails only where the connection is gone already.
fn reset(stream: &TcpStream) {
    let _ = stream.set_zero_linger();
}

async fn take(
    line: &Line,
    from: ReadHalf<'_>,
    round_trip: impl Fn() -> u64,
    queue: mpsc::Sender<Chunk>,
) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        from.readable().await?;
        let read = {
            let mode = line.mode.borrow();
            (!mode.frozen).then(|| (from.try_read(&mut buffer), mode.delay))
        };
        let (length, delay) = match read {
            None => {
                thawed(line).await;
                continue;
            }
            Some((Err(error), _)) if error.kind() == ErrorKind::WouldBlock => continue,
            Some((read, delay)) => (read?, delay),
        };
        let round_trip = if length > 0 { round_trip() } else { 0 };
        let chunk = Chunk { bytes: buffer[..length].to_vec(), due: Instant::now() + delay, round_trip };
        if queue.send(chunk).await.is_err() || length == 0 {
            return Ok(());
        }
    }
}

async fn pass(
    line: &Line,
    mut queue: mpsc::Receiver<Chunk>,
    mut to: WriteHalf<'_>,
    arriving: impl Fn(u64),
    mut lookout: Option<&mut Lookout>,
) -> io::Result<()> {
    while let Some(Chunk { bytes, due, round_trip }) = queue.recv().await {
        if due > Instant::now() {
            sleep_until(due).await;
        }
        if bytes.is_empty() {
            thawed(line).await;
            // A side that has closed altogether needs no end from us.
            let _ = to.shutdown().await;
            return Ok(());
        }
        // Before they are there: the other side may be quick.
        arriving(round_trip);
        let caught = lookout.as_mut().and_then(|lookout| lookout.look(&line.traps, &bytes));
        let (first, rest) = bytes.split_at(caught.unwrap_or(bytes.len()));
        write(line, &to, first).await?;
        if let (Some(lookout), Some(_)) = (lookout.as_mut(), caught) {
            match lookout.act() {
                Act::Freeze => {
                    line.mode.send_modify(|mode| mode.frozen = true);
                    lookout.report(&line.traps);
                }
                Act::Cut => {
                    delivered(&to).await?;
                    return Err(ErrorKind::ConnectionReset.into());
                }
            }
        }
        write(line, &to, rest).await?;
    }
    Ok(())
}

async fn write(line: &Line, to: &WriteHalf<'_>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        to.writable().await?;
        let written = {
            let mode = line.mode.borrow();
            (!mode.frozen).then(|| to.try_write(bytes))
        };
        match written {
            None => thawed(line).await,
            Some(Err(error)) if error.kind() == ErrorKind::WouldBlock => {}
            Some(written) => bytes = &bytes[written?..],
        }
    }
    Ok(())
}

/// Waits until the other side's kernel has everything: a reset takes back what has not arrived.
async fn delivered(to: &WriteHalf<'_>) -> io::Result<()> {
    let (local, peer) = (to.local_addr()?, to.peer_addr()?);
    while is_on_its_way(&std::fs::read_to_string("/proc/net/tcp")?, local, peer) {
        sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}

/// Whether the kernel's list of connections says of one of them that sent bytes are not acknowledged.
fn is_on_its_way(connections: &str, local: SocketAddr, peer: SocketAddr) -> bool {
    let (local, peer) = (format!(":{:04X}", local.port()), format!(":{:04X}", peer.port()));
    connections
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_ascii_whitespace().skip(1);
            let (from, to) = (fields.next()?, fields.next()?);
            let (sent, _) = fields.nth(1)?.split_once(':')?;
            (from.ends_with(&local) && to.ends_with(&peer)).then_some(sent)
        })
        .any(|sent| sent.bytes().any(|digit| digit != b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unacknowledged_bytes_are_found_by_both_ports() {
        let list = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n\
                    0: 0100007F:3A98 0100007F:D431 01 0000001C:00000000 00:00000000 00000000     0\n\
                    1: 0100007F:3A98 0100007F:D432 01 00000000:0000001C 00:00000000 00000000     0\n";
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        assert!(is_on_its_way(list, address(0x3A98), address(0xD431)));
        assert!(!is_on_its_way(list, address(0x3A98), address(0xD432)));
        assert!(!is_on_its_way(list, address(0xD431), address(0x3A98)));
    }
}
