//! The log: to standard error, one line a message, at the level that the configuration or `RUST_LOG` asks for.

use std::io::IsTerminal;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

/// Lets the level be changed while the daemon runs.
pub struct Telemetry {
    filter: reload::Handle<EnvFilter, Registry>,
}

impl Telemetry {
    /// Begins to log. To be called once.
    pub fn start() -> Self {
        let (filter, handle) = reload::Layer::new(filter(false));
        let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty());
        let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(colours);
        tracing_subscriber::registry().with(filter).with(lines.with_target(false)).init();
        Self { filter: handle }
    }

    /// Logs more, or not.
    pub fn set_debug(&self, debug: bool) {
        self.filter.reload(filter(debug)).expect("the subscriber lives as long as the process");
    }
}

/// `RUST_LOG` goes before the configuration. The drivers are left out: at their most verbose they log the values of
/// parameters.
fn filter(debug: bool) -> EnvFilter {
    let own = if debug { "powa_collector=debug" } else { "powa_collector=info" };
    EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new(format!("warn,deadpool=error,deadpool_postgres=error,{own}")))
}
