//! Parses the arguments and exits with the command's exit code.

use std::process::ExitCode;

use clap::Parser;
use powa_collector::cli::Arguments;

fn main() -> ExitCode {
    Arguments::parse().execute()
}
