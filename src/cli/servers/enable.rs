//! `servers enable` and `servers disable`: whether a server is collected.

use super::collector_reload::reload_collector;
use super::{Failure, describe, find};
use crate::cli::output;
use crate::cli::subcommand::Context;
use crate::fleet::server_name::ServerName;
use crate::fleet::{self, parse_frequency, require_rights};
use crate::repository::{AdminTask, Changes};

/// Enables a server that is disabled.
///
/// PoWA does not keep the frequency of a disabled server: give it again if it is not the default.
#[derive(Debug, clap::Args)]
pub(super) struct EnableArguments {
    /// Id, alias or host:port of the server
    #[arg(value_name = "SERVER")]
    server: ServerName,
    /// Seconds from one snapshot to the next, at least 5 [default: 300]
    #[arg(long, value_name = "SECONDS", value_parser = parse_frequency)]
    frequency: Option<i32>,
}

/// Disables a server: no more snapshots are taken, and its history is kept.
#[derive(Debug, clap::Args)]
pub(super) struct DisableArguments {
    /// Id, alias or host:port of the server
    #[arg(value_name = "SERVER")]
    server: ServerName,
}

impl EnableArguments {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let repository = &context.repository;
        require_rights(repository, AdminTask::Change { with_check: false }).await?;
        let server = find(repository, &self.server).await?;
        if server.is_active() && self.frequency.is_none_or(|frequency| frequency == server.frequency) {
            let name = describe(&server);
            output::print(&format!("{name} is already enabled: a snapshot every {} s\n", server.frequency))?;
            return Ok(());
        }
        let frequency = self.frequency.unwrap_or(fleet::DEFAULT_FREQUENCY);
        fleet::check_frequency(repository, &server, frequency).await?;
        let changes = Changes { frequency: Some(frequency), ..Changes::default() };
        repository.configure(server.id, &changes).await?;
        output::print(&format!("{} is enabled: a snapshot every {} s\n", describe(&server), frequency))?;
        output::print(&format!("{}\n", reload_collector(context).await))?;
        Ok(())
    }
}

impl DisableArguments {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let repository = &context.repository;
        require_rights(repository, AdminTask::Change { with_check: false }).await?;
        let server = find(repository, &self.server).await?;
        if !server.is_active() {
            output::print(&format!("{} is already disabled\n", describe(&server)))?;
            return Ok(());
        }
        repository.deactivate(server.id).await?;
        let (name, frequency) = (describe(&server), server.frequency);
        output::print(&format!("{name} is disabled and its history is kept; it had a snapshot every {frequency} s\n"))?;
        output::print(&format!("{}\n", reload_collector(context).await))?;
        Ok(())
    }
}
