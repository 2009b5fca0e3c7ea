//! `refresh-catalogs`: the catalogs of a server's databases are copied with its next snapshot.

use std::collections::BTreeSet;
use std::process::ExitCode;

use super::disabled::refuse_disabled;
use super::one_shot::{self, Installation};
use super::output::print;
use super::server_name::ServerName;
use crate::config::Location;
use crate::one_line::on_one_line;
use crate::server::ServerId;
use crate::spelling::most_alike;

/// Copies the catalogs of a server's databases with its next snapshot, and not only when they are due (PoWA 5).
///
/// A database that the last snapshot could not connect to, or did not find, is refused, and nothing is copied then.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Id, alias or host:port of the server
    #[arg(value_name = "SERVER")]
    server: ServerName,

    /// Databases; without any, all of the server
    #[arg(value_name = "DATABASE")]
    databases: Vec<String>,
}

impl Arguments {
    pub(super) fn run(self, location: &Location) -> ExitCode {
        one_shot::run("refresh-catalogs", location, async |installation| {
            let servers = installation.repository.registered_servers().await.map_err(one_shot::InFull::from)?;
            let server = self.server.find(&servers)?;
            if !installation.repository.powa().await.map_err(one_shot::InFull::from)?.has_modules() {
                return Err("PoWA 4 copies no catalogs: they come with PoWA 5".into());
            }
            refuse_disabled(server)?;
            // Named twice, it is one.
            let databases = BTreeSet::from_iter(&self.databases);
            let known = if databases.is_empty() { vec![] } else { known(&installation, server.id).await? };
            if !known.is_empty() {
                all_are_there(&databases, &known).map_err(|reason| format!("{server} {reason}"))?;
            }
            let mut asker = installation.asker().await?;
            if databases.is_empty() {
                let answer = asker.refresh_catalogs(server.id, None).await?;
                print(&format!("{server}: {answer}\n"))?;
            } else if known.is_empty() {
                let unknown = "it is not known yet which databases there are; the snapshot tells of those that are not";
                print(&format!("{server}: {unknown}\n"))?;
            }
            // One by one, so that it is known of each.
            for database in databases {
                let answer = asker.refresh_catalogs(server.id, Some(database)).await?;
                print(&format!("{server}, {}: {answer}\n", on_one_line(database)))?;
            }
            Ok(ExitCode::SUCCESS)
        })
    }
}

/// The databases of a server. None, where the role may command the collector, but not read what it has collected.
async fn known(installation: &Installation, server: ServerId) -> Result<Vec<String>, one_shot::InFull> {
    match installation.repository.known_databases(server).await {
        Err(error) if error.is_denied() => Ok(vec![]),
        known => Ok(known?),
    }
}

/// As many names are shown.
const MOST_SHOWN: usize = 20;

fn all_are_there(wanted: &BTreeSet<&String>, known: &[String]) -> Result<(), String> {
    let Some(missing) = wanted.iter().find(|name| !known.contains(name)) else { return Ok(()) };
    let quoted = |name: &str| format!("\"{}\"", on_one_line(name));
    let meant = most_alike(missing, known.iter().map(String::as_str));
    let there = match meant {
        Some(meant) => format!("did you mean {}?", quoted(meant)),
        None => {
            let shown = known.iter().take(MOST_SHOWN).map(|name| quoted(name)).collect::<Vec<_>>().join(", ");
            let beyond = known.len().saturating_sub(MOST_SHOWN);
            if beyond > 0 { format!("it had {shown} and {beyond} more") } else { format!("it had {shown}") }
        }
    };
    Err(format!(
        "had no database {} to connect to when its last snapshot was taken ({there}); nothing is copied, and catalogs of a \
         database that is new are copied without being asked for",
        quoted(missing)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_is_not_there_is_told_from_those_that_are() {
        let known = ["a b", "c"].map(String::from);
        let look = |wanted: &[&str], known: &[String]| {
            let wanted: Vec<_> = wanted.iter().copied().map(String::from).collect();
            all_are_there(&wanted.iter().collect(), known)
        };
        assert_eq!(look(&["c", "a b"], &known), Ok(()));
        let said = look(&["c", "x"], &known).unwrap_err();
        assert!(
            said.starts_with(
                "had no database \"x\" to connect to when its last snapshot was taken (it had \"a b\", \"c\"); "
            ),
            "{said}"
        );
        let said = look(&["a bb"], &known).unwrap_err();
        assert!(said.contains("(did you mean \"a b\"?); nothing"), "{said}");
        let many: Vec<_> = (0..23).map(|number| number.to_string()).collect();
        let said = look(&["a"], &many).unwrap_err();
        assert!(said.contains("\"19\" and 3 more);"), "{said}");
    }
}
