//! `servers set`: changes what is registered of a server.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;

use super::super::one_shot::Installation;
use super::super::output;
use super::super::server_name::ServerName;
use super::host::host;
use super::telling::tell_daemon;
use super::{Failure, called, password, retention, taken, trial};
use crate::postgres::{Changes, RegisteredServer};
use crate::secret::Secret;

/// Changes what is registered of a server; what is not mentioned stays as it is.
#[derive(Debug, clap::Args)]
#[command(override_usage = "powa-collector servers set <SERVER> <OPTIONS>")]
pub(super) struct Arguments {
    /// Id, alias or host:port of the server
    #[arg(value_name = "SERVER")]
    server: ServerName,
    #[command(flatten)]
    wanted: Wanted,
    /// Look at the server as "powa-collector check" would then, and change nothing if something is wrong
    #[arg(long)]
    check: bool,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
struct Wanted {
    /// Host name, address, or folder of a Unix socket; a list of them for a server that may be on any
    #[arg(long, value_name = "HOST", value_parser = host)]
    host: Option<String>,
    /// Port
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// Role to connect as
    #[arg(long, value_name = "ROLE", value_parser = NonEmptyStringValueParser::new())]
    user: Option<String>,
    /// Database that has the extension powa
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    dbname: Option<String>,
    /// Name that people see instead of HOST:PORT
    #[arg(long, value_name = "NAME", value_parser = super::add::alias, conflicts_with = "no_alias")]
    alias: Option<String>,
    /// Take the alias away
    #[arg(long)]
    no_alias: bool,
    /// Seconds from one snapshot to the next, 5 or more; a server that is disabled is enabled by that
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(i32).range(5..))]
    frequency: Option<i32>,
    /// Snapshots that are aggregated into one record, 5 or more
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(5..))]
    coalesce: Option<i32>,
    /// How long the history is kept, as PostgreSQL writes an interval; an hour or more, and no less than the frequency
    #[arg(long, value_name = "INTERVAL", allow_hyphen_values = true, value_parser = retention::retention)]
    retention: Option<String>,
    /// File with nothing but the new password; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["no_password", "ask_password"])]
    password_file: Option<PathBuf>,
    /// Take the password away: it is in a password file of the collector's, or not needed
    #[arg(long, conflicts_with = "ask_password")]
    no_password: bool,
    /// Ask for the new password on the terminal, without an echo
    #[arg(long)]
    ask_password: bool,
    /// Whether powa-web may connect to the server
    #[arg(long, value_name = "BOOLEAN", action = clap::ArgAction::Set)]
    allow_ui_connection: Option<bool>,
}

impl Arguments {
    pub(super) async fn run(self, installation: &Installation) -> Result<(), Failure> {
        let repository = &installation.repository;
        let servers = repository.registered_servers().await?;
        let server = self.server.find(&servers)?;
        self.wanted.is_free(server, &servers)?;
        let frequency = self.wanted.frequency.unwrap_or(server.frequency);
        match &self.wanted.retention {
            Some(retention) => repository.check_retention(retention, frequency).await?,
            None => retention::check_frequency(installation, server, frequency).await?,
        }
        repository.forget_sessions();
        let changes = self.wanted.changes(server)?;
        if self.check {
            trial::check_changed(server, &changes, installation).await?;
        }
        repository.configure(server.id, &changes).await?;
        // It may have another name now.
        let servers = repository.registered_servers().await?;
        let changed = servers.iter().find(|changed| changed.id == server.id).unwrap_or(server);
        output::print(&format!("{} is changed\n", called(changed)))?;
        output::print(&format!("{}\n", tell_daemon(installation).await))?;
        Ok(())
    }
}

impl Wanted {
    /// Whether what identifies the server will be its own.
    fn is_free(&self, server: &RegisteredServer, servers: &[RegisteredServer]) -> Result<(), taken::Taken> {
        let host = self.host.as_deref().unwrap_or(&server.host);
        // One that is no port of a server is nobody's.
        let port = self.port.or(u16::try_from(server.port).ok()).unwrap_or(0);
        taken::is_free(servers, (host, port), self.alias.as_deref(), Some(server.id))
    }

    fn changes(self, server: &RegisteredServer) -> Result<Changes, password::NoPassword> {
        let password = self.password(server)?;
        Ok(Changes {
            alias: if self.no_alias { Some(None) } else { self.alias.map(Some) },
            password,
            host: self.host,
            port: self.port,
            user: self.user,
            dbname: self.dbname,
            frequency: self.frequency,
            coalesce: self.coalesce,
            retention: self.retention,
            allow_ui_connection: self.allow_ui_connection,
        })
    }

    fn password(&self, server: &RegisteredServer) -> Result<Option<Option<Secret>>, password::NoPassword> {
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
