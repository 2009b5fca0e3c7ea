//! Prints to standard output, and ends the program when nobody reads it any more.

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::process::exit;

/// The exit code that a shell reports for a program that was ended by SIGPIPE.
const CLOSED_PIPE: i32 = 128 + 13;

/// Prints a line as `println!` does, but does not panic if that fails.
macro_rules! print_line {
    () => {
        $crate::print::line(format_args!(""))
    };
    ($($arguments:tt)*) => {
        $crate::print::line(format_args!($($arguments)*))
    };
}

pub(crate) use print_line;

/// Prints a line. If standard output cannot be written to, the program ends, as it would by SIGPIPE; the guards remove
/// the servers.
pub(crate) fn line(text: fmt::Arguments<'_>) {
    match writeln!(io::stdout(), "{text}") {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => exit(CLOSED_PIPE),
        Err(error) => {
            eprintln!("lab: could not write to standard output: {error}");
            exit(1)
        }
    }
}
