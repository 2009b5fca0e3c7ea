//! What somebody changes who administers the servers, by PoWA's own functions: each change is one transaction.

use std::time::Duration;

use serde_json::{Map, Value};
use tokio_postgres::types::ToSql;

use super::conversation::Conversation;
use super::switching::activate;
use super::{Repository, within};
use crate::postgres::{Error, PowaVersion, Side};
use crate::secret::Secret;
use crate::server::ServerId;

/// A server to be registered.
#[derive(Clone, Debug)]
pub struct NewServer {
    pub host: String,
    pub port: u16,
    pub alias: Option<String>,
    pub user: String,
    pub password: Option<Secret>,
    pub dbname: String,
    /// In seconds, 5 at least.
    pub frequency: i32,
    /// How many snapshots are aggregated into one record, 5 at least.
    pub coalesce: i32,
    /// As PostgreSQL reads an `interval`.
    pub retention: String,
    pub allow_ui_connection: bool,
}

/// What is to be another of a server; the rest stays as it is.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    pub host: Option<String>,
    pub port: Option<u16>,
    pub alias: Option<Option<String>>,
    pub user: Option<String>,
    pub password: Option<Option<Secret>>,
    pub dbname: Option<String>,
    /// As in [`NewServer`], from which a server that is not collected from is collected from again.
    pub frequency: Option<i32>,
    pub coalesce: Option<i32>,
    pub retention: Option<String>,
    pub allow_ui_connection: Option<bool>,
}

impl Changes {
    /// What `powa_configure_server()` takes. Not the password: the function makes SQL of what it gets, which PostgreSQL
    /// quotes in its log when something is wrong with it. And it does not know of `powa_coalesce`.
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
    /// The version of its PoWA.
    ///
    /// # Errors
    /// The repository cannot be reached, or has no PoWA that can be worked with.
    pub async fn powa(&self) -> Result<PowaVersion, Error> {
        self.to_administer("ask for the version of PoWA").await?.powa()
    }

    /// Makes sure that something is a retention, for snapshots that are `frequency` seconds apart: what PostgreSQL reads as an
    /// interval is none yet.
    ///
    /// # Errors
    /// The repository cannot be reached, or there would be no history.
    pub async fn check_retention(&self, retention: &str, frequency: i32) -> Result<(), Error> {
        let doing = "keep a history for that long";
        let sql = include_str!("../../../sql/repository/is_retention.sql");
        let rows = self.ask(doing, sql, &[&retention, &frequency]).await?;
        match rows.first().map(|row| row.try_get::<_, bool>(0)) {
            Some(Ok(true)) => Ok(()),
            _ => {
                let found = format!(
                    "a retention of {retention} is too short: it has to be an hour at least, and no less than the time from \
                     one snapshot to the next, which is {frequency} s"
                );
                Err(Error::found(Side::Repository, doing, found))
            }
        }
    }

    /// Registers a server and activates extensions for it.
    ///
    /// # Errors
    /// The repository cannot be reached, or refuses: nothing is registered then.
    pub async fn register(&self, new: &NewServer, extensions: &[String]) -> Result<ServerId, Error> {
        self.change("register the server", self.timeouts.query, async |conversation| {
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
            conversation.query(include_str!("../../../sql/repository/register_server.sql"), &values).await?;
            let sql = include_str!("../../../sql/repository/server_at.sql");
            let rows = conversation.query(sql, &[&new.host, &port]).await?;
            let id = rows.first().and_then(|row| row.try_get::<_, Option<i32>>(0).ok().flatten());
            let id = id.and_then(ServerId::new).ok_or_else(|| found(conversation, "PoWA has not registered it"))?;
            if let Some(password) = &new.password {
                save_password(conversation, id, Some(password)).await?;
            }
            activate(conversation, id, extensions).await?;
            Ok(id)
        })
        .await
    }

    /// Changes what is registered of a server.
    ///
    /// # Errors
    /// The repository cannot be reached, or refuses: nothing is changed then.
    pub async fn configure(&self, server: ServerId, changes: &Changes) -> Result<(), Error> {
        self.change("change the server", self.timeouts.query, async |conversation| {
            let id = server.get();
            let settings = changes.settings();
            if !settings.is_empty() {
                let sql = include_str!("../../../sql/repository/configure_server.sql");
                asked(conversation, sql, &[&id, &Value::from(settings).to_string()]).await?;
            }
            if let Some(coalesce) = changes.coalesce {
                let sql = include_str!("../../../sql/repository/save_coalesce.sql");
                conversation.query(sql, &[&id, &coalesce]).await?;
            }
            if let Some(password) = &changes.password {
                save_password(conversation, server, password.as_ref()).await?;
            }
            Ok(())
        })
        .await
    }

    /// Has a server no longer collected from. What is known of it stays.
    ///
    /// # Errors
    /// The repository cannot be reached, or refuses.
    pub async fn deactivate(&self, server: ServerId) -> Result<(), Error> {
        self.change("disable the server", self.timeouts.query, async |conversation| {
            let sql = include_str!("../../../sql/repository/deactivate_server.sql");
            asked(conversation, sql, &[&server.get()]).await
        })
        .await
    }

    /// Removes a server and all that is known of it. A snapshot of it that is being loaded is waited for.
    ///
    /// # Errors
    /// The repository cannot be reached, refuses, or needs longer than a snapshot may take: nothing is removed then.
    pub async fn purge(&self, server: ServerId) -> Result<(), Error> {
        let limit = self.timeouts.snapshot + self.timeouts.connect;
        self.change("remove the server and its history", limit, async |conversation| {
            conversation.query(include_str!("../../../sql/repository/wait_for_locks.sql"), &[]).await?;
            // What it answers is, in PoWA 4, not what it is said to be.
            let sql = include_str!("../../../sql/repository/purge_server.sql");
            conversation.query(sql, &[&server.get()]).await.map(drop)
        })
        .await
    }

    /// A conversation whose extensions are known as they are: what changes something is not said twice.
    async fn to_administer(&self, doing: &'static str) -> Result<Conversation, Error> {
        let mut conversation = self.session(doing).await?;
        let extensions = self.unless_gone(doing, conversation.look()).await?;
        conversation.take_up(extensions);
        conversation.powa()?;
        Ok(conversation)
    }

    /// Does the work in one transaction, which changes all or nothing.
    pub(super) async fn change<T>(
        &self,
        doing: &'static str,
        limit: Duration,
        work: impl AsyncFnOnce(&Conversation) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let unknown = "learn whether that is done: \"powa-collector servers list\" may tell";
        self.transact(doing, limit, ("commit", unknown), work).await
    }

    /// Changes something, finds out what that means, and changes it back.
    pub(super) async fn rehearse<T>(
        &self,
        doing: &'static str,
        work: impl AsyncFnOnce(&Conversation) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.transact(doing, self.timeouts.query, ("rollback", doing), work).await
    }

    /// `end` is how it ends when the work is done, and what cannot be done if that gets no answer.
    async fn transact<T>(
        &self,
        doing: &'static str,
        limit: Duration,
        end: (&str, &str),
        work: impl AsyncFnOnce(&Conversation) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let conversation = self.to_administer(doing).await?;
        let failed = |error| Error::new(Side::Repository, doing, error);
        let changing = async {
            let client = conversation.begin_work();
            client.batch_execute("begin isolation level read committed").await.map_err(failed)?;
            conversation.query(include_str!("../../../sql/repository/log_no_values.sql"), &[]).await?;
            let done = work(&conversation).await;
            let (end, unknown) = if done.is_ok() { end } else { ("rollback", doing) };
            let ended = client.batch_execute(end).await.map_err(|error| Error::new(Side::Repository, unknown, error));
            if ended.is_ok() {
                conversation.end_work();
            }
            done.and_then(|done| ended.map(|()| done))
        };
        within(limit, doing, changing).await
    }
}

pub(super) fn found(conversation: &Conversation, what: impl Into<String>) -> Error {
    Error::found(Side::Repository, conversation.doing, what)
}

/// Has a function of PoWA called that answers whether it did anything.
async fn asked(conversation: &Conversation, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<(), Error> {
    let rows = conversation.query(sql, values).await?;
    match rows.first().map(|row| row.try_get::<_, Option<bool>>(0)) {
        Some(Ok(Some(true))) => Ok(()),
        _ => Err(found(conversation, "there is no such server any more")),
    }
}

async fn save_password(conversation: &Conversation, server: ServerId, password: Option<&Secret>) -> Result<(), Error> {
    let sql = include_str!("../../../sql/repository/save_password.sql");
    conversation.query(sql, &[&server.get(), &password.map(Secret::reveal)]).await.map(drop)
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
