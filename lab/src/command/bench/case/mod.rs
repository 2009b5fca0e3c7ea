//! What is measured? One file a case.

mod databases;
mod entries;
mod fleet;
mod forced;
mod growth;
mod idle;
mod start_and_stop;
mod texts;

use clap::ValueEnum;
use lab::{Generation, Result};

use super::Setting;
use super::figure::Figure;

/// A case, by the name it has on the command line.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub enum Case {
    /// One snapshot that is asked for, of servers 0, 10, 50 and 200 ms away
    Forced,
    /// One snapshot of a server with 40 databases: time, CPU, connections
    Databases,
    /// 160 MB of statements: the memory they take
    Texts,
    /// What is left behind in pg_stat_statements
    Entries,
    /// Start to first snapshot, and time to stop
    StartAndStop,
    /// 20 servers every five seconds: snapshots kept, and what one costs
    #[value(name = "fleet-20")]
    Fleet20,
    /// 100 servers every five seconds, which is more than a small machine can take
    #[value(name = "fleet-100")]
    Fleet100,
    /// 1, 200 and 1,000 servers of which none is due: memory, threads, connections
    Idle,
    /// What ours takes with more and more servers, and statements of one: not measured unless asked for
    Growth,
}

impl Case {
    /// All but the one that takes as long as the others together.
    pub fn most() -> Vec<Self> {
        Self::value_variants().iter().copied().filter(|case| *case != Self::Growth).collect()
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Forced => "forced",
            Self::Databases => "databases",
            Self::Texts => "texts",
            Self::Entries => "entries",
            Self::StartAndStop => "start-and-stop",
            Self::Fleet20 => "fleet-20",
            Self::Fleet100 => "fleet-100",
            Self::Idle => "idle",
            Self::Growth => "growth",
        }
    }

    /// Whether there is anything to measure in this generation of PoWA.
    pub fn is_of(self, generation: &Generation) -> bool {
        match self {
            // PoWA 4 reads nothing in the others.
            Self::Databases => generation.powa_major() >= 5,
            // What only waits does the same in all of them.
            Self::Idle | Self::Growth => generation.powa_major() >= 5,
            _ => true,
        }
    }

    pub fn measure(self, setting: &Setting<'_>) -> Result<Vec<Figure>> {
        match self {
            Self::Forced => forced::measure(self.name(), setting),
            Self::Databases => databases::measure(self.name(), setting),
            Self::Texts => texts::measure(self.name(), setting),
            Self::Entries => entries::measure(self.name(), setting),
            Self::StartAndStop => start_and_stop::measure(self.name(), setting),
            Self::Fleet20 => fleet::measure(self.name(), setting, 20),
            Self::Fleet100 => fleet::measure(self.name(), setting, 100),
            Self::Idle => idle::measure(self.name(), setting),
            Self::Growth => growth::measure(self.name(), setting),
        }
    }
}
