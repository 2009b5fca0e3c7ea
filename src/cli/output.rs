//! What subcommands print on standard output, and what may be done there: colours, and how wide it is.

use std::io::{ErrorKind, IsTerminal, Write, stdout};
use std::process::ExitCode;

use crate::colours;

/// Where something is printed to, as far as that changes how it looks.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Screen {
    /// In columns; `None` where lines may be of any length, as in a file.
    pub(super) width: Option<u16>,
    pub(super) is_coloured: bool,
}

/// Fewer columns than these are no terminal that anybody reads a table on, but one that does not know its size.
const NARROWEST: u16 = 20;

impl Screen {
    /// Standard output.
    pub(super) fn of_standard_output() -> Self {
        let size = || comfy_table::Table::new().width().filter(|width| *width >= NARROWEST);
        Self { width: if stdout().is_terminal() { size() } else { None }, is_coloured: colours::are_for(&stdout()) }
    }
}

/// Prints a text that ends with its own line break. Whoever has closed the other end, as `head` does, wants no more of it.
///
/// # Errors
/// The text could not be written, as where a disk is full.
pub(super) fn print(text: &str) -> std::io::Result<()> {
    match write(text) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

/// Prints a text, for one who has more to print and would not end otherwise.
///
/// # Errors
/// As for [`print()`]; and the other end is closed.
pub(super) fn write(text: &str) -> std::io::Result<()> {
    let mut output = stdout().lock();
    output.write_all(text.as_bytes()).and_then(|()| output.flush())
}

/// Prints a text that is all there is to do.
pub(super) fn end_with(text: &str) -> ExitCode {
    match print(text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("powa-collector: could not write to standard output: {error}");
            ExitCode::FAILURE
        }
    }
}
