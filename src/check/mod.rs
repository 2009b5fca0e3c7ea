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

pub(crate) use configuration::check_configuration;
pub(crate) use finding::{CheckItem, CureKind, Finding, Findings, Verdict};
pub(crate) use repository::{CheckedRepository, of_unreachable_repository};
pub(crate) use server::{CheckedServer, Checker, ServerFacts};
pub(crate) use target::CheckTarget;
