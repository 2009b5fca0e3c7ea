//! No subcommand: the daemon, in the foreground.

use std::process::ExitCode;

use crate::config::Location;
use crate::service::Service;
use crate::telemetry::{Form, Telemetry};
use crate::{daemon, settings};

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
    // What is wrong with the file is better said before anything else happens.
    let config = settings::read(&location)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let telemetry = Telemetry::start(form);
    let ended = runtime.block_on(async { daemon::run(location, config, telemetry, Service::of_environment()).await });
    // A name that is being resolved by a thread of the runtime is not waited for.
    runtime.shutdown_background();
    Ok(ended?)
}
