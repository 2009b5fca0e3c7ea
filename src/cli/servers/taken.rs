//! Is the address or the alias of a server taken by another one? Pure.

use crate::one_line::on_one_line;
use crate::postgres::RegisteredServer;
use crate::server::ServerId;

/// Another server has it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Taken {
    #[error("{address} is registered already, as server {by}; \"powa-collector servers set {by}\" changes it")]
    Address { address: String, by: ServerId },
    #[error("the name \"{alias}\" is that of server {by}, {address}, already")]
    Alias { alias: String, by: ServerId, address: String },
}

/// Makes sure that nobody has them but, perhaps, the server itself.
///
/// # Errors
/// Another one has.
pub(super) fn is_free(
    servers: &[RegisteredServer],
    (host, port): (&str, u16),
    alias: Option<&str>,
    itself: Option<ServerId>,
) -> Result<(), Taken> {
    let mut others = servers.iter().filter(|server| Some(server.id) != itself);
    let taken = others.clone().find(|server| server.host == host && server.port == i32::from(port));
    if let Some(by) = taken {
        return Err(Taken::Address { address: on_one_line(&by.address()).into_owned(), by: by.id });
    }
    // Whoever is named in one way is not to be taken for another, who is named so in another way.
    let own_address = format!("{host}:{port}");
    let ambiguous = |other: &&RegisteredServer| {
        let is_called = |name: &str| other.alias.as_deref() == Some(name);
        alias.is_some_and(|alias| is_called(alias) || other.address() == alias || other.host == alias)
            || is_called(&own_address)
    };
    let Some(by) = others.find(ambiguous) else { return Ok(()) };
    let name = if by.alias.as_deref() == Some(&own_address) { &own_address } else { alias.unwrap_or_default() };
    let address = on_one_line(&by.address()).into_owned();
    Err(Taken::Alias { alias: on_one_line(name).into_owned(), by: by.id, address })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(id: i32, host: &str, alias: Option<&str>) -> RegisteredServer {
        // Also one that is not collected from has its address and its name.
        let (host, alias) = (host.into(), alias.map(Into::into));
        RegisteredServer { host, alias, frequency: -1, ..RegisteredServer::example(id) }
    }

    #[test]
    fn one_address_and_one_alias_is_one_server() {
        let servers = [server(1, "db1", Some("main")), server(2, "db2", None)];
        let taken = |address, alias, itself| {
            is_free(&servers, address, alias, ServerId::new(itself)).map_err(|taken| taken.to_string())
        };
        assert_eq!(taken(("db1", 5433), None, 0), Ok(()));
        assert_eq!(taken(("db3", 5432), Some("other"), 0), Ok(()));
        assert_eq!(taken(("db1", 5432), Some("main"), 1), Ok(()));
        let address = taken(("db2", 5432), Some("main"), 1).unwrap_err();
        assert!(address.starts_with("db2:5432 is registered already, as server 2"), "{address}");
        assert_eq!(
            taken(("db2", 5432), Some("main"), 2).unwrap_err(),
            "the name \"main\" is that of server 1, db1:5432, already"
        );
        for alias in ["db1:5432", "db1"] {
            assert!(taken(("db3", 5432), Some(alias), 0).is_err(), "{alias} is an address");
        }
        let servers = [server(1, "db1", Some("db9:5432"))];
        assert!(is_free(&servers, ("db9", 5432), None, None).is_err(), "an address that is an alias");
    }
}
