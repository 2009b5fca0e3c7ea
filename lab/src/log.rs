//! Reads the end of a log.

use std::fs;
use std::path::Path;

/// The last lines of a log, for an error message.
pub fn end_of(log: &Path) -> String {
    const LINES: usize = 25;
    let bytes = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}
