//! TLS as in libpq: verification of the server, the client certificate, and the encrypted stream. The driver receives
//! finished streams and does no TLS itself.
//!
//! Reading order: `negotiation` sends the `SSLRequest`, `certificates` loads the client's files, `connectors` caches
//! what was loaded, `connector` performs the handshake, `server_name` matches a certificate with the host name (pure),
//! `channel_binding` binds a login to the certificate (pure), `stream` is the result.

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

pub(crate) use connector::Connector;
pub use connectors::Connectors;
pub(crate) use error::TlsError;
pub(crate) use negotiation::is_offered;
pub(crate) use stream::{AlreadyEncrypted, Stream};
