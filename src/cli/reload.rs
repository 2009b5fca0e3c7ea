//! `reload`: reloads as SIGHUP does, and reports the result.

use std::process::ExitCode;

use super::output::print;
use super::subcommand;
use crate::config::Location;

/// Reloads the configuration and the list of servers in the running collector.
///
/// Waits until the reload is done; if several collectors are connected to the repository, until all have reloaded. With an invalid
/// configuration, the command fails and the collector keeps the previous configuration.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {}

impl Arguments {
    pub(super) fn run(self, location: &Location) -> ExitCode {
        subcommand::run("reload", location, async |context| {
            match context.control_client().await?.reload().await? {
                1 => print("reloaded\n")?,
                collectors => print(&format!("reloaded: {collectors} collectors\n"))?,
            }
            Ok(ExitCode::SUCCESS)
        })
    }
}
