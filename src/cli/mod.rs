//! The command line: arguments and output.

mod check;
mod completions;
mod disabled;
mod man;
mod output;
mod refresh_catalogs;
mod reload;
mod run;
mod servers;
mod setup;
mod snapshot;
mod status;
mod subcommand;
mod table;
mod units;
mod wait;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgAction, Parser, Subcommand};

use crate::config::Location;
use crate::telemetry::LogFormat;

/// Collects PostgreSQL workload snapshots of a fleet into a PoWA repository.
///
/// Without a subcommand, it runs as a daemon in the foreground until SIGTERM or SIGINT. SIGHUP reloads the configuration.
#[derive(Debug, Parser)]
#[command(name = "powa-collector", version, disable_help_flag = true)]
pub struct Arguments {
    /// Configuration file, instead of the default locations.
    #[arg(short, long, value_name = "FILE", global = true, display_order = 900)]
    config: Option<PathBuf>,

    /// Format of the daemon's log.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    log_format: LogFormat,

    /// Print help.
    #[arg(short = 'h', short_alias = '?', long, global = true, display_order = 901, action = ArgAction::Help, help = "Print help (also -?)")]
    help: Option<bool>,

    #[command(subcommand)]
    command: Option<Command>,
}

/// Without one, the daemon runs.
#[derive(Debug, Subcommand)]
enum Command {
    Check(check::Arguments),
    Status(status::Arguments),
    Reload(reload::Arguments),
    Snapshot(snapshot::Arguments),
    Wait(wait::Arguments),
    RefreshCatalogs(refresh_catalogs::Arguments),
    /// Lists, registers, changes and removes servers.
    Servers(servers::Arguments),
    Setup(setup::Arguments),
    Completions(completions::Arguments),
    Man(man::Arguments),
}

impl Arguments {
    /// Runs the command.
    pub fn execute(self) -> ExitCode {
        let location = self.config.map_or(Location::Usual, Location::Given);
        match self.command {
            None => run::run(location, self.log_format.resolve()),
            Some(Command::Check(arguments)) => arguments.run(&location),
            Some(Command::Status(arguments)) => arguments.run(&location),
            Some(Command::Wait(arguments)) => arguments.run(&location),
            Some(Command::Reload(arguments)) => arguments.run(&location),
            Some(Command::Snapshot(arguments)) => arguments.run(&location),
            Some(Command::RefreshCatalogs(arguments)) => arguments.run(&location),
            Some(Command::Servers(arguments)) => arguments.run(&location),
            Some(Command::Setup(arguments)) => arguments.run(&location),
            Some(Command::Completions(arguments)) => arguments.run(),
            Some(Command::Man(arguments)) => arguments.run(),
        }
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
            let error = Arguments::try_parse_from(["powa-collector", "snapshot", flag]).unwrap_err();
            assert_eq!(error.kind(), clap::error::ErrorKind::DisplayHelp, "snapshot {flag}");
        }
    }
}
