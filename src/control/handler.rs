//! One request, from the look at its sender to the answers.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::Call;
use super::detail::Detail;
use super::protocol::{Command, Request, detail_objects, status_objects};
use super::throttle::Throttle;
use crate::metrics::{Answered, Metrics};
use crate::postgres::{CHANNEL, Control, Error, Notification};

/// How long an answer to a forced snapshot waits for it to begin.
const UNTIL_IT_BEGINS: Duration = Duration::from_millis(100);

/// `psql -c "NOTIFY ..."` has gone before anyone can look whose it was. What it most often asks for is harmless.
const BETWEEN_ANONYMOUS_RELOADS: Duration = Duration::from_secs(10);

/// Anybody who can connect can be refused as often as they like: they must not fill the log.
const BETWEEN_COMPLAINTS: Duration = Duration::from_secs(1);

/// Reloads whose answers may be waited for: any number of them is one or two reloads, but each wants its answer.
const MOST_RELOADS: usize = 1024;

/// As much of a command's name, and of what is wrong with it, is logged.
const LONGEST_NAME: usize = 40;
const LONGEST_REASON: usize = 500;

/// Handles requests, any number at a time.
pub(super) struct Handler {
    calls: mpsc::Sender<Call>,
    metrics: Metrics,
    reloads: Arc<Semaphore>,
    anonymous_reloads: Throttle,
    complaints: Throttle,
}

/// The answer to those who may not command.
pub(super) const DENIED: &str = "Permission denied";

type Outcome = Result<Vec<String>, String>;

/// What became of a request.
enum Carried {
    Out(Vec<String>),
    /// The main task takes its time for it.
    On(oneshot::Receiver<Result<(), String>>, OwnedSemaphorePermit),
}

/// Whose request it is, for the log.
struct Who {
    /// `None` before it is known, and of a sender who has left.
    role: Option<String>,
    /// The one that serves the sender's session.
    process: i32,
}

/// A request that the main task takes its time for.
pub(super) struct UnderWay {
    request: Request,
    who: Who,
    reply: oneshot::Receiver<Result<(), String>>,
    _place: OwnedSemaphorePermit,
}

/// A request that is done with, but for its answer.
pub(super) struct Done {
    request: Request,
    who: Who,
    outcome: Outcome,
}

impl UnderWay {
    /// Waits for what came of it.
    pub(super) async fn done(self) -> Done {
        let outcome = self.reply.await.unwrap_or_else(|_| Err(stopping()));
        Done { request: self.request, who: self.who, outcome: outcome.map(|()| vec!["OK".into()]) }
    }
}

fn beginning(text: &str, longest: usize) -> &str {
    &text[..text.floor_char_boundary(longest)]
}

fn stopping() -> String {
    "powa-collector is stopping".into()
}

impl Handler {
    pub(super) fn new(calls: mpsc::Sender<Call>, metrics: Metrics) -> Self {
        Self {
            calls,
            metrics,
            reloads: Arc::new(Semaphore::new(MOST_RELOADS)),
            anonymous_reloads: Throttle::one_in(BETWEEN_ANONYMOUS_RELOADS),
            complaints: Throttle::one_in(BETWEEN_COMPLAINTS),
        }
    }

    /// Carries a request out, if its sender may, and answers it, unless it takes its time.
    ///
    /// # Errors
    /// The repository cannot be talked to any more.
    pub(super) async fn handle(
        &self,
        control: &Control,
        notification: &Notification,
    ) -> Result<Option<UnderWay>, Error> {
        let request = Request::parse(&notification.payload);
        tracing::debug!(payload = notification.payload, sender = notification.sender, "command received");
        let mut who = Who { role: None, process: notification.sender };
        if request.channel.as_deref() == Some(CHANNEL) {
            // What is heard there are commands: the answer would be one of ours.
            self.count(&request, Answered::Ignored);
            self.complain((&request, &who), "command ignored", "its answer is wanted on the channel of the commands");
            return Ok(None);
        }
        let outcome = match control.sender(notification.sender).await {
            Ok(Some(sender)) => {
                who.role = sender.role;
                if sender.may_command { self.carry_out(&request).await } else { Err(DENIED.into()) }
            }
            Ok(None) if !self.may_be_anonymous(&request) => {
                self.count(&request, Answered::Ignored);
                self.complain((&request, &who), "command ignored", "its sender has left, so its role is not known");
                return Ok(None);
            }
            Ok(None) => self.carry_out(&request).await,
            Err(error) if error.is_connection() => return Err(error),
            Err(error) => Err(format!("the sender could not be looked up: {}", error.in_full())),
        };
        let outcome = match outcome {
            Ok(Carried::On(reply, place)) => return Ok(Some(UnderWay { request, who, reply, _place: place })),
            Ok(Carried::Out(answers)) => Ok(answers),
            Err(reason) => Err(reason),
        };
        self.answer(control, Done { request, who, outcome }).await.map(|()| None)
    }

    fn count(&self, request: &Request, answered: Answered) {
        self.metrics.command(request.known_name().unwrap_or("unknown"), answered);
    }

    fn may_be_anonymous(&self, request: &Request) -> bool {
        request.command == Ok(Command::Reload) && self.anonymous_reloads.pass().is_some()
    }

    fn complain(&self, (request, who): (&Request, &Who), what: &str, reason: &str) {
        let command = beginning(&request.name, LONGEST_NAME);
        let reason = beginning(reason, LONGEST_REASON);
        let Who { role, process } = who;
        let role = role.as_deref();
        match self.complaints.pass() {
            Some(unsaid) => tracing::warn!(command, reason, role, process, unsaid, "{what}"),
            None => tracing::debug!(command, reason, role, process, "{what}"),
        }
    }

    async fn carry_out(&self, request: &Request) -> Result<Carried, String> {
        let answers = match request.command.clone()? {
            Command::Reload => {
                let place = Arc::clone(&self.reloads).try_acquire_owned();
                let place = place.map_err(|_| format!("{MOST_RELOADS} wait for a reload already"))?;
                return Ok(Carried::On(self.call(Call::Reload).await?, place));
            }
            Command::WorkersStatus(_) | Command::WorkersDetail(_) if request.channel.is_none() => vec![],
            Command::WorkersStatus(which) => {
                let mut statuses = self.ask(Call::Statuses).await?;
                statuses.retain(|id, _| which.has(*id));
                status_objects(request, &statuses)
            }
            Command::WorkersDetail(which) => {
                let accounts = self.ask(Call::Accounts).await?;
                let accounts = accounts.iter().filter(|(id, _)| which.has(**id));
                let details = accounts.map(|(id, account)| (*id, Detail::of(account))).collect();
                detail_objects(request, &details)
            }
            Command::ForceSnapshot(id) => {
                let forced = self.ask(|reply| Call::ForceSnapshot(id, reply)).await?;
                let forced = forced.map_err(|refused| refused.to_string())?;
                let begins = forced.begins_within(UNTIL_IT_BEGINS).await;
                vec![if begins { "Snapshot in progress" } else { "Snapshot will begin shortly" }.into()]
            }
            Command::RefreshCatalogs(id, refresh) => {
                let registered = self.ask(|reply| Call::RefreshCatalogs(id, refresh, reply)).await?;
                registered.map_err(|refused| refused.to_string())?;
                vec!["Catalogs will be refreshed during the next snapshot".into()]
            }
        };
        Ok(Carried::Out(answers))
    }

    /// Asks the main task. It always answers, unless it is about to end.
    async fn ask<T>(&self, call: impl FnOnce(oneshot::Sender<T>) -> Call) -> Result<T, String> {
        self.call(call).await?.await.map_err(|_| stopping())
    }

    async fn call<T>(&self, call: impl FnOnce(oneshot::Sender<T>) -> Call) -> Result<oneshot::Receiver<T>, String> {
        let (reply, answer) = oneshot::channel();
        self.calls.send(call(reply)).await.map_err(|_| stopping())?;
        Ok(answer)
    }

    /// Tells the sender what came of a request, if that is wanted.
    ///
    /// # Errors
    /// The repository cannot be talked to any more.
    pub(super) async fn answer(&self, control: &Control, done: Done) -> Result<(), Error> {
        let Done { request, who, outcome } = done;
        self.count(&request, if outcome.is_ok() { Answered::Ok } else { Answered::Refused });
        if let Err(reason) = &outcome {
            self.complain((&request, &who), "command refused", reason);
        }
        let Some(channel) = &request.channel else { return Ok(()) };
        let answers = match outcome {
            Ok(parts) => parts.into_iter().map(|data| request.answer(&Ok(data))).collect(),
            Err(reason) => vec![request.answer(&Err(reason))],
        };
        for text in answers {
            match control.answer(channel, &text).await {
                Err(error) if error.is_connection() => return Err(error),
                Err(error) => {
                    self.complain((&request, &who), "answer not sent", &error.in_full());
                    return Ok(());
                }
                Ok(()) => {}
            }
        }
        Ok(())
    }
}
