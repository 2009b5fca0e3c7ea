//! Registers, changes and removes servers with PoWA's own functions, each in one transaction.

use std::time::Duration;

use serde_json::{Map, Value};
use tokio_postgres::types::ToSql;

use super::checked_out::CheckedOutSession;
use super::switching::activate;
use super::{Repository, with_timeout};
use crate::server::{ServerId, ServerRow};
use libpq::Secret;
use session::{Error, PowaVersion, Side};

/// A server to be registered.
#[derive(Clone, Debug)]
pub(crate) struct NewServer {
    pub host: String,
    pub port: u16,
    pub alias: Option<String>,
    pub user: String,
    pub password: Option<Secret>,
    pub dbname: String,
    /// In seconds, at least 5.
    pub frequency: i32,
    /// How many snapshots are aggregated into one record, at least 5.
    pub coalesce: i32,
    /// In the format of PostgreSQL's `interval`.
    pub retention: String,
    pub allow_ui_connection: bool,
}

impl NewServer {
    /// The row that it would have, to check it. It has no id yet: the one here is no registered server's.
    pub(crate) fn row(&self) -> ServerRow {
        ServerRow {
            id: i32::MAX,
            host: Some(self.host.clone()),
            port: Some(self.port.into()),
            user: Some(self.user.clone()),
            password: self.password.clone(),
            dbname: Some(self.dbname.clone()),
            frequency: Some(self.frequency),
            alias: self.alias.clone(),
        }
    }
}

/// The columns to change; `None` keeps the current value.
#[derive(Clone, Debug, Default)]
pub(crate) struct Changes {
    pub host: Option<String>,
    pub port: Option<u16>,
    pub alias: Option<Option<String>>,
    pub user: Option<String>,
    pub password: Option<Option<Secret>>,
    pub dbname: Option<String>,
    /// As in [`NewServer`]. Setting it enables a disabled server.
    pub frequency: Option<i32>,
    pub coalesce: Option<i32>,
    pub retention: Option<String>,
    pub allow_ui_connection: Option<bool>,
}

impl Changes {
    /// The argument of `powa_configure_server()`. Without the password, because the function builds SQL from it, which
    /// PostgreSQL logs on an error; and without `powa_coalesce`, which it does not know.
    fn settings(&self) -> Map<String, Value> {
        let text = |value: &Option<String>| value.clone().map(Value::from);
        let columns = [
            ("hostname", text(&self.host)),
            ("port", self.port.map(Value::from)),
            ("alias", self.alias.clone().map(Value::from)),
            ("username", text(&self.user)),
            ("dbname", text(&self.dbname)),
            ("frequency", self.frequency.map(Value::from)),
            ("retention", text(&self.retention)),
            ("allow_ui_connection", self.allow_ui_connection.map(Value::from)),
        ];
        columns.into_iter().filter_map(|(column, value)| Some((column.to_owned(), value?))).collect()
    }
}

impl Repository {
    /// The version of PoWA.
    ///
    /// # Errors
    /// The repository cannot be reached, or has no supported PoWA.
    pub(crate) async fn powa(&self) -> Result<PowaVersion, Error> {
        self.to_administer("ask for the version of PoWA").await?.powa()
    }

    /// Validates a retention for snapshots every `frequency` seconds: not every `interval` is one.
    ///
    /// # Errors
    /// The repository cannot be reached, or the retention is too short to keep any history.
    pub(crate) async fn check_retention(&self, retention: &str, frequency: i32) -> Result<(), Error> {
        let action = "use that retention";
        let sql = include_str!("../../sql/repository/is_retention.sql");
        let rows = self.query(action, sql, &[&retention, &frequency]).await?;
        match rows.first().map(|row| row.try_get::<_, bool>(0)) {
            Some(Ok(true)) => Ok(()),
            _ => {
                let found = format!(
                    "a retention of {retention} is too short; it must be at least one hour, and at least the time between \
                    two snapshots, which is {frequency} s"
                );
                Err(Error::unexpected(Side::Repository, action, found))
            }
        }
    }

    /// Registers a server and enables extensions for it.
    ///
    /// # Errors
    /// The repository cannot be reached, or refuses; then nothing is registered.
    pub(crate) async fn register(&self, new: &NewServer, extensions: &[String]) -> Result<ServerId, Error> {
        self.change("register the server", self.timeouts.query, async |session| {
            let port = i32::from(new.port);
            let values: [&(dyn ToSql + Sync); 9] = [
                &new.host,
                &port,
                &new.alias,
                &new.user,
                &new.dbname,
                &new.frequency,
                &new.coalesce,
                &new.retention,
                &new.allow_ui_connection,
            ];
            session.query(include_str!("../../sql/repository/register_server.sql"), &values).await?;
            let sql = include_str!("../../sql/repository/server_at.sql");
            let rows = session.query(sql, &[&new.host, &port]).await?;
            let id = rows.first().and_then(|row| row.try_get::<_, Option<i32>>(0).ok().flatten());
            let id = id.and_then(ServerId::new).ok_or_else(|| unexpected(session, "PoWA has not registered it"))?;
            if let Some(password) = &new.password {
                save_password(session, id, Some(password)).await?;
            }
            activate(session, id, extensions).await?;
            Ok(id)
        })
        .await
    }

    /// Changes the row of a server.
    ///
    /// # Errors
    /// The repository cannot be reached, or refuses; then nothing is changed.
    pub(crate) async fn configure(&self, server: ServerId, changes: &Changes) -> Result<(), Error> {
        self.change("change the server", self.timeouts.query, async |session| {
            write_changes(session, server, changes).await
        })
        .await
    }

    /// Changes the row of a server if it still has this version. Whether it had.
    ///
    /// # Errors
    /// As for [`Self::configure`].
    pub(crate) async fn configure_version(
        &self,
        server: ServerId,
        version: Option<&str>,
        changes: &Changes,
    ) -> Result<bool, Error> {
        self.change("change the server", self.timeouts.query, async |session| {
            let sql = include_str!("../../sql/repository/row_version.sql");
            let rows = session.query(sql, &[&server.get()]).await?;
            let found: Option<String> = rows.first().and_then(|row| row.try_get(0).ok());
            if version.is_some_and(|version| found.as_deref() != Some(version)) {
                return Ok(false);
            }
            write_changes(session, server, changes).await.map(|()| true)
        })
        .await
    }

    /// Disables a server. Its history is kept.
    ///
    /// # Errors
    /// The repository cannot be reached, or refuses.
    pub(crate) async fn deactivate(&self, server: ServerId) -> Result<(), Error> {
        self.change("disable the server", self.timeouts.query, async |session| {
            let sql = include_str!("../../sql/repository/deactivate_server.sql");
            call(session, sql, &[&server.get()]).await
        })
        .await
    }

    /// Removes a server and its history. Waits for a load of the server to end.
    ///
    /// # Errors
    /// The repository cannot be reached, refuses, or takes longer than a snapshot may; then nothing is removed.
    pub(crate) async fn purge(&self, server: ServerId) -> Result<(), Error> {
        let limit = self.timeouts.snapshot + self.timeouts.connect;
        self.change("remove the server and its history", limit, async |session| {
            session.query(include_str!("../../sql/repository/wait_for_locks.sql"), &[]).await?;
            // The result is ignored: in PoWA 4, it is not what the documentation says.
            let sql = include_str!("../../sql/repository/purge_server.sql");
            session.query(sql, &[&server.get()]).await.map(drop)
        })
        .await
    }

    /// A session whose extensions have been read: a statement that changes something must not be repeated.
    async fn to_administer(&self, action: &'static str) -> Result<CheckedOutSession, Error> {
        let mut session = self.session(action).await?;
        let extensions = self.first_round_trip(action, session.read_extensions()).await?;
        session.set_extensions(extensions);
        session.powa()?;
        Ok(session)
    }

    /// Runs the work in one transaction.
    pub(super) async fn change<T>(
        &self,
        action: &'static str,
        limit: Duration,
        work: impl AsyncFnOnce(&CheckedOutSession) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let unknown = "confirm the change; \"powa-collector servers list\" shows whether it was made";
        self.transact(action, limit, ("commit", unknown), work).await
    }

    /// Runs the work in a transaction that is rolled back.
    pub(super) async fn dry_run<T>(
        &self,
        action: &'static str,
        work: impl AsyncFnOnce(&CheckedOutSession) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.transact(action, self.timeouts.query, ("rollback", action), work).await
    }

    /// `end` is the statement that ends the transaction after success, and the action named in the error if it is not
    /// answered.
    async fn transact<T>(
        &self,
        action: &'static str,
        limit: Duration,
        end: (&str, &str),
        work: impl AsyncFnOnce(&CheckedOutSession) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let session = self.to_administer(action).await?;
        let failed = |error| Error::new(Side::Repository, action, error);
        let changing = async {
            let client = session.begin_work();
            client.batch_execute("begin isolation level read committed").await.map_err(failed)?;
            session.query(include_str!("../../sql/repository/log_no_values.sql"), &[]).await?;
            let done = work(&session).await;
            let (end, unknown) = if done.is_ok() { end } else { ("rollback", action) };
            let ended = client.batch_execute(end).await.map_err(|error| Error::new(Side::Repository, unknown, error));
            if ended.is_ok() {
                session.end_work();
            }
            done.and_then(|done| ended.map(|()| done))
        };
        with_timeout(limit, action, changing).await
    }
}

pub(super) fn unexpected(session: &CheckedOutSession, what: impl Into<String>) -> Error {
    Error::unexpected(Side::Repository, session.action, what)
}

async fn write_changes(session: &CheckedOutSession, server: ServerId, changes: &Changes) -> Result<(), Error> {
    let id = server.get();
    let settings = changes.settings();
    if !settings.is_empty() {
        let sql = include_str!("../../sql/repository/configure_server.sql");
        call(session, sql, &[&id, &Value::from(settings).to_string()]).await?;
    }
    if let Some(coalesce) = changes.coalesce {
        let sql = include_str!("../../sql/repository/save_coalesce.sql");
        session.query(sql, &[&id, &coalesce]).await?;
    }
    if let Some(password) = &changes.password {
        save_password(session, server, password.as_ref()).await?;
    }
    Ok(())
}

/// Calls a function of PoWA that returns whether it found the server.
async fn call(session: &CheckedOutSession, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<(), Error> {
    let rows = session.query(sql, values).await?;
    match rows.first().map(|row| row.try_get::<_, Option<bool>>(0)) {
        Some(Ok(Some(true))) => Ok(()),
        _ => Err(unexpected(session, "the server is no longer registered")),
    }
}

async fn save_password(session: &CheckedOutSession, server: ServerId, password: Option<&Secret>) -> Result<(), Error> {
    let sql = include_str!("../../sql/repository/save_password.sql");
    session.query(sql, &[&server.get(), &password.map(Secret::reveal)]).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_mentioned_is_not_changed() {
        assert!(Changes::default().settings().is_empty());
        let changes = Changes { port: Some(5433), alias: Some(None), ..Changes::default() };
        assert_eq!(Value::from(changes.settings()), serde_json::json!({"port": 5433, "alias": null}));
    }

    #[test]
    fn no_password_is_among_what_becomes_sql() {
        let password = Some(Some(Secret::new("s3cret".into())));
        let changes = Changes { password, coalesce: Some(10), ..Changes::default() };
        assert!(changes.settings().is_empty());
        assert!(!format!("{changes:?}").contains("s3cret"));
    }
}
