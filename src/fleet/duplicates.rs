//! Whether the address or the alias of a server would be confused with another server's.

use crate::repository::RegisteredServer;
use crate::server::ServerId;
use session::on_one_line;

/// Another server has the address or the name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Duplicate {
    #[error("{address} is already registered as server {id}")]
    Address { address: String, id: ServerId },
    #[error("the name \"{name}\" already belongs to server {id}, {address}")]
    Name { name: String, id: ServerId, address: String },
}

/// What a server is found by, apart from its id.
#[derive(Clone, Copy, Debug)]
pub(super) struct Identity<'a> {
    pub(super) host: &'a str,
    pub(super) port: i32,
    pub(super) alias: Option<&'a str>,
}

/// Checks an identity against all servers, except the one with the id `own`.
pub(super) fn check_duplicates(
    servers: &[RegisteredServer],
    Identity { host, port, alias }: Identity<'_>,
    own: Option<ServerId>,
) -> Result<(), Duplicate> {
    let mut others = servers.iter().filter(|server| Some(server.id) != own);
    let same_address = others.clone().find(|server| server.host == host && server.port == port);
    if let Some(other) = same_address {
        return Err(Duplicate::Address { address: on_one_line(&other.address()).into_owned(), id: other.id });
    }
    // Commands accept an alias, an address or a host: no name may be one thing for this server and another for the other.
    let own_address = format!("{host}:{port}");
    let is_ambiguous = |other: &&RegisteredServer| {
        let has_alias = |name: &str| other.alias.as_deref() == Some(name);
        alias.is_some_and(|alias| has_alias(alias) || other.address() == alias || other.host == alias)
            || has_alias(&own_address)
    };
    let Some(other) = others.find(is_ambiguous) else { return Ok(()) };
    let name = if other.alias.as_deref() == Some(&own_address) { &own_address } else { alias.unwrap_or_default() };
    let address = on_one_line(&other.address()).into_owned();
    Err(Duplicate::Name { name: on_one_line(name).into_owned(), id: other.id, address })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(id: i32, host: &str, alias: Option<&str>) -> RegisteredServer {
        // Disabled servers keep their address and alias.
        let (host, alias) = (host.into(), alias.map(Into::into));
        RegisteredServer { host, alias, frequency: -1, ..RegisteredServer::example(id) }
    }

    #[test]
    fn one_address_and_one_alias_is_one_server() {
        let servers = [server(1, "db1", Some("main")), server(2, "db2", None)];
        let check = |(host, port), alias, own| {
            check_duplicates(&servers, Identity { host, port, alias }, ServerId::new(own))
                .map_err(|duplicate| duplicate.to_string())
        };
        assert_eq!(check(("db1", 5433), None, 0), Ok(()));
        assert_eq!(check(("db3", 5432), Some("other"), 0), Ok(()));
        assert_eq!(check(("db1", 5432), Some("main"), 1), Ok(()));
        let address = check(("db2", 5432), Some("main"), 1).unwrap_err();
        assert!(address.starts_with("db2:5432 is already registered as server 2"), "{address}");
        assert_eq!(
            check(("db2", 5432), Some("main"), 2).unwrap_err(),
            "the name \"main\" already belongs to server 1, db1:5432"
        );
        for alias in ["db1:5432", "db1"] {
            assert!(check(("db3", 5432), Some(alias), 0).is_err(), "{alias} is an address");
        }
        let servers = [server(1, "db1", Some("db9:5432"))];
        let identity = Identity { host: "db9", port: 5432, alias: None };
        assert!(check_duplicates(&servers, identity, None).is_err(), "an address that is an alias");
    }
}
