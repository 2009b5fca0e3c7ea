//! `check`: why does a server not work? What is found is told by `text` or `json`.

mod json;
mod progress;
mod text;
mod watching;

use std::process::ExitCode;
use std::time::SystemTime;

use futures_util::{StreamExt, stream};

use super::one_shot::{self, Ended, Installation};
use super::output::{self, Screen};
use super::server_name::{self, ServerName};
use crate::check::{
    CheckedRepository, CheckedServer, Findings, Ground, Mark, check_configuration, of_unreachable_repository,
};
use crate::config::{Config, Location};
use crate::postgres::{RegisteredServer, ServerList};
use crate::server::{InvalidServer, Server};
use crate::settings;
use crate::telemetry::Telemetry;
pub(super) use progress::Progress;
pub(super) use text::{details, figures};

/// Tells why a server does not work, and what to do about it
///
/// Looks at the configuration, the repository and the servers as a snapshot would, and keeps nothing of it. The exit code is 0
/// if all is well, 1 if something is wrong, and 2 if it could not be looked at.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Servers to look at, by id, alias or host:port, also those that are not active. All that are active, if none is named.
    #[arg(value_name = "SERVER")]
    servers: Vec<ServerName>,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,

    /// Tell everything that was looked at, also what is well.
    #[arg(short, long, conflicts_with = "json")]
    verbose: bool,
}

/// All that was found out.
#[derive(Default)]
struct Outcome {
    when: Option<SystemTime>,
    /// The file that was read.
    file: Option<String>,
    /// What is wrong with the configuration; it may be of several lines.
    unreadable: Option<String>,
    /// What there is to say of one that is valid.
    configuration: Findings,
    repository: Option<Result<CheckedRepository, Findings>>,
    /// Why no servers were looked at, where that is no matter of what was found before.
    unchecked: Option<String>,
    is_anything_registered: bool,
    /// How many servers are not active, and were not named.
    left_out: usize,
    servers: Vec<CheckedServer>,
}

/// Something could not be looked at at all.
const NOT_CHECKED: u8 = 2;

impl Outcome {
    fn is_unchecked(&self) -> bool {
        self.unreadable.is_some() || self.unchecked.is_some() || !matches!(self.repository, Some(Ok(_)))
    }

    fn of_configuration(&self) -> Mark {
        if self.unreadable.is_some() { Mark::Wrong } else { self.configuration.mark() }
    }

    fn mark(&self) -> Mark {
        let repository = self.repository.iter().flatten().map(|repository| repository.findings.mark());
        let before = repository.chain([self.configuration.mark()]);
        before.chain(self.servers.iter().map(|server| server.findings.mark())).max().unwrap_or(Mark::Well)
    }

    fn exit_code(&self) -> ExitCode {
        match self.mark() {
            _ if self.is_unchecked() => ExitCode::from(NOT_CHECKED),
            Mark::Wrong => ExitCode::FAILURE,
            _ => ExitCode::SUCCESS,
        }
    }
}

impl Arguments {
    /// Looks, tells, and is done.
    pub(super) fn run(self, location: &Location) -> ExitCode {
        Telemetry::quietly();
        let when = Some(SystemTime::now());
        let file = location.find().ok().map(|file| file.display().to_string());
        let config = match settings::read(location) {
            Ok(config) => config,
            Err(error) => {
                let outcome = Outcome { when, file, unreadable: Some(error.to_string()), ..Outcome::default() };
                return self.tell(&outcome);
            }
        };
        let told = one_shot::work_with("check", config, async |installation| {
            let outcome = Outcome { when, file, ..Outcome::default() };
            Ok(self.tell(&self.look(installation, outcome).await)) as Ended
        });
        told.unwrap_or_else(|error| {
            eprintln!("powa-collector check: {error}");
            ExitCode::from(NOT_CHECKED)
        })
    }

    async fn look(&self, installation: Installation, mut outcome: Outcome) -> Outcome {
        let Installation { config, repository, .. } = installation;
        let state = match repository.inspect().await {
            Ok(state) => state,
            Err(error) => {
                outcome.configuration = look_at(&config, None).await;
                outcome.repository = Some(Err(of_unreachable_repository(&error)));
                return outcome;
            }
        };
        let limit = config.limits.collects;
        let listed = tokio::try_join!(repository.registered_servers(), repository.all_servers());
        let known = listed.as_ref().ok().map(|(registered, _)| registered.as_slice());
        outcome.is_anything_registered = known.is_some_and(|servers| !servers.is_empty());
        outcome.configuration = look_at(&config, known).await;
        let ground = Ground::new(config, repository.clone(), &state);
        outcome.repository = Some(Ok(CheckedRepository::of(state)));
        let (registered, rows) = match listed {
            Ok(listed) => listed,
            Err(error) => {
                outcome.unchecked = Some(error.in_full());
                return outcome;
            }
        };
        let meant = match server_name::find_all(&self.servers, &registered) {
            Ok(meant) => meant,
            Err(error) => {
                outcome.unchecked = Some(error.to_string());
                return outcome;
            }
        };
        let all_active = self.servers.is_empty();
        let (meant, left_out): (Vec<_>, Vec<_>) =
            meant.into_iter().partition(|server| server.is_active() || !all_active);
        outcome.left_out = left_out.len();
        let meant = meant.into_iter().cloned();
        let pairs: Vec<_> = meant.filter_map(|server| Some((row_of(&server, &rows)?, server))).collect();
        let progress = Progress::over(pairs.len());
        let checking = pairs.into_iter().map(async |(row, server)| {
            let checked = ground.check(server, row).await;
            progress.one_more();
            checked
        });
        // One that is frozen is in nobody's way.
        let mut checked: Vec<_> = stream::iter(checking).buffer_unordered(limit).collect().await;
        checked.sort_by_key(|checked| checked.server.id);
        outcome.servers = checked;
        progress.end();
        outcome
    }

    fn tell(&self, outcome: &Outcome) -> ExitCode {
        let text =
            if self.json { json::of(outcome) } else { text::of(outcome, self.verbose, Screen::of_standard_output()) };
        match output::print(&text) {
            Ok(()) => {
                if !self.json {
                    text::complaints(outcome)
                        .iter()
                        .for_each(|complaint| eprintln!("powa-collector check: {complaint}"));
                }
                outcome.exit_code()
            }
            Err(error) => {
                eprintln!("powa-collector check: {error}");
                ExitCode::from(NOT_CHECKED)
            }
        }
    }
}

/// What there is to say of a configuration that is valid.
async fn look_at(config: &Config, servers: Option<&[RegisteredServer]>) -> Findings {
    let mut findings = check_configuration(config, servers).await;
    findings.extend(watching::check_files(&config.http, config.timeouts.connect).await);
    findings
}

/// How the server is to be connected to. One that has gone since is left out.
fn row_of<'a>(server: &RegisteredServer, rows: &'a ServerList) -> Option<Result<&'a Server, &'a InvalidServer>> {
    let id = server.id.to_string();
    let valid = rows.servers.iter().find(|row| row.id == server.id).map(Ok);
    valid.or_else(|| rows.invalid.iter().find(|row| row.id() == id).map(Err))
}
