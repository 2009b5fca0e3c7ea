//! The hosts of an endpoint, their addresses, and which of them failed recently.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use crate::blocking_pool::{BlockingPool, ThreadLimit};
use crate::socket::Peer;
use libpq::{self, Location};

/// How long a failed host is tried last. Then it is tried in its place again, as it may be the preferred one.
const FAILED_HOST_COOLDOWN: Duration = Duration::from_secs(300);

/// What is known about the hosts of an endpoint. Clones share it. The list itself may change with a service file.
#[derive(Clone, Default)]
pub(crate) struct Hosts {
    known: Arc<Mutex<Vec<Arc<Host>>>>,
    /// The threads for name resolution.
    threads: ThreadLimit,
}

/// One host.
pub(crate) struct Host {
    pub(crate) listed: libpq::Host,
    /// When the last attempt failed.
    failed_at: Mutex<Option<Instant>>,
    /// The address that worked last, if the name has several.
    last_good_address: Mutex<Option<IpAddr>>,
    lookups: BlockingPool,
}

impl Hosts {
    /// An empty list, with a shared limit on threads for name resolution.
    pub(crate) fn new(threads: &ThreadLimit) -> Self {
        Self { threads: threads.clone(), ..Self::default() }
    }

    /// The hosts in the order to try them: as listed or at random, but those that failed within the last minutes come
    /// last, so that not every connection waits for a host that is down.
    pub(crate) fn in_order(&self, listed: &[libpq::Host], at_random: bool) -> Vec<Arc<Host>> {
        let mut order = self.update_list(listed);
        if at_random {
            fastrand::shuffle(&mut order);
        }
        order.sort_by_key(|host| host.has_failed());
        order
    }

    /// Replaces the list, and keeps what is known about those listed before.
    fn update_list(&self, listed: &[libpq::Host]) -> Vec<Arc<Host>> {
        let mut known = self.known.lock().expect("no panic while holding the lock");
        let hosts = listed.iter().map(|host| match known.iter().find(|known| known.listed == *host) {
            Some(known) => Arc::clone(known),
            None => Arc::new(Host::new(host.clone(), &self.threads)),
        });
        *known = hosts.collect();
        known.clone()
    }
}

impl Host {
    fn new(listed: libpq::Host, threads: &ThreadLimit) -> Self {
        Self {
            listed,
            failed_at: Mutex::default(),
            last_good_address: Mutex::default(),
            lookups: BlockingPool::sharing(threads),
        }
    }

    /// The addresses to try, in order.
    pub(crate) async fn peers(&self, at_random: bool) -> io::Result<Vec<Peer>> {
        let port = self.listed.port;
        let found = match &self.listed.location {
            Location::Directory(directory) => return Ok(vec![Peer::in_directory(directory, port)]),
            Location::Address(address) => return Ok(vec![Peer::Tcp(SocketAddr::new(*address, port))]),
            Location::Name => self.look_up().await?,
        };
        let mut addresses: Vec<SocketAddr> = Vec::new();
        for address in found {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        if at_random {
            fastrand::shuffle(&mut addresses);
        } else {
            let last_good = *self.last_good_address.lock().expect("no panic while holding the lock");
            addresses.sort_by_key(|address| Some(address.ip()) != last_good);
        }
        match addresses.is_empty() {
            true => Err(io::Error::new(io::ErrorKind::NotFound, "the host name has no address")),
            false => Ok(addresses.into_iter().map(Peer::Tcp).collect()),
        }
    }

    async fn look_up(&self) -> io::Result<Vec<SocketAddr>> {
        let (name, port) = (self.listed.name.clone(), self.listed.port);
        if let Ok(address) = name.parse() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        self.lookups.run("lookup", move || (name.as_str(), port).to_socket_addrs().map(Iterator::collect)).await?
    }

    pub(crate) fn mark_succeeded(&self, peer: &Peer) {
        *self.failed_at.lock().expect("no panic while holding the lock") = None;
        if let Peer::Tcp(address) = peer {
            *self.last_good_address.lock().expect("no panic while holding the lock") = Some(address.ip());
        }
    }

    pub(crate) fn mark_failed(&self) {
        *self.failed_at.lock().expect("no panic while holding the lock") = Some(Instant::now());
    }

    fn has_failed(&self) -> bool {
        let failed_at = *self.failed_at.lock().expect("no panic while holding the lock");
        failed_at.is_some_and(|failed_at| failed_at.elapsed() < FAILED_HOST_COOLDOWN)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.listed.name, self.listed.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(names: &[&str]) -> Vec<libpq::Host> {
        names.iter().map(|name| libpq::Host { name: (*name).into(), location: Location::Name, port: 5432 }).collect()
    }

    fn names(order: Vec<Arc<Host>>) -> Vec<String> {
        order.into_iter().map(|host| host.listed.name.clone()).collect()
    }

    fn only(name: &str) -> Arc<Host> {
        Hosts::default().update_list(&listed(&[name])).remove(0)
    }

    #[tokio::test]
    async fn a_directory_has_the_socket_of_a_port() {
        let location = Location::Directory("/run/pg".into());
        let host = Host::new(libpq::Host { name: "/run/pg".into(), location, port: 6000 }, &ThreadLimit::default());
        assert_eq!(host.peers(false).await.unwrap(), [Peer::Unix("/run/pg/.s.PGSQL.6000".into())]);
    }

    #[tokio::test]
    async fn hostaddr_is_used_instead_of_the_name() {
        let host =
            libpq::Host { name: "nowhere.invalid".into(), location: Location::Address([10, 0, 0, 1].into()), port: 7 };
        assert_eq!(
            Host::new(host, &ThreadLimit::default()).peers(false).await.unwrap(),
            [Peer::Tcp(([10, 0, 0, 1], 7).into())]
        );
    }

    #[test]
    fn a_failed_host_is_tried_last_until_it_succeeds() {
        let hosts = Hosts::default();
        let listed = listed(&["a", "b", "c"]);
        let known = hosts.update_list(&listed);
        known[0].mark_failed();
        let elsewhere = hosts.clone();
        let order = || names(elsewhere.in_order(&listed, false));
        assert_eq!(order(), ["b", "c", "a"]);
        known[1].mark_failed();
        known[2].mark_failed();
        assert_eq!(order(), ["a", "b", "c"]);
        known[1].mark_succeeded(&Peer::Tcp(([10, 0, 0, 1], 5432).into()));
        assert_eq!(order(), ["b", "a", "c"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_host_is_tried_in_its_place_after_the_cooldown() {
        let hosts = Hosts::default();
        let listed = listed(&["a", "b"]);
        hosts.update_list(&listed)[0].mark_failed();
        let order = || names(hosts.in_order(&listed, false));
        tokio::time::advance(FAILED_HOST_COOLDOWN - Duration::from_secs(1)).await;
        assert_eq!(order(), ["b", "a"]);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(order(), ["a", "b"]);
    }

    #[test]
    fn the_state_of_a_host_survives_changes_of_the_list() {
        let hosts = Hosts::default();
        hosts.update_list(&listed(&["a", "b"]))[0].mark_failed();
        assert_eq!(names(hosts.in_order(&listed(&["a", "c"]), false)), ["c", "a"]);
        assert_eq!(names(hosts.in_order(&listed(&["c"]), false)), ["c"]);
        assert_eq!(names(hosts.in_order(&listed(&["a", "c"]), false)), ["a", "c"], "what left is forgotten");
    }

    #[test]
    fn in_random_order_each_host_is_first_sometimes() {
        let hosts = Hosts::default();
        let listed = listed(&["a", "b", "c"]);
        hosts.update_list(&listed)[2].mark_failed();
        let mut first: Vec<_> = (0..200).map(|_| names(hosts.in_order(&listed, true)).swap_remove(0)).collect();
        first.sort();
        first.dedup();
        assert_eq!(first, ["a", "b"]);
    }

    #[test]
    fn a_name_is_resolved_while_all_threads_of_the_runtime_hang() {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build().unwrap();
        let (end, hanging) = std::sync::mpsc::channel::<()>();
        let found = runtime.block_on(async {
            tokio::task::spawn_blocking(move || hanging.recv().ok());
            let host = only("localhost");
            let looking_up = host.peers(false);
            tokio::time::timeout(std::time::Duration::from_secs(10), looking_up).await.map(|found| found.unwrap().len())
        });
        drop(end);
        assert!(found.is_ok_and(|addresses| addresses > 0));
    }

    #[tokio::test]
    async fn the_last_good_address_is_tried_first() {
        let host = only("localhost");
        for peer in host.peers(false).await.unwrap() {
            host.mark_succeeded(&peer);
            assert_eq!(host.peers(false).await.unwrap()[0], peer);
        }
    }
}
