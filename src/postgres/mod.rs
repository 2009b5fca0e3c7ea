//! Everything that is said to PostgreSQL, on either side, and the only place that names its drivers.

mod asking;
mod clock;
mod collectors;
mod connect;
mod control;
pub mod copy_text;
mod error;
mod extensions;
mod hearing;
mod identifier;
mod in_order;
mod incoming;
mod message_guard;
mod notifications;
mod progress;
mod remote;
mod repository;
mod session;
mod socket;
mod tls;
mod waiting_room;

pub use asking::Asking;
pub use clock::ClockReading;
pub use collectors::Collector;
pub use connect::{Endpoint, UnusableDsn};
pub use control::{CHANNEL, Channel, Control, Sender};
pub use error::{Error, Side, Stage};
pub use extensions::{Extensions, PowaVersion};
pub use identifier::QuotedIdent;
pub use in_order::in_order;
pub use incoming::IncomingRows;
pub use notifications::{Heard, Notification, Notifications};
pub use remote::{DatabaseInfo, Inspection, Needed, RemoteDatabase, RemoteServerInfo, RemoteSession, RemoteVersions};
pub use repository::{
    Attempt, BloatedTable, Care, Catalog, Changes, DatabaseModule, LastSnapshot, Load, LoadTurn, Loaded,
    MissingPrivileges, Module, NewServer, Occupancy, Purpose, RegisteredServer, Registration, Repository,
    RepositoryState, ServerList, Sources, Switched, Tracked, TrackedKind, Turned,
};
pub use tls::Connectors;
