//! `snapshot`: one snapshot of one server, now.

mod unreachable;
mod waiting;

use std::error::Error;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::disabled::refuse_disabled;
use super::output::print;
use super::server_name::ServerName;
use super::{one_shot, words};
use crate::config::Location;
use crate::control::asking::{Asker, Unanswered};
use crate::control::detail::Taken;
use crate::postgres::RegisteredServer;
use crate::worker::ForceRefused;
use one_shot::Installation;
use unreachable::refuse_unreachable;

/// Has the running collector take a snapshot of a server now.
///
/// With --wait, the exit code is 0 only if all of it was stored: 1 stands for a snapshot that was not taken, and for one
/// without some of its datasources, which are named.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Id, alias or host:port of the server
    #[arg(value_name = "SERVER")]
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
        refuse_disabled(server)?;
        let mut asker = installation.asker().await?;
        if asker.collectors().await.is_ok_and(|collectors| collectors.len() > 1) {
            eprintln!(
                "powa-collector snapshot: more than one collector is connected to the repository, and each takes snapshots; \
                 what follows is told by one of them"
            );
        }
        Ok(if self.wait {
            Outcome::Stored(waiting::take(&mut asker, server).await?)
        } else {
            Outcome::AskedFor(ask(&mut asker, server).await?)
        })
    }

    /// For people, who are told in words.
    fn say(&self, text: &str) -> std::io::Result<()> {
        if self.json { Ok(()) } else { print(text) }
    }
}

/// Asks for a snapshot, which begins shortly only where there is a connection.
async fn ask(asker: &mut Asker, server: &RegisteredServer) -> Result<String, Box<dyn Error>> {
    let answered = asker.force_snapshot(server.id).await;
    if let Ok(_) | Err(Unanswered::NotNow(ForceRefused::Scheduled)) = answered {
        match asker.details(&[server.id]).await {
            // Another program, which is asked for no more than it knows.
            Err(Unanswered::Unknown(_)) => {}
            details => details?.get(&server.id).map_or(Ok(()), |detail| refuse_unreachable(server, detail))?,
        }
    }
    Ok(answered?)
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
