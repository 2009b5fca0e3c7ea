//! Keeps each message on its line, whatever names and other people's texts are in it, and puts its priority before it where
//! the journal reads that.

use std::io::{self, Write};

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

use crate::one_line::on_one_line;

/// Makes what writes a message.
pub struct Lines<M> {
    writer: M,
    with_priority: bool,
}

/// Writes a message.
pub struct Line<W> {
    writer: W,
    priority: &'static str,
}

impl<M> Lines<M> {
    pub fn of(writer: M, with_priority: bool) -> Self {
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
    /// Gets whole messages.
    fn write(&mut self, message: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(message);
        self.writer.write_all((self.priority.to_owned() + &whole_line(&text)).as_bytes())?;
        Ok(message.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// What the journal takes for the level, at the beginning of a line.
pub fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "<3>",
        Level::WARN => "<4>",
        Level::INFO => "<6>",
        Level::DEBUG | Level::TRACE => "<7>",
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
