//! Everything that is said to PostgreSQL, on either side, and the only place that names its drivers.

mod connect;
mod control;
pub mod copy_text;
mod error;
mod extensions;
mod identifier;
mod remote;
mod repository;
mod session;

pub use connect::{Endpoint, InvalidDsn};
pub use control::{Channel, Control, Heard, Notification, Sender};
pub use error::{Error, Side};
pub use extensions::{Extensions, PowaVersion};
pub use identifier::QuotedIdent;
pub use remote::{DatabaseInfo, RemoteDatabase, RemoteServerInfo, RemoteSession, RemoteVersions, in_order};
pub use repository::{
    Catalog, DatabaseModule, Load, LoadTurn, Loaded, Module, Registration, Repository, ServerList, Sources,
};
