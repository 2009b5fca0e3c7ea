//! The command channel: commands that powa-web and psql send by `NOTIFY`, and the answers to them.
//!
//! This module does not access workers. A valid and permitted command becomes a [`Call`] to the main task.

pub(crate) mod channel;
pub(crate) mod client;
pub(crate) mod client_session;
pub(crate) mod detail;
mod handler;
mod listener;
mod notification_queue;
pub(crate) mod notifications;
mod other_collectors;
pub(crate) mod protocol;
pub(crate) mod throttle;
pub(crate) mod timestamp;

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::oneshot;

pub(crate) use listener::Listener;

use crate::repository::PoolUsage;
use crate::server::ServerId;
use crate::server::tags::Tags;
use crate::snapshot::CatalogRefresh;
use crate::worker::supervisor::Refused;
use crate::worker::{ForcedSnapshot, Status, WorkerDetail};
use session::Stage;

/// A request to the main task, with the channel for the reply.
pub(crate) enum Call {
    Reload(oneshot::Sender<Result<(), String>>),
    Statuses(oneshot::Sender<BTreeMap<ServerId, Status>>),
    WorkerDetails(oneshot::Sender<BTreeMap<ServerId, WorkerDetail>>),
    Overview(oneshot::Sender<Overview>),
    ForceSnapshot(ServerId, oneshot::Sender<Result<ForcedSnapshot, Refused>>),
    RefreshCatalogs(ServerId, CatalogRefresh, oneshot::Sender<Result<(), Refused>>),
    /// Reads the list of servers now, as is done every minute. The reply only says that it was requested.
    ReadServers(oneshot::Sender<()>),
    /// A notice without a reply: the command channel was lost and is open again, so the repository is reachable.
    ChannelReopened,
}

/// The state of the daemon at one moment, for HTTP.
#[derive(Clone, Debug)]
pub(crate) struct Overview {
    pub workers: BTreeMap<ServerId, WorkerDetail>,
    /// The tags of those servers that have any.
    pub tags: BTreeMap<ServerId, Arc<Tags>>,
    /// Whether the daemon is ready.
    pub readiness: Result<(), NotReady>,
    /// Descriptions of other collectors that are connected to the repository.
    pub other_collectors: Vec<String>,
    /// How many pooled connections to the repository are in use. `None` before the repository is connected.
    pub repository: Option<PoolUsage>,
}

impl Overview {
    /// The overview before the repository is connected. `waiting` is the reason, once known.
    pub(crate) fn at_start(waiting: Option<WaitingForRepository>) -> Self {
        let readiness = Err(waiting.map_or(NotReady::Starting, NotReady::Waiting));
        Self { workers: BTreeMap::new(), tags: BTreeMap::new(), readiness, other_collectors: vec![], repository: None }
    }

    /// Whether the servers have been read from the repository.
    pub(crate) fn are_servers_known(&self) -> bool {
        !matches!(self.readiness, Err(NotReady::Starting | NotReady::Waiting(_)))
    }
}

/// Why the daemon is not ready. Its `Display` is public, so it names no hosts and roles.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotReady {
    #[error("waiting for the repository")]
    Starting,
    #[error("waiting for the repository: {}", .0.public_reason())]
    Waiting(WaitingForRepository),
    #[error("the connection to the repository is lost; commands are not received")]
    Lost,
}

impl NotReady {
    /// With the names of hosts and roles, for readers who may see them.
    pub(crate) fn in_full(&self) -> String {
        match self {
            Self::Waiting(waiting) => format!("waiting for the repository: {waiting}"),
            other => other.to_string(),
        }
    }
}

/// Why the daemon could not connect to the repository yet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub(crate) struct WaitingForRepository {
    /// The stage in which the last attempt failed.
    pub stage: Stage,
    /// The error message, on one line. It may name hosts and roles.
    pub reason: String,
}

impl WaitingForRepository {
    /// The reason without names of hosts and roles.
    fn public_reason(&self) -> &'static str {
        match self.stage {
            Stage::Parameters => "its connection parameters cannot be read",
            Stage::Name => "its host name cannot be resolved",
            Stage::Reach => "it cannot be reached",
            Stage::Tls => "the TLS connection to it failed",
            Stage::Login => "it refused the login",
            Stage::Database => "its database refused the connection",
            Stage::Session => "it sent an unexpected response",
        }
    }

    /// The value of the metric label `reason`. Stable.
    pub(crate) fn label(&self) -> &'static str {
        match self.stage {
            Stage::Parameters => "parameters",
            Stage::Name => "name",
            Stage::Reach => "connection",
            Stage::Tls => "tls",
            Stage::Login => "login",
            Stage::Database => "database",
            Stage::Session => "session",
        }
    }
}
