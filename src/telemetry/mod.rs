//! The log: to standard error, one line a message, at the level that the configuration or `RUST_LOG` asks for.

mod form;
mod json;
mod lines;

use std::panic::PanicHookInfo;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, reload};

pub use form::{Form, LogFormat};

/// Lets the level be changed while the daemon runs.
pub struct Telemetry {
    filter: reload::Handle<EnvFilter, Registry>,
}

impl Telemetry {
    /// Begins to log, in this form. To be called once.
    pub fn start(form: Form) -> Self {
        let (filter, handle) = reload::Layer::new(filter(false));
        tracing_subscriber::registry().with(filter).with(form.log()).init();
        std::panic::set_hook(Box::new(log_panic));
        Self { filter: handle }
    }

    /// Begins to log what whoever types a command has to know: warnings and errors, without the time. To be called once.
    pub fn quietly() {
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(OTHERS));
        tracing_subscriber::registry().with(filter).with(Form::Untimed.log()).init();
        std::panic::set_hook(Box::new(log_panic));
    }

    /// Logs more, or not.
    pub fn set_debug(&self, debug: bool) {
        self.filter.reload(filter(debug)).expect("the subscriber lives as long as the process");
    }
}

/// What is heard of others where nobody asks for more.
const OTHERS: &str = "warn,deadpool=error,deadpool_postgres=error";

/// A panic is a line of the log like any other, in the span of the server that it happened for.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string);
    tracing::error!(place, "bug: {}", panic.payload_as_str().unwrap_or("a panic without a message"));
}

/// `RUST_LOG` goes before the configuration. What the driver logs is never heard: it has the values of parameters in it.
fn filter(debug: bool) -> EnvFilter {
    let own = if debug { "powa_collector=debug" } else { "powa_collector=info" };
    EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(format!("{OTHERS},{own}")))
}
