//! What a remote server is: a row of `powa_servers`, parsed. Pure.
//!
//! Inside the program an invalid server cannot exist: [`Server::parse`] is the only way in, and what it refuses is
//! reported with the row it came from.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::config::Secret;

/// `powa_servers.id` of a remote server: always above zero, as zero is the repository itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerId(i32);

impl ServerId {
    /// The identifier, or `None` when it is not one of a remote server.
    pub fn new(id: i32) -> Option<Self> {
        (id > 0).then_some(Self(id))
    }

    /// The number as PostgreSQL stores it.
    pub fn get(self) -> i32 {
        self.0
    }
}

impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One active row of `powa_servers`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    pub id: ServerId,
    /// A host name, an address, or the folder of a Unix socket.
    pub host: String,
    pub port: u16,
    pub user: String,
    pub password: Option<Secret>,
    /// The database of the remote server that holds the `powa` extension.
    pub dbname: String,
    /// Time from one snapshot to the next.
    pub frequency: Duration,
    pub alias: Option<String>,
}

/// The columns of `powa_servers` as they come, before anything is believed.
#[derive(Clone, Debug)]
pub struct ServerRow {
    pub id: i32,
    pub host: String,
    pub port: i32,
    pub user: String,
    pub password: Option<Secret>,
    pub dbname: String,
    pub frequency: i32,
    pub alias: Option<String>,
}

/// A row of `powa_servers` that describes no server one could connect to.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("powa_servers row with id {id}: {column} is {value}, allowed is {allowed}")]
pub struct InvalidServer {
    pub id: i32,
    column: &'static str,
    value: String,
    allowed: &'static str,
}

impl Server {
    /// Checks a row.
    ///
    /// # Errors
    /// The first column that no connection could be made with.
    pub fn parse(row: ServerRow) -> Result<Self, InvalidServer> {
        let refuse = |column, value: String, allowed| InvalidServer { id: row.id, column, value, allowed };
        let id = ServerId::new(row.id).ok_or_else(|| refuse("id", row.id.to_string(), "a number above 0"))?;
        if row.host.is_empty() {
            return Err(refuse("hostname", "empty".into(), "a host name, an address or a socket folder"));
        }
        let port = u16::try_from(row.port)
            .ok()
            .filter(|port| *port > 0)
            .ok_or_else(|| refuse("port", row.port.to_string(), "1 to 65535"))?;
        let frequency = u64::try_from(row.frequency)
            .ok()
            .filter(|seconds| *seconds >= 5)
            .ok_or_else(|| refuse("frequency", row.frequency.to_string(), "5 seconds or more"))?;
        Ok(Self {
            id,
            host: row.host,
            port,
            user: row.user,
            password: row.password,
            dbname: row.dbname,
            frequency: Duration::from_secs(frequency),
            alias: row.alias.filter(|alias| !alias.is_empty()),
        })
    }

    /// The name that appears in `application_name`, logs and messages: `host:port`, or the alias if the user wants it.
    pub fn name(&self, use_alias: bool) -> String {
        match &self.alias {
            Some(alias) if use_alias => alias.clone(),
            _ => format!("{}:{}", self.host, self.port),
        }
    }

    /// Whether both are reached in the same way, so that an open connection to one serves the other.
    pub fn same_connection(&self, other: &Self) -> bool {
        (&self.host, self.port, &self.user, &self.password, &self.dbname)
            == (&other.host, other.port, &other.user, &other.password, &other.dbname)
    }
}

/// What has to happen to get from the servers that are served to the ones that should be.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ServerDiff {
    pub removed: Vec<ServerId>,
    pub added: Vec<Server>,
    pub changed: Vec<Server>,
}

impl ServerDiff {
    /// Compares by server id.
    pub fn between(current: &BTreeMap<ServerId, Server>, wanted: Vec<Server>) -> Self {
        let mut diff = Self {
            removed: current.keys().filter(|id| !wanted.iter().any(|server| server.id == **id)).copied().collect(),
            ..Self::default()
        };
        for server in wanted {
            match current.get(&server.id) {
                None => diff.added.push(server),
                Some(known) if *known != server => diff.changed.push(server),
                Some(_) => {}
            }
        }
        diff
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: i32) -> ServerRow {
        ServerRow {
            id,
            host: "db1".into(),
            port: 5432,
            user: "powa".into(),
            password: None,
            dbname: "powa".into(),
            frequency: 300,
            alias: Some("first".into()),
        }
    }

    fn server(id: i32) -> Server {
        Server::parse(row(id)).unwrap()
    }

    #[test]
    fn a_row_no_connection_can_be_made_with_is_refused_by_column() {
        let cases: [(ServerRow, &str); 7] = [
            (ServerRow { id: 0, ..row(1) }, "id is 0"),
            (ServerRow { id: -4, ..row(1) }, "id is -4"),
            (ServerRow { host: String::new(), ..row(1) }, "hostname is empty"),
            (ServerRow { port: 0, ..row(1) }, "port is 0"),
            (ServerRow { port: 70_000, ..row(1) }, "port is 70000"),
            (ServerRow { frequency: 4, ..row(1) }, "frequency is 4"),
            (ServerRow { frequency: -1, ..row(1) }, "frequency is -1"),
        ];
        for (row, expected) in cases {
            let message = Server::parse(row).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn the_name_is_the_alias_only_when_asked_for_and_there() {
        assert_eq!(server(1).name(true), "first");
        assert_eq!(server(1).name(false), "db1:5432");
        let nameless = Server::parse(ServerRow { alias: Some(String::new()), ..row(1) }).unwrap();
        assert_eq!(nameless.name(true), "db1:5432");
    }

    #[test]
    fn a_difference_is_by_id() {
        let current = BTreeMap::from([(server(1).id, server(1)), (server(2).id, server(2)), (server(3).id, server(3))]);
        let slower = Server { frequency: Duration::from_secs(600), ..server(2) };
        let diff = ServerDiff::between(&current, vec![slower.clone(), server(3), server(4)]);
        assert_eq!(diff, ServerDiff { removed: vec![server(1).id], added: vec![server(4)], changed: vec![slower] });
    }

    #[test]
    fn a_password_is_never_printed() {
        let server = Server { password: Some(Secret::new("s3cret".into())), ..server(1) };
        assert!(!format!("{server:?}").contains("s3cret"));
    }
}
