//! The subcommands, one module each, and what they share: `fleet` starts the servers, `summary` prints what was
//! collected, `usage` measures a process.

mod fleet;
mod summary;
mod usage;

pub(crate) mod bench;
pub(crate) mod demo;
pub(crate) mod list;
pub(crate) mod prepare;
pub(crate) mod run;
pub(crate) mod soak;
