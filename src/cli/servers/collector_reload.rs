//! Asks the running collector to reload after a change, so that the change takes effect at once.

use std::fmt;

use crate::cli::subcommand::Context;
use crate::control::client::ClientError;
use session::on_one_line;

/// Whether the collector has reloaded. The change in the repository is committed either way.
#[derive(Debug)]
pub(super) struct ReloadOutcome(Result<(), ClientError>);

/// Asks for a reload and waits until it is done.
pub(super) async fn reload_collector(context: &Context) -> ReloadOutcome {
    let reload = async { context.control_client().await?.reload().await.map(drop) };
    ReloadOutcome(reload.await)
}

impl ReloadOutcome {
    /// Why the collector has not reloaded, if so.
    pub(super) fn unanswered(&self) -> Option<String> {
        self.0.is_err().then(|| self.to_string())
    }
}

impl fmt::Display for ReloadOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Ok(()) => f.write_str("the collector has reloaded"),
            Err(ClientError::NotRunning) => {
                f.write_str("no collector is connected to the repository; the change takes effect when one is started")
            }
            Err(other) => {
                write!(f, "{}; the change takes effect within a minute", on_one_line(&other.to_string()))
            }
        }
    }
}
