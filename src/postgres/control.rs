//! The session of the main task on the repository: it listens for commands, looks who sends them, and answers.

use std::time::Duration;

use futures_util::future::poll_fn;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::types::ToSql;
use tokio_postgres::{AsyncMessage, Client, Connection, Row, Socket, Statement, tls::NoTlsStream};

use super::{Endpoint, Error, Side, session};

/// The channel that powa-web and psql send commands to.
const CHANNEL: &str = "powa_collector";

/// Notifications that may wait for their turn. Beyond it they are dropped and counted: whoever floods the channel gets
/// no memory for it.
const WAITING_ROOM: usize = 1024;

/// A message on the channel.
#[derive(Debug)]
pub struct Notification {
    /// The process of the backend that sent it.
    pub sender: i32,
    pub payload: String,
}

/// A message, or the end of the connection.
pub type Heard = Result<Notification, Error>;

/// An open session, and what is heard in it.
pub type Channel = (Control, mpsc::Receiver<Heard>);

/// Whether the role behind a message may command the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    Allowed,
    Denied,
    /// The backend is gone, so nobody can tell.
    Left,
}

/// The open session.
pub struct Control {
    client: Client,
    driver: JoinHandle<()>,
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
        let (client, connection) = endpoint.open().await?;
        let (heard, notifications) = mpsc::channel(WAITING_ROOM);
        let driver = tokio::spawn(listen(connection, heard));

        let doing = "set up the command channel";
        let setting_up = async {
            session::pin(&client, Side::Repository, endpoint.timeouts()).await?;
            session::extensions(&client).await
        };
        let extensions = endpoint.briefly(doing.into(), setting_up).await?;
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

    /// Whether the sender of a message may command the daemon.
    ///
    /// # Errors
    /// The repository does not answer as expected.
    pub async fn sender(&self, process: i32) -> Result<Sender, Error> {
        let rows = self.query("look up the sender of a command", &self.permission, &[&process]).await?;
        Ok(match rows.first().map(|row| row.get::<_, Option<bool>>(0)) {
            None => Sender::Left,
            Some(Some(true)) => Sender::Allowed,
            Some(_) => Sender::Denied,
        })
    }

    /// Sends an answer. Channel and text are values, not SQL.
    ///
    /// # Errors
    /// PostgreSQL refuses the channel's name or the size of the text, or the connection was lost.
    pub async fn answer(&self, channel: &str, text: &str) -> Result<(), Error> {
        self.query("answer a command", &self.notify, &[&channel, &text]).await.map(drop)
    }

    async fn query(
        &self,
        doing: &str,
        statement: &Statement,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Error> {
        match timeout(self.limit, self.client.query(statement, values)).await {
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
async fn listen(mut connection: Connection<Socket, NoTlsStream>, heard: mpsc::Sender<Heard>) {
    let mut dropped = 0_u64;
    while let Some(message) = poll_fn(|context| connection.poll_message(context)).await {
        match message {
            Ok(AsyncMessage::Notification(message)) => {
                let notification = Notification { sender: message.process_id(), payload: message.payload().to_owned() };
                if heard.try_send(Ok(notification)).is_ok() {
                    dropped = 0;
                } else {
                    dropped += 1;
                    if dropped.is_power_of_two() {
                        tracing::warn!(dropped, "more commands arrive than can be answered: some are dropped");
                    }
                }
            }
            Ok(AsyncMessage::Notice(notice)) => tracing::debug!(%notice, "the repository server says"),
            Ok(_) => {}
            Err(error) => {
                let lost = Error::new(Side::Repository, "go on listening for commands", error);
                // Nobody listens any more: the session is being closed.
                let _ = heard.send(Err(lost)).await;
                return;
            }
        }
    }
}
