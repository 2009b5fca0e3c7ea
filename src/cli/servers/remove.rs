//! `servers remove`: removes a server with its history. In this order, so that a failure leaves nothing half done: it checks the
//! privileges, disables the server, has the collector stop its worker, and deletes everything in one transaction.

use session::{ErrorKind, on_one_line};
use std::io::{IsTerminal, Write, stderr, stdin};

use super::collector_reload::reload_collector;
use super::{Failure, describe, find};
use crate::cli::output::{self, print_error};
use crate::cli::subcommand::Context;
use crate::fleet::require_rights;
use crate::fleet::server_name::ServerName;
use crate::repository::{AdminTask, RegisteredServer};

/// Removes a server and permanently deletes its history.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Id, alias or host:port of the server
    #[arg(value_name = "SERVER")]
    server: ServerName,
    /// Do not ask for confirmation
    #[arg(long, short)]
    yes: bool,
}

impl Arguments {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let repository = &context.repository;
        let server = match find(repository, &self.server).await {
            // The role may not read powa_servers. Report all privileges that are missing, not only this one.
            Err(Failure::Postgres(error)) if error.kind() == ErrorKind::Denied => {
                require_rights(repository, AdminTask::Remove { is_enabled: true }).await?;
                return Err(error.into());
            }
            found => found?,
        };
        require_rights(repository, AdminTask::Remove { is_enabled: server.is_active() }).await?;
        if !self.yes {
            // The prompt can stay open for longer than the repository keeps idle sessions.
            repository.close_idle_sessions();
            confirm(&server)?;
        }
        let reload = if server.is_active() {
            repository.deactivate(server.id).await?;
            Some(reload_collector(context).await)
        } else {
            None
        };
        if let Err(error) = repository.purge(server.id).await {
            print_error!("powa-collector servers remove: {}", state_after_failure(&server));
            return Err(error.into());
        }
        output::print(&format!("{} and its history were removed\n", describe(&server)))?;
        if let Some(reload) = reload {
            output::print(&format!("{reload}\n"))?;
        }
        Ok(())
    }
}

/// The state of a server that could not be removed, and how to enable it again.
fn state_after_failure(server: &RegisteredServer) -> String {
    let name = describe(server);
    if server.is_active() {
        let (id, frequency) = (server.id, server.frequency);
        format!(
            "{name} was disabled, but not removed; its history is unchanged; enable it again with \"powa-collector servers \
             enable {id} --frequency {frequency}\""
        )
    } else {
        format!("{name} was not removed and is still disabled; its history is unchanged")
    }
}

fn confirm(server: &RegisteredServer) -> Result<(), Failure> {
    if !stdin().is_terminal() {
        let reason = "standard input is not a terminal, so you cannot be asked for confirmation; use --yes to remove the server; \
                      nothing was removed";
        return Err(Failure::NotConfirmed(reason));
    }
    let name = server.alias.clone().unwrap_or_else(|| server.address());
    let question = format!(
        "This removes {} from the repository and deletes its history.\n\
         It cannot be undone; \"powa-collector servers disable {}\" would keep the history.\n\
         Type {} to remove it: ",
        describe(server),
        server.id,
        on_one_line(&name)
    );
    write!(stderr(), "{question}").and_then(|()| stderr().flush())?;
    let mut answer = String::new();
    stdin().read_line(&mut answer)?;
    if is_confirmation(&answer, &name) {
        return Ok(());
    }
    Err(Failure::NotConfirmed("the answer is not the server's name; nothing was removed"))
}

/// Whether the answer is the name as the question shows it, with control characters escaped.
fn is_confirmation(answer: &str, name: &str) -> bool {
    answer.trim() == on_one_line(name).trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_name_itself_is_a_yes() {
        assert!(is_confirmation("db1:5432\n", "db1:5432"));
        assert!(is_confirmation("a\\nb\r\n", "a\nb"));
        for answer in ["", "\n", "y\n", "yes\n", "db1\n"] {
            assert!(!is_confirmation(answer, "db1:5432"), "{answer}");
        }
    }
}
