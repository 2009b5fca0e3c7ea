//! Explains why a text is not a host name, and what to write instead. Pure.

use std::net::Ipv6Addr;

/// The error in a host name or address, if it can be neither. Socket directories, which begin with `/` or `@`, must not
/// be passed.
///
/// Parts that may be a password, as in a URL, are not quoted.
pub fn host_name_error(host: &str) -> Option<String> {
    if host.contains(char::is_whitespace) {
        return Some("a host name or address cannot contain white space".into());
    }
    if let Some((_, rest)) = host.split_once("://") {
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
        let meant = match split_port(place) {
            Some((name, port)) => format!("use host {name} and port {port}"),
            None if place.is_empty() => "give only the host".into(),
            None => format!("use host {}", place.trim_matches(['[', ']'])),
        };
        return Some(format!("a URL is not a host name: {meant}"));
    }
    if let Some((name, port)) = split_port(host) {
        return Some(format!("a host cannot contain a port; use host {name}, and give port {port} separately"));
    }
    if host.contains(['[', ']']) {
        return Some("an IPv6 address is written without brackets here".into());
    }
    if host.contains('/') {
        return Some("a host name cannot contain a slash; the directory of a Unix socket begins with one".into());
    }
    if let Some((_, host)) = host.split_once('@').filter(|(user, _)| !user.is_empty()) {
        return Some(format!("a host name cannot contain an @; use host {host}, and give the user separately"));
    }
    if host.contains(':') && !is_ipv6(host) {
        return Some("a host name cannot contain a colon, and this is not an IPv6 address".into());
    }
    None
}

/// A hint for an unreachable host that is valid but seems to end in a port: a socket directory and an IPv6 address may
/// legitimately end so.
pub fn suspected_port(host: &str) -> Option<String> {
    let (name, port) = host.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port: &u16| *port > 0 && host.ends_with(&format!(":{port}")))?;
    let is_directory = name.starts_with(['/', '@']);
    let is_address = is_ipv6(host) && is_ipv6(name);
    if !is_directory && !is_address {
        return None;
    }
    let what = if is_directory { "directory" } else { "host" };
    Some(format!("if {port} is the port, use {what} {name}, and give the port separately"))
}

/// A link-local address is followed by `%` and a network interface.
fn is_ipv6(text: &str) -> bool {
    text.split_once('%').map_or(text, |(address, _)| address).parse::<Ipv6Addr>().is_ok()
}

/// Splits `name:port` or `[address]:port`; also an IPv6 address that is complete without its last number.
fn split_port(text: &str) -> Option<(&str, u16)> {
    let (name, port) = text.rsplit_once(':')?;
    // An interface name contains no colon.
    let is_address = is_ipv6(name) && (name.contains('%') || !is_ipv6(text));
    let is_one = !name.contains(':') || (name.starts_with('[') && name.ends_with(']')) || is_address;
    let name = name.trim_matches(['[', ']']);
    let port = port.parse().ok()?;
    (is_one && !name.is_empty()).then_some((name, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_host_names_have_no_error() {
        for host in
            ["db1", "db1.example.", "10.0.0.1", "::1", "fe80::1%eth0", "db_1", "bücher.example", "2001:db8::5433"]
        {
            assert_eq!(host_name_error(host), None, "{host}");
        }
    }

    #[test]
    fn a_host_that_seems_to_end_in_a_port_gets_a_hint() {
        let cases = [
            ("::1:5433", Some("if 5433 is the port, use host ::1, and give the port separately")),
            ("2001:db8::7:5433", Some("if 5433 is the port, use host 2001:db8::7, and give the port separately")),
            ("/tmp:5433", Some("if 5433 is the port, use directory /tmp, and give the port separately")),
            ("@pg:5433", Some("if 5433 is the port, use directory @pg, and give the port separately")),
            ("::1", None),
            ("fe80::1", None),
            ("fe80::1%eth0", None),
            ("2001:db8::5433", None),
            ("2001:db8:1:2:3:4:5:5433", None),
            ("::1:ffff", None),
            ("::1:0543", None),
            ("/tmp", None),
            ("/a:b", None),
            ("db1", None),
        ];
        for (host, expected) in cases {
            assert_eq!(suspected_port(host).as_deref(), expected, "{host}");
        }
    }

    #[test]
    fn an_invalid_host_name_gets_a_correction() {
        let cases = [
            ("db 7", "a host name or address cannot contain white space"),
            ("someone@db1", "a host name cannot contain an @; use host db1, and give the user separately"),
            ("http://db1", "a URL is not a host name: use host db1"),
            ("http://db1/", "a URL is not a host name: use host db1"),
            ("https://db1:8443/x?y", "a URL is not a host name: use host db1 and port 8443"),
            ("postgresql://u:s3cret@[::1]:5433/powa", "a URL is not a host name: use host ::1 and port 5433"),
            ("postgresql://u:s3cr@et@db1/powa", "a URL is not a host name: use host db1"),
            ("postgresql:///powa", "a URL is not a host name: give only the host"),
            ("db1:5433", "a host cannot contain a port; use host db1, and give port 5433 separately"),
            ("10.0.0.1:5433", "a host cannot contain a port; use host 10.0.0.1, and give port 5433 separately"),
            ("[::1]:5433", "a host cannot contain a port; use host ::1, and give port 5433 separately"),
            ("[::1]", "an IPv6 address is written without brackets here"),
            ("db1/powa", "a host name cannot contain a slash; the directory of a Unix socket begins with one"),
            ("fe80::1%eth0:5433", "a host cannot contain a port; use host fe80::1%eth0, and give port 5433 separately"),
            (
                "2001:db8:0:0:0:0:0:1:5433",
                "a host cannot contain a port; use host 2001:db8:0:0:0:0:0:1, and give port 5433 separately",
            ),
            ("db1:", "a host name cannot contain a colon, and this is not an IPv6 address"),
            ("::g", "a host name cannot contain a colon, and this is not an IPv6 address"),
        ];
        for (host, expected) in cases {
            assert_eq!(host_name_error(host).as_deref(), Some(expected), "{host}");
        }
    }
}
