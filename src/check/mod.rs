//! Why does a server not work? Everything that a snapshot needs is looked at, one thing after the other, by the code that
//! takes snapshots, and nothing is kept of it.
//!
//! Reading order: `finding` is what is found and what cures it; `configuration`, `repository` and `server` look, at a
//! `subject`; `access`, `inside`, `trial` and `clocks` say what that means, which is pure.

mod access;
mod clocks;
mod configuration;
mod finding;
mod inside;
mod repository;
mod server;
mod subject;
mod trial;

pub use configuration::check_configuration;
pub use finding::{Cure, Finding, Findings, Mark, Place, What};
pub use repository::{CheckedRepository, of_unreachable_repository};
pub use server::{CheckedServer, Figures, Ground};
pub use subject::Subject;
