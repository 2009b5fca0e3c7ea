//! One module a subcommand, and what they share: `fleet` makes the servers, `summary` tells what was collected.

mod fleet;
mod summary;

pub mod demo;
pub mod list;
pub mod prepare;
pub mod run;
pub mod soak;
