//! Where the servers of an endpoint are: the hosts of a connection string as libpq reads them, and which of them were of
//! no use the last time.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::{Semaphore, oneshot};
use tokio_postgres::config::{self, Config, LoadBalanceHosts};

use super::socket::Peer;

/// What libpq calls the default port.
const PORT: u16 = 5432;

/// Threads that look up the name of one host. A lookup that hangs cannot be ended, so there must not be any number.
const LOOKUPS: usize = 4;

/// The hosts of an endpoint. Clones share what was learnt of them.
#[derive(Clone)]
pub(super) struct Hosts {
    listed: Arc<[Host]>,
    at_random: bool,
}

/// One of them.
pub(super) struct Host {
    name: String,
    place: Place,
    port: u16,
    at_random: bool,
    /// The last try has failed.
    failed: AtomicBool,
    /// The address that was of use, of several that a name may have.
    good: Mutex<Option<IpAddr>>,
    /// One permit a lookup.
    lookups: Arc<Semaphore>,
}

#[derive(Debug, PartialEq)]
enum Place {
    /// The folder of a Unix socket.
    Folder(PathBuf),
    Address(IpAddr),
    /// To be resolved each time: it may move.
    Name,
}

impl Hosts {
    /// Reads `host`, `hostaddr` and `port`: a port for each, or one for all. Where both are given, it is the `hostaddr`
    /// that is connected to.
    pub(super) fn of(config: &Config) -> Result<Self, String> {
        let (names, addresses, ports) = (config.get_hosts(), config.get_hostaddrs(), config.get_ports());
        let number = names.len().max(addresses.len()).max(1);
        if !names.is_empty() && !addresses.is_empty() && names.len() != addresses.len() {
            return Err(format!("{} host names and {} hostaddr values", names.len(), addresses.len()));
        }
        if ports.len() > 1 && ports.len() != number {
            return Err(format!("{} ports for {number} hosts", ports.len()));
        }
        let at_random = config.get_load_balance_hosts() == LoadBalanceHosts::Random;
        let host = |at: usize| {
            let (name, place) = match (names.get(at), addresses.get(at)) {
                (Some(config::Host::Tcp(name)), address) => {
                    let name = if name.is_empty() { "localhost" } else { name };
                    (name.to_owned(), address.map_or(Place::Name, |address| Place::Address(*address)))
                }
                (None, None) => ("localhost".to_owned(), Place::Name),
                (None, Some(address)) => (address.to_string(), Place::Address(*address)),
                (Some(config::Host::Unix(folder)), _) => (folder.display().to_string(), Place::Folder(folder.clone())),
            };
            let port = ports.get(at).or(ports.first()).copied().unwrap_or(PORT);
            let lookups = Arc::new(Semaphore::new(LOOKUPS));
            Host { name, place, port, at_random, failed: AtomicBool::new(false), good: Mutex::default(), lookups }
        };
        Ok(Self { listed: (0..number).map(host).collect(), at_random })
    }

    /// In the order in which they are to be tried: as listed, or at random with `load_balance_hosts=random`, but those
    /// that failed the last time come last, so that a host that is gone is not waited for by every connection.
    pub(super) fn in_order(&self) -> Vec<&Host> {
        let mut order: Vec<&Host> = self.listed.iter().collect();
        if self.at_random {
            fastrand::shuffle(&mut order);
        }
        order.sort_by_key(|host| host.failed.load(Ordering::Relaxed));
        order
    }
}

impl Host {
    /// The addresses to try, in order.
    pub(super) async fn peers(&self) -> io::Result<Vec<Peer>> {
        let address = match &self.place {
            Place::Folder(folder) => return Ok(vec![Peer::Unix(folder.join(format!(".s.PGSQL.{}", self.port)))]),
            Place::Address(address) => return Ok(vec![Peer::Tcp(SocketAddr::new(*address, self.port))]),
            Place::Name => self.look_up().await?,
        };
        let mut addresses: Vec<SocketAddr> = Vec::new();
        for one in address {
            if !addresses.contains(&one) {
                addresses.push(one);
            }
        }
        if self.at_random {
            fastrand::shuffle(&mut addresses);
        } else {
            let good = *self.good.lock().expect("no panic while holding the lock");
            addresses.sort_by_key(|address| Some(address.ip()) != good);
        }
        match addresses.is_empty() {
            true => Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address")),
            false => Ok(addresses.into_iter().map(Peer::Tcp).collect()),
        }
    }

    /// By a thread of its own: a resolver that hangs holds up nobody else, nor is it held up by a disk that hangs, as in
    /// the pool of threads that the runtime has for both.
    async fn look_up(&self) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = self.name.parse() {
            return Ok(vec![SocketAddr::new(address, self.port)]);
        }
        let turn = Arc::clone(&self.lookups).acquire_owned().await.expect("nobody closes the semaphore");
        let (name, port) = (self.name.clone(), self.port);
        let (tell, told) = oneshot::channel();
        std::thread::Builder::new().name("lookup".into()).spawn(move || {
            let addresses = (name.as_str(), port).to_socket_addrs().map(Iterator::collect);
            drop(turn);
            // There may be nobody any more who waits for it.
            tell.send(addresses).ok();
        })?;
        told.await.expect("a lookup does not panic")
    }

    /// It was of use.
    pub(super) fn succeeded_at(&self, peer: &Peer) {
        self.failed.store(false, Ordering::Relaxed);
        if let Peer::Tcp(address) = peer {
            *self.good.lock().expect("no panic while holding the lock") = Some(address.ip());
        }
    }

    /// It was of no use.
    pub(super) fn failed(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.port)
    }
}

impl fmt::Display for Hosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, host) in self.listed.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{host}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(dsn: &str) -> Result<Hosts, String> {
        Hosts::of(&dsn.parse().unwrap())
    }

    fn order(hosts: &Hosts) -> Vec<String> {
        hosts.in_order().into_iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_lists_of_a_connection_string_are_read_as_libpq_reads_them() {
        let cases = [
            ("", "localhost:5432"),
            ("host=a", "a:5432"),
            ("host=a,b", "a:5432,b:5432"),
            ("host=a,b port=1", "a:1,b:1"),
            ("host=a,b port=1,2", "a:1,b:2"),
            ("host=a,b port=,2", "a:5432,b:2"),
            ("host=a,,b", "a:5432,localhost:5432,b:5432"),
            ("host=/run/pg,b", "/run/pg:5432,b:5432"),
            ("hostaddr=10.0.0.1,10.0.0.2 port=7", "10.0.0.1:7,10.0.0.2:7"),
            ("host=a,b hostaddr=10.0.0.1,10.0.0.2", "a:5432,b:5432"),
            ("postgresql://a:1,b,c:3/db", "a:1,b:5432,c:3"),
        ];
        for (dsn, expected) in cases {
            assert_eq!(hosts(dsn).unwrap().to_string(), expected, "{dsn}");
        }
    }

    #[test]
    fn lists_of_different_lengths_are_refused() {
        assert_eq!(hosts("host=a,b,c port=1,2").err().unwrap(), "2 ports for 3 hosts");
        assert_eq!(hosts("host=a hostaddr=10.0.0.1,10.0.0.2").err().unwrap(), "1 host names and 2 hostaddr values");
    }

    #[test]
    fn it_is_the_hostaddr_that_is_connected_to() {
        let hosts = hosts("host=a,/run/pg hostaddr=10.0.0.1,10.0.0.2").unwrap();
        assert_eq!(hosts.listed[0].place, Place::Address([10, 0, 0, 1].into()));
        assert_eq!(hosts.listed[1].place, Place::Folder("/run/pg".into()));
    }

    #[tokio::test]
    async fn a_folder_has_the_socket_of_a_port() {
        let hosts = hosts("host=/run/pg port=6000").unwrap();
        assert_eq!(hosts.listed[0].peers().await.unwrap(), [Peer::Unix("/run/pg/.s.PGSQL.6000".into())]);
    }

    #[test]
    fn a_host_that_failed_is_tried_last_until_it_is_of_use_again() {
        let hosts = hosts("host=a,b,c").unwrap();
        hosts.listed[0].failed();
        let elsewhere = hosts.clone();
        assert_eq!(order(&elsewhere), ["b:5432", "c:5432", "a:5432"]);
        hosts.listed[1].failed();
        hosts.listed[2].failed();
        assert_eq!(order(&hosts), ["a:5432", "b:5432", "c:5432"]);
        hosts.listed[1].succeeded_at(&Peer::Tcp(([10, 0, 0, 1], 5432).into()));
        assert_eq!(order(&hosts), ["b:5432", "a:5432", "c:5432"]);
    }

    #[test]
    fn at_random_each_is_the_first_at_times() {
        let hosts = hosts("host=a,b,c load_balance_hosts=random").unwrap();
        hosts.listed[2].failed();
        let mut first: Vec<_> = (0..200).map(|_| order(&hosts).swap_remove(0)).collect();
        first.sort();
        first.dedup();
        assert_eq!(first, ["a:5432", "b:5432"]);
    }

    #[test]
    fn a_name_is_resolved_while_all_threads_of_the_runtime_hang() {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build().unwrap();
        let (end, hanging) = std::sync::mpsc::channel::<()>();
        let found = runtime.block_on(async {
            tokio::task::spawn_blocking(move || hanging.recv().ok());
            let hosts = hosts("host=localhost").unwrap();
            let looking_up = hosts.listed[0].peers();
            tokio::time::timeout(std::time::Duration::from_secs(10), looking_up).await.map(|found| found.unwrap().len())
        });
        drop(end);
        assert!(found.is_ok_and(|addresses| addresses > 0));
    }

    #[tokio::test]
    async fn the_address_that_was_of_use_is_tried_first() {
        let hosts = hosts("host=localhost").unwrap();
        let host = &hosts.listed[0];
        for peer in host.peers().await.unwrap() {
            host.succeeded_at(&peer);
            assert_eq!(host.peers().await.unwrap()[0], peer);
        }
    }
}
