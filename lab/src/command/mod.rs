//! One module a subcommand, and what they share: `fleet` makes the servers, `summary` tells what was collected, `usage`
//! what a process uses.

mod fleet;
mod summary;
mod usage;

pub mod bench;
pub mod demo;
pub mod list;
pub mod prepare;
pub mod run;
pub mod soak;
