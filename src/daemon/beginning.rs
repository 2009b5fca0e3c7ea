//! From the start until there is a repository to work with, which may be hours: meanwhile it can be told to stop, to read its
//! configuration again, and asked how it is.

use std::pin::pin;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use crate::config::Config;
use crate::control::{Call, Overview};
use crate::http;
use crate::metrics::Metrics;
use crate::postgres::Endpoint;
use crate::service::Service;
use crate::settings::{Error, InFiles, Origin, Settings};
use crate::signals::{Request, Signals};
use crate::telemetry::Telemetry;

/// How long the repository may keep silent before the start counts as done, and the rest as waiting for it.
const UNTIL_READY: Duration = Duration::from_secs(5);

/// What there is to the daemon from the start.
pub(super) struct Beginning<'a> {
    pub(super) origin: &'a Origin,
    pub(super) telemetry: &'a Telemetry,
    pub(super) metrics: &'a Metrics,
    pub(super) service: &'a mut Service,
    pub(super) signals: &'a mut Signals,
    pub(super) http: &'a mut http::Server,
    pub(super) calls: &'a mut mpsc::Receiver<Call>,
}

type Reading = BoxFuture<'static, Result<InFiles, Error>>;

/// A look at the configuration that is under way.
#[derive(Default)]
struct Rereading {
    reading: Option<Reading>,
    /// It was asked for since: what is being read may be older than that.
    again: bool,
}

impl Beginning<'_> {
    /// Waits for the repository; `None` if it is told to stop first. A file that was changed meanwhile is read again when a
    /// reload is asked for.
    ///
    /// To the service manager, the start is done when it is known that the repository has to be waited for: whoever waits
    /// for the start would end it. What makes it fail at once is still a start that failed.
    ///
    /// # Errors
    /// There is no configuration that can be worked with, or it names no repository.
    pub(super) async fn settings(
        mut self,
        (mut config, mut endpoint, files): InFiles,
    ) -> Result<Option<Settings>, Error> {
        self.service.status("connecting to the repository");
        self.http.take_up(files.prepare(None)?);
        let patience = Instant::now() + UNTIL_READY;
        let mut is_ready = false;
        let mut rereading = Rereading::default();
        loop {
            self.telemetry.set_debug(config.debug);
            let (tell, mut reason) = watch::channel(String::new());
            let known = (config.clone(), endpoint);
            let mut first = pin!(Settings::first(known, self.metrics.clone(), tell));
            (config, endpoint) = loop {
                let is_reading = rereading.reading.is_some();
                tokio::select! {
                    // What it would come to may be outdated.
                    settings = &mut first, if !is_reading => return settings.map(Some),
                    Ok(()) = reason.changed(), if !is_reading => {
                        self.service.status(&format!("waiting for the repository: {}", *reason.borrow_and_update()));
                        self.service.ready();
                        is_ready = true;
                    }
                    () = sleep_until(patience), if !is_ready && !is_reading => {
                        self.service.ready();
                        is_ready = true;
                    }
                    () = self.service.turn() => {}
                    Some(call) = self.calls.recv() => answer(call),
                    () = self.http.tend() => {}
                    request = self.signals.next() => match request {
                        Request::Stop => {
                            self.http.stop().await;
                            return Ok(None);
                        }
                        Request::Reload if is_reading => rereading.again = true,
                        Request::Reload => self.read_again(&config, &mut rereading),
                    },
                    read = read(&mut rereading.reading) => {
                        rereading.reading = None;
                        let other = self.take_up(read, &config);
                        self.service.ready();
                        is_ready = true;
                        let limits = other.as_ref().map_or(&config, |(other, _)| other);
                        if std::mem::take(&mut rereading.again) {
                            self.read_again(limits, &mut rereading);
                        }
                        if let Some(other) = other {
                            break other;
                        }
                    }
                }
            };
        }
    }

    /// Begins to read the configuration.
    fn read_again(&mut self, before: &Config, rereading: &mut Rereading) {
        self.service.reloading();
        rereading.reading = Some(self.origin.clone().read(before.timeouts.connect).boxed());
    }

    /// The configuration that was read, if it is another one that can be worked with.
    fn take_up(&mut self, read: Result<InFiles, Error>, before: &Config) -> Option<(Config, Endpoint)> {
        let prepared =
            read.and_then(|(other, endpoint, files)| Ok((files.prepare(Some(&before.http))?, other, endpoint)));
        match prepared {
            Ok((prepared, other, endpoint)) => {
                self.http.take_up(prepared);
                (other != *before).then_some((other, endpoint))
            }
            Err(error) => {
                tracing::error!("{error}; what was there before stays");
                None
            }
        }
    }
}

/// Waits for what is being read, if anything is. It stays where it is, so this is safe to drop.
async fn read(reading: &mut Option<Reading>) -> Result<InFiles, Error> {
    match reading {
        Some(reading) => reading.await,
        None => std::future::pending().await,
    }
}

/// There is nothing yet that could be asked for, but how it is.
fn answer(call: Call) {
    if let Call::Overview(reply) = call {
        // Whoever does not wait for the answer any more has no need of it.
        drop(reply.send(Overview::at_start()));
    }
}
