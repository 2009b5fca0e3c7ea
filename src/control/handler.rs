//! Handles one request: checks its sender, executes it and sends the answers.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::Call;
use super::detail::Detail;
use super::protocol::{Command, Request, detail_objects, status_objects};
use super::throttle::Throttle;
use crate::control::channel::{CHANNEL, CommandSession};
use crate::control::notifications::Notification;
use crate::metrics::{CommandResult, Metrics};
use crate::worker::ForceRefused;
use session::Error;

/// How long to wait for a forced snapshot to begin before answering.
const SNAPSHOT_START_TIMEOUT: Duration = Duration::from_millis(100);

/// `psql -c "NOTIFY ..."` ends its session before the sender can be looked up. A reload is harmless, so it is allowed then, once
/// in this interval.
const ANONYMOUS_RELOAD_INTERVAL: Duration = Duration::from_secs(10);

/// Every role that can connect can send commands that are refused: they must not flood the log.
const REFUSAL_LOG_INTERVAL: Duration = Duration::from_secs(1);

/// The most reload requests that wait for their answer. They are merged into one or two reloads, but each is answered.
const MAX_WAITING_RELOADS: usize = 1024;

/// The longest name and reason of a refused command in the log, in bytes.
const MAX_NAME_BYTES: usize = 40;
const MAX_REASON_BYTES: usize = 500;

/// Handles requests, several concurrently.
pub(super) struct Handler {
    calls: mpsc::Sender<Call>,
    metrics: Metrics,
    reloads: Arc<Semaphore>,
    anonymous_reloads: Throttle,
    refusal_log: Throttle,
}

/// The answer to a sender without permission.
pub(super) const DENIED: &str = "Permission denied";

type Outcome = Result<Vec<String>, String>;

/// The state of a request after its execution.
enum Execution {
    Done(Vec<String>),
    /// The main task is still working on it.
    Pending(oneshot::Receiver<Result<(), String>>, OwnedSemaphorePermit),
}

/// The sender of a request, for the log.
struct Requester {
    /// `None` if not known yet, or if the sender's session has ended.
    role: Option<String>,
    /// The backend process of the sender's session.
    process: i32,
}

/// A request that the main task is still working on.
pub(super) struct PendingRequest {
    request: Request,
    requester: Requester,
    reply: oneshot::Receiver<Result<(), String>>,
    _permit: OwnedSemaphorePermit,
}

/// A request that was executed and is to be answered.
pub(super) struct FinishedRequest {
    request: Request,
    requester: Requester,
    outcome: Outcome,
}

impl PendingRequest {
    /// Waits for the result.
    pub(super) async fn done(self) -> FinishedRequest {
        let outcome = self.reply.await.unwrap_or_else(|_| Err(stopping()));
        FinishedRequest {
            request: self.request,
            requester: self.requester,
            outcome: outcome.map(|()| vec!["OK".into()]),
        }
    }
}

fn truncated(text: &str, max_bytes: usize) -> &str {
    &text[..text.floor_char_boundary(max_bytes)]
}

/// Whether a refusal is due to an ongoing or recent snapshot.
fn is_force_refusal(reason: &str) -> bool {
    ForceRefused::ALL.iter().any(|refused| refused.to_string() == reason)
}

fn stopping() -> String {
    "powa-collector is stopping".into()
}

impl Handler {
    pub(super) fn new(calls: mpsc::Sender<Call>, metrics: Metrics) -> Self {
        Self {
            calls,
            metrics,
            reloads: Arc::new(Semaphore::new(MAX_WAITING_RELOADS)),
            anonymous_reloads: Throttle::once_per(ANONYMOUS_RELOAD_INTERVAL),
            refusal_log: Throttle::once_per(REFUSAL_LOG_INTERVAL),
        }
    }

    /// Executes a request if its sender has permission, and answers it. Returns a request that is still being executed.
    ///
    /// # Errors
    /// The connection to the repository was lost.
    pub(super) async fn handle(
        &self,
        session: &CommandSession,
        notification: &Notification,
    ) -> Result<Option<PendingRequest>, Error> {
        let request = Request::parse(&notification.payload);
        tracing::debug!(payload = notification.payload, sender = notification.sender, "command received");
        let mut requester = Requester { role: None, process: notification.sender };
        if request.channel.as_deref() == Some(CHANNEL) {
            // The answer would be taken for a command.
            self.count(&request, CommandResult::Ignored);
            self.log_refusal((&request, &requester), "command ignored", "its response channel is the command channel");
            return Ok(None);
        }
        let outcome = match session.sender(notification.sender).await {
            Ok(Some(sender)) => {
                requester.role = sender.role;
                if sender.may_command { self.execute(&request).await } else { Err(DENIED.into()) }
            }
            Ok(None) if !self.may_be_anonymous(&request) => {
                self.count(&request, CommandResult::Ignored);
                self.log_refusal(
                    (&request, &requester),
                    "command ignored",
                    "its sender's session has ended, so its role is unknown",
                );
                return Ok(None);
            }
            Ok(None) => self.execute(&request).await,
            Err(error) if error.is_connection() => return Err(error),
            Err(error) => Err(format!("could not look up the sender: {error}")),
        };
        let outcome = match outcome {
            Ok(Execution::Pending(reply, permit)) => {
                return Ok(Some(PendingRequest { request, requester, reply, _permit: permit }));
            }
            Ok(Execution::Done(answers)) => Ok(answers),
            Err(reason) => Err(reason),
        };
        self.answer(session, FinishedRequest { request, requester, outcome }).await.map(|()| None)
    }

    fn count(&self, request: &Request, result: CommandResult) {
        self.metrics.count_command(request.known_name().unwrap_or("unknown"), result);
    }

    fn may_be_anonymous(&self, request: &Request) -> bool {
        request.command == Ok(Command::Reload) && self.anonymous_reloads.allow().is_some()
    }

    fn log_refusal(&self, (request, requester): (&Request, &Requester), what: &str, reason: &str) {
        let command = truncated(&request.name, MAX_NAME_BYTES);
        let reason = truncated(reason, MAX_REASON_BYTES);
        let Requester { role, process } = requester;
        let role = role.as_deref();
        match self.refusal_log.allow() {
            // Not a problem: the sender can retry later.
            Some(suppressed) if is_force_refusal(reason) => {
                tracing::info!(command, reason, role, process, unsaid = suppressed, "{what}");
            }
            Some(suppressed) => tracing::warn!(command, reason, role, process, unsaid = suppressed, "{what}"),
            None => tracing::debug!(command, reason, role, process, "{what}"),
        }
    }

    async fn execute(&self, request: &Request) -> Result<Execution, String> {
        let answers = match request.command.clone()? {
            Command::Reload => {
                let permit = Arc::clone(&self.reloads).try_acquire_owned();
                let permit =
                    permit.map_err(|_| format!("{MAX_WAITING_RELOADS} reload requests are already waiting"))?;
                return Ok(Execution::Pending(self.call(Call::Reload).await?, permit));
            }
            Command::WorkersStatus(_) | Command::WorkersDetail(_) if request.channel.is_none() => vec![],
            Command::WorkersStatus(selection) => {
                let mut statuses = self.query_main_task(Call::Statuses).await?;
                statuses.retain(|id, _| selection.contains(*id));
                status_objects(request, &statuses)
            }
            Command::WorkersDetail(selection) => {
                let workers = self.query_main_task(Call::WorkerDetails).await?;
                let workers = workers.iter().filter(|(id, _)| selection.contains(**id));
                let details = workers.map(|(id, worker)| (*id, Detail::of(worker))).collect();
                detail_objects(request, &details)
            }
            Command::ForceSnapshot(id) => {
                let forced = self.query_main_task(|reply| Call::ForceSnapshot(id, reply)).await?;
                let forced = forced.map_err(|refused| refused.to_string())?;
                let has_started = forced.begins_within(SNAPSHOT_START_TIMEOUT).await;
                vec![if has_started { "Snapshot in progress" } else { "Snapshot will begin shortly" }.into()]
            }
            Command::RefreshCatalogs(id, refresh) => {
                let registered = self.query_main_task(|reply| Call::RefreshCatalogs(id, refresh, reply)).await?;
                registered.map_err(|refused| refused.to_string())?;
                vec!["Catalogs will be refreshed during the next snapshot".into()]
            }
        };
        Ok(Execution::Done(answers))
    }

    /// Sends a call to the main task and waits for the reply. Fails only if the daemon is stopping.
    async fn query_main_task<T>(&self, call: impl FnOnce(oneshot::Sender<T>) -> Call) -> Result<T, String> {
        self.call(call).await?.await.map_err(|_| stopping())
    }

    async fn call<T>(&self, call: impl FnOnce(oneshot::Sender<T>) -> Call) -> Result<oneshot::Receiver<T>, String> {
        let (reply, answer) = oneshot::channel();
        self.calls.send(call(reply)).await.map_err(|_| stopping())?;
        Ok(answer)
    }

    /// Sends the result of a request to its response channel, if it has one.
    ///
    /// # Errors
    /// The connection to the repository was lost.
    pub(super) async fn answer(&self, session: &CommandSession, done: FinishedRequest) -> Result<(), Error> {
        let FinishedRequest { request, requester, outcome } = done;
        self.count(&request, if outcome.is_ok() { CommandResult::Ok } else { CommandResult::Refused });
        if let Err(reason) = &outcome {
            self.log_refusal((&request, &requester), "command refused", reason);
        }
        let Some(channel) = &request.channel else { return Ok(()) };
        let answers = match outcome {
            Ok(parts) => parts.into_iter().map(|data| request.answer(&Ok(data))).collect(),
            Err(reason) => vec![request.answer(&Err(reason))],
        };
        for text in answers {
            match session.answer(channel, &text).await {
                Err(error) if error.is_connection() => return Err(error),
                Err(error) => {
                    self.log_refusal((&request, &requester), "answer not sent", &error.to_string());
                    return Ok(());
                }
                Ok(()) => {}
            }
        }
        Ok(())
    }
}
