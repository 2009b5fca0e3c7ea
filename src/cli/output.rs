//! Writes to standard output and standard error, and detects the width of the terminal and whether to use colours.

use std::io::{ErrorKind, IsTerminal, Write, stdout};
use std::os::fd::AsFd;
use std::process::ExitCode;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::telemetry::colours;

/// Writes a line to standard error. Ignores errors, as there is nowhere to report them.
macro_rules! print_error {
    ($($format:tt)*) => {{
        use std::io::Write;
        std::writeln!(std::io::stderr(), $($format)*).ok();
    }};
}
pub(super) use print_error;

/// How to lay out text on standard output.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Screen {
    /// In columns; `None` for a file or a pipe, where lines can have any length.
    pub(super) width: Option<u16>,
    pub(super) is_coloured: bool,
}

/// A terminal that reports fewer columns does not know its size.
const MIN_WIDTH: u16 = 20;

impl Screen {
    pub(super) fn of_standard_output() -> Self {
        let size = || comfy_table::Table::new().width().filter(|width| *width >= MIN_WIDTH);
        Self { width: if stdout().is_terminal() { size() } else { None }, is_coloured: colours::enabled_for(&stdout()) }
    }
}

/// Prints a text as it is, without adding a line break. A closed pipe, as with `head`, is not an error.
///
/// # Errors
/// The text could not be written, for example because the disk is full.
pub(super) fn print(text: &str) -> std::io::Result<()> {
    match write(text) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

/// As [`print()`], but a closed pipe is an error, which ends a command that prints repeatedly.
///
/// # Errors
/// The text could not be written.
pub(super) fn write(text: &str) -> std::io::Result<()> {
    let mut output = stdout().lock();
    output.write_all(text.as_bytes()).and_then(|()| output.flush())
}

/// Whether nobody can read standard output any more: the pipe is closed, or the terminal is gone.
pub(super) fn is_closed() -> bool {
    let output = stdout();
    let mut polled = [PollFd::new(output.as_fd(), PollFlags::empty())];
    let is_broken = |found: PollFlags| found.intersects(PollFlags::POLLERR | PollFlags::POLLHUP);
    poll(&mut polled, PollTimeout::ZERO).is_ok() && polled[0].revents().is_some_and(is_broken)
}

/// Prints a text and returns the exit code.
pub(super) fn print_and_exit(text: &str) -> ExitCode {
    match print(text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print_error!("powa-collector: could not write to standard output: {error}");
            ExitCode::FAILURE
        }
    }
}
