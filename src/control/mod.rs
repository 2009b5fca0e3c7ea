//! The command channel: what powa-web and psql ask for by NOTIFY, and what they are answered.
//!
//! Nothing here touches a worker. A command that is understood and allowed becomes a [`Call`] to the main task.

pub mod asking;
pub mod detail;
mod handler;
mod listener;
pub mod protocol;
mod throttle;

use std::collections::BTreeMap;

use tokio::sync::oneshot;

pub use listener::Listener;

use crate::server::ServerId;
use crate::snapshot::CatalogRefresh;
use crate::supervisor::Refused;
use crate::worker::{Account, Forced, Status};

/// What the main task is asked, with the way to answer.
pub enum Call {
    Reload(oneshot::Sender<Result<(), String>>),
    Statuses(oneshot::Sender<BTreeMap<ServerId, Status>>),
    Accounts(oneshot::Sender<BTreeMap<ServerId, Account>>),
    ForceSnapshot(ServerId, oneshot::Sender<Result<Forced, Refused>>),
    RefreshCatalogs(ServerId, CatalogRefresh, oneshot::Sender<Result<(), Refused>>),
    /// Nobody asks, it is told: the channel was lost, and is there again, and so is the repository.
    ListeningAgain,
}
