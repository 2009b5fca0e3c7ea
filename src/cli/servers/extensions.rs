//! `servers extensions`: what is collected of a server.

use clap::builder::NonEmptyStringValueParser;

use super::super::one_shot::Installation;
use super::super::output;
use super::super::server_name::ServerName;
use super::super::table::{Cell, Table, Tone};
use super::telling::tell_daemon;
use super::{Failure, called, find};
use crate::postgres::Tracked;

/// Lists what is collected of a server, or changes it.
///
/// With PoWA 5, NAME may also be a module, or a database module.
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
}

impl Arguments {
    pub(super) async fn run(self, installation: &Installation) -> Result<(), Failure> {
        let repository = &installation.repository;
        let server = find(repository, &self.server).await?;
        if self.activate.is_empty() && self.deactivate.is_empty() {
            let tracked = repository.tracked().await?.remove(&server.id).unwrap_or_default();
            table(&tracked).print()?;
            return Ok(());
        }
        repository.switch(server.id, &self.activate, &self.deactivate).await?;
        let done = [(&self.activate, "activated"), (&self.deactivate, "deactivated")];
        for (names, what) in done.into_iter().filter(|(names, _)| !names.is_empty()) {
            output::print(&format!("{}: {} {what}\n", called(&server), names.join(", ")))?;
        }
        output::print(&format!("{}\n", tell_daemon(installation).await))?;
        Ok(())
    }
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
