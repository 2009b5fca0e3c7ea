//! What a remote server is: a row of `powa_servers`, parsed. Pure.
//!
//! Inside the program an invalid server cannot exist: [`Server::parse`] is the only way in, and what it refuses is
//! reported with the row it came from.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::secret::Secret;

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

/// Nothing but an identifier of a remote server can be read as one.
impl<'de> Deserialize<'de> for ServerId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(i32::deserialize(deserializer)?).ok_or_else(|| D::Error::custom("a server's id is above 0"))
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

/// The columns of `powa_servers` as they come, before anything is believed. `None` is null.
#[derive(Clone, Debug)]
pub struct ServerRow {
    pub id: i32,
    pub host: Option<String>,
    pub port: Option<i32>,
    pub user: Option<String>,
    pub password: Option<Secret>,
    pub dbname: Option<String>,
    pub frequency: Option<i32>,
    pub alias: Option<String>,
}

/// A row of `powa_servers` that describes no server one could connect to.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("powa_servers row with id {id}: {column} is {value}, allowed is {allowed}")]
pub struct InvalidServer {
    id: String,
    column: &'static str,
    value: String,
    allowed: &'static str,
}

impl InvalidServer {
    /// `powa_servers.id`, as far as it has one.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Which column is wrong.
    pub fn column(&self) -> &str {
        self.column
    }

    /// A row with a column that is not of its type any more. The id may be that column itself.
    pub fn of_type(id: Option<i32>, column: &'static str, found: &str, allowed: &'static str) -> Self {
        let id = id.map_or_else(|| "unknown".into(), |id| id.to_string());
        Self { id, column, value: format!("of the type {found}"), allowed }
    }
}

impl Server {
    /// Checks a row.
    ///
    /// # Errors
    /// The first column that no connection could be made with.
    pub fn parse(row: ServerRow) -> Result<Self, InvalidServer> {
        let refuse = |column, value, allowed| InvalidServer { id: row.id.to_string(), column, value, allowed };
        let number = |value: Option<i32>| value.map_or_else(|| "null".into(), |value| value.to_string());
        let text = |column, value: Option<String>, allowed| match value {
            None => Err(refuse(column, "null".into(), allowed)),
            Some(value) if value.is_empty() => Err(refuse(column, "empty".into(), allowed)),
            // No column can hold it, but not every server is honest.
            Some(value) if value.contains('\0') => Err(refuse(column, "a text with a NUL".into(), allowed)),
            Some(value) => Ok(value),
        };
        if row.password.as_ref().is_some_and(|password| password.reveal().contains('\0')) {
            return Err(refuse("password", "a text with a NUL".into(), "a text without"));
        }
        let id = ServerId::new(row.id).ok_or_else(|| refuse("id", row.id.to_string(), "a number above 0"))?;
        let port = row.port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0);
        let frequency = row.frequency.and_then(|seconds| u64::try_from(seconds).ok()).filter(|seconds| *seconds >= 5);
        Ok(Self {
            id,
            host: text("hostname", row.host, "a host name, an address or a socket folder")?,
            port: port.ok_or_else(|| refuse("port", number(row.port), "1 to 65535"))?,
            user: text("username", row.user, "the name of a role")?,
            password: row.password,
            dbname: text("dbname", row.dbname, "the name of a database")?,
            frequency: frequency
                .map(Duration::from_secs)
                .ok_or_else(|| refuse("frequency", number(row.frequency), "5 seconds or more"))?,
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
impl ServerRow {
    /// One to change, for tests.
    pub(crate) fn example(id: i32) -> Self {
        Self {
            id,
            host: Some("db1".into()),
            port: Some(5432),
            user: Some("powa".into()),
            password: None,
            dbname: Some("powa".into()),
            frequency: Some(300),
            alias: Some("first".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(id: i32) -> Server {
        Server::parse(ServerRow::example(id)).unwrap()
    }

    #[test]
    fn a_row_no_connection_can_be_made_with_is_refused_by_column() {
        let empty = || Some(String::new());
        let cases = [
            (ServerRow { id: 0, ..ServerRow::example(1) }, "row with id 0: id is 0, allowed is a number above 0"),
            (ServerRow { id: -4, ..ServerRow::example(1) }, "id is -4"),
            (ServerRow { host: empty(), ..ServerRow::example(1) }, "row with id 1: hostname is empty"),
            (ServerRow { host: None, ..ServerRow::example(1) }, "hostname is null"),
            (ServerRow { port: Some(0), ..ServerRow::example(1) }, "port is 0"),
            (ServerRow { port: Some(-1), ..ServerRow::example(1) }, "port is -1, allowed is 1 to 65535"),
            (ServerRow { port: Some(65_536), ..ServerRow::example(1) }, "port is 65536"),
            (ServerRow { port: None, ..ServerRow::example(1) }, "port is null"),
            (ServerRow { host: Some("a\0b".into()), ..ServerRow::example(1) }, "hostname is a text with a NUL"),
            (
                ServerRow { password: Some(Secret::new("a\0b".into())), ..ServerRow::example(1) },
                "password is a text with a NUL",
            ),
            (ServerRow { user: empty(), ..ServerRow::example(1) }, "username is empty"),
            (ServerRow { user: None, ..ServerRow::example(1) }, "username is null"),
            (ServerRow { dbname: empty(), ..ServerRow::example(1) }, "dbname is empty"),
            (ServerRow { dbname: None, ..ServerRow::example(1) }, "dbname is null"),
            (ServerRow { frequency: Some(4), ..ServerRow::example(1) }, "frequency is 4"),
            (ServerRow { frequency: Some(-1), ..ServerRow::example(1) }, "frequency is -1"),
            (ServerRow { frequency: None, ..ServerRow::example(1) }, "frequency is null, allowed is 5 seconds or more"),
        ];
        for (row, expected) in cases {
            let message = Server::parse(row).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn the_ends_of_what_is_allowed_are_allowed() {
        for (port, frequency) in [(1, 5), (65_535, i32::MAX)] {
            let row = ServerRow { port: Some(port), frequency: Some(frequency), ..ServerRow::example(1) };
            let server = Server::parse(row).unwrap();
            assert_eq!(i32::from(server.port), port);
            assert_eq!(server.frequency.as_secs(), u64::try_from(frequency).unwrap());
        }
    }

    #[test]
    fn the_name_is_the_alias_only_when_asked_for_and_there() {
        assert_eq!(server(1).name(true), "first");
        assert_eq!(server(1).name(false), "db1:5432");
        let nameless = Server::parse(ServerRow { alias: Some(String::new()), ..ServerRow::example(1) }).unwrap();
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
        let row = ServerRow { password: Some(Secret::new("s3cret".into())), port: Some(0), ..ServerRow::example(1) };
        assert!(!format!("{row:?} {:?}", Server::parse(row.clone())).contains("s3cret"));
    }
}
