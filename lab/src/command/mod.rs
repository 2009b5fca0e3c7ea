//! One module a subcommand, and what they share: `fleet` makes the servers, `summary` tells what was collected, `usage`
//! what a process uses.

mod fleet;
mod summary;
mod usage;

pub(crate) mod bench;
pub(crate) mod demo;
pub(crate) mod list;
pub(crate) mod prepare;
pub(crate) mod run;
pub(crate) mod soak;
