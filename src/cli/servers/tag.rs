//! `servers tag`: sets, removes or shows the tags of a server.

use super::collector_reload::reload_collector;
use super::{Failure, describe, find};
use crate::cli::output;
use crate::cli::subcommand::Context;
use crate::fleet::server_name::ServerName;
use crate::fleet::{self, TagChange};
use crate::repository::{OwnTable, RegisteredServer};

/// Sets and removes tags of a server; without changes, shows them.
///
/// A tag has a key and a value, such as environment=production. Tags select servers ("servers list --tag", "status --tag", the API)
/// and are in the metrics.
#[derive(Debug, clap::Args)]
#[command(override_usage = "powa-collector servers tag <SERVER> [KEY=VALUE ...] [KEY- ...]")]
pub(super) struct Arguments {
    /// Id, alias or host:port of the server
    #[arg(value_name = "SERVER")]
    server: ServerName,
    /// KEY=VALUE sets a tag, and KEY- removes it. A key has lower-case letters, digits and underscores
    #[arg(value_name = "CHANGE")]
    changes: Vec<TagChange>,
}

impl Arguments {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let (set, removed) = fleet::parse_changes(&self.changes)?;
        let server = find(&context.repository, &self.server).await?;
        if self.changes.is_empty() {
            if server.tags.is_empty() {
                // Without the schema, or the right to read it, nothing is known.
                fleet::require_read(&context.repository, OwnTable::Tags).await?;
            }
            output::print(&text(&server))?;
            return Ok(());
        }
        fleet::change_tags(&context.repository, &server, &set, &removed).await?;
        let changed = find(&context.repository, &self.server).await?;
        output::print(&text(&changed))?;
        output::print(&format!("{}\n", reload_collector(context).await))?;
        Ok(())
    }
}

fn text(server: &RegisteredServer) -> String {
    if server.tags.is_empty() {
        return format!("{} has no tags\n", describe(server));
    }
    let lines = server.tags.iter().map(|(key, value)| format!("{key}={value}\n"));
    format!("{}:\n{}", describe(server), lines.collect::<String>())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_tag_is_a_line() {
        let mut server = RegisteredServer::example(1);
        assert_eq!(text(&server), "server 1, db1:5432 has no tags\n");
        server.tags = Arc::new([("b", "2 3"), ("a", "1")].map(|(key, value)| (key.into(), value.into())).into());
        assert_eq!(text(&server), "server 1, db1:5432:\na=1\nb=2 3\n");
    }
}
