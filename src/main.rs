//! Arguments to exit code.

use std::process::ExitCode;

use clap::Parser;
use powa_collector::cli::Arguments;

fn main() -> ExitCode {
    Arguments::parse().execute()
}
