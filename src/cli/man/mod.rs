//! `man`: generates the manual pages from the definition of the command line.

mod exit_status;
mod see_also;
mod synopsis;

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::CommandFactory;
use clap_mangen::Man;

use super::output;
use crate::cli::output::print_error;

/// Prints the manual page, or writes the pages of all commands to a directory.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Existing directory for powa-collector.1, powa-collector-servers.1 and so on
    #[arg(long, value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
}

impl Arguments {
    pub(super) fn run(self) -> ExitCode {
        match &self.directory {
            None => output::print_and_exit(&page(&root_command(), &[]).expect("writing to a Vec cannot fail")),
            Some(directory) => match write_all(&root_command(), &[], directory) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    print_error!("powa-collector man: could not write to \"{}\": {error}", directory.display());
                    ExitCode::FAILURE
                }
            },
        }
    }
}

/// The command line without the command `help`, which would repeat the pages.
fn root_command() -> clap::Command {
    let mut command = super::Arguments::command().disable_help_subcommand(true);
    command.build();
    command
}

/// The date of the last change. Without one, clap_mangen would put the version in its place.
const DATE: &str = "2026-11-29";

// Sections of the main page.
const FILES: &str = include_str!("files.roff");
const SIGNALS: &str = include_str!("signals.roff");

/// The name of a command's page.
fn name(command: &clap::Command) -> &str {
    command.get_display_name().unwrap_or(command.get_name())
}

fn page(command: &clap::Command, parents: &[&clap::Command]) -> io::Result<String> {
    let mut text = Vec::new();
    let source = format!("powa-collector {}", env!("CARGO_PKG_VERSION"));
    let page = Man::new(command.clone()).title(name(command).to_uppercase()).date(DATE).source(source).manual("PoWA");
    page.render(&mut text)?;
    let text = String::from_utf8(text).expect("the generated page is UTF-8");
    // Replace the synopsis of clap_mangen, which omits the values of options.
    let (above, rest) = text.split_once(".SH SYNOPSIS\n").expect("clap_mangen writes this section");
    let (_, below) = rest.split_once(".SH DESCRIPTION\n").expect("clap_mangen writes this section");
    let text = [above, &synopsis::section(command), ".SH DESCRIPTION\n", below].concat();
    let [exit_status, see_also] = [exit_status::section(name(command)), see_also::section(command, parents)];
    Ok(if parents.is_empty() {
        [&text, "\n", FILES, &exit_status, SIGNALS, &see_also].concat()
    } else {
        [&text, "\n", &exit_status, &see_also].concat()
    })
}

fn write_all(command: &clap::Command, parents: &[&clap::Command], directory: &Path) -> io::Result<()> {
    std::fs::write(directory.join(format!("{}.1", name(command))), page(command, parents)?)?;
    let parents = [parents, &[command]].concat();
    command.get_subcommands().try_for_each(|command| write_all(command, &parents, directory))
}
