//! The configuration: found, read and validated as a whole; afterwards there are only valid values.
//!
//! Reading order: `location` finds the file, `source` reads it (`json`), `environment` reads the `variables` that
//! override it, `schema` lists all keys and validates what was read (a `violation` is an error in it), `repository` and
//! `remotes` parse the connection parameters, `collect`, `http` and `hooks` their own sections, and [`Config`] is the result.

mod collect;
pub(crate) mod endpoints;
mod environment;
mod hooks;
mod http;
mod json;
mod location;
mod pattern;
mod per_server;
mod remotes;
mod repository;
mod schema;
mod source;
mod variables;
mod violation;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use self::variables::Variables;
use crate::pace::Pace;
use crate::server::ServerId;
use libpq::Environment;
use session::Side;

pub(crate) use collect::{Collect, Selection};
pub(crate) use hooks::Hooks;
pub(crate) use http::{ApiAccess, Http, Identity};
pub(crate) use location::{Location, NotFound};
pub(crate) use pattern::Pattern;
pub(crate) use remotes::Remotes;
pub(crate) use repository::Repository;
pub(crate) use violation::Violation;

/// A valid configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    pub repository: Repository,
    pub debug: bool,
    pub use_server_alias: bool,
    pub limits: Limits,
    pub timeouts: Timeouts,
    pub spool: Spool,
    pub remote: Remotes,
    pub collect: Collect,
    pub http: Http,
    pub hooks: Hooks,
    /// A warning for each variable of the environment that looks like a misspelt setting.
    pub ignored_variables: Vec<String>,
    pub pace: Pace,
    /// The environment of the process, for connections.
    pub environment: Arc<Environment>,
}

/// Limits of concurrency and of sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Remote servers being collected at once.
    pub collects: usize,
    /// Loads running at once on the repository.
    pub loads: usize,
    /// Databases of one remote server being collected at once.
    pub databases: usize,
    /// Bytes kept of a statement's text. `None` keeps all of it.
    pub query_text: Option<usize>,
}

/// Time limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timeouts {
    /// Opening a connection, including authentication.
    pub connect: Duration,
    /// One statement on a remote server.
    pub query: Duration,
    /// Collecting a whole snapshot; also loading it.
    pub snapshot: Duration,
    /// How long an unused connection to a database of a remote server is kept open.
    pub idle: Duration,
    /// From the stop request to the end of the process.
    pub stop: Duration,
}

impl Timeouts {
    /// The time limits of a session on one side.
    pub(crate) fn of_session(self, side: Side) -> session::Timeouts {
        let statement = match side {
            Side::Remote => self.query,
            // The longest statement in the repository is powa_take_snapshot(), which may aggregate and purge.
            Side::Repository => self.snapshot,
        };
        session::Timeouts { connect: self.connect, statement, idle_in_transaction: self.snapshot }
    }
}

/// Where collected rows are kept until the load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spool {
    /// Bytes of one server's snapshot kept in memory; a larger one is moved to an unlinked temporary file.
    pub memory: usize,
    /// Bytes of all snapshots kept in memory; the rest is moved to the file.
    pub total_memory: usize,
    /// Bytes of one server's snapshot, in memory or on disk; a larger one fails.
    pub limit: u64,
    /// Directory of the temporary files; `None` is the system's default.
    pub directory: Option<PathBuf>,
}

/// Why there is no valid configuration. The message names the file or variable, and each key with its value and the
/// allowed values.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    NotFound(#[from] NotFound),
    #[error("could not read configuration file \"{}\": {source}", file.display())]
    Unreadable { file: PathBuf, source: std::io::Error },
    #[error("configuration file \"{}\" is not valid JSON: {reason}", file.display())]
    Syntax { file: PathBuf, reason: String },
    #[error("the environment variable \"{variable}\" is not UTF-8")]
    NotUnicode { variable: String },
    #[error("{}:{}", heading(file, violations), list(violations))]
    Invalid { file: PathBuf, violations: Vec<Violation> },
}

impl Error {
    /// All errors come from the environment, not the file.
    pub(crate) fn is_from_environment(&self) -> bool {
        match self {
            Self::NotUnicode { .. } => true,
            Self::Invalid { violations, .. } => violations.iter().all(Violation::is_from_environment),
            Self::NotFound(_) | Self::Unreadable { .. } | Self::Syntax { .. } => false,
        }
    }
}

/// Who reads the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reader {
    /// Needs all of it.
    Service,
    /// Does not serve HTTP.
    Command,
}

/// The first line of the message: where the errors are, and how many.
fn heading(file: &Path, violations: &[Violation]) -> String {
    let errors = match violations.len() {
        1 => "one error".into(),
        n => format!("{n} errors"),
    };
    let of_the_environment = violations.iter().filter(|violation| violation.is_from_environment()).count();
    match of_the_environment {
        0 => format!("configuration file \"{}\" has {errors}", file.display()),
        n if n == violations.len() => format!("the environment has {errors}"),
        _ => format!("configuration file \"{}\" and the environment have {errors}", file.display()),
    }
}

/// Errors listed at most: a file of another program may have thousands.
const MOST_LISTED: usize = 20;

fn list(violations: &[Violation]) -> String {
    let mut list: String = violations.iter().take(MOST_LISTED).map(|violation| format!("\n  - {violation}")).collect();
    if let more @ 1.. = violations.len().saturating_sub(MOST_LISTED) {
        list.push_str(&format!("\n  - and {more} more"));
    }
    list
}

impl Config {
    /// Reads `file` and the variables `POWA_COLLECTOR__...`, and validates both.
    ///
    /// # Errors
    /// The file cannot be read, is not JSON, or has invalid settings, all of which are listed.
    pub(crate) fn read(file: &Path) -> Result<Self, Error> {
        Self::read_in(&Variables::from_process(), Arc::new(Environment::from_process()), file, Reader::Service)
    }

    /// For each object with settings of single servers: the names in it that are neither the id nor the alias of any of
    /// these servers.
    pub(crate) fn unmatched_names(&self, servers: &[(ServerId, Option<&str>)]) -> Vec<(&'static str, Vec<&str>)> {
        let sections = [
            (remotes::SOME, self.remote.unmatched_names(servers)),
            (collect::SOME, self.collect.unmatched_names(servers)),
        ];
        sections.into_iter().filter(|(_, names)| !names.is_empty()).collect()
    }

    /// Logs a warning for each variable that looks like a misspelt setting.
    pub(crate) fn log_ignored_variables(&self) {
        self.ignored_variables.iter().for_each(|warning| tracing::warn!("{warning}"));
    }

    /// The same for a command that does not serve HTTP: that section may name variables which only the service has.
    /// They are in [`Http::unresolved`].
    ///
    /// # Errors
    /// As for [`Self::read`].
    pub(crate) fn read_for_command(file: &Path) -> Result<Self, Error> {
        Self::read_in(&Variables::from_process(), Arc::new(Environment::from_process()), file, Reader::Command)
    }

    fn read_in(
        variables: &Variables,
        environment: Arc<Environment>,
        file: &Path,
        reader: Reader,
    ) -> Result<Self, Error> {
        let mut violations = Vec::new();
        let overrides = environment::read(variables, &mut violations)?;
        let mut written = source::read(file)?;
        source::overlay(&mut written, overrides);
        let values = schema::check(written, &mut violations);
        let mut config = Self {
            repository: Repository::read(&values, variables, &mut violations),
            remote: Remotes::read(values.section("remote"), &mut violations),
            collect: Collect::read(&values, &mut violations),
            http: Http::read(&values, variables, &mut violations),
            hooks: Hooks::read(&values, &mut violations),
            ignored_variables: environment::misspelt_settings(variables),
            pace: Pace::of_this_process(),
            environment,
            debug: values.boolean("debug"),
            use_server_alias: values.boolean("use_server_alias"),
            limits: Limits {
                collects: values.count("limits.collects"),
                loads: values.count("limits.loads"),
                databases: values.count("limits.databases"),
                query_text: Some(values.count("limits.query_text")).filter(|most| *most > 0),
            },
            timeouts: Timeouts {
                connect: values.seconds("timeouts.connect"),
                query: values.seconds("timeouts.query"),
                snapshot: values.seconds("timeouts.snapshot"),
                idle: values.seconds("timeouts.idle"),
                stop: values.seconds("timeouts.stop"),
            },
            spool: Spool {
                memory: values.count("spool.memory") * 1024,
                total_memory: values.count("spool.total_memory") << 20,
                limit: (values.count("spool.limit") as u64) << 20,
                directory: values.text("spool.directory").map(PathBuf::from),
            },
        };
        if reader == Reader::Service {
            violations.append(&mut config.http.unresolved);
        }
        violation::join_by_variable(&mut violations);
        if violations.is_empty() { Ok(config) } else { Err(Error::Invalid { file: file.to_owned(), violations }) }
    }
}

#[cfg(test)]
mod tests;
