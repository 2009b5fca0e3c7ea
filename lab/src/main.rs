//! The command line of the lab.
//!
//! Each subcommand is a module of `command`; arguments are read here and nowhere else.

mod command;
mod print;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, Subcommand, ValueEnum, value_parser};
use lab::{Generation, Result, Suite};

use command::bench::{Bench, Case};
use command::soak::Soak;

/// Runs real PostgreSQL servers with PoWA for tests and demonstrations, and removes them afterwards.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Lists the generations of PoWA that this machine can run
    List,
    /// Installs a Debian suite with its PostgreSQL and PoWA into target/lab, unless it is installed (needs root)
    Prepare { suite: SuiteName },
    /// Runs a repository and two remote servers until Ctrl-C
    Run {
        /// The version of PoWA, such as 5.0; by default the newest one
        #[arg(long, value_name = "VERSION")]
        powa: Option<String>,
    },
    /// Runs a collector on a repository with two busy remote servers, until Ctrl-C, and prints what it collected
    Demo {
        /// The collector's program
        #[arg(long, value_name = "PATH")]
        collector: PathBuf,
        /// The version of PoWA, such as 5.0; by default the newest one
        #[arg(long, value_name = "VERSION")]
        powa: Option<String>,
        /// End after this many seconds
        #[arg(long, value_name = "N")]
        seconds: Option<u64>,
    },
    /// Compares a collector with the Python one on the same servers, and prints a table of both
    Bench {
        /// The collector's program
        #[arg(long, value_name = "PATH")]
        collector: PathBuf,
        /// The Python collector's program
        #[arg(long, value_name = "PATH")]
        python: PathBuf,
        /// The version of PoWA, such as 5.0; by default 4.1, 5.0 and 5.3
        #[arg(long, value_name = "VERSION")]
        powa: Vec<String>,
        /// How many times to measure values that vary; their median is printed
        #[arg(long, value_name = "N", default_value = "3", value_parser = value_parser!(u8).range(1..))]
        rounds: u8,
        /// Also write the figures as JSON
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
        /// Replace the table in a document
        #[arg(long, value_name = "FILE")]
        record: Option<PathBuf>,
        /// Draw the case growth, as SVG
        #[arg(long, value_name = "FILE")]
        picture: Option<PathBuf>,
        /// The cases to measure; by default all except those that take long
        cases: Vec<Case>,
    },
    /// Runs a collector on a fleet with random faults, and judges the result
    Soak {
        /// The collector's program
        #[arg(long, value_name = "PATH")]
        collector: PathBuf,
        /// How long faults are injected
        #[arg(long, value_name = "N", default_value = "5")]
        minutes: f64,
        /// The seed of the random faults; by default a new one each time
        #[arg(long, value_name = "N")]
        seed: Option<u64>,
        /// The number of servers
        #[arg(long, value_name = "N", default_value = "50")]
        servers: usize,
        /// Seconds between two snapshots of a server
        #[arg(long, value_name = "N", default_value = "5")]
        frequency: u32,
        /// The version of PoWA, such as 5.0; by default the newest one
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
        Command::Bench { collector, python, powa, rounds, json, record, picture, cases } => {
            let powa = if powa.is_empty() { ["4.1", "5.0", "5.3"].map(str::to_owned).to_vec() } else { powa };
            let generations: Vec<_> =
                powa.iter().map(|version| Generation::find(Some(version))).collect::<Result<_>>()?;
            Bench {
                generations: &generations,
                collector: &collector,
                python: &python,
                cases: &cases,
                rounds: rounds.into(),
                json: json.as_deref(),
                record: record.as_deref(),
                picture: picture.as_deref(),
            }
            .run()?;
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
