//! The lists of hosts, addresses and ports, parsed as libpq does. Pure.

use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;

use super::{Host, InvalidParameter, Location, value};

/// The default port of libpq.
const PORT: u16 = 5432;

/// Combines the lists: one port for each host, or one for all. If a host has both a name and an address, the address is
/// connected to. A host with neither is the local server, at the socket directory if that exists.
///
/// # Errors
/// The lists differ in length, or an item is not an address or a port.
pub(super) fn read(
    names: Option<&str>,
    addresses: Option<&str>,
    ports: Option<&str>,
    sockets: Option<&Path>,
) -> Result<Vec<Host>, InvalidParameter> {
    let (names, addresses, ports) = (list(names), list(addresses), list(ports));
    let number = names.len().max(addresses.len()).max(1);
    if !names.is_empty() && !addresses.is_empty() && names.len() != addresses.len() {
        let (names, addresses) = (names.len(), addresses.len());
        return Err(InvalidParameter(format!(
            "\"host\" lists {names} hosts, but \"hostaddr\" lists {addresses} addresses"
        )));
    }
    if ports.len() > 1 && ports.len() != number {
        return Err(InvalidParameter(format!("\"port\" lists {} ports for {number} hosts", ports.len())));
    }
    let item = |list: &[&str], at: usize| list.get(at).copied().unwrap_or_default().to_owned();
    (0..number)
        .map(|at| {
            let (name, address) = (item(&names, at), item(&addresses, at));
            let (name, location) = match (name.as_str(), address.as_str()) {
                ("", "") => match sockets {
                    Some(directory) => (directory.display().to_string(), Location::Directory(directory.into())),
                    None => ("localhost".into(), Location::Name),
                },
                ("", written) => (address.clone(), Location::Address(parse_address(written)?)),
                (_, "") if name.starts_with(['/', '@']) => (name.clone(), Location::Directory(name.into())),
                (_, "") => (name, Location::Name),
                (_, written) => (name, Location::Address(parse_address(written)?)),
            };
            let port = ports.get(at).or(ports.first()).copied().unwrap_or_default();
            Ok(Host { name, location, port: parse_port(port)? })
        })
        .collect()
}

fn list(written: Option<&str>) -> Vec<&str> {
    written.map(|list| list.split(',').collect()).unwrap_or_default()
}

/// Does not quote the value: a misplaced password often ends up here.
fn parse_address(written: &str) -> Result<IpAddr, InvalidParameter> {
    let is_scoped = || written.split_once('%').is_some_and(|(address, _)| address.parse::<Ipv6Addr>().is_ok());
    written.parse().map_err(|_| {
        InvalidParameter(match is_scoped() {
            true => "\"hostaddr\" cannot be an address with a zone; give it as \"host\"".into(),
            false => "\"hostaddr\" must be an IP address or a list of IP addresses".into(),
        })
    })
}

/// Does not quote the value: in a URI that lacks its `@`, the password is in the location of the port.
fn parse_port(written: &str) -> Result<u16, InvalidParameter> {
    if written.is_empty() {
        return Ok(PORT);
    }
    let port = value::integer(written).and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0);
    port.ok_or_else(|| InvalidParameter("\"port\" must be a number from 1 to 65535 or a list of such numbers".into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Conninfo;

    fn hosts_with(sockets: Option<&Path>, given: &str) -> Result<Vec<Host>, String> {
        let given = Conninfo::parse(given).unwrap();
        read(given.get("host"), given.get("hostaddr"), given.get("port"), sockets).map_err(|error| error.to_string())
    }

    fn hosts(given: &str) -> Result<Vec<Host>, String> {
        hosts_with(Some(Path::new("/var/run/postgresql")), given)
    }

    #[test]
    fn the_lists_of_a_connection_string_are_read_as_libpq_reads_them() {
        let cases = [
            ("", "/var/run/postgresql:5432"),
            ("host=''", "/var/run/postgresql:5432"),
            ("port=7", "/var/run/postgresql:7"),
            ("host=a", "a:5432"),
            ("host=a,b", "a:5432,b:5432"),
            ("host=a,b port=1", "a:1,b:1"),
            ("host=a,b port=1,2", "a:1,b:2"),
            ("host=a,b port=,2", "a:5432,b:2"),
            ("host=a,b port=,", "a:5432,b:5432"),
            ("host=a,b port=' 1 ,\t+2'", "a:1,b:2"),
            ("host=a,,b", "a:5432,/var/run/postgresql:5432,b:5432"),
            ("host=/run/pg,b", "/run/pg:5432,b:5432"),
            ("host='a, b'", "a:5432, b:5432"),
            ("hostaddr=10.0.0.1,10.0.0.2 port=7", "10.0.0.1:7,10.0.0.2:7"),
            ("hostaddr=10.0.0.1,", "10.0.0.1:5432,/var/run/postgresql:5432"),
            ("host=a,b hostaddr=10.0.0.1,10.0.0.2", "a:5432,b:5432"),
            ("host=/a, hostaddr=,", "/a:5432,/var/run/postgresql:5432"),
            ("host=::1", "::1:5432"),
            ("postgresql://a:1,b,c:3/db", "a:1,b:5432,c:3"),
            ("postgresql://[::1]:6/db", "::1:6"),
            ("postgresql://%2Frun%2Fpg/db", "/run/pg:5432"),
        ];
        for (given, expected) in cases {
            let hosts = hosts(given).unwrap();
            let shown: Vec<_> = hosts.iter().map(|host| format!("{}:{}", host.name, host.port)).collect();
            assert_eq!(shown.join(","), expected, "{given}");
        }
    }

    #[test]
    fn a_host_is_a_directory_or_an_address_or_a_name() {
        let cases = [
            ("", Location::Directory("/var/run/postgresql".into())),
            ("host=/run/pg", Location::Directory("/run/pg".into())),
            ("host=@pg", Location::Directory("@pg".into())),
            ("host=a", Location::Name),
            ("host=10.0.0.1", Location::Name),
            ("host=fe80::1%lo", Location::Name),
            ("hostaddr=10.0.0.1", Location::Address([10, 0, 0, 1].into())),
            ("host=a hostaddr=10.0.0.1", Location::Address([10, 0, 0, 1].into())),
            ("host=/run/pg hostaddr=::1", Location::Address(Ipv6Addr::LOCALHOST.into())),
            ("host=/run/pg hostaddr=''", Location::Directory("/run/pg".into())),
        ];
        for (given, expected) in cases {
            assert_eq!(hosts(given).unwrap()[0].location, expected, "{given}");
        }
    }

    #[test]
    fn without_a_directory_of_sockets_the_default_is_localhost() {
        let expected = Host { name: "localhost".into(), location: Location::Name, port: 5432 };
        assert_eq!(hosts_with(None, ""), Ok(vec![expected.clone()]));
        assert_eq!(hosts_with(None, "host=a,").unwrap()[1], expected);
    }

    #[test]
    fn lists_that_libpq_refuses_are_refused() {
        let port = "\"port\" must be a number from 1 to 65535 or a list of such numbers";
        let address = "\"hostaddr\" must be an IP address or a list of IP addresses";
        let cases = [
            ("host=a,b,c port=1,2", "\"port\" lists 2 ports for 3 hosts"),
            ("port=1,2", "\"port\" lists 2 ports for 1 hosts"),
            ("host=a port=5,", "\"port\" lists 2 ports for 1 hosts"),
            ("host=a hostaddr=10.0.0.1,10.0.0.2", "\"host\" lists 1 hosts, but \"hostaddr\" lists 2 addresses"),
            ("host=a,b hostaddr=10.0.0.1", "\"host\" lists 2 hosts, but \"hostaddr\" lists 1 addresses"),
            ("port=0", port),
            ("port=65536", port),
            ("port=-1", port),
            ("port=s3cret", port),
            ("port=5432.0", port),
            ("port=' '", port),
            ("port=99999999999", port),
            ("host=a,b port=1,x", port),
            ("hostaddr=localhost", address),
            ("hostaddr=[::1]", address),
            ("hostaddr=' 10.0.0.1'", address),
            ("hostaddr=/run/pg", address),
            ("host=a, hostaddr=x,10.0.0.1", address),
            ("hostaddr=fe80::1%lo", "\"hostaddr\" cannot be an address with a zone; give it as \"host\""),
        ];
        for (given, expected) in cases {
            assert_eq!(hosts(given), Err(expected.to_owned()), "{given}");
        }
    }
}
