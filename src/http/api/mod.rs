//! The API under `/api/v1`: JSON resources to run the fleet by program.
//!
//! `routes` has the paths, `gate` checks each request, `extract` is what handlers get of one, and `problem` what they refuse it
//! by. Each resource is a file: `servers`, `tokens`, `users`, `collectors` (with status and reload). `change` runs what changes
//! something, and `calls` reaches the main task. Requests use sessions of `http::backend`, never those of loads.

mod calls;
mod change;
mod collectors;
mod extract;
mod gate;
mod integer;
mod openapi;
mod page;
mod problem;
mod routes;
mod servers;
mod tokens;
mod users;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::http::Method;
use bytes::Bytes;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(super) use problem::Problem;
pub(super) use routes::{require_login, router};

use super::backend::{Backend, Backends};
use super::login::{Caller, Login};
use crate::control::Call;
use crate::control::throttle::Throttle;
use crate::repository::AuditEntry;

/// Refusals that are written to the audit log: whoever may read could fill it otherwise.
const REFUSAL_INTERVAL: Duration = Duration::from_secs(1);

/// How long the end of the daemon waits for changes that are cancelled.
const STOP_TIMEOUT: Duration = Duration::from_millis(500);

/// The state of the API.
pub(super) struct Api {
    calls: mpsc::Sender<Call>,
    pub(super) backends: Backends,
    pub(super) login: Login,
    /// Changes that are being made: they go on if the client leaves.
    changes: TaskTracker,
    stop: CancellationToken,
    refusals: Throttle,
    /// Rendered once.
    openapi: OnceLock<Bytes>,
}

impl Api {
    pub(super) fn new(calls: mpsc::Sender<Call>) -> Self {
        Self {
            calls,
            backends: Backends::default(),
            login: Login::new(),
            changes: TaskTracker::new(),
            stop: CancellationToken::new(),
            refusals: Throttle::once_per(REFUSAL_INTERVAL),
            openapi: OnceLock::new(),
        }
    }

    /// Cancels changes that are being made, and waits for their end.
    pub(super) async fn stop(&self) {
        self.stop.cancel();
        self.changes.close();
        drop(timeout(STOP_TIMEOUT, self.changes.wait()).await);
    }

    /// The backend, for a request that was authenticated by it.
    fn backend(&self) -> Result<Arc<Backend>, Problem> {
        self.backends.current().ok_or_else(|| Problem::unavailable("the API was turned off"))
    }

    /// Logs a request that the caller may not make, and writes it to the audit log.
    async fn record_refusal(&self, caller: &Caller, (method, path): (&Method, &str), problem: &Problem) {
        let (role, client) = (caller.name.as_str(), caller.client);
        let Some(suppressed) = self.refusals.allow() else {
            tracing::debug!(role, %client, %method, path, "HTTP request refused");
            return;
        };
        tracing::warn!(role, %client, %method, path, unsaid = suppressed, "HTTP request refused");
        let Some(backend) = self.backends.current() else { return };
        let entry = AuditEntry {
            role: caller.name.clone(),
            token: caller.token_name(),
            client: caller.client.to_string(),
            action: "refused",
            server: None,
            details: json!({"method": method.as_str(), "path": path}),
        };
        if let Err(error) = backend.repository.begin_audit(&entry, Some(problem.detail())).await {
            tracing::debug!(%error, "a refusal was not written to the audit log");
        }
    }
}
