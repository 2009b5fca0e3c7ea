//! `servers enable` and `servers disable`: whether a server is collected from.

use super::super::one_shot::Installation;
use super::super::output;
use super::super::server_name::ServerName;
use super::retention::check_frequency;
use super::telling::tell_daemon;
use super::{Failure, called, find};
use crate::postgres::Changes;

/// Seconds from one snapshot to the next, where nobody says.
pub(super) const FREQUENCY: i32 = 300;

/// Collects from a server again.
///
/// PoWA does not keep the frequency of a server that is disabled, so it has to be given, if it is another one.
#[derive(Debug, clap::Args)]
pub(super) struct EnableArguments {
    /// Id, alias or host:port of the server
    #[arg(value_name = "SERVER")]
    server: ServerName,
    /// Seconds from one snapshot to the next, 5 or more [default: 300]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(i32).range(5..))]
    frequency: Option<i32>,
}

/// Collects no longer from a server, and keeps its history.
#[derive(Debug, clap::Args)]
pub(super) struct DisableArguments {
    /// Id, alias or host:port of the server
    #[arg(value_name = "SERVER")]
    server: ServerName,
}

impl EnableArguments {
    pub(super) async fn run(self, installation: &Installation) -> Result<(), Failure> {
        let server = find(&installation.repository, &self.server).await?;
        if server.is_active() && self.frequency.is_none_or(|frequency| frequency == server.frequency) {
            let name = called(&server);
            output::print(&format!("{name} is enabled already: a snapshot every {} s\n", server.frequency))?;
            return Ok(());
        }
        let frequency = self.frequency.unwrap_or(FREQUENCY);
        check_frequency(installation, &server, frequency).await?;
        let changes = Changes { frequency: Some(frequency), ..Changes::default() };
        installation.repository.configure(server.id, &changes).await?;
        output::print(&format!("{} is enabled: a snapshot every {} s\n", called(&server), frequency))?;
        output::print(&format!("{}\n", tell_daemon(installation).await))?;
        Ok(())
    }
}

impl DisableArguments {
    pub(super) async fn run(self, installation: &Installation) -> Result<(), Failure> {
        let server = find(&installation.repository, &self.server).await?;
        if !server.is_active() {
            output::print(&format!("{} is disabled already\n", called(&server)))?;
            return Ok(());
        }
        installation.repository.deactivate(server.id).await?;
        let (name, before) = (called(&server), server.frequency);
        output::print(&format!("{name} is disabled, its history is kept; it had a snapshot every {before} s\n"))?;
        output::print(&format!("{}\n", tell_daemon(installation).await))?;
        Ok(())
    }
}
