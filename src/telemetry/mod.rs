//! The log: one line for each message, on standard error, at the level that the configuration or `RUST_LOG` sets.

pub(crate) mod colours;
mod filter;
mod format;
mod json;
mod lines;

use std::panic::PanicHookInfo;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, reload};

pub(crate) use filter::InvalidFilter;
use filter::RustLog;
pub(crate) use format::{LogFormat, OutputFormat};

/// The handle of the log. It can change the level while the daemon runs.
pub(crate) struct Telemetry {
    filter: reload::Handle<EnvFilter, Registry>,
    rust_log: RustLog,
}

impl Telemetry {
    /// Starts to log in this format. Must be called once.
    ///
    /// # Errors
    /// `RUST_LOG` is not a valid filter.
    pub(crate) fn start(format: OutputFormat) -> Result<Self, InvalidFilter> {
        let rust_log = RustLog::from_environment()?;
        log_filter_warnings(&rust_log, format);
        let (filter, handle) = reload::Layer::new(rust_log.filter(&default_filter(false)));
        tracing_subscriber::registry().with(filter).with(format.layer()).init();
        std::panic::set_hook(Box::new(log_panic));
        Ok(Self { filter: handle, rust_log })
    }

    /// Starts the log of a subcommand: warnings and errors, without the time. Must be called once.
    ///
    /// # Errors
    /// `RUST_LOG` is not a valid filter.
    pub(crate) fn start_for_command() -> Result<(), InvalidFilter> {
        let rust_log = RustLog::from_environment()?;
        log_filter_warnings(&rust_log, OutputFormat::Untimed);
        let filter = rust_log.filter(LIBRARY_LEVELS);
        tracing_subscriber::registry().with(filter).with(OutputFormat::Untimed.layer()).init();
        std::panic::set_hook(Box::new(log_panic));
        Ok(())
    }

    /// Enables or disables debug messages. `RUST_LOG` overrides it.
    pub(crate) fn set_debug(&self, debug: bool) {
        let filter = self.rust_log.filter(&default_filter(debug));
        self.filter.reload(filter).expect("the subscriber lives as long as the process");
    }
}

/// Logs the warnings about `RUST_LOG`, without a filter: one that matches nothing would hide the warning about it.
fn log_filter_warnings(rust_log: &RustLog, format: OutputFormat) {
    let warnings = rust_log.warnings();
    let unfiltered = || tracing_subscriber::registry().with(format.layer());
    if !warnings.is_empty() {
        tracing::subscriber::with_default(unfiltered(), || {
            warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        });
    }
}

/// The default levels of messages of libraries.
const LIBRARY_LEVELS: &str = "warn,deadpool=error,deadpool_postgres=error";

/// Logs a panic as one message, in the span of its server.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let location = panic.location().map(ToString::to_string);
    tracing::error!(place = location, "bug: {}", panic.payload_as_str().unwrap_or("a panic without a message"));
}

/// The daemon's filter if `RUST_LOG` is not set.
fn default_filter(debug: bool) -> String {
    let own = if debug { "powa_collector=debug" } else { "powa_collector=info" };
    format!("{LIBRARY_LEVELS},{own}")
}
