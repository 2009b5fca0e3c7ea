//! `servers`: who is collected from. All changes are made by PoWA's own functions in the repository, and the collector is
//! told of them.

mod active;
mod add;
mod echo;
mod extensions;
mod host;
mod list;
mod password;
mod remove;
mod retention;
mod set;
mod taken;
mod telling;
mod trial;

use std::process::ExitCode;

use super::one_shot::{self, Ended, Installation};
use super::server_name::{NotFound, ServerName};
use crate::config::Location;
use crate::postgres::{self, RegisteredServer, Repository};
use crate::server::InvalidServer;

/// What may be typed after `servers`.
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
    Enable(active::EnableArguments),
    Disable(active::DisableArguments),
    Remove(remove::Arguments),
    Extensions(extensions::Arguments),
}

impl Arguments {
    pub(super) fn run(self, location: &Location) -> ExitCode {
        match self.command {
            Command::List(arguments) => run("list", location, async |installation| arguments.run(&installation).await),
            Command::Add(arguments) => run("add", location, async |installation| arguments.run(&installation).await),
            Command::Set(arguments) => run("set", location, async |installation| arguments.run(&installation).await),
            Command::Enable(arguments) => {
                run("enable", location, async |installation| arguments.run(&installation).await)
            }
            Command::Disable(arguments) => {
                run("disable", location, async |installation| arguments.run(&installation).await)
            }
            Command::Remove(arguments) => {
                run("remove", location, async |installation| arguments.run(&installation).await)
            }
            Command::Extensions(arguments) => {
                arguments.refuse_contradictions();
                run("extensions", location, async |installation| arguments.run(&installation).await)
            }
        }
    }
}

fn run(name: &str, location: &Location, work: impl AsyncFnOnce(Installation) -> Result<(), Failure>) -> ExitCode {
    one_shot::run(&format!("servers {name}"), location, async |installation| -> Ended {
        work(installation).await?;
        Ok(ExitCode::SUCCESS)
    })
}

/// Why nothing was done, or not all of it.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{}{}", .0.in_full(), way_out(.0))]
    Postgres(#[from] postgres::Error),
    #[error(transparent)]
    NotFound(#[from] NotFound),
    #[error(transparent)]
    Taken(#[from] taken::Taken),
    #[error(transparent)]
    Password(#[from] password::NoPassword),
    #[error(transparent)]
    Invalid(#[from] InvalidServer),
    #[error("something is wrong with {0}, as is told above; nothing was registered or changed")]
    Wrong(String),
    #[error("{0}")]
    NotAllowed(String),
    #[error("{0}")]
    NotConfirmed(String),
    #[error("could not write to standard output: {0}")]
    Output(#[from] std::io::Error),
}

/// The role that collects may not administer, and need not.
fn way_out(error: &postgres::Error) -> &'static str {
    if error.is_denied() {
        ", to collect and to administer; one command can be run as another role: \
         POWA_COLLECTOR__REPOSITORY__DSN='...' powa-collector servers ..."
    } else {
        ""
    }
}

/// The server that is meant.
async fn find(repository: &Repository, name: &ServerName) -> Result<RegisteredServer, Failure> {
    Ok(name.find(&repository.registered_servers().await?)?.clone())
}

/// What a server is called in a line of ours.
fn called(server: &RegisteredServer) -> String {
    format!("server {}, {server}", server.id)
}
