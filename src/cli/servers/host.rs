//! `--host`: is it something that could ever be connected to? Pure.

use std::net::Ipv6Addr;

/// A host as libpq takes it: a name, an address, the folder of a socket, or a list of these, separated by commas.
///
/// # Errors
/// There is nothing that it could stand for: nobody would ever get there.
pub(super) fn host(text: &str) -> Result<String, &'static str> {
    if text.is_empty() {
        return Err("a host is not empty");
    }
    if text.contains(char::is_control) {
        return Err("there are control characters in it");
    }
    text.split(',').try_for_each(one)?;
    Ok(text.into())
}

fn one(host: &str) -> Result<(), &'static str> {
    // In the name of a folder there may be anything. One that is left empty is the folder of this machine's sockets.
    if host.is_empty() || host.starts_with(['/', '@']) {
        return Ok(());
    }
    if host.contains(char::is_whitespace) {
        return Err("no name and no address of a host has white space in it");
    }
    if host.contains(['[', ']']) {
        return Err("an IPv6 address is written without brackets here");
    }
    // One that is local to a network has the network's name behind it.
    let address = host.split_once('%').map_or(host, |(address, _)| address);
    if host.contains(':') && address.parse::<Ipv6Addr>().is_err() {
        return Err("this is no IPv6 address; a port is given with --port");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[test]
    fn what_can_be_connected_to_is_taken_as_it_is() {
        for text in [
            "db1",
            "db1.example.",
            "10.0.0.1",
            "::1",
            "fe80::1%eth0",
            "/run/postgresql",
            "/run/my sockets",
            "@pg",
            "db1,db2",
            "db1,::1,/run/pg",
            "db1,",
            "db_1",
            "bücher.example",
        ] {
            assert_eq!(host(text).as_deref(), Ok(text));
        }
    }

    #[test]
    fn what_can_never_be_connected_to_is_refused() {
        for (text, reason) in [
            ("", "not empty"),
            (" ", "white space"),
            ("db 7", "white space"),
            (" db7", "white space"),
            ("db1, db2", "white space"),
            ("db7\u{a0}", "white space"),
            ("db\n7", "control characters"),
            ("/run/pg\n", "control characters"),
            ("[::1]", "without brackets"),
            ("db7:5433", "--port"),
            ("db1,db7:5433", "--port"),
            ("postgresql://db7/powa", "--port"),
        ] {
            let said = host(text).unwrap_err();
            assert!(said.contains(reason), "{text:?}: {said}");
        }
    }

    #[test]
    fn it_is_looked_at_wherever_a_host_is_given() {
        for arguments in [&["add", "--host", "db 7"][..], &["set", "1", "--host", "db 7"]] {
            let words = ["powa-collector", "servers"].iter().chain(arguments);
            let refused = super::super::super::Arguments::try_parse_from(words).unwrap_err().to_string();
            assert!(refused.contains("white space"), "{arguments:?}: {refused}");
        }
    }
}
