//! Opens a PostgreSQL session with the first usable host: over TLS if required, with limits on what the server may
//! send, and with its settings pinned.
//!
//! The crate takes connection parameters ([`Source`]) and time limits ([`Timeouts`]); it reads no
//! configuration of the collector. Of PoWA it knows the versions and the errors. Reading order: `connect` opens a session over a `socket`, `tls` and a `message_guard`;
//! `settings` is the first round trip; `error` classifies failures. `extensions` and `identifier` are pure.

mod blocking_pool;
mod connect;
mod error;
mod extensions;
mod identifier;
mod in_order;
mod message_guard;
mod one_line;
mod progress;
mod row_pieces;
mod settings;
mod socket;
mod tls;

use std::time::Duration;

pub use blocking_pool::{BlockingPool, ThreadLimit};
pub use connect::{Connection, Destination, Driver, Endpoint, Opened, Route, Source, Target, drive, drive_until};
pub use error::{ConnectionLimit, Error, ErrorKind, Side, Stage};
pub use extensions::{Extensions, PowaVersion, UnknownExtension, UnusablePowa};
pub use identifier::QuotedIdent;
pub use in_order::in_order;
pub use one_line::on_one_line;
pub use row_pieces::{LARGEST_ROW, announced_length};
pub use settings::{extensions, extensions_of};
pub use tls::Connectors;

/// Log target: beside the collector's own modules, so that one filter matches both.
const LOG_TARGET: &str = "powa_collector::session";

/// The time limits of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Connecting and authenticating at one address, unless the connection parameters set `connect_timeout`.
    pub connect: Duration,
    /// One statement: `statement_timeout`.
    pub statement: Duration,
    /// Between two statements of a transaction: `idle_in_transaction_session_timeout`.
    pub idle_in_transaction: Duration,
}
