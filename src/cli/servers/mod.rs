//! `servers`: lists, registers, changes and removes servers. PoWA's own functions in the repository change its tables, schedules,
//! pauses and tags are in the collector's own schema, and the collector reloads after each change.

mod add;
mod check_first;
mod collector_reload;
mod enable;
mod extensions;
mod list;
mod password;
mod pause;
mod remove;
mod schedule;
mod set;
mod tag;
mod terminal_echo;

use session::ErrorKind;
use std::process::ExitCode;

use super::subcommand::{self, Context, ExitResult};
use crate::config::Location;
use crate::fleet::server_name::{NotFound, ServerName};
use crate::fleet::{self, Duplicate, InvalidHost, InvalidPause, MissingRights, NoCollectorSchema};
use crate::repository::{RegisteredServer, Repository};
use crate::schedule::{InvalidSchedule, InvalidTime};
use crate::server::InvalidServer;
use crate::server::tags::InvalidTag;

/// The arguments of `servers`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    List(list::Arguments),
    Add(add::Arguments),
    Set(set::Arguments),
    Enable(enable::EnableArguments),
    Disable(enable::DisableArguments),
    Remove(remove::Arguments),
    Extensions(extensions::Arguments),
    Schedule(schedule::Arguments),
    Pause(pause::PauseArguments),
    Resume(pause::ResumeArguments),
    Tag(tag::Arguments),
}

impl Arguments {
    pub(super) fn run(self, location: &Location) -> ExitCode {
        match self.command {
            Command::List(arguments) => run("list", location, async |context| arguments.run(&context).await),
            Command::Add(arguments) => run("add", location, async |context| arguments.run(&context).await),
            Command::Set(arguments) => run("set", location, async |context| arguments.run(&context).await),
            Command::Enable(arguments) => run("enable", location, async |context| arguments.run(&context).await),
            Command::Disable(arguments) => run("disable", location, async |context| arguments.run(&context).await),
            Command::Remove(arguments) => run("remove", location, async |context| arguments.run(&context).await),
            Command::Schedule(arguments) => run("schedule", location, async |context| arguments.run(&context).await),
            Command::Pause(arguments) => run("pause", location, async |context| arguments.run(&context).await),
            Command::Resume(arguments) => run("resume", location, async |context| arguments.run(&context).await),
            Command::Tag(arguments) => run("tag", location, async |context| arguments.run(&context).await),
            Command::Extensions(arguments) => {
                arguments.exit_on_contradiction();
                run("extensions", location, async |context| arguments.run(&context).await)
            }
        }
    }
}

fn run(name: &str, location: &Location, work: impl AsyncFnOnce(Context) -> Result<(), Failure>) -> ExitCode {
    subcommand::run(&format!("servers {name}"), location, async |context| -> ExitResult {
        work(context).await?;
        Ok(ExitCode::SUCCESS)
    })
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{}{}", .0, hint(.0))]
    Postgres(#[from] session::Error),
    #[error(transparent)]
    NotFound(#[from] NotFound),
    #[error("{}{}", .0, change_hint(.0))]
    Duplicate(Duplicate),
    #[error(transparent)]
    OutOfRange(fleet::OutOfRange),
    #[error(transparent)]
    Password(#[from] password::PasswordError),
    #[error(transparent)]
    Invalid(#[from] InvalidServer),
    #[error("the check of {0} failed with the problems above; nothing was registered or changed")]
    CheckFailed(String),
    #[error(
        "{}{}\nor run the command as another role: POWA_COLLECTOR__REPOSITORY__DSN='...' powa-collector servers ...",
        if .0.is_for_change() { "nothing was changed: " } else { "" },
        .0
    )]
    MissingRights(MissingRights),
    #[error(transparent)]
    NoCollectorSchema(NoCollectorSchema),
    #[error(transparent)]
    Schedule(#[from] InvalidSchedule),
    #[error(transparent)]
    Time(#[from] InvalidTime),
    #[error(transparent)]
    Pause(InvalidPause),
    #[error(transparent)]
    Tag(InvalidTag),
    #[error(transparent)]
    ChangedTwice(#[from] fleet::ChangedTwice),
    #[error("{0}")]
    NotConfirmed(&'static str),
    #[error("could not write to standard output: {0}")]
    Output(#[from] std::io::Error),
}

impl From<fleet::Error> for Failure {
    fn from(error: fleet::Error) -> Self {
        match error {
            fleet::Error::OutOfRange(number) => Self::OutOfRange(number),
            fleet::Error::Duplicate(duplicate) => Self::Duplicate(duplicate),
            fleet::Error::MissingRights(missing) => Self::MissingRights(missing),
            fleet::Error::NoCollectorSchema(missing) => Self::NoCollectorSchema(missing),
            fleet::Error::Pause(invalid) => Self::Pause(invalid),
            fleet::Error::Tag(invalid) => Self::Tag(invalid),
            fleet::Error::Repository(error) => Self::Postgres(error),
        }
    }
}

/// The role of the collector needs fewer privileges than these commands.
fn hint(error: &session::Error) -> &'static str {
    if error.kind() == ErrorKind::Denied {
        "; to run one command as another role: POWA_COLLECTOR__REPOSITORY__DSN='...' powa-collector servers ..."
    } else {
        ""
    }
}

fn change_hint(duplicate: &Duplicate) -> String {
    match duplicate {
        Duplicate::Address { id, .. } => format!("; change it with \"powa-collector servers set {id}\""),
        Duplicate::Name { .. } => String::new(),
    }
}

/// A value of `--host`.
fn parse_host(text: &str) -> Result<String, String> {
    fleet::parse_host(text).map_err(|error| match error {
        InvalidHost::WithPort { .. } => format!("{error} (--host HOST --port PORT)"),
        _ => error.to_string(),
    })
}

/// The server that the argument names.
async fn find(repository: &Repository, name: &ServerName) -> Result<RegisteredServer, Failure> {
    Ok(name.find(&repository.registered_servers().await?)?.clone())
}

/// A server in a message: `server 3, db3:5432`.
fn describe(server: &RegisteredServer) -> String {
    format!("server {}, {server}", server.id)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    #[test]
    fn every_host_on_the_command_line_is_checked() {
        for arguments in [&["add", "--host", "db 7"][..], &["set", "1", "--host", "db 7"]] {
            let words = ["powa-collector", "servers"].iter().chain(arguments);
            let error = super::super::Arguments::try_parse_from(words).unwrap_err().to_string();
            assert!(error.contains("white space"), "{arguments:?}: {error}");
        }
        assert!(super::parse_host("db7:5433").unwrap_err().ends_with("(--host HOST --port PORT)"));
    }
}
