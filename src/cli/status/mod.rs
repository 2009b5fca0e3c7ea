//! `status`: how the collector and its servers are, as the collector itself and the repository tell it.

mod overview;

use std::error::Error;
use std::io::{ErrorKind, IsTerminal, stdout};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use console::Term;
use tokio::time::sleep;

use super::one_shot::{self, InFull, Installation};
use super::output::{Screen, print, write};
use super::server_name::{ServerName, find_all};
use crate::config::Location;
use crate::control::asking::{Asker, Unanswered};
use crate::server::ServerId;
use overview::Overview;

/// From one look to the next.
const BETWEEN_LOOKS: Duration = Duration::from_secs(2);

/// Shows how the running collector and its servers are.
///
/// Asks the collector over the command channel, and the repository. Where no collector answers, what the repository knows is
/// shown nevertheless, and the exit code is 1.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Ids, aliases or host:port of servers; without any, all
    #[arg(value_name = "SERVER")]
    servers: Vec<ServerName>,

    /// Look again every 2 seconds, until Ctrl-C.
    #[arg(short, long)]
    watch: bool,

    /// Print JSON; with --watch, a line for each look.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub(super) fn run(self, location: &Location) -> ExitCode {
        one_shot::run("status", location, async |installation| {
            let mut asker = None;
            if !self.watch {
                let overview = self.look(&installation, &mut asker).await?;
                print(&self.text(&overview)?)?;
                return Ok(end(&overview));
            }
            loop {
                match self.look(&installation, &mut asker).await {
                    Ok(overview) => match self.redraw(&self.text(&overview)?) {
                        Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS),
                        drawn => drawn?,
                    },
                    // The repository may be back with the next look.
                    Err(error) if asker.is_some() => {
                        asker = None;
                        eprintln!("powa-collector status: {error}");
                    }
                    Err(error) => return Err(error),
                }
                sleep(BETWEEN_LOOKS).await;
            }
        })
    }

    async fn look(&self, installation: &Installation, asker: &mut Option<Asker>) -> Result<Overview, Box<dyn Error>> {
        let registered = installation.repository.registered_servers().await.map_err(InFull::from)?;
        let servers = find_all(&self.servers, &registered)?;
        let last = installation.repository.last_snapshots().await.map_err(InFull::from)?;
        let asker = match asker {
            Some(asker) => asker,
            None => asker.insert(installation.asker().await?),
        };
        let collectors = asker.collectors().await.map_err(InFull::from)?;
        // All of them in one question, which has to fit into a notification.
        let ids: Vec<ServerId> =
            if servers.len() > 100 { vec![] } else { servers.iter().map(|server| server.id).collect() };
        let answered = match asker.details(&ids).await {
            Err(Unanswered::Postgres(error)) => return Err(InFull::from(error).into()),
            Err(lost @ Unanswered::Lost) => return Err(lost.into()),
            answered => answered,
        };
        Ok(Overview::new(&servers, &last, collectors, answered))
    }

    fn text(&self, overview: &Overview) -> serde_json::Result<String> {
        Ok(match (self.json, self.watch) {
            (true, true) => serde_json::to_string(overview)? + "\n",
            (true, false) => serde_json::to_string_pretty(overview)? + "\n",
            (false, is_watching) => {
                let table = overview.text(SystemTime::now(), Screen::of_standard_output());
                match overview.unanswered().filter(|_| is_watching) {
                    // The next look wipes away what is said on standard error.
                    Some(reason) => format!("{reason}\n\n{table}"),
                    None => table,
                }
            }
        })
    }

    /// In place of what was there before, on a terminal.
    fn redraw(&self, text: &str) -> std::io::Result<()> {
        if !self.json && stdout().is_terminal() {
            Term::stdout().clear_screen()?;
        }
        write(text)
    }
}

/// What is wrong is said on standard error too.
fn end(overview: &Overview) -> ExitCode {
    match overview.unanswered() {
        None => ExitCode::SUCCESS,
        Some(reason) => {
            eprintln!("powa-collector status: {reason}");
            ExitCode::FAILURE
        }
    }
}
