//! The cases of the benchmark, one file each.

mod databases;
mod entries;
mod fleet;
mod forced;
mod growth;
mod idle;
mod new_fleet;
mod start_and_stop;
mod texts;

use clap::ValueEnum;
use lab::{Generation, Result};

use super::Setting;
use super::figure::Figure;

/// A case, by the name it has on the command line.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub(crate) enum Case {
    /// One forced snapshot, of servers 0, 10, 50 and 200 ms away
    Forced,
    /// One snapshot of a server with 40 databases: time, CPU, connections
    Databases,
    /// 160 MB of statements: memory
    Texts,
    /// Entries added to pg_stat_statements
    Entries,
    /// Start to first snapshot, and time to stop
    StartAndStop,
    /// 20 servers every five seconds: snapshots in time, and the cost of one
    #[value(name = "fleet-20")]
    Fleet20,
    /// 100 servers every five seconds, which overloads a small machine
    #[value(name = "fleet-100")]
    Fleet100,
    /// 1, 200 and 1,000 servers of which none is due: memory, threads, connections
    Idle,
    /// 200 servers that are registered at once: memory and threads
    NewFleet,
    /// The same with 1,000: only if requested
    #[value(name = "new-fleet-1000")]
    NewFleet1000,
    /// The cost as servers, and statements of one server, grow: only if requested
    Growth,
}

impl Case {
    /// All except those that take as long as the others together, or more memory than a small machine has.
    pub(crate) fn most() -> Vec<Self> {
        let seldom = [Self::Growth, Self::NewFleet1000];
        Self::value_variants().iter().copied().filter(|case| !seldom.contains(case)).collect()
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Forced => "forced",
            Self::Databases => "databases",
            Self::Texts => "texts",
            Self::Entries => "entries",
            Self::StartAndStop => "start-and-stop",
            Self::Fleet20 => "fleet-20",
            Self::Fleet100 => "fleet-100",
            Self::Idle => "idle",
            Self::NewFleet => "new-fleet",
            Self::NewFleet1000 => "new-fleet-1000",
            Self::Growth => "growth",
        }
    }

    /// Whether there is anything to measure in this generation of PoWA.
    pub(crate) fn is_of(self, generation: &Generation) -> bool {
        match self {
            // PoWA 4 reads nothing in the others.
            Self::Databases => generation.powa_major() >= 5,
            // What only waits does the same in all of them.
            Self::Idle | Self::Growth => generation.powa_major() >= 5,
            // Catalogs are what a new fleet has most of, and PoWA 4 reads none.
            Self::NewFleet | Self::NewFleet1000 => generation.powa_major() >= 5,
            _ => true,
        }
    }

    pub(crate) fn measure(self, setting: &Setting<'_>) -> Result<Vec<Figure>> {
        match self {
            Self::Forced => forced::measure(self.name(), setting),
            Self::Databases => databases::measure(self.name(), setting),
            Self::Texts => texts::measure(self.name(), setting),
            Self::Entries => entries::measure(self.name(), setting),
            Self::StartAndStop => start_and_stop::measure(self.name(), setting),
            Self::Fleet20 => fleet::measure(self.name(), setting, 20),
            Self::Fleet100 => fleet::measure(self.name(), setting, 100),
            Self::Idle => idle::measure(self.name(), setting),
            Self::NewFleet => new_fleet::measure(self.name(), setting, &new_fleet::OF_200),
            Self::NewFleet1000 => new_fleet::measure(self.name(), setting, &new_fleet::OF_1000),
            Self::Growth => growth::measure(self.name(), setting),
        }
    }
}
