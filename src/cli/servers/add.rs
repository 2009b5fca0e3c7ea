//! `servers add`: registers a server.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;

use super::super::one_shot::Installation;
use super::super::output;
use super::host::host;
use super::retention::retention;
use super::telling::tell_daemon;
use super::{Failure, password, taken, trial};
use crate::one_line::on_one_line;
use crate::postgres::NewServer;
use crate::secret::Secret;

/// Registers a server, from which the collector begins to collect.
///
/// The password is asked for on the terminal, without an echo, unless it is said where it is.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Host name, address, or folder of a Unix socket; a list of them for a server that may be on any
    #[arg(long, value_name = "HOST", value_parser = host)]
    host: String,
    /// Port
    #[arg(long, value_name = "PORT", default_value_t = 5432, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// Role to connect as
    #[arg(long, value_name = "ROLE", default_value = "powa", value_parser = NonEmptyStringValueParser::new())]
    user: String,
    /// Database that has the extension powa
    #[arg(long, value_name = "NAME", default_value = "powa", value_parser = NonEmptyStringValueParser::new())]
    dbname: String,
    /// Name that people see instead of HOST:PORT
    #[arg(long, value_name = "NAME", value_parser = alias)]
    alias: Option<String>,
    /// Seconds from one snapshot to the next, 5 or more
    #[arg(long, value_name = "SECONDS", default_value_t = super::active::FREQUENCY, value_parser = clap::value_parser!(i32).range(5..))]
    frequency: i32,
    /// Snapshots that are aggregated into one record, 5 or more
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(i32).range(5..))]
    coalesce: i32,
    /// How long the history is kept, as PostgreSQL writes an interval; an hour or more, and no less than the frequency
    #[arg(long, value_name = "INTERVAL", default_value = "1 day", allow_hyphen_values = true, value_parser = retention)]
    retention: String,
    /// Extension to collect from, beside pg_stat_statements; may be given several times
    #[arg(long = "extension", value_name = "NAME", value_delimiter = ',', value_parser = NonEmptyStringValueParser::new())]
    extensions: Vec<String>,
    /// File with nothing but the password; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "no_password")]
    password_file: Option<PathBuf>,
    /// Register no password: it is in a password file of the collector's, or not needed
    #[arg(long)]
    no_password: bool,
    /// Whether powa-web may connect to the server
    #[arg(long, value_name = "BOOLEAN", default_value_t = true, action = clap::ArgAction::Set)]
    allow_ui_connection: bool,
    /// Look at the server as "powa-collector check" does, and register nothing if something is wrong
    #[arg(long)]
    check: bool,
}

impl Arguments {
    pub(super) async fn run(self, installation: &Installation) -> Result<(), Failure> {
        let repository = &installation.repository;
        // Before anybody is asked for a password.
        let servers = repository.registered_servers().await?;
        taken::is_free(&servers, (&self.host, self.port), self.alias.as_deref(), None)?;
        repository.check_retention(&self.retention, self.frequency).await?;
        repository.forget_sessions();
        let new = NewServer {
            password: self.password()?,
            host: self.host,
            port: self.port,
            alias: self.alias,
            user: self.user,
            dbname: self.dbname,
            frequency: self.frequency,
            coalesce: self.coalesce,
            retention: self.retention,
            allow_ui_connection: self.allow_ui_connection,
        };
        if self.check {
            trial::check_new(&new, &self.extensions, installation).await?;
        }
        let id = repository.register(&new, &self.extensions).await?;
        let address = format!("{}:{}", new.host, new.port);
        output::print(&format!("{} is registered as server {id}\n", on_one_line(&address)))?;
        output::print(&format!("{}\n", tell_daemon(installation).await))?;
        Ok(())
    }

    fn password(&self) -> Result<Option<Secret>, password::NoPassword> {
        match &self.password_file {
            _ if self.no_password => Ok(None),
            Some(file) => password::from_file(file).map(Some),
            None => password::from_terminal(&self.user, &format!("{}:{}", self.host, self.port)),
        }
    }
}

/// An alias by which the server can be named.
///
/// # Errors
/// It is empty, or would be taken for an id.
pub(super) fn alias(text: &str) -> Result<String, &'static str> {
    if text.is_empty() {
        return Err("an alias is not empty");
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("a name of digits only is an id");
    }
    Ok(text.into())
}
