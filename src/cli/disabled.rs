//! A server that is disabled has no worker that could be asked for anything. Pure.

use crate::postgres::RegisteredServer;
use crate::server::ServerId;

/// Nothing is collected from it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} is disabled: \"powa-collector servers enable {id}\" has it collected from again")]
pub(super) struct Disabled {
    name: String,
    id: ServerId,
}

/// # Errors
/// It is disabled.
pub(super) fn refuse_disabled(server: &RegisteredServer) -> Result<(), Disabled> {
    if server.is_active() { Ok(()) } else { Err(Disabled { name: server.to_string(), id: server.id }) }
}
