//! Finds a server by its id, alias, `host:port` or host. Pure.

use std::str::FromStr;

use crate::repository::RegisteredServer;
use libpq::spelling;
use session::on_one_line;

/// The argument SERVER.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerName(String);

/// No server matches, or several do.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotFound {
    #[error("no server \"{name}\" is registered in the repository{}", suggestion(.nearest.as_deref()))]
    Unknown { name: String, nearest: Option<String> },
    #[error("\"{name}\" matches several servers: {}; use the id", .ids.join(", "))]
    Several { name: String, ids: Vec<String> },
}

fn suggestion(nearest: Option<&str>) -> String {
    match nearest {
        Some(nearest) => format!("; did you mean \"{}\"?", on_one_line(nearest)),
        None => "; see \"powa-collector servers list\"".into(),
    }
}

impl FromStr for ServerName {
    type Err = std::convert::Infallible;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Ok(Self(name.into()))
    }
}

impl ServerName {
    /// Finds the server. Digits only are an id, as in the configuration. Otherwise an alias has precedence over `host:port`, and
    /// that over a host.
    ///
    /// # Errors
    /// No server matches, or several have that host.
    pub(crate) fn find<'a>(&self, servers: &'a [RegisteredServer]) -> Result<&'a RegisteredServer, NotFound> {
        let name = self.0.as_str();
        let is_id = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
        let matching = |is_match: &dyn Fn(&RegisteredServer) -> bool| -> Vec<&'a RegisteredServer> {
            servers.iter().filter(|server| is_match(server)).collect()
        };
        let found = if is_id {
            matching(&|server| Some(server.id.get()) == name.parse().ok())
        } else {
            let by_alias = matching(&|server| server.alias.as_deref() == Some(name));
            let by_address = || matching(&|server| server.address() == name);
            let by_host = || matching(&|server| server.host == name);
            [by_alias, by_address(), by_host()].into_iter().find(|found| !found.is_empty()).unwrap_or_default()
        };
        match found[..] {
            [server] => Ok(server),
            [] => {
                // A similar id is no better guess than any other.
                let nearest = if is_id { None } else { nearest(name, servers) };
                Err(NotFound::Unknown { name: name.into(), nearest })
            }
            _ => {
                let ids = found.iter().map(|server| server.id.to_string()).collect();
                Err(NotFound::Several { name: name.into(), ids })
            }
        }
    }
}

/// Finds several servers, in the order of the arguments and without duplicates. All servers, if there are no arguments.
///
/// # Errors
/// One of the arguments does not match exactly one server.
pub(crate) fn find_all<'a>(
    names: &[ServerName],
    servers: &'a [RegisteredServer],
) -> Result<Vec<&'a RegisteredServer>, NotFound> {
    if names.is_empty() {
        return Ok(servers.iter().collect());
    }
    let mut found: Vec<&RegisteredServer> = Vec::new();
    for name in names {
        let server = name.find(servers)?;
        if !found.iter().any(|known| known.id == server.id) {
            found.push(server);
        }
    }
    Ok(found)
}

fn nearest(name: &str, servers: &[RegisteredServer]) -> Option<String> {
    let addresses: Vec<String> = servers.iter().map(RegisteredServer::address).collect();
    let aliases = servers.iter().filter_map(|server| server.alias.as_deref());
    // A server with another port is not a misspelling.
    let has_other_port = |known: &str| port(name).zip(port(known)).is_some_and(|(one, other)| one != other);
    let names = aliases.chain(addresses.iter().map(String::as_str)).filter(|known| !has_other_port(known));
    spelling::closest_match(name, names).map(Into::into)
}

/// The port of `host:port`.
fn port(name: &str) -> Option<&str> {
    let (_, port) = name.rsplit_once(':')?;
    port.bytes().all(|byte| byte.is_ascii_digit()).then_some(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(id: i32, host: &str, port: i32, alias: Option<&str>) -> RegisteredServer {
        RegisteredServer { host: host.into(), port, alias: alias.map(Into::into), ..RegisteredServer::example(id) }
    }

    fn fleet() -> Vec<RegisteredServer> {
        vec![
            server(1, "db1.paris", 5432, Some("main")),
            server(2, "db2.paris", 5432, None),
            server(3, "db2.paris", 5433, Some("7")),
            server(4, "::1", 5432, Some("db1.paris:5432")),
        ]
    }

    fn find(name: &str) -> Result<i32, NotFound> {
        let servers = fleet();
        name.parse::<ServerName>().unwrap().find(&servers).map(|server| server.id.get())
    }

    #[test]
    fn a_server_has_several_names() {
        for (name, id) in [
            ("1", 1),
            ("0003", 3),
            ("main", 1),
            ("db1.paris", 1),
            ("db2.paris:5433", 3),
            ("::1:5432", 4),
            // An alias has precedence over an address.
            ("db1.paris:5432", 4),
        ] {
            assert_eq!(find(name), Ok(id), "{name}");
        }
    }

    #[test]
    fn a_name_that_matches_no_server_or_several_is_an_error() {
        for (name, reason) in [
            ("db2.paris", "\"db2.paris\" matches several servers: 2, 3; use the id"),
            ("mian", "no server \"mian\" is registered in the repository; did you mean \"main\"?"),
            // Digits are an id, even if it is an alias.
            ("7", "no server \"7\" is registered in the repository; see \"powa-collector servers list\""),
            ("99999999999", "no server \"99999999999\""),
            (
                "bd2.paris:5433",
                "no server \"bd2.paris:5433\" is registered in the repository; did you mean \"db2.paris:5433\"?",
            ),
            (
                "db2.paris:5434",
                "no server \"db2.paris:5434\" is registered in the repository; see \"powa-collector servers list\"",
            ),
            ("", "no server \"\""),
        ] {
            let found = find(name).unwrap_err().to_string();
            assert!(found.starts_with(reason), "{name}: {found}");
        }
    }

    #[test]
    fn servers_are_found_once() {
        let servers = fleet();
        let names = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect::<Vec<ServerName>>();
        let ids = |found: Vec<&RegisteredServer>| found.iter().map(|server| server.id.get()).collect::<Vec<_>>();
        assert_eq!(ids(find_all(&names(&["3", "main", "1"]), &servers).unwrap()), [3, 1]);
        assert_eq!(ids(find_all(&[], &servers).unwrap()), [1, 2, 3, 4]);
        assert!(find_all(&names(&["3", "unknown"]), &servers).is_err());
    }
}
