//! The command line.

#[allow(dead_code, reason = "the subcommands come next")]
mod one_shot;
mod run;
#[allow(dead_code, reason = "the subcommands come next")]
mod server_name;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgAction, Parser};

use crate::config::Location;
use crate::telemetry::LogFormat;

/// Collects PostgreSQL workload snapshots of a fleet into a PoWA repository.
///
/// Runs in the foreground until SIGTERM or SIGINT; SIGHUP reloads.
#[derive(Debug, Parser)]
#[command(name = "powa-collector", version, disable_help_flag = true)]
pub struct Arguments {
    /// Configuration file, instead of the first of the usual places.
    #[arg(short, long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,

    /// What the daemon's log looks like.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    log_format: LogFormat,

    /// Print help.
    #[arg(short = 'h', short_alias = '?', long, action = ArgAction::Help, help = "Print help (also -?)")]
    help: Option<bool>,
}

impl Arguments {
    /// Does what was asked for.
    pub fn execute(self) -> ExitCode {
        run::run(self.config.map_or(Location::Usual, Location::Given), self.log_format.form())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn help_has_three_names() {
        for flag in ["-?", "-h", "--help"] {
            let error = Arguments::try_parse_from(["powa-collector", flag]).unwrap_err();
            assert_eq!(error.kind(), clap::error::ErrorKind::DisplayHelp, "{flag}");
        }
    }
}
