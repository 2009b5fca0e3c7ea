//! What the subcommands have in common that do one thing and end: the configuration, a repository to ask, an exit code.
//!
//! They connect the way the daemon does, by the same code, so that what they find out is true for it too.

use std::error::Error;
use std::process::ExitCode;

use crate::config::{Config, Location};
use crate::control::asking::{Asker, Unanswered};
use crate::postgres::{self, Endpoint, Repository};
use crate::settings;
use crate::telemetry::Telemetry;

/// What a subcommand works on: what a configuration says, and the repository that it names. Nothing is connected yet.
pub(super) struct Installation {
    pub(super) config: Config,
    /// The repository, for a session of one's own.
    pub(super) endpoint: Endpoint,
    pub(super) repository: Repository,
}

impl Installation {
    /// Connects to where its daemon can be asked.
    pub(super) async fn asker(&self) -> Result<Asker, Unanswered> {
        let timeouts = self.config.timeouts;
        // It reads files, connects, and asks one thing.
        let reload = 2 * timeouts.connect + timeouts.query;
        Ok(Asker::connect(&self.endpoint, reload).await?)
    }
}

/// An error of one of the servers, in full.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.in_full())]
pub(super) struct InFull(#[from] postgres::Error);

/// How a subcommand ends: with an exit code of its own, or with something to say on standard error, and 1.
pub(super) type Ended = Result<ExitCode, Box<dyn Error>>;

/// Reads the configuration and works with it. One thread is enough: what there is to do is to wait.
pub(super) fn run(name: &str, location: &Location, work: impl AsyncFnOnce(Installation) -> Ended) -> ExitCode {
    Telemetry::quietly();
    match try_to_run(name, location, work) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("powa-collector {name}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn try_to_run(name: &str, location: &Location, work: impl AsyncFnOnce(Installation) -> Ended) -> Ended {
    work_with(name, settings::read(location)?, work)
}

/// Works with a configuration that was read.
pub(super) fn work_with(name: &str, config: Config, work: impl AsyncFnOnce(Installation) -> Ended) -> Ended {
    let endpoint = Endpoint::repository(&config)?.for_command(name);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(async {
        let repository = Repository::new(&endpoint, config.limits)?;
        let installation = Installation { config, endpoint, repository: repository.clone() };
        let ended = work(installation).await;
        repository.close().await;
        ended
    });
    // A name that is being resolved by a thread of the runtime is not waited for.
    runtime.shutdown_background();
    ended
}
