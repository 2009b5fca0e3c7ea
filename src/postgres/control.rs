//! The session of the main task on the repository: it listens for commands, looks who sends them, and answers.

use std::time::Duration;

use futures_util::future::poll_fn;
use tokio::time::timeout;
use tokio_postgres::types::ToSql;
use tokio_postgres::{AsyncMessage, Client, Row, Statement};
use tokio_util::task::AbortOnDropHandle;

use super::collectors::{self, Collector};
use super::connect::{Line, MAIN_TASK, Opened};
use super::notifications::{Ear, Notifications};
use super::{Endpoint, Error, Side, session};

/// The channel that powa-web and psql send commands to.
pub const CHANNEL: &str = "powa_collector";

/// An open session, and what is heard in it.
pub type Channel = (Control, Notifications);

/// Who is behind a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// `None` for a process that has none.
    pub role: Option<String>,
    /// Whether that role may command the daemon.
    pub may_command: bool,
}

/// The open session.
pub struct Control {
    client: Client,
    /// Ends with it, also in the middle of an answer that nobody waits for any more.
    driver: AbortOnDropHandle<()>,
    permission: Statement,
    notify: Statement,
    /// For an answer of the repository. Without one, the channel is of no use, and is opened anew.
    limit: Duration,
}

impl Control {
    /// Connects, makes sure that there is a PoWA to work with, and listens.
    ///
    /// # Errors
    /// The repository cannot be reached, or is not one.
    pub async fn open(endpoint: &Endpoint) -> Result<Channel, Error> {
        let Opened { client, line, .. } = endpoint.open().await?;
        let notifications = Notifications::default();
        let driver = AbortOnDropHandle::new(tokio::spawn(listen(line, Ear::of(&notifications))));

        let doing = "set up the command channel";
        let extensions = endpoint.briefly(doing.into(), session::extensions(&client)).await?;
        let found = |what: String| Error::found(Side::Repository, format!("use {}", endpoint.described()), what);
        let powa = extensions.usable_powa().map_err(|unusable| found(unusable.to_string()))?;
        let permission = if powa.has_modules() {
            include_str!("../../sql/repository/sender_may_powa5.sql")
        } else {
            include_str!("../../sql/repository/sender_may_powa4.sql")
        };
        let permission = extensions.expand(permission).map_err(|unknown| found(unknown.to_string()))?;

        let preparing = async {
            let permission = client.prepare(&permission).await?;
            let notify = client.prepare(include_str!("../../sql/repository/notify.sql")).await?;
            client.batch_execute(&format!("listen {CHANNEL}")).await?;
            Ok((permission, notify))
        };
        let (permission, notify) = endpoint.briefly(doing.into(), preparing).await?;
        let limit = endpoint.timeouts().connect;
        Ok((Self { client, driver, permission, notify, limit }, notifications))
    }

    /// The sender of a message. `None`: the backend is gone, so nobody can tell.
    ///
    /// # Errors
    /// The repository does not answer as expected.
    pub async fn sender(&self, process: i32) -> Result<Option<Sender>, Error> {
        let doing = "look up the sender of a command";
        let rows = self.query(doing, &self.permission, &[&process]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let unreadable = |error: tokio_postgres::Error| Error::found(Side::Repository, doing, error.to_string());
        let may: Option<bool> = row.try_get("may").map_err(unreadable)?;
        Ok(Some(Sender { role: row.try_get("role").map_err(unreadable)?, may_command: may == Some(true) }))
    }

    /// Sends an answer. Channel and text are values, not SQL.
    ///
    /// # Errors
    /// PostgreSQL refuses the channel's name or the size of the text, or the connection was lost.
    pub async fn answer(&self, channel: &str, text: &str) -> Result<(), Error> {
        self.query("answer a command", &self.notify, &[&channel, &text]).await.map(drop)
    }

    /// Sends a mark to all who listen for commands, this session included.
    ///
    /// # Errors
    /// The connection was lost, or the repository does not answer.
    pub async fn mark(&self, mark: &str) -> Result<(), Error> {
        self.query("take over the command channel", &self.notify, &[&CHANNEL, &mark]).await.map(drop)
    }

    /// Makes sure that the server is still there to be heard: one that froze says nothing, and neither does one of whom
    /// nobody wants anything.
    ///
    /// # Errors
    /// The connection was lost, or the repository does not answer.
    pub async fn check(&self) -> Result<(), Error> {
        self.in_time("go on listening for commands", self.client.check_connection()).await
    }

    /// The other collectors that are connected to the repository.
    ///
    /// # Errors
    /// The connection was lost, or the role may not ask.
    pub async fn others(&self) -> Result<Vec<Collector>, Error> {
        let looking = async {
            let rows = self.client.query(collectors::QUESTION, &[&MAIN_TASK]).await?;
            rows.iter().map(Collector::of_row).collect()
        };
        self.in_time("look for other collectors", looking).await
    }

    async fn query(
        &self,
        doing: &str,
        statement: &Statement,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Error> {
        self.in_time(doing, self.client.query(statement, values)).await
    }

    async fn in_time<T>(
        &self,
        doing: &str,
        asking: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Error> {
        match timeout(self.limit, asking).await {
            Ok(result) => result.map_err(|error| Error::new(Side::Repository, doing, error)),
            Err(_) => Err(Error::elapsed(Side::Repository, doing, self.limit)),
        }
    }

    /// Ends the session and waits for its last bytes to be sent.
    pub async fn close(self) {
        drop(self.client);
        // How the driver ended is logged by the driver.
        let _ = self.driver.await;
    }
}

/// Drives the connection and passes on what is heard, until it ends.
async fn listen(mut line: Line, ear: Ear) {
    while let Some(message) = poll_fn(|context| line.poll_message(context)).await {
        match message {
            Ok(AsyncMessage::Notification(message)) => ear.hear(message.process_id(), message.payload()),
            Ok(AsyncMessage::Notice(notice)) => tracing::debug!(%notice, "the repository server says"),
            Ok(_) => {}
            Err(error) => {
                let lost = Error::new(Side::Repository, "go on listening for commands", error);
                return ear.lose(lost);
            }
        }
    }
}
