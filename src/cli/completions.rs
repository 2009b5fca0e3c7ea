//! `completions`: prints the completions for a shell.

use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;

use super::output;

/// Prints the completions for a shell.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Name of the shell
    #[arg(value_name = "SHELL", value_parser = clap::value_parser!(Shell))]
    shell: Shell,
}

impl Arguments {
    pub(super) fn run(self) -> ExitCode {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut super::Arguments::command(), "powa-collector", &mut script);
        let script = String::from_utf8(script).expect("the generated script is UTF-8");
        // clap_complete 4.6 spells a program name with a hyphen in two ways, so that bash would complete no subcommand.
        let script = script.replace("powa__subcmd__collector", "powa__collector");
        output::print_and_exit(&script)
    }
}
