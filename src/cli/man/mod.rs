//! `man`: the manual pages, made of the command line as it is.

mod exit_status;
mod see_also;
mod synopsis;

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::CommandFactory;
use clap_mangen::Man;

use super::output;

/// Prints the manual page, or writes one for each command into a folder.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Folder for powa-collector.1, powa-collector-servers.1 and so on, which has to be there
    #[arg(long, value_name = "FOLDER")]
    directory: Option<PathBuf>,
}

impl Arguments {
    pub(super) fn run(self) -> ExitCode {
        match &self.directory {
            None => output::end_with(&page(&whole(), &[]).expect("a Vec takes everything")),
            Some(folder) => match write_all(&whole(), &[], folder) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    eprintln!("powa-collector man: could not write to \"{}\": {error}", folder.display());
                    ExitCode::FAILURE
                }
            },
        }
    }
}

/// The command line with all that clap adds to it, but for the command `help`, which repeats the pages.
fn whole() -> clap::Command {
    let mut command = super::Arguments::command().disable_help_subcommand(true);
    command.build();
    command
}

/// Of the last change to what is written here by hand. Without one, what comes after it would be taken for it.
const DATE: &str = "2026-11-22";

/// What is true of the program as a whole.
const FILES: &str = include_str!("files.roff");
const SIGNALS: &str = include_str!("signals.roff");

/// What the page of a command is called.
fn name(command: &clap::Command) -> &str {
    command.get_display_name().unwrap_or(command.get_name())
}

fn page(command: &clap::Command, parents: &[&clap::Command]) -> io::Result<String> {
    let mut text = Vec::new();
    let source = format!("powa-collector {}", env!("CARGO_PKG_VERSION"));
    let page = Man::new(command.clone()).title(name(command).to_uppercase()).date(DATE).source(source).manual("PoWA");
    page.render(&mut text)?;
    let text = String::from_utf8(text).expect("what is made of the command line is text");
    // There, options are shown without what they take.
    let (above, rest) = text.split_once(".SH SYNOPSIS\n").expect("it makes one");
    let (_, below) = rest.split_once(".SH DESCRIPTION\n").expect("it makes one");
    let text = [above, &synopsis::section(command), ".SH DESCRIPTION\n", below].concat();
    let [exit_status, see_also] = [exit_status::section(name(command)), see_also::section(command, parents)];
    Ok(if parents.is_empty() {
        [&text, "\n", FILES, &exit_status, SIGNALS, &see_also].concat()
    } else {
        [&text, "\n", &exit_status, &see_also].concat()
    })
}

fn write_all(command: &clap::Command, parents: &[&clap::Command], folder: &Path) -> io::Result<()> {
    std::fs::write(folder.join(format!("{}.1", name(command))), page(command, parents)?)?;
    let parents = [parents, &[command]].concat();
    command.get_subcommands().try_for_each(|command| write_all(command, &parents, folder))
}
