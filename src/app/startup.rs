//! The start of the daemon until the repository is connected, which may take hours. Meanwhile the daemon handles signals to
//! stop and to reload, and serves its status.

use std::pin::pin;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use crate::app::reload::{Error, FileSettings, Origin, Settings};
use crate::app::service::Service;
use crate::app::signals::{Request, Signals};
use crate::config::Config;
use crate::control::{Call, Overview, WaitingForRepository};
use crate::http;
use crate::metrics::Metrics;
use crate::telemetry::Telemetry;
use session::Endpoint;

/// How long to wait for a response of the repository before the daemon reports to the service manager that it is ready.
const READY_TIMEOUT: Duration = Duration::from_secs(5);

/// The parts of the daemon that exist before the repository is connected.
pub(super) struct Startup<'a> {
    pub(super) origin: &'a Origin,
    pub(super) telemetry: &'a Telemetry,
    pub(super) metrics: &'a Metrics,
    pub(super) service: &'a mut Service,
    pub(super) signals: &'a mut Signals,
    pub(super) http: &'a mut http::Server,
    pub(super) calls: &'a mut mpsc::Receiver<Call>,
}

type PendingRead = BoxFuture<'static, Result<FileSettings, Error>>;

/// A reload of the configuration, if one is in progress.
#[derive(Default)]
struct ConfigReload {
    reading: Option<PendingRead>,
    /// Whether another reload was requested since: the one in progress may miss the latest change.
    is_requested_again: bool,
}

impl Startup<'_> {
    /// Waits for the repository. Returns `None` if a signal stops the daemon first.
    ///
    /// The daemon reports to the service manager that it is ready as soon as it has to wait for the repository: otherwise the
    /// service manager would time out and stop it. Permanent errors before that make the start fail.
    ///
    /// # Errors
    /// A permanent error: the configuration is invalid, or its database is not a usable repository.
    pub(super) async fn wait_for_repository(
        mut self,
        (mut config, mut endpoint, files): FileSettings,
    ) -> Result<Option<Settings>, Error> {
        self.service.status("connecting to the repository");
        self.http.apply(files.prepare(None)?);
        let ready_deadline = Instant::now() + READY_TIMEOUT;
        let mut is_ready = false;
        let mut reload = ConfigReload::default();
        loop {
            self.telemetry.set_debug(config.debug);
            let (reason_sender, mut reason) = watch::channel(None);
            let known = (config.clone(), endpoint);
            let mut first = pin!(Settings::first(known, self.metrics.clone(), reason_sender));
            (config, endpoint) = loop {
                let is_reading = reload.reading.is_some();
                tokio::select! {
                    // Not during a reload: the settings may be outdated.
                    settings = &mut first, if !is_reading => return settings.map(Some),
                    Ok(()) = reason.changed(), if !is_reading => {
                        if let Some(waiting) = &*reason.borrow_and_update() {
                            self.service.status(&format!("waiting for the repository: {waiting}"));
                        }
                        self.service.ready();
                        is_ready = true;
                    }
                    () = sleep_until(ready_deadline), if !is_ready && !is_reading => {
                        self.service.ready();
                        is_ready = true;
                    }
                    () = self.service.next_status() => {}
                    Some(call) = self.calls.recv() => answer(call, reason.borrow().clone()),
                    () = self.http.next_event() => {}
                    request = self.signals.next() => match request {
                        Request::Stop => {
                            self.http.stop().await;
                            return Ok(None);
                        }
                        Request::Reload if is_reading => reload.is_requested_again = true,
                        Request::Reload => self.start_reload(&config, &mut reload),
                    },
                    read = read(&mut reload.reading) => {
                        reload.reading = None;
                        let new_settings = self.apply(read, &config);
                        self.service.ready();
                        is_ready = true;
                        let limits = new_settings.as_ref().map_or(&config, |(new_settings, _)| new_settings);
                        if std::mem::take(&mut reload.is_requested_again) {
                            self.start_reload(limits, &mut reload);
                        }
                        if let Some(new_settings) = new_settings {
                            break new_settings;
                        }
                    }
                }
            };
        }
    }

    /// Starts to read the configuration.
    fn start_reload(&mut self, before: &Config, reload: &mut ConfigReload) {
        tracing::info!("reloading");
        self.service.reloading();
        reload.reading = Some(self.origin.clone().read(before.timeouts.connect).boxed());
    }

    /// Applies a configuration that was read. Returns it if it is valid and has changed.
    fn apply(&mut self, read: Result<FileSettings, Error>, before: &Config) -> Option<(Config, Endpoint)> {
        let prepared = read.and_then(|(new_settings, endpoint, files)| {
            Ok((files.prepare(Some(&before.http))?, new_settings, endpoint))
        });
        match prepared {
            Ok((prepared, new_settings, endpoint)) => {
                self.http.apply(prepared);
                new_settings.log_ignored_variables();
                let has_changed = new_settings != *before;
                tracing::info!("reloaded{}", if has_changed { "" } else { "; the configuration is unchanged" });
                has_changed.then_some((new_settings, endpoint))
            }
            Err(error) => {
                tracing::error!("{error}; keeping the previous configuration");
                None
            }
        }
    }
}

/// Waits for the configuration that is being read; forever if none is. Cancel-safe.
async fn read(reading: &mut Option<PendingRead>) -> Result<FileSettings, Error> {
    match reading {
        Some(reading) => reading.await,
        None => std::future::pending().await,
    }
}

/// Handles a call before the repository is connected: only the overview is available.
fn answer(call: Call, waiting: Option<WaitingForRepository>) {
    if let Call::Overview(reply) = call {
        // A failed send means that the caller no longer waits.
        drop(reply.send(Overview::at_start(waiting)));
    }
}
