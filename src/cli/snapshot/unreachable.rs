//! Reports that the collector has no connection to the server, so that a requested snapshot does not begin. Pure.

use crate::control::detail::Detail;
use crate::repository::RegisteredServer;
use crate::worker::Status;
use session::Side;

/// The collector has failed to connect and retries.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the collector has no connection to {name}: {reason}; it retries, and takes the snapshot once it is connected")]
pub(super) struct Unreachable {
    name: String,
    reason: String,
}

/// # Errors
/// There is no connection to the server because of an error. A worker that has just started has none either, but no error.
pub(super) fn refuse_unreachable(server: &RegisteredServer, detail: &Detail) -> Result<(), Unreachable> {
    match &detail.trouble {
        Some(reason) if detail.status == Status::NoConnection(Side::Remote).to_string() => {
            Err(Unreachable { name: server.to_string(), reason: reason.clone() })
        }
        _ => Ok(()),
    }
}
