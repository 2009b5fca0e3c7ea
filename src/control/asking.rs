//! The daemon, as somebody sees it who sends it commands: is it there, and what does it answer?

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::detail::Detail;
use super::handler::DENIED;
use super::protocol::{Answer, Details, Refusal};
use crate::postgres::{Asking, Collector, Endpoint, Error};
use crate::server::ServerId;
use crate::worker::ForceRefused;

/// A daemon that is there answers at once.
const PATIENCE: Duration = Duration::from_secs(2);

/// Why there is no answer that could be worked with.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
    #[error(
        "no collector is connected to the repository: start one, with \"systemctl start powa-collector\" for example"
    )]
    Nobody,
    #[error("{name} is connected to the repository, and does not answer within {} s; its log tells more", .patience.as_secs())]
    Silent { name: String, patience: Duration },
    #[error(
        "the collector refuses: permission denied; grant pg_signal_backend to the role in \"repository.dsn\", or run the \
         command as a role that has it, by POWA_COLLECTOR__REPOSITORY__DSN='...'"
    )]
    Denied,
    #[error("the collector refuses: {}; --wait asks for it as soon as that is possible", in_words(*.0))]
    NotNow(ForceRefused),
    #[error("the collector refuses: {0}")]
    Refused(String),
    #[error("the collector that answers does not know the command {0}: it is another program, or an older version")]
    Unknown(String),
    #[error("what the collector answers cannot be read: {0}")]
    Unreadable(serde_json::Error),
    #[error("the connection to the repository server was lost while an answer was waited for")]
    Lost,
    #[error("{}", .0.in_full())]
    Postgres(#[from] Error),
}

fn in_words(refused: ForceRefused) -> &'static str {
    match refused {
        ForceRefused::InProgress => "a snapshot is in progress",
        ForceRefused::Scheduled => "a snapshot was asked for already, and is about to begin",
        ForceRefused::TooSoon => "the last snapshot was less than 10 s ago",
    }
}

/// Somebody who asks.
pub struct Asker {
    asking: Asking,
    /// The session of the collector that is listened to. Where there are several, answers of two do not go together.
    followed: Option<i32>,
    /// How long a reload may take.
    reload: Duration,
}

impl Asker {
    /// Connects to the repository. A reload may take as long as `reload`.
    ///
    /// # Errors
    /// The repository cannot be reached.
    pub async fn connect(endpoint: &Endpoint, reload: Duration) -> Result<Self, Error> {
        Ok(Self { asking: Asking::open(endpoint).await?, followed: None, reload })
    }

    /// The collectors that are connected to the repository, the oldest first.
    ///
    /// # Errors
    /// The repository cannot be asked.
    pub async fn collectors(&self) -> Result<Vec<Collector>, Error> {
        self.asking.collectors().await
    }

    /// What is known of the workers: of all, or of some.
    ///
    /// # Errors
    /// There is nobody to answer, or no answer that can be understood.
    pub async fn details(&mut self, only: &[ServerId]) -> Result<BTreeMap<ServerId, Detail>, Unanswered> {
        let ids: Vec<_> = only.iter().map(ToString::to_string).collect();
        self.send("WORKERS_DETAIL", &ids).await?;
        let mut found = BTreeMap::new();
        loop {
            let data = self.answer("WORKERS_DETAIL", PATIENCE).await?;
            let Details { of, servers } = serde_json::from_str(&data).map_err(Unanswered::Unreadable)?;
            let is_empty = servers.is_empty();
            found.extend(servers);
            if found.len() >= of || is_empty {
                return Ok(found);
            }
        }
    }

    /// Has the configuration and `powa_servers` read again, and waits until that is done, by all collectors that there are.
    /// Gives their number.
    ///
    /// # Errors
    /// There is nobody to answer, or a reload failed.
    pub async fn reload(&mut self) -> Result<usize, Unanswered> {
        // It takes its time, so whether there is anybody at all is found out before.
        let answering = self.look().await?;
        self.send("RELOAD", &[]).await?;
        let until = Instant::now() + self.reload;
        for _ in 0..answering {
            match self.hear("RELOAD", until).await? {
                Some((_, answer)) => answer?,
                None => return Err(self.nobody(self.reload).await?),
            };
        }
        Ok(answering)
    }

    /// Asks for a snapshot of a server, and gives what is answered.
    ///
    /// # Errors
    /// There is nobody to answer, or it is not the time for it.
    pub async fn force_snapshot(&mut self, server: ServerId) -> Result<String, Unanswered> {
        self.send("FORCE_SNAPSHOT", &[server.to_string()]).await?;
        self.answer("FORCE_SNAPSHOT", PATIENCE).await
    }

    /// Registers the catalogs of a database, or of all, to be copied with the next snapshot.
    ///
    /// # Errors
    /// There is nobody to answer, or there is no such server.
    pub async fn refresh_catalogs(&mut self, server: ServerId, database: Option<&str>) -> Result<String, Unanswered> {
        let arguments = match database {
            None => vec![server.to_string(), "0".into()],
            // One by one, as only the name of one alone may have spaces in it.
            Some(name) => vec![server.to_string(), "1".into(), name.into()],
        };
        self.send("REFRESH_DB_CAT", &arguments).await?;
        self.answer("REFRESH_DB_CAT", PATIENCE).await
    }

    /// How many collectors answer, of those that are connected.
    async fn look(&mut self) -> Result<usize, Unanswered> {
        // There is no server with that id, so that the answer is short; and the Python collector understands it too.
        self.send("WORKERS_STATUS", &["0".into()]).await?;
        self.answer("WORKERS_STATUS", PATIENCE).await?;
        let connected = self.collectors().await?.len();
        let until = Instant::now() + PATIENCE;
        let mut answering = 1;
        while answering < connected {
            match self.hear("WORKERS_STATUS", until).await? {
                Some((_, answer)) => drop(answer?),
                None => break,
            }
            answering += 1;
        }
        Ok(answering)
    }

    async fn send(&mut self, command: &str, arguments: &[String]) -> Result<(), Unanswered> {
        let mut payload = format!("{command} {}", self.asking.channel());
        for argument in arguments {
            payload.push(' ');
            payload.push_str(argument);
        }
        Ok(self.asking.send(&payload).await?)
    }

    /// The next answer to a command, by the collector that is listened to.
    async fn answer(&mut self, command: &str, patience: Duration) -> Result<String, Unanswered> {
        let until = Instant::now() + patience;
        while let Some((process, answer)) = self.hear(command, until).await? {
            if self.is_followed(process).await? {
                return answer;
            }
        }
        // Whoever answers next is as good.
        self.followed = None;
        Err(self.nobody(patience).await?)
    }

    /// The first one who answers is listened to for as long as its session is there.
    async fn is_followed(&mut self, process: i32) -> Result<bool, Error> {
        match self.followed {
            Some(followed) if followed != process && self.asking.is_connected(followed).await? => Ok(false),
            _ => {
                self.followed = Some(process);
                Ok(true)
            }
        }
    }

    /// The next answer to a command, by whomever, with the process of its session; `None` if there is none until then.
    async fn hear(
        &mut self,
        command: &str,
        until: Instant,
    ) -> Result<Option<(i32, Result<String, Unanswered>)>, Unanswered> {
        loop {
            let Ok(heard) = timeout_at(until, self.asking.hear()).await else { return Ok(None) };
            let (process, heard) = heard.ok_or(Unanswered::Lost)?;
            match Answer::parse(&heard) {
                Some(Answer { name, outcome }) if name == command => {
                    let answer = outcome.map(Into::into).map_err(|refusal| refused(command, &refusal));
                    return Ok(Some((process, answer)));
                }
                // To a question that nobody waits for any more.
                _ => {}
            }
        }
    }

    async fn nobody(&self, patience: Duration) -> Result<Unanswered, Error> {
        let collectors = self.collectors().await?;
        Ok(match collectors.into_iter().next() {
            Some(Collector { name, .. }) => Unanswered::Silent { name, patience },
            None => Unanswered::Nobody,
        })
    }
}

fn refused(command: &str, refusal: &Refusal<'_>) -> Unanswered {
    match *refusal {
        Refusal::Unknown => Unanswered::Unknown(command.into()),
        Refusal::Because(DENIED) => Unanswered::Denied,
        Refusal::Because(reason) => {
            let not_now = ForceRefused::ALL.into_iter().find(|refused| refused.to_string() == reason);
            not_now.map_or_else(|| Unanswered::Refused(reason.into()), Unanswered::NotNow)
        }
    }
}
