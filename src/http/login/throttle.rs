//! Limits failed logins by the client's address and by the role, in a bounded amount of memory. Pure.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// Failures in a row that are not limited: of an address, which many clients may share, and of a role.
const ADDRESS_BURST: u32 = 20;
const ROLE_BURST: u32 = 10;

/// The time in which one more failure is allowed after that.
const INTERVAL: Duration = Duration::from_secs(6);

/// Addresses, and roles, that are remembered at once.
const MAX_ENTRIES: usize = 4096;

/// The failures of addresses and of roles.
pub(super) struct LoginThrottle {
    addresses: Failures<IpAddr>,
    roles: Failures<String>,
}

/// A login that counts as failed until it has succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attempt {
    address: IpAddr,
    role: Option<String>,
}

impl Default for LoginThrottle {
    fn default() -> Self {
        Self { addresses: Failures::new(ADDRESS_BURST), roles: Failures::new(ROLE_BURST) }
    }
}

impl LoginThrottle {
    /// Counts a login as failed, before it is tried: several at once cannot be more than are allowed.
    ///
    /// # Errors
    /// The time after which the next one is allowed.
    pub(super) fn begin(&mut self, client: IpAddr, role: Option<&str>, now: Instant) -> Result<Attempt, Duration> {
        let (address, role) = (network(client), role.map(str::to_owned));
        let wait = self.addresses.wait(&address, now);
        let wait = role.as_ref().and_then(|role| self.roles.wait(role, now)).max(wait);
        if let Some(wait) = wait {
            return Err(wait);
        }
        self.addresses.add(address, now);
        if let Some(role) = &role {
            self.roles.add(role.clone(), now);
        }
        Ok(Attempt { address, role })
    }

    /// Takes back a failure: the login has succeeded, or nobody knows whether it would have.
    pub(super) fn take_back(&mut self, attempt: &Attempt) {
        self.addresses.remove(&attempt.address);
        if let Some(role) = &attempt.role {
            self.roles.remove(role);
        }
    }
}

/// Somebody with one IPv6 address has the other ones of its network too.
fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (!0 << 64))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// The failures of each key.
struct Failures<K> {
    burst: u32,
    /// When all failures of a key will have been forgotten: each is for [`INTERVAL`].
    ends: HashMap<K, Instant>,
}

impl<K: Eq + Hash + Clone> Failures<K> {
    fn new(burst: u32) -> Self {
        Self { burst, ends: HashMap::new() }
    }

    /// How long until another failure is allowed; `None` if it is now.
    fn wait(&self, key: &K, now: Instant) -> Option<Duration> {
        let after_next = *self.ends.get(key).filter(|end| **end > now)? + INTERVAL;
        after_next.checked_duration_since(now + INTERVAL * self.burst).filter(|wait| !wait.is_zero())
    }

    fn add(&mut self, key: K, now: Instant) {
        if self.ends.len() >= MAX_ENTRIES && !self.ends.contains_key(&key) {
            self.ends.retain(|_, end| *end > now);
            // The one with the fewest failures.
            if self.ends.len() >= MAX_ENTRIES
                && let Some(oldest) = self.ends.iter().min_by_key(|(_, end)| **end).map(|(key, _)| key.clone())
            {
                self.ends.remove(&oldest);
            }
        }
        let end = self.ends.entry(key).or_insert(now);
        *end = (*end).max(now) + INTERVAL;
    }

    fn remove(&mut self, key: &K) {
        if let Some(end) = self.ends.get_mut(key) {
            match end.checked_sub(INTERVAL) {
                Some(earlier) => *end = earlier,
                None => drop(self.ends.remove(key)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    const ELSEWHERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    #[test]
    fn after_some_failures_one_is_allowed_every_six_seconds() {
        let (mut throttle, start) = (LoginThrottle::default(), Instant::now());
        for number in 0..ROLE_BURST {
            assert!(throttle.begin(HERE, Some("ada"), start).is_ok(), "{number}");
        }
        // The role is limited from everywhere, and other roles are not.
        assert_eq!(throttle.begin(HERE, Some("ada"), start), Err(INTERVAL));
        assert_eq!(throttle.begin(ELSEWHERE, Some("ada"), start), Err(INTERVAL));
        for number in ROLE_BURST..ADDRESS_BURST {
            assert!(throttle.begin(HERE, Some(&number.to_string()), start).is_ok(), "{number}");
        }
        assert_eq!(throttle.begin(HERE, Some("bob"), start), Err(INTERVAL));
        assert!(throttle.begin(ELSEWHERE, Some("bob"), start).is_ok());
        let later = start + INTERVAL;
        assert!(throttle.begin(HERE, Some("ada"), later).is_ok());
        assert_eq!(throttle.begin(HERE, Some("ada"), later), Err(INTERVAL));
        assert!(throttle.begin(HERE, None, start + INTERVAL * (2 * ADDRESS_BURST)).is_ok());
    }

    #[test]
    fn a_login_that_succeeds_is_not_counted() {
        let (mut throttle, now) = (LoginThrottle::default(), Instant::now());
        for _ in 0..5 * ADDRESS_BURST {
            let attempt = throttle.begin(HERE, Some("ada"), now).unwrap();
            throttle.take_back(&attempt);
        }
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let (mut throttle, now) = (LoginThrottle::default(), Instant::now());
        for host in 0..20_u16 {
            let client = IpAddr::from([0x2001, 0xdb8, 0, 1, host, 0, 0, host]);
            assert!(throttle.begin(client, None, now).is_ok());
        }
        assert!(throttle.begin(IpAddr::from([0x2001, 0xdb8, 0, 1, 9, 9, 9, 9]), None, now).is_err());
        assert!(throttle.begin(IpAddr::from([0x2001, 0xdb8, 0, 2, 0, 0, 0, 1]), None, now).is_ok());
        assert_eq!(network(IpAddr::from([0, 0, 0, 0, 0, 0xffff, 0x7f00, 1])), HERE);
    }

    #[test]
    fn any_number_of_addresses_and_roles_takes_a_bounded_amount_of_memory() {
        let (mut throttle, now) = (LoginThrottle::default(), Instant::now());
        for _ in 0..ADDRESS_BURST {
            throttle.begin(HERE, None, now).unwrap();
        }
        for number in 0..20_000_u32 {
            let _ = throttle.begin(IpAddr::from(number.to_be_bytes()), Some(&number.to_string()), now);
        }
        assert!(throttle.addresses.ends.len() <= MAX_ENTRIES && throttle.roles.ends.len() <= MAX_ENTRIES);
        assert!(throttle.begin(HERE, None, now).is_err(), "those with the most failures stay");
    }
}
