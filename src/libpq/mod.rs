//! libpq's conventions for saying where a server is and how to connect to it: what its users have written down in
//! connection strings, environment variables, service files and password files goes on working. No connection is made here.
//!
//! Reading order: `keyword` is the table of parameters, `conninfo` reads a connection string (`pairs`, `uri`), `surroundings`
//! are what a process finds itself in, `service` and `passfile` the files, and `parameters` puts all of it together (`value`,
//! `hosts`, `tls`).
//!
//! The reference is the PostgreSQL documentation, chapter "libpq - C Library", from "Database Connection Control
//! Functions" to "SSL Support".

mod authentication;
mod conninfo;
mod hosts;
mod keyword;
mod pairs;
mod parameters;
mod passfile;
mod service;
mod surroundings;
mod tls;
mod uri;
mod value;

pub use authentication::{Method, RequireAuth};
pub use conninfo::{Conninfo, InvalidConninfo};
pub use keyword::{KEYWORDS, Keyword, Support};
pub use parameters::{ChannelBinding, Host, InvalidParameter, Parameters, Place, TargetSessionAttrs, Tcp};
pub use passfile::{Passfile, Password};
pub use surroundings::Surroundings;
pub use tls::{ClientFile, ProtocolVersion, RootCertificates, SslCertMode, SslMode, SslNegotiation, Tls};
