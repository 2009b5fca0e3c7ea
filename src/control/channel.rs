//! The session on the repository that listens for commands, looks up their senders, and sends answers.

use std::time::Duration;

use futures_util::future::poll_fn;
use tokio::time::timeout;
use tokio_postgres::types::ToSql;
use tokio_postgres::{AsyncMessage, Client, Row, Statement};
use tokio_util::task::AbortOnDropHandle;

use crate::repository::collectors::{self, Collector};
use session::{Connection, Endpoint, Error, Opened, Side};

use super::notifications::{NotificationSender, Notifications};
use crate::config::endpoints::MAIN_TASK;

/// The notification channel for commands.
pub(crate) const CHANNEL: &str = "powa_collector";

/// An open session, and the notifications that it receives.
pub(crate) type Channel = (CommandSession, Notifications);

/// The sender of a notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sender {
    /// `None` if the backend has no role.
    pub role: Option<String>,
    /// Whether the role is permitted to send commands.
    pub may_command: bool,
}

/// An open session for commands.
pub(crate) struct CommandSession {
    client: Client,
    /// The task that drives the connection. Aborted with the session.
    driver: AbortOnDropHandle<()>,
    permission: Statement,
    notify: Statement,
    other_collectors: Statement,
    /// The process id of the session's backend.
    process: i32,
    /// How long to wait for a response of the repository. If there is none, the channel is reopened.
    timeout: Duration,
}

impl CommandSession {
    /// Connects, checks the version of PoWA, and listens.
    ///
    /// # Errors
    /// The repository cannot be reached, or has no usable PoWA.
    pub(crate) async fn open(endpoint: &Endpoint) -> Result<Channel, Error> {
        let Opened { client, connection, .. } = endpoint.open().await?;
        let notifications = Notifications::default();
        let driver = AbortOnDropHandle::new(tokio::spawn(listen(connection, NotificationSender::of(&notifications))));

        let action = "set up the command channel";
        let extensions = endpoint.within_connect_timeout(action.into(), session::extensions(&client)).await?;
        let found = |what: String| Error::unexpected(Side::Repository, format!("use {}", endpoint.described()), what);
        let powa = extensions.usable_powa().map_err(|unusable| found(unusable.to_string()))?;
        let permission = if powa.has_modules() {
            include_str!("../../sql/repository/sender_may_powa5.sql")
        } else {
            include_str!("../../sql/repository/sender_may_powa4.sql")
        };
        let permission = extensions.expand(permission).map_err(|unknown| found(unknown.to_string()))?;

        let preparing = async {
            let listen = format!("listen {CHANNEL}");
            let (permission, notify, other_collectors, process, ()) = tokio::try_join!(
                biased;
                client.prepare(&permission),
                client.prepare(include_str!("../../sql/repository/notify.sql")),
                client.prepare(collectors::QUERY),
                client.query_typed_one(include_str!("../../sql/repository/own_process.sql"), &[]),
                client.batch_execute(&listen),
            )?;
            Ok((permission, notify, other_collectors, process.try_get(0)?))
        };
        let (permission, notify, other_collectors, process) =
            endpoint.within_connect_timeout(action.into(), preparing).await?;
        let timeout = endpoint.timeouts().connect;
        Ok((Self { client, driver, permission, notify, other_collectors, process, timeout }, notifications))
    }

    /// The process id of the session's backend.
    pub(crate) fn process(&self) -> i32 {
        self.process
    }

    /// The sender of a notification, by the process id of its backend. `None` if that session has ended.
    ///
    /// # Errors
    /// The query failed.
    pub(crate) async fn sender(&self, process: i32) -> Result<Option<Sender>, Error> {
        let action = "look up the sender of a command";
        let rows = self.query(action, &self.permission, &[&process]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let unreadable = |error: tokio_postgres::Error| Error::unexpected(Side::Repository, action, error.to_string());
        let may: Option<bool> = row.try_get("may").map_err(unreadable)?;
        Ok(Some(Sender { role: row.try_get("role").map_err(unreadable)?, may_command: may == Some(true) }))
    }

    /// Sends an answer. The channel and the text are query parameters, not SQL.
    ///
    /// # Errors
    /// PostgreSQL refuses the name of the channel or the size of the text, or the connection was lost.
    pub(crate) async fn answer(&self, channel: &str, text: &str) -> Result<(), Error> {
        self.query("answer a command", &self.notify, &[&channel, &text]).await.map(drop)
    }

    /// Sends a mark to all listeners of the command channel, including this session.
    ///
    /// # Errors
    /// The connection was lost, or the repository does not respond.
    pub(crate) async fn mark(&self, mark: &str) -> Result<(), Error> {
        self.query("take over the command channel", &self.notify, &[&CHANNEL, &mark]).await.map(drop)
    }

    /// Checks the connection: a frozen server looks the same as one that has no notifications to send.
    ///
    /// # Errors
    /// The connection was lost, or the repository does not respond.
    pub(crate) async fn check(&self) -> Result<(), Error> {
        self.with_timeout("go on listening for commands", self.client.check_connection()).await
    }

    /// The other collectors that are connected to the repository.
    ///
    /// # Errors
    /// The connection was lost, or the role lacks a privilege.
    pub(crate) async fn other_collectors(&self) -> Result<Vec<Collector>, Error> {
        let request = async {
            let rows = self.client.query(&self.other_collectors, &[&MAIN_TASK]).await?;
            rows.iter().map(Collector::of_row).collect()
        };
        self.with_timeout("look for other collectors", request).await
    }

    async fn query(
        &self,
        action: &str,
        statement: &Statement,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Error> {
        self.with_timeout(action, self.client.query(statement, values)).await
    }

    async fn with_timeout<T>(
        &self,
        action: &str,
        request: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Error> {
        match timeout(self.timeout, request).await {
            Ok(result) => result.map_err(|error| Error::new(Side::Repository, action, error)),
            Err(_) => Err(Error::elapsed(Side::Repository, action, self.timeout)),
        }
    }

    /// Closes the session and waits until its last bytes are sent.
    pub(crate) async fn close(self) {
        drop(self.client);
        // The driver logs its errors.
        let _ = self.driver.await;
    }
}

/// Drives the connection and forwards notifications until it ends.
async fn listen(mut connection: Connection, sender: NotificationSender) {
    while let Some(message) = poll_fn(|context| connection.poll_message(context)).await {
        match message {
            Ok(AsyncMessage::Notification(message)) => sender.push(message.process_id(), message.payload()),
            Ok(AsyncMessage::Notice(notice)) => tracing::debug!(%notice, "notice of the repository server"),
            Ok(_) => {}
            Err(error) => {
                let lost = Error::new(Side::Repository, "go on listening for commands", error);
                return sender.fail(lost);
            }
        }
    }
}
