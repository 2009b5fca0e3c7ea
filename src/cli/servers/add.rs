//! `servers add`: registers a server.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;

use super::collector_reload::reload_collector;
use super::{Failure, check_first, parse_host, password};
use crate::cli::output;
use crate::cli::subcommand::Context;
use crate::fleet::{self, parse_alias, parse_coalesce, parse_frequency, parse_port, parse_retention, require_rights};
use crate::repository::{AdminTask, NewServer};
use session::on_one_line;

/// Registers a server. The collector then takes snapshots of it.
///
/// Asks for the password on the terminal, without echo, unless --password-file or --no-password is given.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Host name, IP address, or directory of a Unix socket; several, separated by commas, for a server that may be on any
    #[arg(long, value_name = "HOST", value_parser = parse_host)]
    host: String,
    /// Port
    #[arg(long, value_name = "PORT", default_value_t = fleet::DEFAULT_PORT, value_parser = parse_port)]
    port: u16,
    /// Role to connect as
    #[arg(long, value_name = "ROLE", default_value = fleet::DEFAULT_NAME, value_parser = NonEmptyStringValueParser::new())]
    user: String,
    /// Database that has the extension powa
    #[arg(long, value_name = "NAME", default_value = fleet::DEFAULT_NAME, value_parser = NonEmptyStringValueParser::new())]
    dbname: String,
    /// Name to show instead of HOST:PORT
    #[arg(long, value_name = "NAME", value_parser = parse_alias)]
    alias: Option<String>,
    /// Seconds from one snapshot to the next, at least 5
    #[arg(long, value_name = "SECONDS", default_value_t = fleet::DEFAULT_FREQUENCY, value_parser = parse_frequency)]
    frequency: i32,
    /// Snapshots that are aggregated into one record, at least 5
    #[arg(long, value_name = "N", default_value_t = fleet::DEFAULT_COALESCE, value_parser = parse_coalesce)]
    coalesce: i32,
    /// How long the history is kept, as a PostgreSQL interval; at least an hour, and not less than the frequency
    #[arg(long, value_name = "INTERVAL", default_value = fleet::DEFAULT_RETENTION, allow_hyphen_values = true, value_parser = parse_retention)]
    retention: String,
    /// Extension to collect, in addition to pg_stat_statements; can be repeated
    #[arg(long = "extension", value_name = "NAME", value_delimiter = ',', value_parser = NonEmptyStringValueParser::new())]
    extensions: Vec<String>,
    /// File that contains the password only; - for standard input
    #[arg(long, value_name = "FILE", conflicts_with = "no_password")]
    password_file: Option<PathBuf>,
    /// Register no password: the collector reads it from a password file, or needs none
    #[arg(long)]
    no_password: bool,
    /// Whether powa-web may connect to the server
    #[arg(long, value_name = "BOOLEAN", default_value_t = true, action = clap::ArgAction::Set)]
    allow_ui_connection: bool,
    /// Check the server as "powa-collector check" does, and do not register it if something is wrong
    #[arg(long)]
    check: bool,
}

impl Arguments {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let repository = &context.repository;
        let task = AdminTask::Register { with_password: !self.no_password, with_check: self.check };
        require_rights(repository, task).await?;
        let Self { extensions, password_file, no_password, check, .. } = self;
        let mut new = NewServer {
            password: None,
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
        fleet::check_new(repository, &new).await?;
        // The prompt can stay open for longer than the repository keeps idle sessions.
        repository.close_idle_sessions();
        new.password = match password_file {
            _ if no_password => None,
            Some(file) => Some(password::from_file(&file)?),
            None => password::from_terminal(&new.user, &format!("{}:{}", new.host, new.port))?,
        };
        if check {
            check_first::check_new(&new, &extensions, context).await?;
        }
        let id = repository.register(&new, &extensions).await?;
        let address = format!("{}:{}", new.host, new.port);
        output::print(&format!("{} is registered as server {id}\n", on_one_line(&address)))?;
        output::print(&format!("{}\n", reload_collector(context).await))?;
        Ok(())
    }
}
