//! Which server does somebody mean who types its id, its alias, or `host:port`? Pure.

use std::str::FromStr;

use crate::one_line::on_one_line;
use crate::postgres::RegisteredServer;
use crate::spelling;

/// SERVER on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServerName(String);

/// There is no such server, or there are several.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotFound {
    #[error("no server \"{name}\" is registered in the repository{}", likely(.nearest.as_deref()))]
    Unknown { name: String, nearest: Option<String> },
    #[error("\"{name}\" is more than one server: {}; name it by its id", .ids.join(", "))]
    Several { name: String, ids: Vec<String> },
}

fn likely(nearest: Option<&str>) -> String {
    match nearest {
        Some(nearest) => format!("; did you mean \"{}\"?", on_one_line(nearest)),
        None => "; \"powa-collector servers list\" shows those that are".into(),
    }
}

impl FromStr for ServerName {
    type Err = std::convert::Infallible;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Ok(Self(name.into()))
    }
}

impl ServerName {
    /// The server that is meant. Digits only are an id, as they are in the configuration; then an alias goes before
    /// `host:port`, and that before a host that only one server is on.
    ///
    /// # Errors
    /// It is none of them, or there are several on that host.
    pub(super) fn find<'a>(&self, servers: &'a [RegisteredServer]) -> Result<&'a RegisteredServer, NotFound> {
        let name = self.0.as_str();
        let is_id = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
        let with = |is_meant: &dyn Fn(&RegisteredServer) -> bool| -> Vec<&'a RegisteredServer> {
            servers.iter().filter(|server| is_meant(server)).collect()
        };
        let found = if is_id {
            with(&|server| Some(server.id.get()) == name.parse().ok())
        } else {
            let by_alias = with(&|server| server.alias.as_deref() == Some(name));
            let by_address = || with(&|server| server.address() == name);
            let by_host = || with(&|server| server.host == name);
            [by_alias, by_address(), by_host()].into_iter().find(|found| !found.is_empty()).unwrap_or_default()
        };
        match found[..] {
            [server] => Ok(server),
            [] => {
                // One id is as near as another.
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

/// Those that are meant, in the order they are named in; all, if none is named. None is there twice.
///
/// # Errors
/// One of the names is not that of one server.
pub(super) fn find_all<'a>(
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
    // Another port is another server, however near it is.
    let is_elsewhere = |known: &str| port(name).zip(port(known)).is_some_and(|(one, other)| one != other);
    let names = aliases.chain(addresses.iter().map(String::as_str)).filter(|known| !is_elsewhere(known));
    spelling::most_alike(name, names).map(Into::into)
}

/// In `host:port`.
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
            // The alias of one goes before the address of another.
            ("db1.paris:5432", 4),
        ] {
            assert_eq!(find(name), Ok(id), "{name}");
        }
    }

    #[test]
    fn what_is_no_server_or_several_is_said_to_be() {
        for (name, reason) in [
            ("db2.paris", "\"db2.paris\" is more than one server: 2, 3; name it by its id"),
            ("mian", "no server \"mian\" is registered in the repository; did you mean \"main\"?"),
            // Digits are an id, never an alias.
            (
                "7",
                "no server \"7\" is registered in the repository; \"powa-collector servers list\" shows those that are",
            ),
            ("99999999999", "no server \"99999999999\""),
            (
                "bd2.paris:5433",
                "no server \"bd2.paris:5433\" is registered in the repository; did you mean \"db2.paris:5433\"?",
            ),
            (
                "db2.paris:5434",
                "no server \"db2.paris:5434\" is registered in the repository; \"powa-collector servers list\"",
            ),
            ("", "no server \"\""),
        ] {
            let found = find(name).unwrap_err().to_string();
            assert!(found.starts_with(reason), "{name}: {found}");
        }
    }

    #[test]
    fn several_names_are_so_many_servers_at_most() {
        let servers = fleet();
        let names = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect::<Vec<ServerName>>();
        let ids = |found: Vec<&RegisteredServer>| found.iter().map(|server| server.id.get()).collect::<Vec<_>>();
        assert_eq!(ids(find_all(&names(&["3", "main", "1"]), &servers).unwrap()), [3, 1]);
        assert_eq!(ids(find_all(&[], &servers).unwrap()), [1, 2, 3, 4]);
        assert!(find_all(&names(&["3", "nobody"]), &servers).is_err());
    }
}
