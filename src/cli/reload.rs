//! `reload`: as SIGHUP does, for somebody who wants to know what came of it.

use std::process::ExitCode;

use super::one_shot;
use super::output::print;
use crate::config::Location;

/// Has the running collector read its configuration and the list of servers again.
///
/// Returns when that is done; by all of them, if several collectors are connected to the repository. A configuration that is
/// broken is an error, and the one before stays.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {}

impl Arguments {
    pub(super) fn run(self, location: &Location) -> ExitCode {
        one_shot::run("reload", location, async |installation| {
            match installation.asker().await?.reload().await? {
                1 => print("reloaded\n")?,
                collectors => print(&format!("reloaded: {collectors} collectors\n"))?,
            }
            Ok(ExitCode::SUCCESS)
        })
    }
}
