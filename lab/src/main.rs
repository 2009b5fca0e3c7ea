//! The laboratory's own program: what to make, and for how long.
//!
//! Each subcommand is a module of `command`; arguments are read here and nowhere else.

mod command;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use lab::{Generation, Result, Suite};

/// Makes real PostgreSQL + PoWA servers for tests and demonstrations, and removes them afterwards.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Lists the generations of PoWA that this machine can run
    List,
    /// Installs a Debian suite with its PostgreSQL and PoWA into target/lab, unless it is there (takes root)
    Prepare { suite: SuiteName },
    /// Runs a repository and two remote servers until Ctrl-C
    Run {
        /// Which PoWA, such as 5.0; the newest one if not given
        #[arg(long, value_name = "VERSION")]
        powa: Option<String>,
    },
    /// Runs a collector on a repository with two busy remote servers, until Ctrl-C, and tells what it collected
    Demo {
        /// The collector's program
        #[arg(long, value_name = "PATH")]
        collector: PathBuf,
        /// Which PoWA, such as 5.0; the newest one if not given
        #[arg(long, value_name = "VERSION")]
        powa: Option<String>,
        /// End by itself after so many seconds
        #[arg(long, value_name = "N")]
        seconds: Option<u64>,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum SuiteName {
    Bookworm,
    Trixie,
    Sid,
}

impl From<SuiteName> for Suite {
    fn from(name: SuiteName) -> Suite {
        match name {
            SuiteName::Bookworm => Suite::Bookworm,
            SuiteName::Trixie => Suite::Trixie,
            SuiteName::Sid => Suite::Sid,
        }
    }
}

fn main() -> ExitCode {
    match carry_out(Arguments::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("lab: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn carry_out(command: Command) -> Result<ExitCode> {
    match command {
        Command::List => command::list::list()?,
        Command::Prepare { suite } => command::prepare::prepare(suite.into())?,
        Command::Run { powa } => command::run::run(&Generation::find(powa.as_deref())?)?,
        Command::Demo { collector, powa, seconds } => {
            let generation = Generation::find(powa.as_deref())?;
            return command::demo::demo(&generation, &collector, seconds.map(Duration::from_secs));
        }
    }
    Ok(ExitCode::SUCCESS)
}
