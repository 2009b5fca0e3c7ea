//! `servers extensions`: what is collected of a server.

use clap::CommandFactory;
use clap::builder::NonEmptyStringValueParser;
use clap::error::ErrorKind;
use serde_json::{Value, json};

use super::super::one_shot::Installation;
use super::super::output;
use super::super::server_name::ServerName;
use super::super::table::{Cell, Table, Tone};
use super::telling::{Told, tell_daemon};
use super::{Failure, called, find};
use crate::cli;
use crate::one_line::on_one_line;
use crate::postgres::{RegisteredServer, Switched, Tracked};

/// PoWA collects from it without being asked to, and much of the rest is of use with it only.
const STATEMENTS: &str = "pg_stat_statements";

/// Lists what is collected of a server, or changes it.
///
/// NAME may also be a module of PoWA, and with PoWA 5 a database module. Errors are told on standard error only, with --json
/// too.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Id, alias or host:port of the server
    #[arg(value_name = "SERVER")]
    server: ServerName,
    /// Extension to collect from; may be given several times
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = NonEmptyStringValueParser::new())]
    activate: Vec<String>,
    /// Extension to collect from no longer; may be given several times
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = NonEmptyStringValueParser::new())]
    deactivate: Vec<String>,
    /// Print JSON instead of a table, or of what was changed
    #[arg(long)]
    json: bool,
}

impl Arguments {
    /// Ends as with any other command line that is wrong, if nobody could do what is asked for.
    pub(super) fn refuse_contradictions(&self) {
        let Some(name) = self.activate.iter().find(|name| self.deactivate.contains(name)) else { return };
        let mut whole = cli::Arguments::command();
        whole.build();
        let servers = whole.find_subcommand_mut("servers").expect("it is a command");
        let own = servers.find_subcommand_mut("extensions").expect("it is a command");
        let said = format!("\"{}\" is to be activated and deactivated", on_one_line(name));
        own.error(ErrorKind::ArgumentConflict, said).exit();
    }

    pub(super) async fn run(self, installation: &Installation) -> Result<(), Failure> {
        let server = find(&installation.repository, &self.server).await?;
        if self.activate.is_empty() && self.deactivate.is_empty() {
            return self.list(installation, &server, &Change::default()).await;
        }
        let switched = installation.repository.switch(server.id, &self.activate, &self.deactivate).await?;
        if switched.off.changed.iter().any(|name| name == STATEMENTS) {
            eprintln!(
                "powa-collector servers extensions: without {STATEMENTS}, PoWA has no statements of {server} to show, and not \
                 the names of its databases: \"powa-collector servers extensions {} --activate {STATEMENTS}\" undoes that",
                server.id
            );
        }
        let told = if switched.is_change() { Some(tell_daemon(installation).await) } else { None };
        if self.json {
            return self.list(installation, &server, &Change::of(switched, told.as_ref())).await;
        }
        for (turned, done, was_so) in
            [(&switched.on, "activated", "was active already"), (&switched.off, "deactivated", "was not active")]
        {
            if !turned.changed.is_empty() {
                output::print(&format!("{}: {} {done}\n", called(&server), turned.changed.join(", ")))?;
            }
            for name in &turned.as_before {
                output::print(&format!("{}: {name} {was_so}\n", called(&server)))?;
            }
        }
        if let Some(told) = told {
            output::print(&format!("{told}\n"))?;
        }
        Ok(())
    }

    async fn list(
        &self,
        installation: &Installation,
        server: &RegisteredServer,
        change: &Change,
    ) -> Result<(), Failure> {
        let tracked = installation.repository.tracked().await?.remove(&server.id).unwrap_or_default();
        if self.json {
            output::print(&format!("{:#}\n", object(server, &tracked, change)))?;
        } else {
            table(&tracked).print()?;
        }
        Ok(())
    }
}

/// What this command has changed.
#[derive(Debug, Default)]
struct Change {
    activated: Vec<String>,
    deactivated: Vec<String>,
    /// Why the collector does not know of it yet.
    unanswered: Option<String>,
}

impl Change {
    fn of(switched: Switched, told: Option<&Told>) -> Self {
        Self {
            activated: switched.on.changed,
            deactivated: switched.off.changed,
            unanswered: told.and_then(Told::unanswered),
        }
    }
}

/// As docs/commands.md tells.
fn object(server: &RegisteredServer, tracked: &[Tracked], change: &Change) -> Value {
    let extension = |tracked: &Tracked| {
        json!({
            "name": tracked.name,
            "kind": tracked.kind.to_string(),
            "version": tracked.version,
            "active": tracked.is_active,
        })
    };
    json!({
        "id": server.id.get(),
        "address": server.address(),
        "alias": server.alias,
        "extensions": tracked.iter().map(extension).collect::<Vec<_>>(),
        "activated": change.activated,
        "deactivated": change.deactivated,
        "unanswered": change.unanswered,
    })
}

fn table(tracked: &[Tracked]) -> Table {
    let mut table = Table::new(&["NAME", "KIND", "VERSION", "STATE"]);
    for tracked in tracked {
        let (state, tone) = if tracked.is_active { ("active", Tone::Good) } else { ("off", Tone::Faint) };
        table.row(vec![
            Cell::new(&tracked.name),
            Cell::new(tracked.kind.to_string()),
            Cell::new(tracked.version.as_deref().unwrap_or("-")),
            Cell::new(state).with(tone),
        ]);
    }
    table
}
