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

use crate::postgres::Occupancy;
use crate::server::ServerId;
use crate::snapshot::CatalogRefresh;
use crate::supervisor::Refused;
use crate::worker::{Account, Forced, Status};

/// What the main task is asked, with the way to answer.
pub enum Call {
    Reload(oneshot::Sender<Result<(), String>>),
    Statuses(oneshot::Sender<BTreeMap<ServerId, Status>>),
    Accounts(oneshot::Sender<BTreeMap<ServerId, Account>>),
    Overview(oneshot::Sender<Overview>),
    ForceSnapshot(ServerId, oneshot::Sender<Result<Forced, Refused>>),
    RefreshCatalogs(ServerId, CatalogRefresh, oneshot::Sender<Result<(), Refused>>),
    /// Nobody asks, it is told: the channel was lost, and is there again, and so is the repository.
    ListeningAgain,
}

/// Everything that those who watch want to know, at one moment.
#[derive(Clone, Debug)]
pub struct Overview {
    pub accounts: BTreeMap<ServerId, Account>,
    /// Whether it does what it is there for.
    pub readiness: Result<(), NotReady>,
    /// Of the connections to the repository. `None` before there is one to connect to.
    pub repository: Option<Occupancy>,
}

impl Overview {
    /// Before there is anything to tell of.
    pub fn at_start() -> Self {
        Self { accounts: BTreeMap::new(), readiness: Err(NotReady::Starting), repository: None }
    }
}

/// Why the daemon cannot do what it is there for. Told to whoever asks, so it names nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    #[error("the repository is waited for")]
    Starting,
    #[error("the connection to the repository is lost, and commands are not heard")]
    Lost,
}
