//! Runs a subcommand: reads the configuration, connects to the repository, and maps the result to an exit code.
//!
//! The same code connects as in the daemon, so that a subcommand finds the same errors.

use std::error::Error;
use std::process::ExitCode;

use crate::app::reload;
use crate::cli::output::print_error;
use crate::config::{Config, Location, endpoints};
use crate::control::client::{Client, ClientError};
use crate::repository::Repository;
use crate::telemetry::Telemetry;
use session::Endpoint;

/// The configuration and its repository. Connects on first use.
pub(super) struct Context {
    pub(super) config: Config,
    /// Of the repository, for a session outside of its pool.
    pub(super) endpoint: Endpoint,
    pub(super) repository: Repository,
}

impl Context {
    /// Opens a session on the command channel, to send commands to the collector.
    pub(super) async fn control_client(&self) -> Result<Client, ClientError> {
        let timeouts = self.config.timeouts;
        // A reload reads files, connects, and runs one query.
        let reload_timeout = 2 * timeouts.connect + timeouts.query;
        Ok(Client::connect(&self.endpoint, reload_timeout).await?)
    }
}

/// The exit code of a subcommand, or an error for standard error and exit code 1.
pub(super) type ExitResult = Result<ExitCode, Box<dyn Error>>;

/// Reads the configuration, runs `work`, and prints its error.
pub(super) fn run(name: &str, location: &Location, work: impl AsyncFnOnce(Context) -> ExitResult) -> ExitCode {
    match try_to_run(name, location, work) {
        Ok(code) => code,
        Err(error) => {
            print_error!("powa-collector {name}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn try_to_run(name: &str, location: &Location, work: impl AsyncFnOnce(Context) -> ExitResult) -> ExitResult {
    Telemetry::start_for_command()?;
    let config = reload::read(location)?;
    config.log_ignored_variables();
    run_with(name, config, work)
}

/// Runs `work` with a configuration, on a single thread.
pub(super) fn run_with(name: &str, config: Config, work: impl AsyncFnOnce(Context) -> ExitResult) -> ExitResult {
    let endpoint = endpoints::for_command(endpoints::repository(&config)?, name);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(async {
        let repository = Repository::new(&endpoint, &config)?;
        let context = Context { config, endpoint, repository: repository.clone() };
        let ended = work(context).await;
        repository.close().await;
        ended
    });
    // Do not wait for a blocking thread that still resolves a host name.
    runtime.shutdown_background();
    ended
}
