//! Real PostgreSQL servers with PoWA for tests, benchmarks and demonstrations.
//!
//! A [`Generation`] is a pair of versions that this machine can run; a [`Cluster`] is a running server of it. Servers
//! listen on free ports of 127.0.0.1 and live in temporary directories. They are always ended and removed: see `guard`.

#![warn(missing_docs)]

mod authority;
mod cluster;
mod database;
mod generation;
mod guard;
mod launcher;
pub mod log;
mod port;
mod proxy;
mod psql;
mod registration;
mod reload;
mod seed;
mod settings;
mod standby;
mod suite;
mod version;
mod workload;

pub use anyhow::{Error, Result};
pub use authority::{Algorithm, Authority, Certificate, Encryption, Subject};
pub use cluster::Cluster;
pub use generation::Generation;
pub use proxy::{Act, Proxy};
pub use registration::Registration;
pub use reload::Tls;
pub use suite::{Suite, prepare};
pub use workload::Workload;
