//! `snapshot`: requests a snapshot of one server.

mod unreachable;
mod wait;

use std::error::Error;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::disabled::refuse_disabled;
use super::output::print;
use super::{subcommand, units};
use crate::cli::output::print_error;
use crate::config::Location;
use crate::control::client::{Client, ClientError};
use crate::control::detail::SnapshotFigures;
use crate::fleet::server_name::ServerName;
use crate::repository::RegisteredServer;
use crate::worker::ForceRefused;
use subcommand::Context;
use unreachable::refuse_unreachable;

/// Requests a snapshot of a server from the running collector.
///
/// With --wait, the exit code is 0 only if the snapshot was stored completely. It is 1 if it was not taken, or if it lacks
/// datasources, whose errors are printed.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Id, alias or host:port of the server
    #[arg(value_name = "SERVER")]
    server: ServerName,

    /// Wait until the snapshot is possible and stored, and print its size.
    #[arg(short, long)]
    wait: bool,

    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug)]
enum Outcome {
    /// The collector's answer.
    Requested(String),
    Stored(SnapshotFigures),
}

impl Arguments {
    pub(super) fn run(self, location: &Location) -> ExitCode {
        subcommand::run("snapshot", location, async |context| {
            let servers = context.repository.registered_servers().await?;
            let server = self.server.find(&servers)?;
            let outcome = self.take(&context, server).await;
            if self.json {
                print(&format!("{:#}\n", to_json(server, &outcome)))?;
            }
            Ok(match outcome? {
                Outcome::Requested(answer) => {
                    self.print_text(&format!("{server}: {answer}\n"))?;
                    ExitCode::SUCCESS
                }
                Outcome::Stored(taken) => {
                    self.print_text(&format!("{server}: {}\n", summary(&taken)))?;
                    print_errors(&taken);
                    ExitCode::from(u8::from(!taken.errors.is_empty()))
                }
            })
        })
    }

    async fn take(&self, context: &Context, server: &RegisteredServer) -> Result<Outcome, Box<dyn Error>> {
        refuse_disabled(server)?;
        let mut client = context.control_client().await?;
        if client.collectors().await.is_ok_and(|collectors| collectors.len() > 1) {
            print_error!(
                "powa-collector snapshot: more than one collector is connected to the repository, and each takes snapshots; \
                 the answer below comes from one of them"
            );
        }
        Ok(if self.wait {
            Outcome::Stored(wait::take(&mut client, server).await?)
        } else {
            Outcome::Requested(request(&mut client, server).await?)
        })
    }

    /// Prints nothing with --json.
    fn print_text(&self, text: &str) -> std::io::Result<()> {
        if self.json { Ok(()) } else { print(text) }
    }
}

/// Requests a snapshot. Fails if the collector has no connection to the server, as the snapshot would not begin.
async fn request(client: &mut Client, server: &RegisteredServer) -> Result<String, Box<dyn Error>> {
    let answered = client.force_snapshot(server.id).await;
    if let Ok(_) | Err(ClientError::NotNow(ForceRefused::Scheduled)) = answered {
        match client.details(&[server.id]).await {
            // The Python collector, which does not know this command.
            Err(ClientError::Unknown(_)) => {}
            details => details?.get(&server.id).map_or(Ok(()), |detail| refuse_unreachable(server, detail))?,
        }
    }
    Ok(answered?)
}

/// Prints the errors of a snapshot that was stored without some datasources.
fn print_errors(taken: &SnapshotFigures) {
    for error in &taken.errors {
        print_error!("{error}");
    }
    if taken.more_errors > 0 {
        print_error!("and {} more errors; see powa_snapshot_metas.errors", taken.more_errors);
    }
}

fn summary(taken: &SnapshotFigures) -> String {
    let SnapshotFigures { datasources, rows, bytes, collect_ms, load_ms, .. } = taken;
    let size = units::size(*bytes);
    format!(
        "stored {rows} rows of {datasources} datasources ({size}); collected in {collect_ms} ms, loaded in {load_ms} ms"
    )
}

/// docs/commands.md documents it.
fn to_json(server: &RegisteredServer, outcome: &Result<Outcome, Box<dyn Error>>) -> Value {
    let (answer, snapshot, error) = match outcome {
        Ok(Outcome::Requested(answer)) => (Some(answer), None, None),
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
