//! `snapshot`: one snapshot of one server, now.

mod waiting;

use std::error::Error;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::output::print;
use super::server_name::ServerName;
use super::{one_shot, words};
use crate::config::Location;
use crate::control::detail::Taken;
use crate::postgres::RegisteredServer;
use crate::server::ServerId;
use one_shot::Installation;

/// Has the running collector take a snapshot of a server now.
///
/// With --wait, the exit code is 0 only if all of it was stored: 1 stands for a snapshot that was not taken, and for one
/// without some of its datasources, which are named.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Id, alias or host:port of the server
    server: ServerName,

    /// Wait until it is the time for a snapshot and the snapshot is stored, and tell what is in it.
    #[arg(short, long)]
    wait: bool,

    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What came of it.
#[derive(Debug)]
enum Outcome {
    /// What the collector answers.
    AskedFor(String),
    Stored(Taken),
}

/// Why there is nothing to ask for.
#[derive(Debug, thiserror::Error)]
#[error("{name} is disabled: \"powa-collector servers enable {id}\" has it collected from again")]
struct Disabled {
    name: String,
    id: ServerId,
}

impl Arguments {
    pub(super) fn run(self, location: &Location) -> ExitCode {
        one_shot::run("snapshot", location, async |installation| {
            let servers = installation.repository.registered_servers().await.map_err(one_shot::InFull::from)?;
            let server = self.server.find(&servers)?;
            let outcome = self.take(&installation, server).await;
            if self.json {
                print(&format!("{:#}\n", object(server, &outcome)))?;
            }
            Ok(match outcome? {
                Outcome::AskedFor(answer) => {
                    self.say(&format!("{server}: {answer}\n"))?;
                    ExitCode::SUCCESS
                }
                Outcome::Stored(taken) => {
                    self.say(&format!("{server}: {}\n", told(&taken)))?;
                    complain(&taken);
                    ExitCode::from(u8::from(!taken.errors.is_empty()))
                }
            })
        })
    }

    async fn take(&self, installation: &Installation, server: &RegisteredServer) -> Result<Outcome, Box<dyn Error>> {
        if !server.is_active() {
            return Err(Disabled { name: server.to_string(), id: server.id }.into());
        }
        let mut asker = installation.asker().await?;
        Ok(if self.wait {
            Outcome::Stored(waiting::take(&mut asker, server).await?)
        } else {
            Outcome::AskedFor(asker.force_snapshot(server.id).await?)
        })
    }

    /// For people, who are told in words.
    fn say(&self, text: &str) -> std::io::Result<()> {
        if self.json { Ok(()) } else { print(text) }
    }
}

/// What is wrong goes to standard error, also of a snapshot that is there.
fn complain(taken: &Taken) {
    for error in &taken.errors {
        eprintln!("{error}");
    }
    if taken.more_errors > 0 {
        eprintln!("and {} errors more: powa_snapshot_metas.errors has them", taken.more_errors);
    }
}

fn told(taken: &Taken) -> String {
    let Taken { datasources, rows, bytes, collect_ms, load_ms, .. } = taken;
    let size = words::size(*bytes);
    format!("{rows} rows of {datasources} datasources ({size}) stored; read in {collect_ms} ms, stored in {load_ms} ms")
}

/// As docs/commands.md tells.
fn object(server: &RegisteredServer, outcome: &Result<Outcome, Box<dyn Error>>) -> Value {
    let (answer, snapshot, error) = match outcome {
        Ok(Outcome::AskedFor(answer)) => (Some(answer), None, None),
        Ok(Outcome::Stored(taken)) => (None, Some(taken), None),
        Err(error) => (None, None, Some(error.to_string())),
    };
    json!({
        "id": server.id.get(),
        "address": server.address(),
        "alias": server.alias,
        "answer": answer,
        "snapshot": snapshot,
        "error": error,
    })
}
