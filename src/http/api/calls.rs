//! Requests to the main task. It answers at once, except to a reload.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::Api;
use super::problem::Problem;
use crate::control::Call;

/// Time limit for the main task, which normally answers within milliseconds.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// Time limit for a reload, which reads files and the list of servers.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(60);

impl Api {
    /// Sends a call and waits for the answer.
    pub(super) async fn call<T>(&self, call: impl FnOnce(oneshot::Sender<T>) -> Call) -> Result<T, Problem> {
        self.call_within(ANSWER_TIMEOUT, call).await
    }

    /// Reloads the configuration and the list of servers. The inner error is the reason why the previous configuration is kept.
    pub(super) async fn reload(&self) -> Result<Result<(), String>, Problem> {
        self.call_within(RELOAD_TIMEOUT, Call::Reload).await
    }

    async fn call_within<T>(
        &self,
        limit: Duration,
        call: impl FnOnce(oneshot::Sender<T>) -> Call,
    ) -> Result<T, Problem> {
        let (reply, answer) = oneshot::channel();
        let calling = async {
            self.calls.send(call(reply)).await.ok()?;
            answer.await.ok()
        };
        match timeout(limit, calling).await {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => Err(Problem::unavailable("the collector is waiting for the repository, or is stopping")
                .with_hint("see /readyz")),
            Err(_) => Err(Problem::unavailable("the main task does not respond")),
        }
    }
}
