//! The session on the repository with which a client sends commands and receives the answers.

use futures_util::future::poll_fn;
use tokio::sync::mpsc;
use tokio_postgres::types::ToSql;
use tokio_postgres::{AsyncMessage, Client};
use tokio_util::task::AbortOnDropHandle;

use crate::repository::collectors::{self, Collector};
use session::{Connection, Endpoint, Error, Opened, QuotedIdent, Side};

use crate::config::endpoints::MAIN_TASK;
use crate::control::channel::CHANNEL;

/// The most answers in the queue. More arrive only if the channel is flooded; they are dropped.
const MAX_QUEUED_ANSWERS: usize = 4096;

/// The backend process that sent an answer, and the answer.
type Received = (i32, String);

/// An open session of a client.
pub(crate) struct ClientSession {
    client: Client,
    _driver: AbortOnDropHandle<()>,
    endpoint: Endpoint,
    channel: String,
    answers: mpsc::Receiver<Received>,
}

impl ClientSession {
    /// Connects, and listens on its own response channel.
    ///
    /// # Errors
    /// The repository cannot be reached.
    pub(crate) async fn open(endpoint: &Endpoint) -> Result<Self, Error> {
        let Opened { client, connection, .. } = endpoint.open().await?;
        let (sender, answers) = mpsc::channel(MAX_QUEUED_ANSWERS);
        let driver = AbortOnDropHandle::new(tokio::spawn(forward_answers(connection, sender)));
        // A random name, so that no answers to other clients arrive on it.
        let channel = format!("{CHANNEL}_{:016x}", fastrand::u64(..));
        let listen = format!("listen {}", QuotedIdent::new(&channel));
        endpoint.within_connect_timeout("listen for answers".into(), client.batch_execute(&listen)).await?;
        Ok(Self { client, _driver: driver, endpoint: endpoint.clone(), channel, answers })
    }

    /// The name of the response channel.
    pub(crate) fn channel(&self) -> &str {
        &self.channel
    }

    /// Sends a command. Discards unread answers to earlier ones.
    ///
    /// # Errors
    /// The connection was lost, or the payload is too long.
    pub(crate) async fn send(&mut self, payload: &str) -> Result<(), Error> {
        while self.answers.try_recv().is_ok() {}
        let values: [&(dyn ToSql + Sync); 2] = [&CHANNEL, &payload];
        let sending = self.client.execute(include_str!("../../sql/repository/notify.sql"), &values);
        self.endpoint.within_connect_timeout("send a command".into(), sending).await.map(drop)
    }

    /// Waits for the next answer, with the backend process that sent it. `None` if the connection was lost. Cancel-safe.
    pub(crate) async fn receive(&mut self) -> Option<(i32, String)> {
        self.answers.recv().await
    }

    /// Whether a backend process still exists.
    ///
    /// # Errors
    /// The connection was lost.
    pub(crate) async fn is_connected(&self, process: i32) -> Result<bool, Error> {
        let request = async {
            let row = self.client.query_one(include_str!("../../sql/repository/is_connected.sql"), &[&process]).await?;
            row.try_get(0)
        };
        self.endpoint.within_connect_timeout("look for the collector that has answered".into(), request).await
    }

    /// The sessions on the repository with the application name of a collector's main task, oldest first.
    ///
    /// # Errors
    /// The connection was lost.
    pub(crate) async fn collectors(&self) -> Result<Vec<Collector>, Error> {
        let request = async {
            let rows = self.client.query(collectors::QUERY, &[&MAIN_TASK]).await?;
            rows.iter().map(Collector::of_row).collect()
        };
        self.endpoint.within_connect_timeout("look for a collector".into(), request).await
    }
}

/// Drives the connection and forwards answers. If the connection is lost, the queue ends; the reader reports it.
async fn forward_answers(mut connection: Connection, sender: mpsc::Sender<Received>) {
    while let Some(message) = poll_fn(|context| connection.poll_message(context)).await {
        match message {
            // An answer that does not fit into the queue is dropped.
            Ok(AsyncMessage::Notification(message)) => {
                drop(sender.try_send((message.process_id(), message.payload().to_owned())));
            }
            Ok(_) => {}
            Err(error) => {
                let lost = Error::new(Side::Repository, "go on listening for answers", error);
                return tracing::debug!(error = %lost, "connection lost");
            }
        }
    }
}
