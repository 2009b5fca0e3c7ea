//! Runs a change: writes it to the audit log before and after, and to the log; and finishes it even if the client has gone.

use std::sync::Arc;

use serde_json::Value;

use super::super::backend::Backend;
use super::super::login::Caller;
use super::super::routes::AppState;
use super::problem::Problem;
use crate::fleet;
use crate::repository::{ApiRole, AuditEntry, Repository};
use crate::server::ServerId;
use session::{Error, ErrorKind};

/// The outcome in the audit log until the real one is known.
const UNKNOWN: &str = "the outcome is not known";

/// What is to be changed.
pub(super) struct Change {
    pub(super) action: &'static str,
    pub(super) server: Option<ServerId>,
    /// Without secrets.
    pub(super) details: Value,
    /// Whether it is only made if it could be written to the audit log.
    pub(super) needs_audit: bool,
}

impl Change {
    /// A change of what is stored.
    pub(super) fn new(action: &'static str, server: Option<ServerId>, details: Value) -> Self {
        Self { action, server, details, needs_audit: true }
    }

    /// A command to the collector, which changes nothing that is stored.
    pub(super) fn command(action: &'static str, server: Option<ServerId>, details: Value) -> Self {
        Self { action, server, details, needs_audit: false }
    }
}

/// What a change needs.
pub(super) struct Changing {
    pub(super) app: Arc<AppState>,
    pub(super) backend: Arc<Backend>,
    pub(super) caller: Arc<Caller>,
    /// Whether the change is made in a session of the caller's own.
    is_own_session: bool,
}

impl Changing {
    /// A change that is made in a session of the caller's own if there is a password.
    pub(super) fn new(app: &Arc<AppState>, caller: &Arc<Caller>) -> Result<Self, Problem> {
        let is_own_session = caller.password().is_some();
        Ok(Self { app: Arc::clone(app), backend: app.api.backend()?, caller: Arc::clone(caller), is_own_session })
    }

    /// A change that operators may request. PostgreSQL does not let their roles make it themselves, so for them it is made in a
    /// session of the role for changes, with or without a password.
    pub(super) fn for_operators(app: &Arc<AppState>, caller: &Arc<Caller>) -> Result<Self, Problem> {
        let changing = Self::new(app, caller)?;
        Ok(Self { is_own_session: changing.is_own_session && caller.rights == ApiRole::Admin, ..changing })
    }

    /// The repository to make the change in.
    pub(super) fn repository(&self) -> Result<Repository, Problem> {
        if self.is_own_session {
            self.backend.of_caller(&self.caller).ok_or_else(Problem::unauthorized)
        } else {
            Ok(self.backend.admin.clone())
        }
    }

    /// The problem with an error of [`Self::repository`].
    pub(super) fn problem(&self, error: Error) -> Problem {
        Problem::of_change(error, self.is_own_session)
    }

    /// The same for a rule about servers.
    pub(super) fn fleet_problem(&self, error: fleet::Error) -> Problem {
        match error {
            fleet::Error::Repository(error) if error.kind() != ErrorKind::UnexpectedAnswer => self.problem(error),
            other => other.into(),
        }
    }

    /// Makes the change, and returns its result. `made` is the server that the result is about, if the change has made one.
    pub(super) async fn run<T: Send + 'static>(
        self: Arc<Self>,
        change: Change,
        made: fn(&T) -> Option<ServerId>,
        work: impl Future<Output = Result<T, Problem>> + Send + 'static,
    ) -> Result<T, Problem> {
        let api = &self.app.api;
        let (changes, stop, this) = (api.changes.clone(), api.stop.clone(), Arc::clone(&self));
        let making = async move {
            let audit = this.begin(&change).await?;
            let result = tokio::select! {
                result = work => result,
                () = stop.cancelled() => return Err(Problem::unavailable("the collector is stopping")),
            };
            this.end(&change, audit, result.as_ref().map(made)).await;
            result
        };
        changes.spawn(making).await.unwrap_or_else(|_| Err(Problem::internal("the change has failed")))
    }

    /// Writes to the audit log what is about to happen. `None`: it need not be there, and is not.
    async fn begin(&self, change: &Change) -> Result<Option<i64>, Problem> {
        let entry = AuditEntry {
            role: self.caller.name.clone(),
            token: self.caller.token_name(),
            client: self.caller.client.to_string(),
            action: change.action,
            server: change.server,
            details: change.details.clone(),
        };
        match self.backend.repository.begin_audit(&entry, Some(UNKNOWN)).await {
            Ok(id) => Ok(Some(id)),
            Err(error) if change.needs_audit => Err(error.into()),
            Err(error) => {
                tracing::debug!(%error, "a command was not written to the audit log");
                Ok(None)
            }
        }
    }

    async fn end(&self, change: &Change, audit: Option<i64>, result: Result<Option<ServerId>, &Problem>) {
        let (action, role, client) = (change.action, self.caller.name.as_str(), self.caller.client);
        let token = self.caller.token_name();
        let made = result.as_ref().ok().copied().flatten();
        let server = change.server.or(made).map(ServerId::get);
        let error = result.err().map(Problem::detail);
        match error {
            None => tracing::info!(action, role, token, %client, id = server, "changed by HTTP"),
            Some(error) => tracing::warn!(action, role, token, %client, id = server, error, "change by HTTP failed"),
        }
        if let Some(audit) = audit
            && let Err(error) = self.backend.repository.end_audit(audit, error, made).await
        {
            tracing::warn!(%error, "the outcome of a change was not written to the audit log");
        }
    }
}
