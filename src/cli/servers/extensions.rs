//! `servers extensions`: lists or changes the extensions that are collected from a server.

use clap::CommandFactory;
use clap::builder::NonEmptyStringValueParser;
use clap::error::ErrorKind;
use serde_json::{Value, json};

use super::collector_reload::{ReloadOutcome, reload_collector};
use super::{Failure, describe, find};
use crate::cli;
use crate::cli::output::{self, print_error};
use crate::cli::subcommand::Context;
use crate::cli::table::{Cell, Table, Tone};
use crate::fleet::server_name::ServerName;
use crate::fleet::{PG_STAT_STATEMENTS, check_extension_changes, require_rights};
use crate::repository::{AdminTask, Collectable, ModuleChanges, RegisteredServer};

/// Lists or changes the extensions that are collected from a server.
///
/// NAME can also be a module of PoWA and, with PoWA 5, a database module. Errors go to standard error only, also with --json.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Id, alias or host:port of the server
    #[arg(value_name = "SERVER")]
    server: ServerName,
    /// Extension to activate; can be repeated
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = NonEmptyStringValueParser::new())]
    activate: Vec<String>,
    /// Extension to deactivate; can be repeated
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = NonEmptyStringValueParser::new())]
    deactivate: Vec<String>,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
}

impl Arguments {
    /// Exits as for any invalid command line if a name is to be both activated and deactivated.
    pub(super) fn exit_on_contradiction(&self) {
        let Err(contradiction) = check_extension_changes(&self.activate, &self.deactivate) else { return };
        let mut root = cli::Arguments::command();
        root.build();
        let servers = root.find_subcommand_mut("servers").expect("the command is defined");
        let extensions = servers.find_subcommand_mut("extensions").expect("the command is defined");
        extensions.error(ErrorKind::ArgumentConflict, contradiction).exit();
    }

    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let repository = &context.repository;
        let lists_only = self.activate.is_empty() && self.deactivate.is_empty();
        let task = if lists_only { AdminTask::List } else { AdminTask::ChangeExtensions };
        require_rights(repository, task).await?;
        let server = find(repository, &self.server).await?;
        if lists_only {
            return self.list(context, &server, &Change::default()).await;
        }
        let changes = repository.change_extensions(server.id, &self.activate, &self.deactivate).await?;
        if changes.deactivated.changed.iter().any(|name| name == PG_STAT_STATEMENTS) {
            print_error!(
                "powa-collector servers extensions: without {PG_STAT_STATEMENTS}, PoWA shows no statements of {server} and no \
                 names of its databases; activate it again with \"powa-collector servers extensions {} --activate \
                 {PG_STAT_STATEMENTS}\"",
                server.id
            );
        }
        let reload = if changes.has_changes() { Some(reload_collector(context).await) } else { None };
        if self.json {
            return self.list(context, &server, &Change::new(changes, reload.as_ref())).await;
        }
        let name = describe(&server);
        for (changes, done, unchanged) in [
            (&changes.activated, "activated", "was already active"),
            (&changes.deactivated, "deactivated", "was not active"),
        ] {
            if !changes.changed.is_empty() {
                output::print(&format!("{name}: {} {done}\n", changes.changed.join(", ")))?;
            }
            for extension in &changes.unchanged {
                output::print(&format!("{name}: {extension} {unchanged}\n"))?;
            }
        }
        if let Some(reload) = reload {
            output::print(&format!("{reload}\n"))?;
        }
        Ok(())
    }

    async fn list(&self, context: &Context, server: &RegisteredServer, change: &Change) -> Result<(), Failure> {
        let tracked = context.repository.collectables().await?.remove(&server.id).unwrap_or_default();
        if self.json {
            output::print(&format!("{:#}\n", to_json(server, &tracked, change)))?;
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
    /// Why the collector has not reloaded.
    unanswered: Option<String>,
}

impl Change {
    fn new(changes: ModuleChanges, reload: Option<&ReloadOutcome>) -> Self {
        Self {
            activated: changes.activated.changed,
            deactivated: changes.deactivated.changed,
            unanswered: reload.and_then(ReloadOutcome::unanswered),
        }
    }
}

/// docs/commands.md documents it.
fn to_json(server: &RegisteredServer, tracked: &[Collectable], change: &Change) -> Value {
    let extension = |tracked: &Collectable| {
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

fn table(tracked: &[Collectable]) -> Table {
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
