//! `completions`: what a shell needs to complete our command line.

use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;

use super::output;

/// Prints the completions for a shell.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Which one
    #[arg(value_name = "SHELL", value_parser = clap::value_parser!(Shell))]
    shell: Shell,
}

impl Arguments {
    pub(super) fn run(self) -> ExitCode {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut super::Arguments::command(), "powa-collector", &mut script);
        let script = String::from_utf8(script).expect("what is made of the command line is text");
        // clap_complete 4.6 has two spellings of a program with a hyphen in its name, and bash knows no subcommand then.
        let script = script.replace("powa__subcmd__collector", "powa__collector");
        output::end_with(&script)
    }
}
