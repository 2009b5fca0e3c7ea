//! Finds a free TCP port for a server.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};

use anyhow::{Context, Result};

/// Below the kernel's range for outgoing connections (from 32768): a port asked of the kernel itself can be taken
/// by any client while a server is stopped, and the server could not come back to it.
const LOWEST: u16 = 15_000;
const HIGHEST: u16 = 32_000;

/// Finds a port on which nobody listens, on 127.0.0.1 or on ::1. Somebody else may take it before it is used: the caller tries again.
pub(crate) fn free() -> Result<u16> {
    (0..1_000)
        .map(|_| candidate())
        .find(|&port| is_free(Ipv4Addr::LOCALHOST.into(), port) && is_free(Ipv6Addr::LOCALHOST.into(), port))
        .context("no free port on 127.0.0.1 and ::1")
}

fn is_free(address: IpAddr, port: u16) -> bool {
    match TcpListener::bind((address, port)) {
        Ok(_) => true,
        // Any other reason is no other server, such as an address that this machine does not have.
        Err(error) => error.kind() != ErrorKind::AddrInUse,
    }
}

fn candidate() -> u16 {
    // Every RandomState has other keys, which is all the randomness that this needs.
    let random = RandomState::new().build_hasher().finish();
    let offset = random % u64::from(HIGHEST - LOWEST);
    LOWEST + u16::try_from(offset).expect("the range of ports fits 16 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_port_can_be_listened_on_and_is_not_found_again_while_taken() {
        let port = free().unwrap();
        let _listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        assert!((0..200).all(|_| free().unwrap() != port));
    }
}
