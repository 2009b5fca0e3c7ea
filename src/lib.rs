//! powa-collector: collects the statistics of a fleet of PostgreSQL servers and stores them in a PoWA repository.
//!
//! Modules from the top down; each uses only those below it. The crates `session`, which opens PostgreSQL sessions, and
//! `libpq`, which has libpq's conventions for connection parameters, are below all of them.

pub mod cli;

mod app;
mod http;

mod check;

mod control;
mod hooks;
mod upkeep;
mod worker;

mod fleet;

mod metrics;
mod snapshot;

mod repository;

mod remote;
mod spool;

mod backoff;
mod config;
mod pace;
mod server;
mod telemetry;

mod schedule;

#[cfg(test)]
mod layers;

/// What benchmarks measure, and tests compare, by itself.
#[doc(hidden)]
pub mod measured {
    pub use crate::control::protocol::{Request, status_objects};
    pub use crate::remote::rows::copy_text::RowPrefixer;
    pub use crate::schedule::due_times;
    pub use crate::server::ServerId;
    pub use crate::worker::Status;
    pub use crate::worker::grid::Grid;
}
