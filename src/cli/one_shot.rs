//! What the subcommands have in common that do one thing and end: the configuration, a repository to ask, an exit code.
//!
//! They connect the way the daemon does, by the same code, so that what they find out is true for it too.

use std::error::Error;
use std::process::ExitCode;

use crate::config::{Config, Location};
use crate::postgres::{Endpoint, Repository};
use crate::settings;
use crate::telemetry::Telemetry;

/// What a subcommand works with. Nothing is connected yet.
pub(super) struct Tools {
    pub(super) config: Config,
    /// The repository, for a session of one's own.
    pub(super) endpoint: Endpoint,
    pub(super) repository: Repository,
}

/// How a subcommand ends: with an exit code of its own, or with something to say on standard error, and 1.
pub(super) type Ended = Result<ExitCode, Box<dyn Error>>;

/// Reads the configuration and works with it. One thread is enough: what there is to do is to wait.
pub(super) fn run(name: &str, location: &Location, work: impl AsyncFnOnce(Tools) -> Ended) -> ExitCode {
    Telemetry::quietly();
    match try_to_run(name, location, work) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("powa-collector {name}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn try_to_run(name: &str, location: &Location, work: impl AsyncFnOnce(Tools) -> Ended) -> Ended {
    let config = settings::read(location)?;
    let endpoint = Endpoint::repository(&config)?.for_command(name);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(async {
        let repository = Repository::new(&endpoint, config.limits)?;
        let tools = Tools { config, endpoint, repository: repository.clone() };
        let ended = work(tools).await;
        repository.close().await;
        ended
    });
    // A name that is being resolved by a thread of the runtime is not waited for.
    runtime.shutdown_background();
    ended
}
