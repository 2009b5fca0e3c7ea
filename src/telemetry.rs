//! The log: to standard error, one line a message, at the level that the configuration or `RUST_LOG` asks for.

use std::io::{self, IsTerminal, Write};
use std::panic::PanicHookInfo;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

use crate::one_line::on_one_line;

/// Lets the level be changed while the daemon runs.
pub struct Telemetry {
    filter: reload::Handle<EnvFilter, Registry>,
}

impl Telemetry {
    /// Begins to log. To be called once.
    pub fn start() -> Self {
        let (filter, handle) = reload::Layer::new(filter(false));
        let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty());
        let lines = fmt::layer().with_writer(|| Lines(io::stderr())).with_ansi(colours);
        tracing_subscriber::registry().with(filter).with(lines.with_target(false)).init();
        std::panic::set_hook(Box::new(log_panic));
        Self { filter: handle }
    }

    /// Logs more, or not.
    pub fn set_debug(&self, debug: bool) {
        self.filter.reload(filter(debug)).expect("the subscriber lives as long as the process");
    }
}

/// A panic is a line of the log like any other, in the span of the server that it happened for.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string);
    tracing::error!(place, "bug: {}", panic.payload_as_str().unwrap_or("a panic without a message"));
}

/// `RUST_LOG` goes before the configuration. The drivers are left out: at their most verbose they log the values of
/// parameters.
fn filter(debug: bool) -> EnvFilter {
    let own = if debug { "powa_collector=debug" } else { "powa_collector=info" };
    EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new(format!("warn,deadpool=error,deadpool_postgres=error,{own}")))
}

/// Keeps each message on its line, whatever names and other people's texts are in it.
struct Lines(io::Stderr);

impl Write for Lines {
    /// Gets whole messages.
    fn write(&mut self, message: &[u8]) -> io::Result<usize> {
        match std::str::from_utf8(message) {
            Ok(text) => self.0.write_all(whole_line(text).as_bytes())?,
            Err(_) => self.0.write_all(message)?,
        }
        Ok(message.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Escapes control characters, but for the end of the line, and the one that begins a colour: that one is escaped already
/// where it is not the formatter's own.
fn whole_line(message: &str) -> String {
    const COLOUR: &str = "\u{1b}";
    let (line, end) = message.strip_suffix('\n').map_or((message, ""), |line| (line, "\n"));
    let parts: Vec<_> = line.split(COLOUR).map(on_one_line).collect();
    parts.join(COLOUR) + end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line() {
        assert_eq!(whole_line("INFO ready\n"), "INFO ready\n");
        assert_eq!(whole_line("\u{1b}[32mINFO\u{1b}[0m \u{e9}\n"), "\u{1b}[32mINFO\u{1b}[0m \u{e9}\n");
        assert_eq!(whole_line("to a\r\nERROR b\tc\u{85}\n"), "to a\\r\\nERROR b\\tc\\u{85}\n");
    }
}
