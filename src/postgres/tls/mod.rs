//! TLS as libpq does it: who is believed, what is shown of ourselves, what a connection is encrypted with. The driver gets
//! streams that are finished, and knows nothing of it.
//!
//! Reading order: `negotiation` asks a server for TLS, `certificates` reads our own files, `connectors` keeps what was read,
//! `connector` shakes hands, `server_name` tells whether a certificate is the server's (pure), `channel_binding` ties a login to it (pure), `stream`
//! is what comes out.

mod certificates;
mod channel_binding;
mod connector;
mod connectors;
mod error;
mod negotiation;
mod server_name;
mod stream;
#[cfg(test)]
mod tests;

pub(in crate::postgres) use connector::Connector;
pub use connectors::Connectors;
pub(in crate::postgres) use error::TlsError;
pub(in crate::postgres) use negotiation::is_offered;
pub(in crate::postgres) use stream::{Handed, Stream};
