//! The laboratory's own program: what to make, and for how long.
//!
//! Each subcommand is a module of `command`; arguments are read here and nowhere else.

mod command;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, Subcommand, ValueEnum};
use lab::{Generation, Result, Suite};

use command::soak::Soak;

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
    /// Lets a collector run on a fleet in which one fault follows another, and judges it afterwards
    Soak {
        /// The collector's program
        #[arg(long, value_name = "PATH")]
        collector: PathBuf,
        /// How long there are faults
        #[arg(long, value_name = "N", default_value = "5")]
        minutes: f64,
        /// What the faults are drawn by; another one each time if not given
        #[arg(long, value_name = "N")]
        seed: Option<u64>,
        /// How many servers
        #[arg(long, value_name = "N", default_value = "50")]
        servers: usize,
        /// Seconds between two snapshots of a server
        #[arg(long, value_name = "N", default_value = "5")]
        frequency: u32,
        /// Which PoWA, such as 5.0; the newest one if not given
        #[arg(long, value_name = "VERSION")]
        powa: Option<String>,
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
        Command::Soak { collector, minutes, seed, servers, frequency, powa } => {
            let generation = Generation::find(powa.as_deref())?;
            let time = Duration::try_from_secs_f64(minutes * 60.0).context("--minutes is no time")?;
            let seed = seed.unwrap_or_else(|| fastrand::u64(..));
            return Soak { generation: &generation, collector: &collector, time, seed, servers, frequency }.run();
        }
    }
    Ok(ExitCode::SUCCESS)
}
