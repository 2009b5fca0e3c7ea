//! The session of somebody who asks the daemon something: it sends commands, and hears what is answered.

use futures_util::future::poll_fn;
use tokio::sync::mpsc;
use tokio_postgres::types::ToSql;
use tokio_postgres::{AsyncMessage, Client};
use tokio_util::task::AbortOnDropHandle;

use super::collectors::{self, Collector};
use super::connect::{Line, MAIN_TASK, Opened};
use super::{CHANNEL, Endpoint, Error, QuotedIdent, Side};

/// Answers that may wait to be looked at: beyond, somebody floods the channel, and gets nowhere.
const MOST_ANSWERS: usize = 4096;

/// The process of the session that has answered, and what.
type Heard = (i32, String);

/// The open session.
pub struct Asking {
    client: Client,
    _driver: AbortOnDropHandle<()>,
    endpoint: Endpoint,
    channel: String,
    answers: mpsc::Receiver<Heard>,
}

impl Asking {
    /// Connects, and listens on a channel of its own.
    ///
    /// # Errors
    /// The repository cannot be reached.
    pub async fn open(endpoint: &Endpoint) -> Result<Self, Error> {
        let Opened { client, line, .. } = endpoint.open().await?;
        let (ear, answers) = mpsc::channel(MOST_ANSWERS);
        let driver = AbortOnDropHandle::new(tokio::spawn(hear(line, ear)));
        // Nobody else's answers are heard on it.
        let channel = format!("{CHANNEL}_{:016x}", fastrand::u64(..));
        let listen = format!("listen {}", QuotedIdent::new(&channel));
        endpoint.briefly("listen for answers".into(), client.batch_execute(&listen)).await?;
        Ok(Self { client, _driver: driver, endpoint: endpoint.clone(), channel, answers })
    }

    /// Where answers are listened for.
    pub fn channel(&self) -> &str {
        &self.channel
    }

    /// Sends a command. What was answered before, and nobody waited for, is forgotten.
    ///
    /// # Errors
    /// The connection was lost, or the payload is too long.
    pub async fn send(&mut self, payload: &str) -> Result<(), Error> {
        while self.answers.try_recv().is_ok() {}
        let values: [&(dyn ToSql + Sync); 2] = [&CHANNEL, &payload];
        let sending = self.client.execute(include_str!("../../sql/repository/notify.sql"), &values);
        self.endpoint.briefly("send a command".into(), sending).await.map(drop)
    }

    /// Waits for the next answer, which comes with the process of the session that has sent it; `None` when the connection
    /// was lost. Safe to drop.
    pub async fn hear(&mut self) -> Option<(i32, String)> {
        self.answers.recv().await
    }

    /// Whether the session of a process is still there.
    ///
    /// # Errors
    /// The connection was lost.
    pub async fn is_connected(&self, process: i32) -> Result<bool, Error> {
        let looking = async {
            let row = self.client.query_one(include_str!("../../sql/repository/is_connected.sql"), &[&process]).await?;
            row.try_get(0)
        };
        self.endpoint.briefly("look for the collector that has answered".into(), looking).await
    }

    /// The sessions in the repository that are called as a collector's main task is, the oldest first.
    ///
    /// # Errors
    /// The connection was lost.
    pub async fn collectors(&self) -> Result<Vec<Collector>, Error> {
        let looking = async {
            let rows = self.client.query(collectors::QUESTION, &[&MAIN_TASK]).await?;
            rows.iter().map(Collector::of_row).collect()
        };
        self.endpoint.briefly("look for a collector".into(), looking).await
    }
}

/// The end of a connection is an end of answers: whoever waits says what for.
async fn hear(mut line: Line, ear: mpsc::Sender<Heard>) {
    while let Some(message) = poll_fn(|context| line.poll_message(context)).await {
        match message {
            // One that there is no room for is as good as one that was never sent.
            Ok(AsyncMessage::Notification(message)) => {
                drop(ear.try_send((message.process_id(), message.payload().to_owned())));
            }
            Ok(_) => {}
            Err(error) => {
                let lost = Error::new(Side::Repository, "go on listening for answers", error);
                return tracing::debug!(error = lost.in_full(), "connection lost");
            }
        }
    }
}
