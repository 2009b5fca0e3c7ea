//! Refuses commands about a disabled server, which has no worker. Pure.

use crate::repository::RegisteredServer;
use crate::server::ServerId;

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} is disabled; enable it with \"powa-collector servers enable {id}\"")]
pub(super) struct Disabled {
    name: String,
    id: ServerId,
}

pub(super) fn refuse_disabled(server: &RegisteredServer) -> Result<(), Disabled> {
    if server.is_active() { Ok(()) } else { Err(Disabled { name: server.to_string(), id: server.id }) }
}
