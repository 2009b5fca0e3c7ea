//! powa-collector: goes to every server of a fleet, reads its statistics, and keeps them in a PoWA repository.
//!
//! The modules in reading order, from the top down; each uses only what stands below it.

pub mod cli;
pub mod daemon;
pub mod settings;

pub mod service;
pub mod signals;
pub mod telemetry;

pub mod check;
pub mod http;

pub mod control;
pub mod supervisor;
pub mod upkeep;
pub mod worker;

pub mod metrics;

pub mod snapshot;

pub mod postgres;

pub mod aside;
pub mod colours;
pub mod config;
pub mod failures;
pub mod libpq;
pub mod one_line;
pub mod pauses;
pub mod private_file;
pub mod secret;
pub mod server;
pub mod spelling;
pub mod spool;
pub mod timestamp;
