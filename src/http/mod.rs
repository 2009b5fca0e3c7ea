//! Serves probes, metrics, the status page and the API by HTTP, if `http.listen` is set.
//!
//! Requests never touch or wait for a worker: the state of the fleet comes from the main task, once a second at most for all
//! clients. `server` limits what connections can cost, `routes` is the router, `middleware` checks what each request may. The API
//! is `api`, with a `login` and sessions of its own (`backend`).

mod access;
mod address_probe;
mod api;
mod auth;
mod backend;
mod connection;
mod events;
mod fleet_sample;
mod history;
mod login;
mod metrics;
mod middleware;
mod page;
mod poll;
mod routes;
mod server;
mod server_state;
mod startup;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

pub(crate) use address_probe::{AddressState, probe_address};
pub(crate) use startup::{Error, Files, PreparedServer};

use crate::control::Call;
use crate::metrics::Metrics;
use access::AccessPolicy;
use routes::AppState;

/// Pause before the server task is restarted after a failure, which may come again at once.
const RESTART_DELAY: Duration = Duration::from_secs(1);

/// Owns the task that serves HTTP, if the configuration names an address.
pub(crate) struct Server {
    state: Arc<AppState>,
    running: Option<Running>,
}

struct Running {
    listener: Arc<TcpListener>,
    policy: Arc<AccessPolicy>,
    task: AbortOnDropHandle<()>,
}

impl Server {
    /// A server that does not run yet.
    pub(crate) fn new(calls: mpsc::Sender<Call>, metrics: Metrics) -> Self {
        Self { state: Arc::new(AppState::new(calls, metrics)), running: None }
    }

    /// Starts, replaces or stops the server. Connections stay open if nothing has changed for them.
    pub(crate) fn apply(&mut self, prepared: PreparedServer) {
        let previous = self.running.take();
        let PreparedServer { listen, listener, policy, backend } = prepared;
        self.state.api.backends.apply(backend);
        if listen.is_none() {
            if let Some(previous) = previous {
                previous.policy.revoke();
                tracing::info!("stopped serving HTTP");
                self.state.events.reset();
            }
            return;
        }
        let listener = match (listener, &previous) {
            (Some(listener), _) => Arc::new(listener),
            (None, Some(same)) if same.policy.is_same_as(&policy) => {
                self.running = previous;
                return;
            }
            (None, Some(previous)) => Arc::clone(&previous.listener),
            (None, None) => return,
        };
        // Open connections were authenticated by tokens that may have been revoked.
        previous.iter().for_each(|previous| previous.policy.revoke());
        drop(previous);
        policy.log_warnings();
        if let Ok(address) = listener.local_addr() {
            let scheme = if policy.tls.is_some() { "https" } else { "http" };
            tracing::info!(url = %format_args!("{scheme}://{address}/"), tokens = policy.tokens.is_some(), "serving HTTP");
        }
        self.start(listener, Arc::new(policy), Duration::ZERO);
    }

    fn start(&mut self, listener: Arc<TcpListener>, policy: Arc<AccessPolicy>, delay: Duration) {
        let serve = server::serve(Arc::clone(&listener), Arc::clone(&policy), Arc::clone(&self.state));
        let task = tokio::spawn(async move {
            sleep(delay).await;
            serve.await;
        });
        let task = AbortOnDropHandle::new(task);
        self.running = Some(Running { listener, policy, task });
    }

    /// Waits until the server task fails, and restarts it. Cancel-safe.
    pub(crate) async fn next_event(&mut self) {
        let Some(running) = &mut self.running else { return std::future::pending().await };
        if let Err(error) = (&mut running.task).await {
            tracing::error!(%error, "the HTTP server task failed and is restarted");
        }
        if let Some(Running { listener, policy, .. }) = self.running.take() {
            self.start(listener, policy, RESTART_DELAY);
        }
    }

    /// Stops at once and closes all connections.
    pub(crate) async fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.task.abort();
            // The result of an aborted task is that it was cancelled.
            drop(running.task.await);
            self.state.api.stop().await;
        }
    }
}
