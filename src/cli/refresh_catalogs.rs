//! `refresh-catalogs`: the catalogs of a server's databases are copied with its next snapshot.

use std::collections::BTreeSet;
use std::process::ExitCode;

use super::one_shot;
use super::output::print;
use super::server_name::ServerName;
use crate::config::Location;
use crate::one_line::on_one_line;

/// Copies the catalogs of a server's databases with its next snapshot, and not only when they are due (PoWA 5).
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Id, alias or host:port of the server
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
            let mut asker = installation.asker().await?;
            if self.databases.is_empty() {
                let answer = asker.refresh_catalogs(server.id, None).await?;
                print(&format!("{server}: {answer}\n"))?;
            }
            // One by one, so that it is known of each.
            for database in BTreeSet::from_iter(&self.databases) {
                let answer = asker.refresh_catalogs(server.id, Some(database)).await?;
                print(&format!("{server}, {}: {answer}\n", on_one_line(database)))?;
            }
            Ok(ExitCode::SUCCESS)
        })
    }
}
