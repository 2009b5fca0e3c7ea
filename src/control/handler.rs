//! One request, from the look at its sender to the answers.

use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use super::Call;
use super::protocol::{Command, Request, Which, status_objects};
use crate::postgres::{Control, Error, Notification, Sender};

/// How long an answer to a forced snapshot waits for it to begin.
const UNTIL_IT_BEGINS: Duration = Duration::from_millis(100);

/// `psql -c "NOTIFY ..."` has gone before anyone can look whose it was. What it most often asks for is harmless.
const BETWEEN_ANONYMOUS_RELOADS: Duration = Duration::from_secs(10);

const BETWEEN_LOGGED_REFUSALS: Duration = Duration::from_secs(1);

/// Handles requests one after the other.
pub(super) struct Handler {
    calls: mpsc::Sender<Call>,
    last_anonymous_reload: Option<Instant>,
    last_refusal: Option<Instant>,
}

type Outcome = Result<Vec<String>, String>;

impl Handler {
    pub(super) fn new(calls: mpsc::Sender<Call>) -> Self {
        Self { calls, last_anonymous_reload: None, last_refusal: None }
    }

    /// Carries a request out, if its sender may, and answers it.
    ///
    /// # Errors
    /// The repository cannot be talked to any more.
    pub(super) async fn handle(&mut self, control: &Control, notification: &Notification) -> Result<(), Error> {
        let request = Request::parse(&notification.payload);
        tracing::debug!(payload = notification.payload, sender = notification.sender, "command received");
        let outcome = match control.sender(notification.sender).await {
            Ok(Sender::Allowed) => self.carry_out(&request).await,
            Ok(Sender::Denied) => Err("Permission denied".into()),
            Ok(Sender::Left) if self.may_reload_anonymously(&request) => self.carry_out(&request).await,
            Ok(Sender::Left) => {
                tracing::warn!(
                    command = request.name,
                    "command ignored: its sender has left, so its role is not known"
                );
                return Ok(());
            }
            Err(error) if error.is_connection() => return Err(error),
            Err(error) => Err(format!("the sender could not be looked up: {}", error.in_full())),
        };
        if let Err(reason) = &outcome {
            self.log_refusal(&request, reason);
        }
        match &request.channel {
            Some(channel) => answer(control, &request, channel, outcome).await,
            None => Ok(()),
        }
    }

    /// Anybody who can connect can be refused as often as they like: they must not fill the log.
    fn log_refusal(&mut self, request: &Request, reason: &str) {
        if self.last_refusal.is_some_and(|last| last.elapsed() < BETWEEN_LOGGED_REFUSALS) {
            tracing::debug!(command = request.name, reason, "command refused");
        } else {
            self.last_refusal = Some(Instant::now());
            tracing::warn!(command = request.name, reason, "command refused");
        }
    }

    fn may_reload_anonymously(&mut self, request: &Request) -> bool {
        let is_reload = request.command == Ok(Command::Reload);
        let too_soon = |last: &Instant| last.elapsed() < BETWEEN_ANONYMOUS_RELOADS;
        if !is_reload || self.last_anonymous_reload.as_ref().is_some_and(too_soon) {
            return false;
        }
        self.last_anonymous_reload = Some(Instant::now());
        true
    }

    async fn carry_out(&self, request: &Request) -> Outcome {
        match request.command.clone()? {
            Command::Reload => self.call(Call::Reload).await?.map(|()| vec!["OK".into()]),
            Command::WorkersStatus(_) if request.channel.is_none() => Ok(vec![]),
            Command::WorkersStatus(which) => {
                let mut statuses = self.call(Call::Statuses).await?;
                if let Which::Only(ids) = which {
                    statuses.retain(|id, _| ids.contains(id));
                }
                Ok(status_objects(request, &statuses))
            }
            Command::ForceSnapshot(id) => {
                let forced = self.call(|reply| Call::ForceSnapshot(id, reply)).await?;
                let forced = forced.map_err(|refused| refused.to_string())?;
                let begins = forced.begins_within(UNTIL_IT_BEGINS).await;
                Ok(vec![if begins { "Snapshot in progress" } else { "Snapshot will begin shortly" }.into()])
            }
            Command::RefreshCatalogs(id, refresh) => {
                let registered = self.call(|reply| Call::RefreshCatalogs(id, refresh, reply)).await?;
                registered.map_err(|refused| refused.to_string())?;
                Ok(vec!["Catalogs will be refreshed during the next snapshot".into()])
            }
        }
    }

    /// Asks the main task. It always answers, unless it is about to end.
    async fn call<T>(&self, call: impl FnOnce(oneshot::Sender<T>) -> Call) -> Result<T, String> {
        let (reply, answer) = oneshot::channel();
        let stopping = || String::from("powa-collector is stopping");
        self.calls.send(call(reply)).await.map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())
    }
}

async fn answer(control: &Control, request: &Request, channel: &str, outcome: Outcome) -> Result<(), Error> {
    let answers = match outcome {
        Ok(parts) => parts.into_iter().map(|data| request.answer(&Ok(data))).collect(),
        Err(reason) => vec![request.answer(&Err(reason))],
    };
    for text in answers {
        match control.answer(channel, &text).await {
            Err(error) if error.is_connection() => return Err(error),
            Err(error) => {
                tracing::warn!(command = request.name, error = error.in_full(), "answer not sent");
                return Ok(());
            }
            Ok(()) => {}
        }
    }
    Ok(())
}
