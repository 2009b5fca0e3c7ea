//! `refresh-catalogs`: copies the catalogs of a server's databases with its next snapshot.

use session::{ErrorKind, on_one_line};
use std::collections::BTreeSet;
use std::process::ExitCode;

use super::disabled::refuse_disabled;
use super::output::print;
use super::subcommand::{self, Context};
use crate::config::Location;
use crate::fleet::server_name::ServerName;
use crate::server::ServerId;
use libpq::spelling::closest_match;

/// Copies the catalogs of a server's databases with its next snapshot, even if they are not due (PoWA 5).
///
/// If the last snapshot did not find a database or could not connect to it, the command fails and copies nothing.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Id, alias or host:port of the server
    #[arg(value_name = "SERVER")]
    server: ServerName,

    /// Databases; without any, all databases of the server
    #[arg(value_name = "DATABASE")]
    databases: Vec<String>,
}

impl Arguments {
    pub(super) fn run(self, location: &Location) -> ExitCode {
        subcommand::run("refresh-catalogs", location, async |context| {
            let servers = context.repository.registered_servers().await?;
            let server = self.server.find(&servers)?;
            if !context.repository.powa().await?.has_modules() {
                return Err("PoWA 4 copies no catalogs; this needs PoWA 5".into());
            }
            refuse_disabled(server)?;
            let databases = BTreeSet::from_iter(&self.databases);
            let known = if databases.is_empty() { vec![] } else { known_databases(&context, server.id).await? };
            if !known.is_empty() {
                check_known(&databases, &known).map_err(|reason| format!("{server} {reason}"))?;
            }
            let mut client = context.control_client().await?;
            if databases.is_empty() {
                let answer = client.refresh_catalogs(server.id, None).await?;
                print(&format!("{server}: {answer}\n"))?;
            } else if known.is_empty() {
                let unknown =
                    "the databases of the server are not known yet; the next snapshot reports those that do not exist";
                print(&format!("{server}: {unknown}\n"))?;
            }
            // One by one, for one answer each.
            for database in databases {
                let answer = client.refresh_catalogs(server.id, Some(database)).await?;
                print(&format!("{server}, {}: {answer}\n", on_one_line(database)))?;
            }
            Ok(ExitCode::SUCCESS)
        })
    }
}

/// The databases of a server. Empty if there was no snapshot yet, or if the role may send commands, but not read snapshots.
async fn known_databases(context: &Context, server: ServerId) -> Result<Vec<String>, session::Error> {
    match context.repository.known_databases(server).await {
        Err(error) if error.kind() == ErrorKind::Denied => Ok(vec![]),
        known => Ok(known?),
    }
}

/// Names in a message.
const MAX_SHOWN: usize = 20;

fn check_known(wanted: &BTreeSet<&String>, known: &[String]) -> Result<(), String> {
    let Some(missing) = wanted.iter().find(|name| !known.contains(name)) else { return Ok(()) };
    let quoted = |name: &str| format!("\"{}\"", on_one_line(name));
    let similar = closest_match(missing, known.iter().map(String::as_str));
    let hint = match similar {
        Some(similar) => format!("did you mean {}?", quoted(similar)),
        None => {
            let shown = known.iter().take(MAX_SHOWN).map(|name| quoted(name)).collect::<Vec<_>>().join(", ");
            let beyond = known.len().saturating_sub(MAX_SHOWN);
            if beyond > 0 { format!("it has {shown} and {beyond} more") } else { format!("it has {shown}") }
        }
    };
    Err(format!(
        "had no database {} to connect to in its last snapshot ({hint}); nothing is copied; the catalogs of a new database are \
         copied without this command",
        quoted(missing)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_database_is_an_error() {
        let known = ["a b", "c"].map(String::from);
        let check = |wanted: &[&str], known: &[String]| {
            let wanted: Vec<_> = wanted.iter().copied().map(String::from).collect();
            check_known(&wanted.iter().collect(), known)
        };
        assert_eq!(check(&["c", "a b"], &known), Ok(()));
        let message = check(&["c", "x"], &known).unwrap_err();
        assert!(
            message.starts_with("had no database \"x\" to connect to in its last snapshot (it has \"a b\", \"c\"); "),
            "{message}"
        );
        let message = check(&["a bb"], &known).unwrap_err();
        assert!(message.contains("(did you mean \"a b\"?); nothing"), "{message}");
        let many: Vec<_> = (0..23).map(|number| number.to_string()).collect();
        let message = check(&["a"], &many).unwrap_err();
        assert!(message.contains("\"19\" and 3 more);"), "{message}");
    }
}
