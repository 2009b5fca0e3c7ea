//! libpq's conventions for naming a server and how to connect to it: connection strings, environment variables, service
//! files and password files that work with psql work here too. No connection is made in this crate.
//!
//! Reading order: `keyword` is the table of parameters, `conninfo` parses a connection string (`pairs`, `uri`),
//! `environment` holds what a process inherits, `service` and `passfile` read those files, and `parameters` combines
//! all of them (`value`, `hosts`, `tls`). `host_name` explains why a text is not a host name.
//!
//! The reference is the PostgreSQL documentation, chapter "libpq - C Library", from "Database Connection Control
//! Functions" to "SSL Support".
mod authentication;
mod conninfo;
mod environment;
mod host_name;
mod hosts;
mod keyword;
mod pairs;
mod parameters;
mod passfile;
pub mod private_file;
mod secret;
mod service;
pub mod spelling;
mod tls;
mod uri;
mod value;

pub use authentication::{Method, RequireAuth};
pub use conninfo::{Conninfo, InvalidConninfo};
pub use environment::Environment;
pub use host_name::{host_name_error, suspected_port};
pub use keyword::{KEYWORDS, Keyword, Support};
pub use parameters::{ChannelBinding, Host, InvalidParameter, Location, Parameters, TargetSessionAttrs, Tcp};
pub use passfile::{Passfile, Password};
pub use secret::Secret;
pub use tls::{ClientFile, ProtocolVersion, RootCertificates, SslCertMode, SslMode, SslNegotiation, Tls};
