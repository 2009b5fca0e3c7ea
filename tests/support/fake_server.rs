//! A faulty remote server: a real one, whose rows are changed on the way into what no correct server sends.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use lab::Cluster;

/// What is said instead of a copied row, in any number of messages, or nothing to let it pass.
type Lie = dyn Fn(&[u8]) -> Option<Vec<Vec<u8>>> + Send + Sync;

/// It listens until the tests end.
pub(crate) struct FakeServer {
    pub port: u16,
    lies: Arc<AtomicUsize>,
}

impl FakeServer {
    pub(crate) fn before(
        server: &Cluster,
        lie: impl Fn(&[u8]) -> Option<Vec<Vec<u8>>> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let address = (server.host().to_owned(), server.port());
        let (lie, lies): (Arc<Lie>, _) = (Arc::new(lie), Arc::<AtomicUsize>::default());
        let counted = Arc::clone(&lies);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (lie, lies) = (Arc::clone(&lie), Arc::clone(&counted));
                let Ok(server) = TcpStream::connect((address.0.as_str(), address.1)) else { continue };
                // It ends with the connection, which is an error here.
                thread::spawn(move || drop(pass_on(client, server, &*lie, &lies)));
            }
        });
        Self { port, lies }
    }

    /// How often it has lied.
    pub(crate) fn lies(&self) -> usize {
        self.lies.load(Ordering::SeqCst)
    }
}

fn pass_on(mut client: TcpStream, mut server: TcpStream, lie: &Lie, lies: &AtomicUsize) -> io::Result<()> {
    /// What asks for TLS or GSSAPI begins with this where a version of the protocol would be.
    const ASKS_FOR_ENCRYPTION: [&[u8]; 2] = [&[4, 210, 22, 47], &[4, 210, 22, 48]];

    let mut first = read_packet(&mut client)?;
    while ASKS_FOR_ENCRYPTION.contains(&first.as_slice()) {
        client.write_all(b"N")?;
        first = read_packet(&mut client)?;
    }
    write_packet(&mut server, &first)?;
    let (mut asking, mut asked) = (client.try_clone()?, server.try_clone()?);
    thread::spawn(move || {
        drop(io::copy(&mut asking, &mut asked));
        drop(asked.shutdown(Shutdown::Both));
    });
    let output = tell(&mut client, &mut server, lie, lies);
    drop(client.shutdown(Shutdown::Both));
    output
}

fn tell(client: &mut TcpStream, server: &mut TcpStream, lie: &Lie, lies: &AtomicUsize) -> io::Result<()> {
    loop {
        let mut kind = [0];
        server.read_exact(&mut kind)?;
        let body = read_packet(server)?;
        let bodies = match if kind == *b"d" { lie(&body) } else { None } {
            Some(lied) => {
                lies.fetch_add(1, Ordering::SeqCst);
                lied
            }
            None => vec![body],
        };
        for body in bodies {
            client.write_all(&kind)?;
            write_packet(client, &body)?;
        }
    }
}

/// Without its length, which comes first and counts itself.
fn read_packet(from: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let mut body = vec![0; u32::from_be_bytes(length) as usize - length.len()];
    from.read_exact(&mut body)?;
    Ok(body)
}

fn write_packet(to: &mut TcpStream, body: &[u8]) -> io::Result<()> {
    let length = u32::try_from(body.len() + 4).unwrap();
    to.write_all(&[&length.to_be_bytes(), body].concat())
}
