//! `status`: shows the state of the collector and its servers, from the collector and the repository.

mod overview;

use std::io::{ErrorKind, IsTerminal, stdout};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use console::Term;
use tokio::time::{Instant, sleep};

use super::output::{Screen, is_closed, print, write};
use super::subcommand::{self, Context, ExitResult};
use super::units;
use crate::cli::output::print_error;
use crate::config::Location;
use crate::control::client::{Client, ClientError};
use crate::fleet::server_name::{NotFound, ServerName, find_all};
use crate::fleet::{self, TagFilter};
use crate::repository::OwnTable;
use crate::server::ServerId;
use overview::{Overview, Page};
use session::Error;

/// Of `--watch`.
const REFRESH_INTERVAL: Duration = Duration::from_secs(2);

/// Shows the state of the running collector and its servers.
///
/// Reads from the collector, over the command channel, and from the repository. If no collector answers, it shows what the
/// repository knows, and the exit code is 1.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Ids, aliases or host:port of servers; without any, all
    #[arg(value_name = "SERVER")]
    servers: Vec<ServerName>,

    /// Only servers with this tag; can be repeated, and all must match.
    #[arg(long = "tag", value_name = "KEY=VALUE")]
    tags: Vec<TagFilter>,

    /// Refresh every 2 seconds, until Ctrl-C.
    #[arg(short, long)]
    watch: bool,

    /// Print JSON; with --watch, one line for each refresh.
    #[arg(long)]
    json: bool,
}

/// Why the state could not be read.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error(transparent)]
    NotFound(#[from] NotFound),
    #[error("{0}")]
    Postgres(#[from] Error),
    #[error(transparent)]
    ClientError(ClientError),
    #[error(transparent)]
    Fleet(#[from] fleet::Error),
}

impl From<ClientError> for ReadError {
    fn from(unanswered: ClientError) -> Self {
        match unanswered {
            ClientError::Postgres(error) => Self::Postgres(error),
            other => Self::ClientError(other),
        }
    }
}

impl ReadError {
    /// Whether a retry would fail too, as the command line or the configuration is wrong.
    fn is_final(&self) -> bool {
        match self {
            Self::NotFound(_) => true,
            Self::Fleet(fleet::Error::Repository(error)) => !error.is_transient() && !error.is_missing_database(),
            Self::Fleet(_) => true,
            Self::Postgres(error) => !error.is_transient() && !error.is_missing_database(),
            Self::ClientError(_) => false,
        }
    }
}

impl Arguments {
    pub(super) fn run(self, location: &Location) -> ExitCode {
        subcommand::run("status", location, async |context| {
            if self.watch {
                return self.watch(&context).await;
            }
            let overview = self.read(&context, &mut None).await?;
            print(&self.text(&overview, None)?)?;
            Ok(finish(&overview))
        })
    }

    /// Refreshes until the command is interrupted. An error can be over at the next refresh.
    async fn watch(&self, context: &Context) -> ExitResult {
        let is_redrawn = !self.json && stdout().is_terminal();
        let mut client = None;
        let mut last: Option<(Overview, Instant)> = None;
        let mut last_error = None;
        loop {
            let shown = match self.read(context, &mut client).await {
                Ok(overview) => {
                    let shown = self.show(&overview, overview.unanswered());
                    last = Some((overview, Instant::now()));
                    last_error = None;
                    shown
                }
                Err(error) if last.is_none() && error.is_final() => return Err(error.into()),
                Err(error) => {
                    // Its session can be broken too.
                    client = None;
                    let reason = error.to_string();
                    if is_redrawn {
                        self.show_previous(last.as_ref(), &reason)
                    } else {
                        // Standard output is for states only.
                        if last_error.as_ref() != Some(&reason) {
                            print_error!("powa-collector status: {reason}");
                        }
                        last_error = Some(reason);
                        Ok(())
                    }
                }
            };
            match shown {
                Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS),
                shown => shown?,
            }
            // Nothing is written while the repository is away, so no write shows it.
            if is_closed() {
                return Ok(ExitCode::SUCCESS);
            }
            sleep(REFRESH_INTERVAL).await;
        }
    }

    async fn read(&self, context: &Context, client: &mut Option<Client>) -> Result<Overview, ReadError> {
        let registered = context.repository.registered_servers().await?;
        let mut servers = find_all(&self.servers, &registered)?;
        servers.retain(|server| TagFilter::all_match(&self.tags, server));
        if servers.is_empty() && !self.tags.is_empty() {
            // Without the schema, or the right to read it, nothing is known.
            fleet::require_read(&context.repository, OwnTable::Tags).await?;
        }
        let last = context.repository.last_snapshots().await?;
        let client = match client {
            Some(client) => client,
            None => client.insert(context.control_client().await?),
        };
        let collectors = client.collectors().await?;
        // One request for all servers. It has to fit into a notification, and without ids it means all of them.
        let ids: Vec<ServerId> =
            if servers.len() > 100 { vec![] } else { servers.iter().map(|server| server.id).collect() };
        let answered = match client.details(&ids).await {
            Err(error @ (ClientError::Postgres(_) | ClientError::Lost)) => return Err(error.into()),
            answered => answered,
        };
        Ok(Overview::new(&servers, &last, collectors, answered))
    }

    /// `notice` is printed before the text: standard error would be cleared by the next refresh.
    fn text(&self, overview: &Overview, notice: Option<&str>) -> serde_json::Result<String> {
        Ok(match (self.json, self.watch) {
            (true, true) => serde_json::to_string(overview)? + "\n",
            (true, false) => serde_json::to_string_pretty(overview)? + "\n",
            (false, is_watching) => {
                let lines = if is_watching { lines_of_terminal() } else { None };
                let is_filtered = !self.tags.is_empty();
                let page = Page { screen: Screen::of_standard_output(), lines, notice, is_filtered };
                overview.text(SystemTime::now(), page)
            }
        })
    }

    fn show(&self, overview: &Overview, notice: Option<&str>) -> std::io::Result<()> {
        self.redraw(&self.text(overview, notice)?)
    }

    /// Shows the last state with the error, so that the screen keeps it.
    fn show_previous(&self, last: Option<&(Overview, Instant)>, reason: &str) -> std::io::Result<()> {
        match last {
            None => self.redraw(&format!("{reason}\n")),
            Some((overview, at)) => {
                let age = units::duration(at.elapsed());
                self.show(overview, Some(&format!("{reason}\nThe state {age} ago:")))
            }
        }
    }

    /// Clears the screen first, on a terminal.
    fn redraw(&self, text: &str) -> std::io::Result<()> {
        if !self.json && stdout().is_terminal() {
            Term::stdout().clear_screen()?;
        }
        write(text)
    }
}

/// The height of the terminal, if it is known.
fn lines_of_terminal() -> Option<u16> {
    let (lines, _) = Term::stdout().size_checked()?;
    (lines > 0).then_some(lines)
}

/// Prints why no collector has answered, and returns the exit code.
fn finish(overview: &Overview) -> ExitCode {
    match overview.unanswered() {
        None => ExitCode::SUCCESS,
        Some(reason) => {
            print_error!("powa-collector status: {reason}");
            ExitCode::FAILURE
        }
    }
}
