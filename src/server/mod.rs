//! A remote server: a validated row of `powa_servers`. Pure.
//!
//! [`Server::parse`] is the only constructor, so that invalid servers cannot exist; its error names the row.

pub(crate) mod clock;
pub(crate) mod tags;
mod update_target;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::schedule::Timing;
use libpq::Secret;

pub(crate) use clock::ClockReading;
pub(crate) use update_target::UpdateTarget;

/// `powa_servers.id` of a remote server: above zero, because zero is the repository itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerId(i32);

impl ServerId {
    /// The id, or `None` if it is not that of a remote server.
    pub fn new(id: i32) -> Option<Self> {
        (id > 0).then_some(Self(id))
    }

    pub fn get(self) -> i32 {
        self.0
    }
}

/// Accepts only ids of remote servers.
impl<'de> Deserialize<'de> for ServerId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(i32::deserialize(deserializer)?).ok_or_else(|| D::Error::custom("the id of a server must be above 0"))
    }
}

impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One active row of `powa_servers`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Server {
    pub id: ServerId,
    /// A host name, an address, or the directory of a Unix socket.
    pub host: String,
    pub port: u16,
    pub user: String,
    pub password: Option<Secret>,
    /// The database of the remote server that holds the `powa` extension.
    pub dbname: String,
    /// Time from one snapshot to the next.
    pub frequency: Duration,
    pub alias: Option<String>,
    /// Its schedule and pause, if it has any.
    pub timing: Option<Arc<Timing>>,
}

/// The columns of `powa_servers`, not yet validated. `None` is null.
#[derive(Clone, Debug)]
pub(crate) struct ServerRow {
    pub id: i32,
    pub host: Option<String>,
    pub port: Option<i32>,
    pub user: Option<String>,
    pub password: Option<Secret>,
    pub dbname: Option<String>,
    pub frequency: Option<i32>,
    pub alias: Option<String>,
}

/// A row of `powa_servers` that is not a valid server.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("powa_servers row with id {id}: {column} must be {allowed}, got {value}")]
pub(crate) struct InvalidServer {
    id: String,
    column: &'static str,
    value: String,
    allowed: &'static str,
}

impl InvalidServer {
    /// `powa_servers.id`, if valid.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// The invalid column.
    pub(crate) fn column(&self) -> &str {
        self.column
    }

    /// A column does not have its expected type, possibly the id itself.
    pub(crate) fn of_type(id: Option<i32>, column: &'static str, found: &str, allowed: &'static str) -> Self {
        let id = id.map_or_else(|| "unknown".into(), |id| id.to_string());
        Self { id, column, value: format!("a value of type {found}"), allowed }
    }
}

impl Server {
    /// Validates a row.
    ///
    /// # Errors
    /// The first invalid column.
    pub(crate) fn parse(row: ServerRow) -> Result<Self, InvalidServer> {
        let refuse = |column, value, allowed| InvalidServer { id: row.id.to_string(), column, value, allowed };
        let number = |value: Option<i32>| value.map_or_else(|| "null".into(), |value| value.to_string());
        let text = |column, value: Option<String>, allowed| match value {
            None => Err(refuse(column, "null".into(), allowed)),
            Some(value) if value.is_empty() => Err(refuse(column, "an empty text".into(), allowed)),
            // PostgreSQL cannot store NUL, but the server is not trusted.
            Some(value) if value.contains('\0') => Err(refuse(column, "a text with a NUL character".into(), allowed)),
            Some(value) => Ok(value),
        };
        if row.password.as_ref().is_some_and(|password| password.reveal().contains('\0')) {
            return Err(refuse("password", "one with a NUL character".into(), "a text without NUL characters"));
        }
        let id = ServerId::new(row.id).ok_or_else(|| refuse("id", row.id.to_string(), "an integer above 0"))?;
        let port = row.port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0);
        let frequency = row.frequency.and_then(|seconds| u64::try_from(seconds).ok()).filter(|seconds| *seconds >= 5);
        Ok(Self {
            id,
            host: text("hostname", row.host, "a host name, an address or a socket directory")?,
            port: port.ok_or_else(|| refuse("port", number(row.port), "from 1 to 65535"))?,
            user: text("username", row.user, "the name of a role")?,
            password: row.password,
            dbname: text("dbname", row.dbname, "the name of a database")?,
            frequency: frequency
                .map(Duration::from_secs)
                .ok_or_else(|| refuse("frequency", number(row.frequency), "5 seconds or more"))?,
            alias: row.alias.filter(|alias| !alias.is_empty()),
            timing: None,
        })
    }

    /// The name used in `application_name`, logs and messages: `host:port`, or the alias if `use_server_alias` is set.
    pub(crate) fn name(&self, use_alias: bool) -> String {
        match &self.alias {
            Some(alias) if use_alias => alias.clone(),
            _ => format!("{}:{}", self.host, self.port),
        }
    }
}

/// The changes from the current list of servers to the wanted one.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ServerDiff {
    pub removed: Vec<ServerId>,
    pub added: Vec<Server>,
    pub changed: Vec<Server>,
}

impl ServerDiff {
    /// Compares by server id.
    pub(crate) fn between(current: &BTreeMap<ServerId, Server>, wanted: Vec<Server>) -> Self {
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
            (ServerRow { id: 0, ..ServerRow::example(1) }, "row with id 0: id must be an integer above 0, got 0"),
            (ServerRow { id: -4, ..ServerRow::example(1) }, "id must be an integer above 0, got -4"),
            (
                ServerRow { host: empty(), ..ServerRow::example(1) },
                "row with id 1: hostname must be a host name, an address or a socket directory, got an empty text",
            ),
            (ServerRow { host: None, ..ServerRow::example(1) }, "got null"),
            (ServerRow { port: Some(0), ..ServerRow::example(1) }, "port must be from 1 to 65535, got 0"),
            (ServerRow { port: Some(-1), ..ServerRow::example(1) }, "port must be from 1 to 65535, got -1"),
            (ServerRow { port: Some(65_536), ..ServerRow::example(1) }, "got 65536"),
            (ServerRow { port: None, ..ServerRow::example(1) }, "port must be from 1 to 65535, got null"),
            (ServerRow { host: Some("a\0b".into()), ..ServerRow::example(1) }, "got a text with a NUL character"),
            (
                ServerRow { password: Some(Secret::new("a\0b".into())), ..ServerRow::example(1) },
                "password must be a text without NUL characters",
            ),
            (
                ServerRow { user: empty(), ..ServerRow::example(1) },
                "username must be the name of a role, got an empty text",
            ),
            (ServerRow { user: None, ..ServerRow::example(1) }, "username must be the name of a role, got null"),
            (
                ServerRow { dbname: empty(), ..ServerRow::example(1) },
                "dbname must be the name of a database, got an empty text",
            ),
            (ServerRow { dbname: None, ..ServerRow::example(1) }, "dbname must be the name of a database, got null"),
            (ServerRow { frequency: Some(4), ..ServerRow::example(1) }, "frequency must be 5 seconds or more, got 4"),
            (ServerRow { frequency: Some(-1), ..ServerRow::example(1) }, "frequency must be 5 seconds or more, got -1"),
            (ServerRow { frequency: None, ..ServerRow::example(1) }, "frequency must be 5 seconds or more, got null"),
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
