//! `servers remove`: removes a server with its history, in this order: the role may do all of it, it is disabled, the
//! collector lets go of it, and then all is deleted. So whatever fails, nothing is half there, and no snapshot is in the way.

use std::io::{IsTerminal, Write, stderr, stdin};

use super::super::one_shot::Installation;
use super::super::output;
use super::super::server_name::ServerName;
use super::telling::tell_daemon;
use super::{Failure, called, find};
use crate::one_line::on_one_line;
use crate::postgres::RegisteredServer;

/// Removes a server and deletes its history for good.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Id, alias or host:port of the server
    #[arg(value_name = "SERVER")]
    server: ServerName,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

impl Arguments {
    pub(super) async fn run(self, installation: &Installation) -> Result<(), Failure> {
        let repository = &installation.repository;
        let server = find(repository, &self.server).await?;
        let missing = repository.missing_to_remove(server.is_active()).await?;
        if !missing.is_empty() {
            return Err(Failure::NotAllowed(not_allowed(&server, &missing)));
        }
        if !self.yes {
            // It may take its time until somebody answers.
            repository.forget_sessions();
            confirm(&server)?;
        }
        let told = if server.is_active() {
            repository.deactivate(server.id).await?;
            Some(tell_daemon(installation).await)
        } else {
            None
        };
        if let Err(error) = repository.purge(server.id).await {
            eprintln!("powa-collector servers remove: {}", left_behind(&server));
            return Err(error.into());
        }
        output::print(&format!("{} is removed, and its history\n", called(&server)))?;
        if let Some(told) = told {
            output::print(&format!("{told}\n"))?;
        }
        Ok(())
    }
}

/// What is missing, as statements to copy.
fn not_allowed(server: &RegisteredServer, missing: &[String]) -> String {
    let grants: String = missing.iter().map(|grant| format!("  {};\n", on_one_line(grant))).collect();
    format!(
        "{} is as it was: the role may not do all that it takes to remove it; in the repository, a superuser can allow it \
         that:\n{grants}or the command can be run as another role: \
         POWA_COLLECTOR__REPOSITORY__DSN='...' powa-collector servers remove ...",
        called(server)
    )
}

/// What there is after a removal that failed, and the way back.
fn left_behind(server: &RegisteredServer) -> String {
    let name = called(server);
    if server.is_active() {
        let (id, frequency) = (server.id, server.frequency);
        format!(
            "{name} is disabled, and its history is as it was; it had a snapshot every {frequency} s, and has it again \
             after \"powa-collector servers enable {id} --frequency {frequency}\""
        )
    } else {
        format!("{name} is disabled, as before, and its history is as it was")
    }
}

fn confirm(server: &RegisteredServer) -> Result<(), Failure> {
    if !stdin().is_terminal() {
        let why = "there is no terminal to ask on whether that is meant: say --yes if it is; nothing was removed";
        return Err(Failure::NotConfirmed(why.into()));
    }
    let name = server.alias.clone().unwrap_or_else(|| server.address());
    let question = format!(
        "This removes {} from the repository, and deletes all that was ever collected from it.\n\
         It cannot be undone; \"powa-collector servers disable {}\" would keep it.\n\
         Type {} to remove it: ",
        called(server),
        server.id,
        on_one_line(&name)
    );
    write!(stderr(), "{question}").and_then(|()| stderr().flush())?;
    let mut answer = String::new();
    stdin().read_line(&mut answer)?;
    if is_meant(&answer, &name) {
        return Ok(());
    }
    Err(Failure::NotConfirmed("that is not what it is called: nothing was removed".into()))
}

/// As it is shown, which is how it can be typed.
fn is_meant(answer: &str, name: &str) -> bool {
    answer.trim() == on_one_line(name).trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_name_itself_is_a_yes() {
        assert!(is_meant("db1:5432\n", "db1:5432"));
        assert!(is_meant("a\\nb\r\n", "a\nb"));
        for answer in ["", "\n", "y\n", "yes\n", "db1\n"] {
            assert!(!is_meant(answer, "db1:5432"), "{answer}");
        }
    }
}
