//! From the start until there is a repository to work with, which may be hours: meanwhile it can be told to stop, to read its
//! configuration again, and asked how it is.

use std::pin::pin;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use crate::config::{Config, Location};
use crate::control::{Call, Overview};
use crate::http;
use crate::metrics::Metrics;
use crate::service::Service;
use crate::settings::{self, Error, Settings};
use crate::signals::{Request, Signals};
use crate::telemetry::Telemetry;

/// How long the repository may keep silent before the start counts as done, and the rest as waiting for it.
const UNTIL_READY: Duration = Duration::from_secs(5);

/// What there is to the daemon from the start.
pub(super) struct Beginning<'a> {
    pub(super) location: &'a Location,
    pub(super) telemetry: &'a Telemetry,
    pub(super) metrics: &'a Metrics,
    pub(super) service: &'a mut Service,
    pub(super) signals: &'a mut Signals,
    pub(super) http: &'a mut http::Server,
    pub(super) calls: &'a mut mpsc::Receiver<Call>,
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
    pub(super) async fn settings(mut self, mut config: Config) -> Result<Option<Settings>, Error> {
        self.service.status("connecting to the repository");
        self.http.take_up(settings::prepare(&config, None)?);
        let patience = Instant::now() + UNTIL_READY;
        let mut is_ready = false;
        loop {
            self.telemetry.set_debug(config.debug);
            let (tell, mut reason) = watch::channel(String::new());
            let mut first = pin!(Settings::first(config.clone(), self.metrics.clone(), tell));
            config = loop {
                tokio::select! {
                    settings = &mut first => return settings.map(Some),
                    Ok(()) = reason.changed() => {
                        self.service.status(&format!("waiting for the repository: {}", *reason.borrow_and_update()));
                        self.service.ready();
                        is_ready = true;
                    }
                    () = sleep_until(patience), if !is_ready => {
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
                        Request::Reload => {
                            self.service.reloading();
                            let other = self.read_again(&config);
                            self.service.ready();
                            if let Some(other) = other {
                                break other;
                            }
                        }
                    },
                }
            };
        }
    }

    /// The configuration, if it is another one that can be worked with.
    fn read_again(&mut self, before: &Config) -> Option<Config> {
        let read = settings::read(self.location);
        match read.and_then(|other| Ok((settings::prepare(&other, Some(&before.http))?, other))) {
            Ok((prepared, other)) => {
                self.http.take_up(prepared);
                (other != *before).then_some(other)
            }
            Err(error) => {
                tracing::error!("{error}; what was there before stays");
                None
            }
        }
    }
}

/// There is nothing yet that could be asked for, but how it is.
fn answer(call: Call) {
    if let Call::Overview(reply) = call {
        // Whoever does not wait for the answer any more has no need of it.
        drop(reply.send(Overview::at_start()));
    }
}
