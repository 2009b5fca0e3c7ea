//! The client of the command channel: subcommands use it to send commands to the daemon and to wait for the answers.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::detail::Detail;
use super::handler::DENIED;
use super::protocol::{Answer, Details, Refusal};
use crate::control::client_session::ClientSession;
use crate::repository::Collector;
use crate::server::ServerId;
use crate::worker::ForceRefused;
use session::{Endpoint, Error};

/// How long to wait for an answer. A running daemon answers at once.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// Why a command got no usable answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error(
        "no collector is connected to the repository: start one, with \"systemctl start powa-collector\" for example"
    )]
    NotRunning,
    #[error("{name} is connected to the repository but did not answer within {} s; see its log", .timeout.as_secs())]
    Silent { name: String, timeout: Duration },
    #[error(
        "the collector refused: permission denied; grant pg_signal_backend to the role in \"repository.dsn\", or run the \
         command with POWA_COLLECTOR__REPOSITORY__DSN='...' as a role that has it"
    )]
    Denied,
    #[error("the collector refused: {}; use --wait to wait until it is possible", refusal_text(*.0))]
    NotNow(ForceRefused),
    #[error("the collector refused: {0}")]
    Refused(String),
    #[error("the collector does not know the command {0}; it is another program or an older version")]
    Unknown(String),
    #[error("could not parse the answer of the collector: {0}")]
    Unreadable(serde_json::Error),
    #[error("the connection to the repository server was lost while waiting for an answer")]
    Lost,
    #[error("{0}")]
    Postgres(#[from] Error),
}

fn refusal_text(refused: ForceRefused) -> &'static str {
    match refused {
        ForceRefused::InProgress => "a snapshot is in progress",
        ForceRefused::Scheduled => "a snapshot was already requested and is about to begin",
        ForceRefused::TooSoon => "the last snapshot was less than 10 s ago",
    }
}

/// A connection for sending commands to the daemon.
pub(crate) struct Client {
    session: ClientSession,
    /// The backend process of the collector whose answers are used. If several collectors answer, their answers must not be
    /// mixed.
    followed: Option<i32>,
    /// The timeout of a reload.
    reload: Duration,
}

impl Client {
    /// Connects to the repository. `reload` is the timeout of a reload.
    ///
    /// # Errors
    /// The repository cannot be reached.
    pub(crate) async fn connect(endpoint: &Endpoint, reload: Duration) -> Result<Self, Error> {
        Ok(Self { session: ClientSession::open(endpoint).await?, followed: None, reload })
    }

    /// The collectors that are connected to the repository, the oldest first.
    ///
    /// # Errors
    /// The query failed.
    pub(crate) async fn collectors(&self) -> Result<Vec<Collector>, Error> {
        self.session.collectors().await
    }

    /// The state of these workers; of all if `only` is empty.
    ///
    /// # Errors
    /// No collector answers, or the answer is invalid.
    pub(crate) async fn details(&mut self, only: &[ServerId]) -> Result<BTreeMap<ServerId, Detail>, ClientError> {
        let ids: Vec<_> = only.iter().map(ToString::to_string).collect();
        self.send("WORKERS_DETAIL", &ids).await?;
        let mut found = BTreeMap::new();
        loop {
            let data = self.answer("WORKERS_DETAIL", ANSWER_TIMEOUT).await?;
            let Details { of, servers } = serde_json::from_str(&data).map_err(ClientError::Unreadable)?;
            let is_empty = servers.is_empty();
            found.extend(servers);
            if found.len() >= of || is_empty {
                return Ok(found);
            }
        }
    }

    /// Requests all connected collectors to reload, and waits until they have. Returns their number.
    ///
    /// # Errors
    /// No collector answers, or a reload failed.
    pub(crate) async fn reload(&mut self) -> Result<usize, ClientError> {
        // A reload takes time, so first find out quickly whether any collector is running.
        let answering = self.count_answering().await?;
        self.send("RELOAD", &[]).await?;
        let deadline = Instant::now() + self.reload;
        for _ in 0..answering {
            match self.receive("RELOAD", deadline).await? {
                Some((_, answer)) => answer?,
                None => return Err(self.no_answer(self.reload).await?),
            };
        }
        Ok(answering)
    }

    /// Requests a snapshot of a server, and returns the answer.
    ///
    /// # Errors
    /// No collector answers, or it refuses.
    pub(crate) async fn force_snapshot(&mut self, server: ServerId) -> Result<String, ClientError> {
        self.send("FORCE_SNAPSHOT", &[server.to_string()]).await?;
        self.answer("FORCE_SNAPSHOT", ANSWER_TIMEOUT).await
    }

    /// Registers the catalogs of a database, or of all, to be copied with the next snapshot.
    ///
    /// # Errors
    /// No collector answers, or there is no such server.
    pub(crate) async fn refresh_catalogs(
        &mut self,
        server: ServerId,
        database: Option<&str>,
    ) -> Result<String, ClientError> {
        let arguments = match database {
            None => vec![server.to_string(), "0".into()],
            // Only the name of a single database may have spaces.
            Some(name) => vec![server.to_string(), "1".into(), name.into()],
        };
        self.send("REFRESH_DB_CAT", &arguments).await?;
        self.answer("REFRESH_DB_CAT", ANSWER_TIMEOUT).await
    }

    /// How many of the connected collectors answer.
    async fn count_answering(&mut self) -> Result<usize, ClientError> {
        // No server has the id 0, so the answer is short. The Python collector also knows this command.
        self.send("WORKERS_STATUS", &["0".into()]).await?;
        self.answer("WORKERS_STATUS", ANSWER_TIMEOUT).await?;
        let connected = self.collectors().await?.len();
        let deadline = Instant::now() + ANSWER_TIMEOUT;
        let mut answering = 1;
        while answering < connected {
            match self.receive("WORKERS_STATUS", deadline).await? {
                Some((_, answer)) => drop(answer?),
                None => break,
            }
            answering += 1;
        }
        Ok(answering)
    }

    async fn send(&mut self, command: &str, arguments: &[String]) -> Result<(), ClientError> {
        let mut payload = format!("{command} {}", self.session.channel());
        for argument in arguments {
            payload.push(' ');
            payload.push_str(argument);
        }
        Ok(self.session.send(&payload).await?)
    }

    /// The next answer to a command from the followed collector.
    async fn answer(&mut self, command: &str, timeout: Duration) -> Result<String, ClientError> {
        let deadline = Instant::now() + timeout;
        while let Some((process, answer)) = self.receive(command, deadline).await? {
            if self.is_followed(process).await? {
                return answer;
            }
        }
        // Follow the next collector that answers.
        self.followed = None;
        Err(self.no_answer(timeout).await?)
    }

    /// Whether a collector is the followed one. The first one that answers is followed until its session ends.
    async fn is_followed(&mut self, process: i32) -> Result<bool, Error> {
        match self.followed {
            Some(followed) if followed != process && self.session.is_connected(followed).await? => Ok(false),
            _ => {
                self.followed = Some(process);
                Ok(true)
            }
        }
    }

    /// The next answer to a command from any collector, with its backend process. `None` if there is none before the deadline.
    async fn receive(
        &mut self,
        command: &str,
        deadline: Instant,
    ) -> Result<Option<(i32, Result<String, ClientError>)>, ClientError> {
        loop {
            let Ok(received) = timeout_at(deadline, self.session.receive()).await else { return Ok(None) };
            let (process, received) = received.ok_or(ClientError::Lost)?;
            match Answer::parse(&received) {
                Some(Answer { name, outcome }) if name == command => {
                    let answer = outcome.map(Into::into).map_err(|refusal| refused(command, &refusal));
                    return Ok(Some((process, answer)));
                }
                // A late answer to an earlier command.
                _ => {}
            }
        }
    }

    async fn no_answer(&self, timeout: Duration) -> Result<ClientError, Error> {
        let collectors = self.collectors().await?;
        Ok(match collectors.into_iter().next() {
            Some(Collector { name, .. }) => ClientError::Silent { name, timeout },
            None => ClientError::NotRunning,
        })
    }
}

fn refused(command: &str, refusal: &Refusal<'_>) -> ClientError {
    match *refusal {
        Refusal::Unknown => ClientError::Unknown(command.into()),
        Refusal::Reason(DENIED) => ClientError::Denied,
        Refusal::Reason(reason) => {
            let not_now = ForceRefused::ALL.into_iter().find(|refused| refused.to_string() == reason);
            not_now.map_or_else(|| ClientError::Refused(reason.into()), ClientError::NotNow)
        }
    }
}
