//! Is a snapshot that was asked for about to begin, as the collector answers? Not without a connection. Pure.

use crate::control::detail::Detail;
use crate::postgres::{RegisteredServer, Side};
use crate::worker::Status;

/// The collector tries to connect, so far in vain.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the collector has no connection to {name}: {reason}; it goes on trying, and takes the snapshot when it has one"
)]
pub(super) struct Unreachable {
    name: String,
    reason: String,
}

/// # Errors
/// There is no connection to the server, and a reason for that: a worker that has just begun has none.
pub(super) fn refuse_unreachable(server: &RegisteredServer, detail: &Detail) -> Result<(), Unreachable> {
    match &detail.trouble {
        Some(reason) if detail.status == Status::NoConnection(Side::Remote).to_string() => {
            Err(Unreachable { name: server.to_string(), reason: reason.clone() })
        }
        _ => Ok(()),
    }
}
