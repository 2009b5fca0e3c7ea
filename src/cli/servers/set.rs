//! `servers set`: changes the registration of a server.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;

use super::collector_reload::reload_collector;
use super::{Failure, check_first, describe, parse_host, password};
use crate::cli::output;
use crate::cli::subcommand::Context;
use crate::fleet::server_name::ServerName;
use crate::fleet::{self, parse_alias, parse_coalesce, parse_frequency, parse_port, parse_retention, require_rights};
use crate::repository::{AdminTask, Changes, RegisteredServer};
use libpq::Secret;

/// Changes the registration of a server. Options that are not given keep their values.
#[derive(Debug, clap::Args)]
#[command(override_usage = "powa-collector servers set <SERVER> <OPTIONS>")]
pub(super) struct Arguments {
    /// Id, alias or host:port of the server
    #[arg(value_name = "SERVER")]
    server: ServerName,
    #[command(flatten)]
    values: Values,
    /// Check the server with the new values, as "powa-collector check" does, and change nothing if something is wrong
    #[arg(long)]
    check: bool,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
struct Values {
    /// Host name, IP address, or directory of a Unix socket; several, separated by commas, for a server that may be on any
    #[arg(long, value_name = "HOST", value_parser = parse_host)]
    host: Option<String>,
    /// Port
    #[arg(long, value_name = "PORT", value_parser = parse_port)]
    port: Option<u16>,
    /// Role to connect as
    #[arg(long, value_name = "ROLE", value_parser = NonEmptyStringValueParser::new())]
    user: Option<String>,
    /// Database that has the extension powa
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    dbname: Option<String>,
    /// Name to show instead of HOST:PORT
    #[arg(long, value_name = "NAME", value_parser = parse_alias, conflicts_with = "no_alias")]
    alias: Option<String>,
    /// Remove the alias
    #[arg(long)]
    no_alias: bool,
    /// Seconds from one snapshot to the next, at least 5; enables a server that is disabled
    #[arg(long, value_name = "SECONDS", value_parser = parse_frequency)]
    frequency: Option<i32>,
    /// Snapshots that are aggregated into one record, at least 5
    #[arg(long, value_name = "N", value_parser = parse_coalesce)]
    coalesce: Option<i32>,
    /// How long the history is kept, as a PostgreSQL interval; at least an hour, and not less than the frequency
    #[arg(long, value_name = "INTERVAL", allow_hyphen_values = true, value_parser = parse_retention)]
    retention: Option<String>,
    /// File that contains the new password only; - for standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["no_password", "ask_password"])]
    password_file: Option<PathBuf>,
    /// Remove the password: the collector reads it from a password file, or needs none
    #[arg(long, conflicts_with = "ask_password")]
    no_password: bool,
    /// Ask for the new password on the terminal, without echo
    #[arg(long)]
    ask_password: bool,
    /// Whether powa-web may connect to the server
    #[arg(long, value_name = "BOOLEAN", action = clap::ArgAction::Set)]
    allow_ui_connection: Option<bool>,
}

impl Arguments {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let repository = &context.repository;
        require_rights(repository, AdminTask::Change { with_check: self.check }).await?;
        let servers = repository.registered_servers().await?;
        let server = self.server.find(&servers)?;
        let mut changes = self.values.changes();
        fleet::check_changes(repository, &servers, server, &changes).await?;
        // The prompt can stay open for longer than the repository keeps idle sessions.
        repository.close_idle_sessions();
        changes.password = self.values.password(server)?;
        if self.check {
            check_first::check_changed(server, &changes, context).await?;
        }
        repository.configure(server.id, &changes).await?;
        // Its name may have changed.
        let servers = repository.registered_servers().await?;
        let changed = servers.iter().find(|changed| changed.id == server.id).unwrap_or(server);
        output::print(&format!("{} is changed\n", describe(changed)))?;
        output::print(&format!("{}\n", reload_collector(context).await))?;
        Ok(())
    }
}

impl Values {
    /// All changes but the password.
    fn changes(&self) -> Changes {
        Changes {
            alias: if self.no_alias { Some(None) } else { self.alias.clone().map(Some) },
            password: None,
            host: self.host.clone(),
            port: self.port,
            user: self.user.clone(),
            dbname: self.dbname.clone(),
            frequency: self.frequency,
            coalesce: self.coalesce,
            retention: self.retention.clone(),
            allow_ui_connection: self.allow_ui_connection,
        }
    }

    /// `Some(None)` removes the password, `None` keeps it.
    fn password(&self, server: &RegisteredServer) -> Result<Option<Option<Secret>>, password::PasswordError> {
        match &self.password_file {
            _ if self.no_password => Ok(Some(None)),
            Some(file) => password::from_file(file).map(Some).map(Some),
            None if self.ask_password => {
                let user = self.user.as_deref().unwrap_or(&server.user);
                let host = self.host.as_deref().unwrap_or(&server.host);
                let port = self.port.map_or(server.port, i32::from);
                password::from_terminal(user, &format!("{host}:{port}")).map(Some)
            }
            None => Ok(None),
        }
    }
}
