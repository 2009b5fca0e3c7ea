//! Checks whether a server can be collected: each step of a snapshot, by the code that takes snapshots. Nothing is stored.
//!
//! Reading order: `finding` is the result of a check; `configuration`, `repository` and `server` run the checks; `connection`,
//! `extensions`, `versions`, `leftovers`, `privileges`, `dry_run` and `clocks` turn what these read into findings, which is pure; `target`
//! words the cures for a server that is registered, or that is to be registered.

mod clocks;
mod configuration;
mod connection;
mod dry_run;
mod extensions;
mod finding;
mod leftovers;
mod privileges;
mod repository;
mod server;
mod target;
mod versions;

pub use configuration::check_configuration;
pub use finding::{CheckItem, Cure, CureKind, Finding, Findings, Verdict};
pub use repository::{CheckedRepository, of_unreachable_repository};
pub use server::{CheckedServer, Checker, ServerFacts};
pub use target::CheckTarget;
