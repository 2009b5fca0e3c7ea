//! The formats of the log: text, JSON, and text for the systemd journal.

use std::env;
use std::fmt::Display;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

use clap::ValueEnum;
use tracing::{Level, Subscriber};
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::LookupSpan;

use super::json::{Fields, JsonLines, Line};
use super::lines::{Lines, priority};
use crate::telemetry::colours;

/// The value of the option `--log-format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// The journal format if standard error is connected to the journal, text otherwise
    #[default]
    Auto,
    /// Time, level and message
    Text,
    /// One JSON object per line
    Json,
    /// The message with its priority in front, as the journal reads it
    Journal,
}

/// The format of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OutputFormat {
    Text,
    /// Text without the time.
    Untimed,
    Json,
    Journal,
}

impl LogFormat {
    /// The format for the standard error of this process.
    pub(crate) fn resolve(self) -> OutputFormat {
        match self {
            Self::Auto if is_journal(io::stderr()) => OutputFormat::Journal,
            Self::Auto | Self::Text => OutputFormat::Text,
            Self::Json => OutputFormat::Json,
            Self::Journal => OutputFormat::Journal,
        }
    }
}

impl OutputFormat {
    /// The layer that writes messages to standard error.
    pub(super) fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(self) -> Box<dyn Layer<S> + Send + Sync> {
        self.layer_to(io::stderr, colours::enabled_for(&io::stderr()))
    }

    fn layer_to<S, W>(self, writer: W, colours: bool) -> Box<dyn Layer<S> + Send + Sync>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
        W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
    {
        let lines = Lines::of(writer, self == Self::Journal);
        // Without internal errors: reporting a failed write would panic if standard error is closed.
        let text = fmt::layer().with_target(false).log_internal_errors(false);
        match self {
            Self::Text => text.with_ansi(colours).with_writer(lines).boxed(),
            Self::Untimed => text.with_ansi(colours).without_time().with_writer(lines).boxed(),
            // The level is in the priority.
            Self::Journal => text.with_ansi(false).without_time().with_level(false).with_writer(lines).boxed(),
            Self::Json => fmt::layer()
                .log_internal_errors(false)
                .fmt_fields(Fields)
                .event_format(JsonLines)
                .with_writer(lines)
                .boxed(),
        }
    }

    /// Formats the error that ends the program, for standard error. Not logged, because `RUST_LOG` must not hide it.
    pub(crate) fn fatal_error(self, error: &dyn Display) -> String {
        let words = format!("powa-collector: {error}");
        match self {
            Self::Text | Self::Untimed => words + "\n",
            Self::Journal => words.lines().map(|line| format!("{}{line}\n", priority(Level::ERROR))).collect(),
            Self::Json => Line::new(Level::ERROR, &error.to_string()).to_string(),
        }
    }
}

/// Whether an output is connected to the systemd journal, which sets `JOURNAL_STREAM` to its device and inode.
fn is_journal(output: impl AsFd) -> bool {
    env::var("JOURNAL_STREAM").is_ok_and(|stream| identity(output).is_some_and(|identity| identity == stream))
}

/// The device and inode of the file behind an output.
fn identity(output: impl AsFd) -> Option<String> {
    let file = File::from(output.as_fd().try_clone_to_owned().ok()?).metadata().ok()?;
    Some(format!("{}:{}", file.dev(), file.ino()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    /// Some messages in this format.
    fn log(format: OutputFormat) -> String {
        let file = tempfile::NamedTempFile::new().unwrap();
        let log = tracing_subscriber::registry().with(format.layer_to(Arc::new(file.reopen().unwrap()), false));
        tracing::subscriber::with_default(log, || {
            tracing::info!(servers = 2_usize, "ready");
            let span = tracing::info_span!("server", id = 7, name = "db\n\u{85}7");
            let _entered = span.entered();
            tracing::error!(error = %"a\nb", took_ms = 3_u128, is_so = true, share = 0.5, "to\nno \u{1b}[31m\u{85}avail");
            tracing::warn!(what = "odd");
            tracing::debug!("well");
            tracing::trace!("well");
        });
        std::fs::read_to_string(file.path()).unwrap()
    }

    #[test]
    fn text_has_the_time_and_to_who_typed_a_command_it_has_not() {
        let untimed = log(OutputFormat::Untimed);
        let expected = [
            " INFO ready servers=2",
            "ERROR server{id=7 name=\"db\\n\\u{85}7\"}: to\\nno \\x1b[31m\\u{85}avail error=a\\nb took_ms=3 is_so=true share=0.5",
            " WARN server{id=7 name=\"db\\n\\u{85}7\"}: what=\"odd\"",
        ];
        assert_eq!(untimed.lines().take(3).collect::<Vec<_>>(), expected);
        for (text, untimed) in log(OutputFormat::Text).lines().zip(untimed.lines()) {
            let (time, rest) = text.split_once(' ').unwrap();
            assert_eq!(rest.trim_start(), untimed.trim_start());
            assert_eq!((&time[4..5], &time[time.len() - 1..]), ("-", "Z"), "{time}");
        }
    }

    #[test]
    fn the_journal_gets_the_priority_in_place_of_time_and_level() {
        let expected = [
            "<6>ready servers=2",
            "<3>server{id=7 name=\"db\\n\\u{85}7\"}: to\\nno \\x1b[31m\\u{85}avail error=a\\nb took_ms=3 is_so=true share=0.5",
            "<4>server{id=7 name=\"db\\n\\u{85}7\"}: what=\"odd\"",
            "<7>server{id=7 name=\"db\\n\\u{85}7\"}: well",
            "<7>server{id=7 name=\"db\\n\\u{85}7\"}: well",
        ];
        assert_eq!(log(OutputFormat::Journal).lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn json_is_an_object_a_line_with_whose_it_is() {
        let log = log(OutputFormat::Json);
        assert!(!log.contains(|c: char| c.is_control() && c != '\n'), "{log:?}");
        assert!(log.starts_with("{\"timestamp\":\"20"), "{log}");
        let mut lines = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let mut next = || {
            let mut line = lines.next().unwrap();
            assert!(line.as_object_mut().unwrap().remove("timestamp").unwrap().as_str().unwrap().ends_with('Z'));
            line
        };
        let server = serde_json::json!({"id": 7, "name": "db\n\u{85}7"});
        assert_eq!(next(), serde_json::json!({"level": "INFO", "message": "ready", "fields": {"servers": 2}}));
        let fields = serde_json::json!({"error": "a\nb", "took_ms": 3, "is_so": true, "share": 0.5});
        let message = "to\nno \u{1b}[31m\u{85}avail";
        let expected = serde_json::json!({"level": "ERROR", "message": message, "server": server, "fields": fields});
        assert_eq!(next(), expected);
        let fields = serde_json::json!({"what": "odd"});
        assert_eq!(next(), serde_json::json!({"level": "WARN", "message": "", "server": server, "fields": fields}));
        assert_eq!(next(), serde_json::json!({"level": "DEBUG", "message": "well", "server": server}));
    }

    #[test]
    fn the_final_error_has_the_format_of_the_log() {
        let error = "two to correct:\n  one\n  two";
        assert_eq!(OutputFormat::Text.fatal_error(&error), format!("powa-collector: {error}\n"));
        let expected = "<3>powa-collector: two to correct:\n<3>  one\n<3>  two\n";
        assert_eq!(OutputFormat::Journal.fatal_error(&error), expected);
        let line = OutputFormat::Json.fatal_error(&error);
        assert_eq!(line.lines().count(), 1, "{line}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&line).unwrap()["message"], error);
    }

    #[test]
    fn the_journal_is_known_by_its_file() {
        let (one, other) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        assert_eq!(identity(&one), identity(&one));
        assert_ne!(identity(&one), identity(&other));
        let metadata = one.metadata().unwrap();
        assert_eq!(identity(&one).unwrap(), format!("{}:{}", metadata.dev(), metadata.ino()));
    }
}
