//! Reads the configuration from its file and the servers from the repository, at the start and for reloads. Reading changes
//! nothing: the main task applies the result.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::backoff;
use crate::config::endpoints::UnusableDsn;
use crate::config::{self, Config, Location, endpoints};
use crate::control::WaitingForRepository;
use crate::control::channel::{Channel, CommandSession};
use crate::http::{self, Files, PreparedServer};
use crate::metrics::Metrics;
use crate::repository::{Repository, ServerList};
use crate::spool::Spools;
use crate::worker::{CollectPermits, Context, ErrorLog};
use session::{BlockingPool, Connectors, Endpoint, Side};

/// The longest pause between two attempts to connect to the repository at the start.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Why the daemon could not start, or a reload failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Config(#[from] config::Error),
    #[error(transparent)]
    Dsn(#[from] UnusableDsn),
    #[error("{0}")]
    Postgres(#[from] session::Error),
    #[error("could not create the connection pool for the repository server: {0}")]
    Pool(String),
    #[error(transparent)]
    Http(#[from] http::Error),
    #[error("could not read the configuration: {0}")]
    Read(std::io::Error),
    #[error("could not read the configuration, or a file that it names, within {} s", .0.as_secs())]
    ReadTimeout(Duration),
    #[error("could not install signal handlers: {0}")]
    Signals(std::io::Error),
}

impl Error {
    /// Whether the error is in the environment variables, not in the file.
    pub(crate) fn is_from_environment(&self) -> bool {
        matches!(self, Self::Config(error) if error.is_from_environment())
    }
}

/// Everything that the daemon needs at the start.
pub(crate) struct Settings {
    pub context: Context,
    pub endpoint: Endpoint,
    pub channel: Channel,
    pub servers: ServerList,
}

impl Settings {
    /// Connects to the repository and reads the servers. Retries transient errors; each new one is logged and sent to
    /// `waiting_reason`.
    ///
    /// # Errors
    /// A permanent error: the connection parameters are invalid, or the database is not a usable repository.
    pub(crate) async fn first(
        (config, endpoint): (Config, Endpoint),
        metrics: Metrics,
        waiting_reason: watch::Sender<Option<WaitingForRepository>>,
    ) -> Result<Self, Error> {
        let (context, endpoint) = context(config, endpoint, metrics.clone(), None)?;
        let attempt = || async {
            match Self::try_first(&context, &endpoint).await {
                Err(error) if error.is_transient() => {
                    metrics.count_unreachable(Side::Repository);
                    Err(WaitingForRepository { stage: error.stage(), reason: error.to_string() })
                }
                result => Ok(result),
            }
        };
        let report = |waiting: WaitingForRepository| {
            tracing::error!("{waiting}; waiting for it");
            waiting_reason.send_replace(Some(waiting));
        };
        let (channel, servers) = backoff::retry_until_ok(LONGEST_PAUSE, attempt, report).await?;
        if waiting_reason.borrow().is_some() {
            metrics.count_reconnection(Side::Repository);
        }
        Ok(Self { context, endpoint, channel, servers })
    }

    async fn try_first(context: &Context, endpoint: &Endpoint) -> Result<(Channel, ServerList), session::Error> {
        let channel = CommandSession::open(endpoint).await?;
        Ok((channel, context.repository.servers().await?))
    }
}

/// What is read from files: the configuration, the repository's endpoint, and the files for HTTP.
pub(crate) type FileSettings = (Config, Endpoint, Files);

/// The result of a reload.
pub(crate) struct ReloadOutcome {
    pub servers: ServerList,
    /// Whether the configuration was read too.
    pub reloaded: bool,
    /// `None` if the configuration is unchanged.
    pub context: Option<Context>,
    /// `None` if the endpoint of the repository is unchanged.
    pub channel: Option<(Endpoint, Channel)>,
    /// `None` if the configuration was not read.
    pub http: Option<PreparedServer>,
}

/// A reload in progress.
pub(crate) struct Reload(BoxFuture<'static, Result<ReloadOutcome, Error>>);

impl Reload {
    /// Reads `powa_servers` only.
    pub(crate) fn server_list_only(repository: Repository) -> Self {
        Self(
            async move {
                let servers = repository.servers().await?;
                Ok(ReloadOutcome { servers, reloaded: false, context: None, channel: None, http: None })
            }
            .boxed(),
        )
    }

    /// Reads the configuration too. Fails if its repository is not usable.
    pub(crate) fn full(origin: Origin, current: Context) -> Self {
        Self(reload(origin, current).boxed())
    }

    /// Waits for the result. Cancel-safe; must not be called again after it has returned.
    pub(crate) async fn done(&mut self) -> Result<ReloadOutcome, Error> {
        (&mut self.0).await
    }
}

async fn reload(origin: Origin, current: Context) -> Result<ReloadOutcome, Error> {
    let (config, endpoint, files) = origin.read(current.config.timeouts.connect).await?;
    let http = Some(files.prepare(Some(&current.config.http))?);
    let has_moved = has_moved(&config, &endpoint, &current);
    if config == *current.config && !has_moved {
        let servers = current.repository.servers().await?;
        return Ok(ReloadOutcome { servers, reloaded: true, context: None, channel: None, http });
    }
    let (context, endpoint) = context(config, endpoint, current.metrics.clone(), Some(&current))?;
    let channel = if has_moved {
        let channel = CommandSession::open(&endpoint).await?;
        Some((endpoint, channel))
    } else {
        None
    };
    let servers = context.repository.servers().await?;
    Ok(ReloadOutcome { servers, reloaded: true, context: Some(context), channel, http })
}

/// Reads the configuration from its file for a subcommand, without the files for HTTP, which only the daemon needs.
///
/// # Errors
/// The configuration is missing or invalid.
pub(crate) fn read(location: &Location) -> Result<Config, Error> {
    read_with_endpoint(location, Config::read_for_command).map(|(config, _)| config)
}

/// Where the configuration is read from. Clones share the threads that read it, so that a hanging disk blocks only a few
/// threads, however often it is read.
#[derive(Clone)]
pub(crate) struct Origin {
    location: Location,
    reading: BlockingPool,
}

impl Origin {
    /// Reads from a file that is located anew each time.
    pub(crate) fn at(location: Location) -> Self {
        Self { location, reading: BlockingPool::default() }
    }

    /// Reads the configuration and the files that it names, without blocking the runtime.
    ///
    /// # Errors
    /// The configuration is missing or invalid, or was not read within the limit.
    pub(crate) async fn read(self, limit: Duration) -> Result<FileSettings, Error> {
        let Self { location, reading } = self;
        match timeout(limit, reading.run("configuration", move || read_all(&location))).await {
            Ok(read) => read.map_err(Error::Read)?,
            Err(_) => Err(Error::ReadTimeout(limit)),
        }
    }
}

/// Reads the configuration and the files for HTTP.
fn read_all(location: &Location) -> Result<FileSettings, Error> {
    let (config, endpoint) = read_with_endpoint(location, Config::read)?;
    let files = Files::read(&config.http)?.with_api(&config, &endpoint)?;
    Ok((config, endpoint, files))
}

fn read_with_endpoint(
    location: &Location,
    read: impl FnOnce(&Path) -> Result<Config, config::Error>,
) -> Result<(Config, Endpoint), Error> {
    let file = location.find().map_err(config::Error::from)?;
    let config = read(&file)?;
    let endpoint = endpoints::repository(&config)?;
    Ok((config, endpoint))
}

/// Whether the repository has another endpoint; also because a service file or a name resolves differently now.
fn has_moved(config: &Config, endpoint: &Endpoint, current: &Context) -> bool {
    config.timeouts != current.config.timeouts || !current.repository.connects_like(endpoint)
}

/// The context of workers with this configuration, and the endpoint of the main task. Reuses what is unchanged, so that pooled
/// connections stay open and waiting tasks keep their place in the queue.
fn context(
    config: Config,
    endpoint: Endpoint,
    metrics: Metrics,
    current: Option<&Context>,
) -> Result<(Context, Endpoint), Error> {
    let pool = current.filter(|current| {
        !has_moved(&config, &endpoint, current) && config.limits.loads == current.config.limits.loads
    });
    let repository = match pool {
        Some(current) => current.repository.clone(),
        None => {
            let made = Repository::new(&endpoint, &config).map_err(|error| Error::Pool(error.to_string()))?;
            match current {
                Some(current) => made.after(&current.repository),
                None => made,
            }
        }
    };
    let collect_permits = match current.filter(|current| current.config.limits.collects == config.limits.collects) {
        Some(current) => current.collect_permits.clone(),
        None => CollectPermits::new(config.limits.collects),
    };
    // Snapshots that are spooled now count against the new limit too.
    let spools = current.map_or_else(|| Spools::new(&config.spool), |current| current.spools.clone());
    let connectors = current.map_or_else(Connectors::default, |current| current.connectors.clone());
    let errors = current.map_or_else(ErrorLog::default, |current| current.errors.clone());
    let config = Arc::new(config);
    Ok((
        Context { config, repository, collect_permits, spools, connectors, metrics, errors },
        endpoints::for_main_task(endpoint),
    ))
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;

    use rustix::fs::{CWD, Mode, mkfifoat};
    use tokio::time::{Instant, sleep};

    use super::*;

    const MOMENT: Duration = Duration::from_millis(50);
    const LONG: Duration = Duration::from_secs(60);

    /// The number of threads of this process that read a configuration.
    fn reading() -> usize {
        let names = std::fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path().join("comm"));
        // A thread that has just ended has no name.
        names.filter(|name| std::fs::read_to_string(name).is_ok_and(|name| name == "configuration\n")).count()
    }

    #[tokio::test]
    async fn a_disk_that_hangs_keeps_a_few_threads_however_often_it_is_asked() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("c.conf");
        mkfifoat(CWD, &file, Mode::RUSR | Mode::WUSR).unwrap();
        let origin = Origin::at(Location::Given(file.clone()));
        for _ in 0..6 {
            assert!(matches!(origin.clone().read(MOMENT).await, Err(Error::ReadTimeout(_))));
        }
        let started = Instant::now();
        // A thread gets its name shortly after its start.
        while reading() < 4 && started.elapsed() < LONG {
            sleep(MOMENT).await;
        }
        sleep(MOMENT).await;
        assert_eq!(reading(), 4);

        // Opening the pipe for writing unblocks the readers, like a disk that responds again.
        let both_ends = OpenOptions::new().read(true).write(true).open(&file).unwrap();
        let mended = directory.path().join("mended.conf");
        std::fs::write(&mended, r#"{"repository": {"dsn": "host=127.0.0.1 port=1 user=nobody"}}"#).unwrap();
        std::fs::rename(&mended, &file).unwrap();
        drop(both_ends);
        assert!(origin.read(LONG).await.is_ok());
    }
}
