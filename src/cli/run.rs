//! No subcommand: the daemon, in the foreground.

use std::process::ExitCode;
use std::time::Duration;

use crate::config::Location;
use crate::daemon;
use crate::service::Service;
use crate::settings::Origin;
use crate::telemetry::{Form, Telemetry};

/// How long files may take at the start: as long as connecting may, if the configuration says nothing else. A service
/// manager would wait for longer, and never learn what for.
const UNTIL_READ: Duration = Duration::from_secs(10);

pub(super) fn run(location: Location, form: Form) -> ExitCode {
    match start(location, form) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprint!("{}", form.last_words(&error));
            ExitCode::FAILURE
        }
    }
}

fn start(location: Location, form: Form) -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let origin = Origin::at(location);
    // What is wrong with the file is better said before anything else happens.
    let in_files = runtime.block_on(origin.clone().read(UNTIL_READ))?;
    let telemetry = Telemetry::start(form);
    let ended = runtime.block_on(async { daemon::run(origin, in_files, telemetry, Service::of_environment()).await });
    // A name that is being resolved by a thread of the runtime is not waited for.
    runtime.shutdown_background();
    Ok(ended?)
}
