//! `status`: how the collector and its servers are, as the collector itself and the repository tell it.

mod overview;

use std::io::{ErrorKind, IsTerminal, stdout};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use console::Term;
use tokio::time::{Instant, sleep};

use super::one_shot::{self, Ended, Installation};
use super::output::{Screen, print, write};
use super::server_name::{NotFound, ServerName, find_all};
use super::words;
use crate::config::Location;
use crate::control::asking::{Asker, Unanswered};
use crate::postgres::Error;
use crate::server::ServerId;
use overview::{Overview, Page};

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

/// Why there is nothing to show.
#[derive(Debug, thiserror::Error)]
enum NoLook {
    #[error(transparent)]
    NotFound(#[from] NotFound),
    #[error("{}", .0.in_full())]
    Postgres(#[from] Error),
    #[error(transparent)]
    Unanswered(Unanswered),
}

impl From<Unanswered> for NoLook {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::Postgres(error) => Self::Postgres(error),
            other => Self::Unanswered(other),
        }
    }
}

impl NoLook {
    /// The command line or the configuration is at fault, and the next look would find the same.
    fn is_final(&self) -> bool {
        match self {
            Self::NotFound(_) => true,
            Self::Postgres(error) => !error.may_pass() && !error.is_missing_database(),
            Self::Unanswered(_) => false,
        }
    }
}

impl Arguments {
    pub(super) fn run(self, location: &Location) -> ExitCode {
        one_shot::run("status", location, async |installation| {
            if self.watch {
                return self.look_again_and_again(&installation).await;
            }
            let overview = self.look(&installation, &mut None).await?;
            print(&self.text(&overview, None)?)?;
            Ok(end(&overview))
        })
    }

    /// Until somebody ends it: what is in the way of a look may be gone with the next one.
    async fn look_again_and_again(&self, installation: &Installation) -> Ended {
        let is_redrawn = !self.json && stdout().is_terminal();
        let mut asker = None;
        let mut last: Option<(Overview, Instant)> = None;
        let mut said = None;
        loop {
            let shown = match self.look(installation, &mut asker).await {
                Ok(overview) => {
                    let shown = self.show(&overview, overview.unanswered());
                    last = Some((overview, Instant::now()));
                    said = None;
                    shown
                }
                Err(error) if last.is_none() && error.is_final() => return Err(error.into()),
                Err(error) => {
                    // Its session may be gone, too.
                    asker = None;
                    let reason = error.to_string();
                    if is_redrawn {
                        self.show_what_there_was(last.as_ref(), &reason)
                    } else {
                        // Standard output has what was seen, and only that.
                        if said.as_ref() != Some(&reason) {
                            eprintln!("powa-collector status: {reason}");
                        }
                        said = Some(reason);
                        Ok(())
                    }
                }
            };
            match shown {
                Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS),
                shown => shown?,
            }
            sleep(BETWEEN_LOOKS).await;
        }
    }

    async fn look(&self, installation: &Installation, asker: &mut Option<Asker>) -> Result<Overview, NoLook> {
        let registered = installation.repository.registered_servers().await?;
        let servers = find_all(&self.servers, &registered)?;
        let last = installation.repository.last_snapshots().await?;
        let asker = match asker {
            Some(asker) => asker,
            None => asker.insert(installation.asker().await?),
        };
        let collectors = asker.collectors().await?;
        // All of them in one question, which has to fit into a notification.
        let ids: Vec<ServerId> =
            if servers.len() > 100 { vec![] } else { servers.iter().map(|server| server.id).collect() };
        let answered = match asker.details(&ids).await {
            Err(error @ (Unanswered::Postgres(_) | Unanswered::Lost)) => return Err(error.into()),
            answered => answered,
        };
        Ok(Overview::new(&servers, &last, collectors, answered))
    }

    /// `said` goes before it, for people: the next look wipes away what is said on standard error.
    fn text(&self, overview: &Overview, said: Option<&str>) -> serde_json::Result<String> {
        Ok(match (self.json, self.watch) {
            (true, true) => serde_json::to_string(overview)? + "\n",
            (true, false) => serde_json::to_string_pretty(overview)? + "\n",
            (false, is_watching) => {
                let lines = if is_watching { lines_of_terminal() } else { None };
                overview.text(SystemTime::now(), Page { screen: Screen::of_standard_output(), lines, said })
            }
        })
    }

    fn show(&self, overview: &Overview, said: Option<&str>) -> std::io::Result<()> {
        self.redraw(&self.text(overview, said)?)
    }

    /// On a terminal, where the last look would be wiped away otherwise.
    fn show_what_there_was(&self, last: Option<&(Overview, Instant)>, reason: &str) -> std::io::Result<()> {
        match last {
            None => self.redraw(&format!("{reason}\n")),
            Some((overview, at)) => {
                let age = words::duration(at.elapsed());
                self.show(overview, Some(&format!("{reason}\nThis is what there was to see {age} ago:")))
            }
        }
    }

    /// In place of what was there before, on a terminal.
    fn redraw(&self, text: &str) -> std::io::Result<()> {
        if !self.json && stdout().is_terminal() {
            Term::stdout().clear_screen()?;
        }
        write(text)
    }
}

/// As many lines as can be seen at once, on a terminal that knows.
fn lines_of_terminal() -> Option<u16> {
    let (lines, _) = Term::stdout().size_checked()?;
    (lines > 0).then_some(lines)
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
