//! powa-collector: collects the statistics of a fleet of PostgreSQL servers and stores them in a PoWA repository.
//!
//! Modules from the top down; each uses only those below it. The crates `session`, which opens PostgreSQL sessions, and
//! `libpq`, which has libpq's conventions for connection parameters, are below all of them.

pub mod cli;

pub mod app;
pub mod check;
pub mod http;

pub mod control;
pub mod upkeep;
pub mod worker;

pub mod fleet;

pub mod metrics;
pub mod snapshot;

pub mod repository;

pub mod remote;
pub mod spool;

pub mod backoff;
pub mod config;
pub mod pace;
pub mod server;
pub mod telemetry;

#[cfg(test)]
mod layers;
