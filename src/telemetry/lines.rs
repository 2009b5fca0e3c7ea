//! Keeps each message on one line, whatever names and external texts it contains, and adds the priority for the journal.

use std::io::{self, Write};

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

use session::on_one_line;

/// Creates a writer for each message.
pub(super) struct Lines<M> {
    writer: M,
    with_priority: bool,
}

/// The writer of one message.
pub(super) struct Line<W> {
    writer: W,
    priority: &'static str,
}

impl<M> Lines<M> {
    pub(super) fn of(writer: M, with_priority: bool) -> Self {
        Self { writer, with_priority }
    }
}

impl<'a, M: MakeWriter<'a>> MakeWriter<'a> for Lines<M> {
    type Writer = Line<M::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        Line { writer: self.writer.make_writer(), priority: "" }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Self::Writer {
        let priority = if self.with_priority { priority(*metadata.level()) } else { "" };
        Line { writer: self.writer.make_writer_for(metadata), priority }
    }
}

impl<W: Write> Write for Line<W> {
    /// Writes one whole message: the formatter passes each message in a single call.
    fn write(&mut self, message: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(message);
        self.writer.write_all((self.priority.to_owned() + &whole_line(&text)).as_bytes())?;
        Ok(message.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// The prefix of a line from which the journal reads the level.
pub(super) fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "<3>",
        Level::WARN => "<4>",
        Level::INFO => "<6>",
        Level::DEBUG | Level::TRACE => "<7>",
    }
}

/// Escapes control characters, except the final newline and the escape character of colours: the formatter has already escaped
/// those that are not its own.
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
