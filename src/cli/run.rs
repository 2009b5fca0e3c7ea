//! Runs the daemon, in the foreground.

use std::num::NonZero;
use std::process::ExitCode;
use std::time::Duration;

use crate::app;
use crate::app::reload::Origin;
use crate::app::service::Service;
use crate::config::Location;
use crate::spool;
use crate::telemetry::{OutputFormat, Telemetry};

/// For reading the configuration's files at the start: the default of timeouts.connect. It ends before the service manager's
/// time-out, which would not report the reason.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// Threads for all servers. A thousand servers a minute keep one busy to a fifth, and each thread costs memory.
const MAX_THREADS: usize = 4;

pub(super) fn run(location: Location, form: OutputFormat) -> ExitCode {
    match start(location, form) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprint!("{}", form.fatal_error(&error));
            ExitCode::FAILURE
        }
    }
}

fn start(location: Location, form: OutputFormat) -> Result<(), Box<dyn std::error::Error>> {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.min(MAX_THREADS))
        .max_blocking_threads(spool::THREADS)
        .enable_all()
        .build()?;
    let origin = Origin::at(location);
    // First of all, so that an error of the configuration is reported before any other.
    let files = runtime.block_on(origin.clone().read(READ_TIMEOUT))?;
    let telemetry = Telemetry::start(form)?;
    let result = runtime.block_on(async { app::run(origin, files, telemetry, Service::from_environment()).await });
    // Do not wait for a blocking thread whose disk hangs.
    runtime.shutdown_background();
    Ok(result?)
}
