//! What the daemon works with: the configuration from its file, and the servers from the repository. A look at them
//! changes nothing; what was seen is taken up, or not, by the main task.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use crate::aside::Aside;
use crate::config::{self, Config, Location};
use crate::http::{self, Files, Prepared};
use crate::metrics::Metrics;
use crate::pauses;
use crate::postgres::{self, Channel, Connectors, Control, Endpoint, Repository, ServerList, UnusableDsn};
use crate::worker::Context;

/// The longest pause between two tries to reach a repository that is not there yet.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Why the daemon could not start, or a reload could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Config(#[from] config::Error),
    #[error(transparent)]
    Dsn(#[from] UnusableDsn),
    #[error("{}", .0.in_full())]
    Postgres(#[from] postgres::Error),
    #[error("the pool of connections to the repository server could not be made: {0}")]
    Pool(String),
    #[error(transparent)]
    Http(#[from] http::Error),
    #[error("the configuration could not be read: {0}")]
    Reading(std::io::Error),
    #[error("the configuration, or a file that it names, was not read within {} s", .0.as_secs())]
    Unread(Duration),
    #[error("signals could not be taken over: {0}")]
    Signals(std::io::Error),
}

/// All that the daemon starts with.
pub struct Settings {
    pub context: Context,
    pub endpoint: Endpoint,
    pub channel: Channel,
    pub servers: ServerList,
}

impl Settings {
    /// Connects to the repository and reads the servers. A repository that is not there yet is waited for, and the
    /// reason is told, with a line in the log for each; what waiting cannot change is an error at once.
    ///
    /// # Errors
    /// The configuration names no repository that one could connect to, or one that is not a repository.
    pub async fn first(
        (config, endpoint): (Config, Endpoint),
        metrics: Metrics,
        why_it_waits: watch::Sender<String>,
    ) -> Result<Self, Error> {
        let (context, endpoint) = context(config, endpoint, metrics, None)?;
        let attempt = || async {
            match Self::try_first(&context, &endpoint).await {
                Err(error) if error.may_pass() => Err(error.in_full()),
                settled => Ok(settled),
            }
        };
        let tell = |reason| {
            tracing::error!("{reason}; waiting for it");
            why_it_waits.send_replace(reason);
        };
        let (channel, servers) = pauses::until_it_works(LONGEST_PAUSE, attempt, tell).await?;
        Ok(Self { context, endpoint, channel, servers })
    }

    async fn try_first(context: &Context, endpoint: &Endpoint) -> Result<(Channel, ServerList), postgres::Error> {
        let channel = Control::open(endpoint).await?;
        Ok((channel, context.repository.servers().await?))
    }
}

/// What is in files: the configuration, and what it names of the repository and for those who watch.
pub type InFiles = (Config, Endpoint, Files);

/// What a look has seen.
pub struct Seen {
    pub servers: ServerList,
    /// The configuration was looked at too.
    pub reloaded: bool,
    /// `None` if the configuration is as before.
    pub context: Option<Context>,
    /// `None` if the repository is where it was before.
    pub channel: Option<(Endpoint, Channel)>,
    /// `None` if the configuration was not looked at.
    pub http: Option<Prepared>,
}

/// A look that is under way.
pub struct Look(BoxFuture<'static, Result<Seen, Error>>);

impl Look {
    /// At `powa_servers` only.
    pub fn at_servers(repository: Repository) -> Self {
        Self(
            async move {
                let servers = repository.servers().await?;
                Ok(Seen { servers, reloaded: false, context: None, channel: None, http: None })
            }
            .boxed(),
        )
    }

    /// At the configuration too. It is good only if the repository it names can be worked with.
    pub fn at_everything(origin: Origin, before: Context) -> Self {
        Self(reload(origin, before).boxed())
    }

    /// Waits for it. Safe to drop; not to be called again once it has returned.
    pub async fn done(&mut self) -> Result<Seen, Error> {
        (&mut self.0).await
    }
}

async fn reload(origin: Origin, before: Context) -> Result<Seen, Error> {
    let (config, endpoint, files) = origin.read(before.config.timeouts.connect).await?;
    let http = Some(files.prepare(Some(&before.config.http))?);
    let is_elsewhere = is_elsewhere(&config, &endpoint, &before);
    if config == *before.config && !is_elsewhere {
        let servers = before.repository.servers().await?;
        return Ok(Seen { servers, reloaded: true, context: None, channel: None, http });
    }
    let (context, endpoint) = context(config, endpoint, before.metrics.clone(), Some(&before))?;
    let channel = if is_elsewhere {
        let channel = Control::open(&endpoint).await?;
        Some((endpoint, channel))
    } else {
        None
    };
    let servers = context.repository.servers().await?;
    Ok(Seen { servers, reloaded: true, context: Some(context), channel, http })
}

/// Reads the configuration from its file; not what it names for those who watch, which is nobody's but the daemon's.
///
/// # Errors
/// There is none that could be worked with, as far as can be told without connecting.
pub fn read(location: &Location) -> Result<Config, Error> {
    read_with_endpoint(location).map(|(config, _)| config)
}

/// Where the configuration comes from, each time it is read. Clones share the threads that read it, so that a disk that hangs
/// keeps a few of them, however often it is asked.
#[derive(Clone)]
pub struct Origin {
    location: Location,
    reading: Aside,
}

impl Origin {
    /// From its file, which is looked for each time.
    pub fn at(location: Location) -> Self {
        Self { location, reading: Aside::default() }
    }

    /// Reads it, with what it names, while others go on.
    ///
    /// # Errors
    /// There is none that could be worked with, or it was not read within the limit.
    pub async fn read(self, limit: Duration) -> Result<InFiles, Error> {
        let Self { location, reading } = self;
        match timeout(limit, reading.run("configuration", move || read_all(&location))).await {
            Ok(read) => read.map_err(Error::Reading)?,
            Err(_) => Err(Error::Unread(limit)),
        }
    }
}

/// With the files that it names for those who watch.
fn read_all(location: &Location) -> Result<InFiles, Error> {
    let (config, endpoint) = read_with_endpoint(location)?;
    let files = Files::read(&config.http)?;
    Ok((config, endpoint, files))
}

fn read_with_endpoint(location: &Location) -> Result<(Config, Endpoint), Error> {
    let file = location.find().map_err(config::Error::from)?;
    let config = Config::read(&file)?;
    let endpoint = Endpoint::repository(&config)?;
    Ok((config, endpoint))
}

/// Whether the repository is reached in another way; also because the service has moved that the configuration names.
fn is_elsewhere(config: &Config, endpoint: &Endpoint, before: &Context) -> bool {
    config.timeouts != before.config.timeouts || !before.repository.is_reached_by(endpoint)
}

/// The context of workers with this configuration, and the endpoint of the main task. What need not change is kept: the
/// pool's connections are warm, and who waits for a turn waits with the others.
fn context(
    config: Config,
    endpoint: Endpoint,
    metrics: Metrics,
    before: Option<&Context>,
) -> Result<(Context, Endpoint), Error> {
    let pool = before.filter(|before| {
        !is_elsewhere(&config, &endpoint, before) && config.limits.loads == before.config.limits.loads
    });
    let repository = match pool {
        Some(before) => before.repository.clone(),
        None => {
            let made = Repository::new(&endpoint, config.limits).map_err(|error| Error::Pool(error.to_string()))?;
            match before {
                Some(before) => made.after(&before.repository),
                None => made,
            }
        }
    };
    let collects = match before.filter(|before| before.config.limits.collects == config.limits.collects) {
        Some(before) => Arc::clone(&before.collects),
        None => Arc::new(Semaphore::new(config.limits.collects)),
    };
    let connectors = before.map_or_else(Connectors::default, |before| before.connectors.clone());
    Ok((Context { config: Arc::new(config), repository, collects, connectors, metrics }, endpoint.for_main_task()))
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;

    use rustix::fs::{CWD, Mode, mkfifoat};
    use tokio::time::{Instant, sleep};

    use super::*;

    const MOMENT: Duration = Duration::from_millis(50);
    const LONG: Duration = Duration::from_secs(60);

    /// The threads of this process that read a configuration.
    fn reading() -> usize {
        let names = std::fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path().join("comm"));
        // One that has just ended has none.
        names.filter(|name| std::fs::read_to_string(name).is_ok_and(|name| name == "configuration\n")).count()
    }

    #[tokio::test]
    async fn a_disk_that_hangs_keeps_a_few_threads_however_often_it_is_asked() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("c.conf");
        mkfifoat(CWD, &file, Mode::RUSR | Mode::WUSR).unwrap();
        let origin = Origin::at(Location::Given(file.clone()));
        for _ in 0..6 {
            assert!(matches!(origin.clone().read(MOMENT).await, Err(Error::Unread(_))));
        }
        let begun = Instant::now();
        // A thread has its name a moment after its start.
        while reading() < 4 && begun.elapsed() < LONG {
            sleep(MOMENT).await;
        }
        sleep(MOMENT).await;
        assert_eq!(reading(), 4);

        // Once there is somebody who writes, those who read are let go, as with a disk that is back.
        let both_ends = OpenOptions::new().read(true).write(true).open(&file).unwrap();
        let mended = folder.path().join("mended.conf");
        std::fs::write(&mended, r#"{"repository": {"dsn": "host=127.0.0.1 port=1 user=nobody"}}"#).unwrap();
        std::fs::rename(&mended, &file).unwrap();
        drop(both_ends);
        assert!(origin.read(LONG).await.is_ok());
    }
}
