//! `refresh-catalogs`: the catalogs of a server's databases are copied with its next snapshot.

use std::process::ExitCode;

use super::one_shot;
use super::output::print;
use super::server_name::ServerName;
use crate::config::Location;

/// Copies the catalogs of a server's databases with its next snapshot, and not only when they are due (PoWA 5).
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Its id, its alias or host:port.
    server: ServerName,

    /// Databases; without any, all of the server.
    #[arg(value_name = "DATABASE")]
    databases: Vec<String>,
}

impl Arguments {
    pub(super) fn run(self, location: &Location) -> ExitCode {
        one_shot::run("refresh-catalogs", location, async |tools| {
            let servers = tools.repository.registered_servers().await.map_err(one_shot::InFull::from)?;
            let server = self.server.find(&servers)?;
            let mut asker = tools.asker().await?;
            let mut answer = String::new();
            let all = self.databases.is_empty().then_some(None);
            for database in self.databases.iter().map(String::as_str).map(Some).chain(all) {
                answer = asker.refresh_catalogs(server.id, database).await?;
            }
            print(&format!("{server}: {answer}\n"))?;
            Ok(ExitCode::SUCCESS)
        })
    }
}
