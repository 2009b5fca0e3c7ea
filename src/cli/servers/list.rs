//! `servers list`: the registered servers.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::Failure;
use crate::cli::output::{self, print_error};
use crate::cli::subcommand::Context;
use crate::cli::table::{Cell, Table, Tone};
use crate::cli::units;
use crate::control::timestamp;
use crate::fleet::{self, TagFilter, require_rights};
use crate::repository::{AdminTask, Collectable, CollectableKind, OwnTable, RegisteredServer};
use crate::schedule::Cron;
use crate::server::ServerId;

/// Lists the servers that are registered in the repository.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
    /// Only servers with this tag; can be repeated, and all must match
    #[arg(long = "tag", value_name = "KEY=VALUE")]
    tags: Vec<TagFilter>,
}

type AllTracked = BTreeMap<ServerId, Vec<Collectable>>;

impl Arguments {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        require_rights(&context.repository, AdminTask::List).await?;
        let mut servers = context.repository.registered_servers().await?;
        servers.retain(|server| TagFilter::all_match(&self.tags, server));
        if servers.is_empty() && !self.tags.is_empty() {
            // Without the schema, or the right to read it, nothing is known.
            fleet::require_read(&context.repository, OwnTable::Tags).await?;
        }
        let tracked = context.repository.collectables().await?;
        if self.json {
            let json = json!({"servers": servers.iter().map(|server| object(server, &tracked)).collect::<Vec<_>>()});
            output::print(&format!("{json:#}\n"))?;
        } else if servers.is_empty() && !self.tags.is_empty() {
            print_error!("no server has these tags");
        } else if servers.is_empty() {
            print_error!("no server is registered; register one with \"powa-collector servers add --host HOST\"");
        } else {
            table(&servers, &tracked).print()?;
        }
        Ok(())
    }
}

/// The active extensions, sorted by name.
fn extensions(server: &RegisteredServer, tracked: &AllTracked) -> Vec<String> {
    let all = tracked.get(&server.id).map_or(&[][..], Vec::as_slice);
    let is_shown = |tracked: &&Collectable| {
        tracked.is_active && tracked.has_snapshots && tracked.kind == CollectableKind::Extension
    };
    all.iter().filter(is_shown).map(|tracked| tracked.name.clone()).collect()
}

fn table(servers: &[RegisteredServer], tracked: &AllTracked) -> Table {
    let headings = ["ID", "ALIAS", "ADDRESS", "USER", "DATABASE", "FREQUENCY", "RETENTION", "EXTENSIONS"];
    let mut table = Table::new(&headings).align_right("ID").align_right("FREQUENCY");
    for server in servers {
        let tone = if server.is_active() { Tone::Plain } else { Tone::Faint };
        let cell = |text: &str| Cell::new(text).with(tone);
        table.row(vec![
            cell(&server.id.to_string()),
            cell(server.alias.as_deref().unwrap_or("-")),
            cell(&server.address()),
            cell(&server.user),
            cell(&server.dbname),
            cell(&frequency(server)),
            cell(&server.retention),
            cell(&extensions(server, tracked).join(", ")),
        ]);
    }
    table
}

/// The frequency or the schedule, and whether the server is paused; `off` for a disabled server.
fn frequency(server: &RegisteredServer) -> String {
    let timing = server.timing.as_deref();
    let every = match (u64::try_from(server.frequency), timing.and_then(|timing| timing.cron.as_ref())) {
        (Ok(1..), Some(cron)) => cron.text().to_owned(),
        (Ok(seconds @ 1..), None) => units::duration(Duration::from_secs(seconds)),
        _ => return "off".into(),
    };
    let is_paused = timing.is_some_and(|timing| timing.quiet_until(SystemTime::now()).is_some());
    if is_paused { format!("{every} (paused)") } else { every }
}

fn object(server: &RegisteredServer, tracked: &AllTracked) -> Value {
    let timing = server.timing.as_deref();
    let cron = timing.and_then(|timing| timing.cron.as_ref());
    let time = |time: Option<SystemTime>| time.map(timestamp::text);
    json!({
        "id": server.id.get(),
        "alias": server.alias,
        "address": server.address(),
        "host": server.host,
        "port": server.port,
        "user": server.user,
        "has_password": server.has_password,
        "database": server.dbname,
        "active": server.is_active(),
        "frequency": server.is_active().then_some(server.frequency),
        "schedule": cron.map(Cron::text),
        "time_zone": cron.map(Cron::zone_name),
        "start": time(timing.and_then(|timing| timing.start)),
        "paused_until": time(timing.and_then(|timing| timing.paused_until).filter(|until| *until > SystemTime::now())),
        "tags": *server.tags,
        "coalesce": server.coalesce,
        "retention": server.retention,
        "allow_ui_connection": server.allow_ui_connection,
        "postgresql": server.version,
        "extensions": extensions(server, tracked),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::Screen;

    fn fleet() -> (Vec<RegisteredServer>, AllTracked) {
        let id = |id| ServerId::new(id).unwrap();
        let first = RegisteredServer {
            host: "10.0.0.1".into(),
            alias: Some("ma\nin".into()),
            has_password: true,
            frequency: 330,
            retention: "1 mon".into(),
            version: Some("17.5".into()),
            ..RegisteredServer::example(1)
        };
        let second = RegisteredServer {
            id: id(12),
            alias: None,
            frequency: -1,
            has_password: false,
            version: None,
            ..first.clone()
        };
        let tracked = |name: &str, kind, is_active| Collectable {
            kind,
            name: name.into(),
            version: None,
            is_active,
            has_snapshots: name != "hypopg",
        };
        let of_first = vec![
            tracked("hypopg", CollectableKind::Extension, true),
            tracked("pg_stat_kcache", CollectableKind::Extension, false),
            tracked("pg_qualstats", CollectableKind::Extension, true),
            tracked("pg_stat_statements", CollectableKind::Extension, true),
            tracked("pg_role", CollectableKind::Module, true),
        ];
        (vec![first, second], BTreeMap::from([(id(1), of_first)]))
    }

    #[test]
    fn a_server_is_a_line() {
        let (servers, tracked) = fleet();
        let expected = "\
ID  ALIAS   ADDRESS        USER  DATABASE  FREQUENCY  RETENTION  EXTENSIONS
 1  ma\\nin  10.0.0.1:5432  powa  powa         5m 30s  1 mon      pg_qualstats, pg_stat_statements
12  -       10.0.0.1:5432  powa  powa            off  1 mon
";
        assert_eq!(table(&servers, &tracked).text(Screen::default()), expected);
    }

    #[test]
    fn a_server_is_an_object() {
        let (servers, tracked) = fleet();
        let expected = json!({
            "id": 1, "alias": "ma\nin", "address": "10.0.0.1:5432", "host": "10.0.0.1", "port": 5432, "user": "powa", "has_password": true,
            "database": "powa", "active": true, "frequency": 330, "schedule": null, "time_zone": null, "start": null, "paused_until": null, "tags": {}, "coalesce": 100, "retention": "1 mon",
            "allow_ui_connection": true, "postgresql": "17.5", "extensions": ["pg_qualstats", "pg_stat_statements"],
        });
        assert_eq!(object(&servers[0], &tracked), expected);
        let second = object(&servers[1], &tracked);
        assert_eq!(
            (&second["frequency"], &second["active"], &second["alias"]),
            (&json!(null), &json!(false), &json!(null))
        );
    }
}
