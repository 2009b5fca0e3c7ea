//! Everything that is said to PostgreSQL, on either side, and the only place that names its drivers.

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

pub use connect::{Endpoint, UnusableDsn};
pub use control::{CHANNEL, Channel, Control, Sender};
pub use error::{Error, Side};
pub use extensions::{Extensions, PowaVersion};
pub use identifier::QuotedIdent;
pub use in_order::in_order;
pub use incoming::IncomingRows;
pub use notifications::{Heard, Notification, Notifications};
pub use remote::{DatabaseInfo, RemoteDatabase, RemoteServerInfo, RemoteSession, RemoteVersions};
pub use repository::{
    Attempt, BloatedTable, Care, Catalog, DatabaseModule, Load, LoadTurn, Loaded, Module, Occupancy, RegisteredServer,
    Registration, Repository, ServerList, Sources,
};
pub use tls::Connectors;
