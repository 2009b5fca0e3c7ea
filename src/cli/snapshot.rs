//! `snapshot`: one snapshot of one server, now.

use std::error::Error;
use std::io::{IsTerminal, stderr};
use std::process::ExitCode;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget};
use tokio::time::sleep;

use super::output::print;
use super::server_name::ServerName;
use super::{one_shot, words};
use crate::config::Location;
use crate::control::asking::{Asker, Unanswered};
use crate::control::detail::{Detail, Taken};
use crate::postgres::RegisteredServer;
use crate::server::ServerId;

/// How often the daemon is asked whether the snapshot is there.
const BETWEEN_LOOKS: Duration = Duration::from_millis(200);

/// Has the running collector take a snapshot of a server now.
///
/// With --wait, the exit code is 0 only if all of it was stored: 1 stands for a snapshot that was not taken, and for one
/// without some of its datasources, which are named.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Id, alias or host:port of the server
    server: ServerName,

    /// Wait until the snapshot is stored, and tell what is in it.
    #[arg(short, long)]
    wait: bool,
}

/// Why there is nothing to wait for any more.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("{0}: {1}")]
    Failed(String, String),
    #[error("{0} is disabled: \"powa-collector servers enable {1}\" has it collected from again")]
    Disabled(String, ServerId),
    #[error("{0} is not collected from: \"powa-collector reload\", or the collector's log, may tell why")]
    Unserved(String),
    #[error("the worker of {0} was started anew meanwhile: the collector's log tells why")]
    StartedAnew(String),
}

impl Arguments {
    pub(super) fn run(self, location: &Location) -> ExitCode {
        one_shot::run("snapshot", location, async |installation| {
            let servers = installation.repository.registered_servers().await.map_err(one_shot::InFull::from)?;
            let server = self.server.find(&servers)?;
            if !server.is_active() {
                return Err(Ended::Disabled(server.to_string(), server.id).into());
            }
            let mut asker = installation.asker().await?;
            let before = if self.wait { Some(detail(&mut asker, server).await?) } else { None };
            let answer = asker.force_snapshot(server.id).await?;
            let Some(before) = before else {
                print(&format!("{server}: {answer}\n"))?;
                return Ok(ExitCode::SUCCESS);
            };
            let taken = taken_after(&before, &mut asker, server).await?;
            print(&format!("{server}: {}\n", told(&taken)))?;
            for error in &taken.errors {
                eprintln!("{error}");
            }
            if taken.more_errors > 0 {
                eprintln!("and {} errors more: powa_snapshot_metas.errors has them", taken.more_errors);
            }
            Ok(ExitCode::from(u8::from(!taken.errors.is_empty())))
        })
    }
}

async fn detail(asker: &mut Asker, server: &RegisteredServer) -> Result<Detail, Box<dyn Error>> {
    let mut details = asker.details(&[server.id]).await?;
    Ok(details.remove(&server.id).ok_or_else(|| Ended::Unserved(server.to_string()))?)
}

/// Waits for as long as the collector answers: it has limits of its own to how long anything takes.
async fn taken_after(before: &Detail, asker: &mut Asker, server: &RegisteredServer) -> Result<Taken, Box<dyn Error>> {
    let spinner = ProgressBar::new_spinner();
    if !stderr().is_terminal() {
        spinner.set_draw_target(ProgressDrawTarget::hidden());
    }
    spinner.enable_steady_tick(Duration::from_millis(100));
    loop {
        let now = match detail(asker, server).await {
            Ok(now) => now,
            // One answer may be lost: it reconnects by itself.
            Err(error) if matches!(error.downcast_ref(), Some(Unanswered::Silent { .. })) => {
                detail(asker, server).await?
            }
            Err(error) => return Err(error),
        };
        spinner.set_message(format!("{server}: {}", now.phase));
        if now.taken < before.taken {
            return Err(Ended::StartedAnew(server.to_string()).into());
        }
        if now.taken > before.taken {
            return Ok(now.snapshot.ok_or_else(|| Ended::StartedAnew(server.to_string()))?);
        }
        if now.failures > before.failures {
            let reason = now.trouble.unwrap_or_else(|| "the snapshot failed".into());
            return Err(Ended::Failed(server.to_string(), reason).into());
        }
        sleep(BETWEEN_LOOKS).await;
    }
}

fn told(taken: &Taken) -> String {
    let Taken { datasources, rows, bytes, collect_ms, load_ms, .. } = taken;
    let size = words::size(*bytes);
    format!("{rows} rows of {datasources} datasources ({size}) stored; read in {collect_ms} ms, stored in {load_ms} ms")
}
