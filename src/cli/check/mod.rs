//! `check`: why does a server not work? Runs the checks; `text` and `json` print their results.

mod http;
mod json;
mod progress;
mod text;

use std::process::ExitCode;
use std::time::SystemTime;

use futures_util::{StreamExt, stream};

use super::output::{self, Screen, print_error};
use super::subcommand::{self, Context, ExitResult};
use crate::app::reload;
use crate::check::{
    CheckedRepository, CheckedServer, Checker, Findings, Verdict, check_configuration, of_unreachable_repository,
};
use crate::config::{Config, Location};
use crate::fleet::server_name::{self, ServerName};
use crate::repository::{RegisteredServer, ServerList};
use crate::server::{InvalidServer, Server};
use crate::telemetry::Telemetry;
pub(super) use progress::Progress;
pub(super) use text::{details, facts};

/// Checks whether servers can be collected, and prints how to solve problems
///
/// Checks the configuration, the repository and the servers in the steps of a snapshot, and stores nothing. The exit code is 0 if
/// all is well, 1 if something is wrong, and 2 if the check could not run.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Servers to check, by id, alias or host:port, including disabled ones. Without any, all that are enabled.
    #[arg(value_name = "SERVER")]
    servers: Vec<ServerName>,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,

    /// Print every check, including those that are well.
    #[arg(short, long, conflicts_with = "json")]
    verbose: bool,
}

/// The results of all checks.
#[derive(Default)]
struct Outcome {
    when: Option<SystemTime>,
    /// The configuration file.
    file: Option<String>,
    /// The error of an invalid configuration; can have several lines.
    config_error: Option<String>,
    /// That error comes from an environment variable, not from the file.
    is_from_environment: bool,
    /// Findings about a valid configuration.
    configuration: Findings,
    repository: Option<Result<CheckedRepository, Findings>>,
    /// Why no server was checked, if not because of the configuration or the connection to the repository.
    unchecked: Option<String>,
    is_anything_registered: bool,
    /// The number of disabled servers, which are checked only if named.
    excluded: usize,
    servers: Vec<CheckedServer>,
}

/// The exit code if the check could not run.
const NOT_CHECKED: u8 = 2;

impl Outcome {
    fn is_unchecked(&self) -> bool {
        self.config_error.is_some() || self.unchecked.is_some() || !matches!(self.repository, Some(Ok(_)))
    }

    fn of_configuration(&self) -> Verdict {
        if self.config_error.is_some() { Verdict::Wrong } else { self.configuration.verdict() }
    }

    fn verdict(&self) -> Verdict {
        let repository = self.repository.iter().flatten().map(|repository| repository.findings.verdict());
        let servers = self.servers.iter().map(|server| server.findings.verdict());
        repository.chain([self.configuration.verdict()]).chain(servers).max().unwrap_or(Verdict::Well)
    }

    fn exit_code(&self) -> ExitCode {
        match self.verdict() {
            _ if self.is_unchecked() => ExitCode::from(NOT_CHECKED),
            Verdict::Wrong => ExitCode::FAILURE,
            _ => ExitCode::SUCCESS,
        }
    }
}

impl Arguments {
    pub(super) fn run(self, location: &Location) -> ExitCode {
        if let Err(error) = Telemetry::start_for_command() {
            print_error!("powa-collector check: {error}");
            return ExitCode::from(NOT_CHECKED);
        }
        let when = Some(SystemTime::now());
        let file = location.find().ok().map(|file| file.display().to_string());
        let config = match reload::read(location) {
            Ok(config) => config,
            Err(error) => {
                let is_from_environment = error.is_from_environment();
                let config_error = Some(error.to_string());
                return self.report(&Outcome { when, file, config_error, is_from_environment, ..Outcome::default() });
            }
        };
        let result = subcommand::run_with("check", config, async |context| {
            let outcome = Outcome { when, file, ..Outcome::default() };
            Ok(self.report(&self.check(context, outcome).await)) as ExitResult
        });
        result.unwrap_or_else(|error| {
            print_error!("powa-collector check: {error}");
            ExitCode::from(NOT_CHECKED)
        })
    }

    async fn check(&self, context: Context, mut outcome: Outcome) -> Outcome {
        let Context { config, repository, .. } = context;
        let state = match repository.inspect().await {
            Ok(state) => state,
            Err(error) => {
                outcome.configuration = check_valid_configuration(&config, None, false).await;
                outcome.repository = Some(Err(of_unreachable_repository(&error)));
                return outcome;
            }
        };
        let limit = config.limits.collects;
        let listed = tokio::try_join!(repository.registered_servers(), repository.all_servers());
        let known = listed.as_ref().ok().map(|(registered, _)| registered.as_slice());
        outcome.is_anything_registered = known.is_some_and(|servers| !servers.is_empty());
        let is_without_collector = state.collectors.as_ref().is_some_and(Vec::is_empty);
        outcome.configuration = check_valid_configuration(&config, known, is_without_collector).await;
        let checker = Checker::new(config, repository.clone(), &state);
        outcome.repository = Some(Ok(CheckedRepository::of(state).with_leftovers(&repository.leftover_rows().await)));
        let (registered, rows) = match listed {
            Ok(listed) => listed,
            Err(error) => {
                outcome.unchecked = Some(error.to_string());
                return outcome;
            }
        };
        let selected = match server_name::find_all(&self.servers, &registered) {
            Ok(selected) => selected,
            Err(error) => {
                outcome.unchecked = Some(error.to_string());
                return outcome;
            }
        };
        let are_named = !self.servers.is_empty();
        let (selected, excluded): (Vec<_>, Vec<_>) =
            selected.into_iter().partition(|server| server.is_active() || are_named);
        outcome.excluded = excluded.len();
        let selected = selected.into_iter().cloned();
        let pairs: Vec<_> = selected.filter_map(|server| Some((row_of(&server, &rows)?, server))).collect();
        let progress = Progress::new(pairs.len());
        let checks = pairs.into_iter().map(async |(row, server)| {
            let checked = checker.check(server, row).await;
            progress.advance();
            checked
        });
        // Unordered, so that a server that hangs does not delay the others.
        let mut checked: Vec<_> = stream::iter(checks).buffer_unordered(limit).collect().await;
        checked.sort_by_key(|checked| checked.server.id);
        outcome.servers = checked;
        progress.finish();
        outcome
    }

    fn report(&self, outcome: &Outcome) -> ExitCode {
        let text =
            if self.json { json::of(outcome) } else { text::of(outcome, self.verbose, Screen::of_standard_output()) };
        match output::print(&text) {
            Ok(()) => {
                if !self.json {
                    text::errors(outcome).iter().for_each(|error| print_error!("powa-collector check: {error}"));
                }
                outcome.exit_code()
            }
            Err(error) => {
                print_error!("powa-collector check: {error}");
                ExitCode::from(NOT_CHECKED)
            }
        }
    }
}

/// The findings about a valid configuration. `is_without_collector`: no collector is connected to its repository.
async fn check_valid_configuration(
    config: &Config,
    servers: Option<&[RegisteredServer]>,
    is_without_collector: bool,
) -> Findings {
    let mut findings = check_configuration(config, servers).await;
    findings.extend(http::check_http(&config.http, config.timeouts.connect, is_without_collector).await);
    findings
}

/// The connection parameters of a server. `None` if it was removed since the list was read.
fn row_of<'a>(server: &RegisteredServer, rows: &'a ServerList) -> Option<Result<&'a Server, &'a InvalidServer>> {
    let id = server.id.to_string();
    let valid = rows.servers.iter().find(|row| row.id == server.id).map(Ok);
    valid.or_else(|| rows.invalid.iter().find(|row| row.id() == id).map(Err))
}
