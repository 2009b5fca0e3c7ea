//! `wait`: waits until the repository has snapshots that are newer than a time.

use std::collections::BTreeMap;
use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use humantime::{format_rfc3339_millis, parse_rfc3339_weak};
use tokio::time::{Instant, sleep_until};

use super::disabled::refuse_disabled;
use super::output::print_error;
use super::subcommand::{self, Context};
use crate::config::Location;
use crate::control::client::{Client, ClientError};
use crate::control::detail::Detail;
use crate::fleet::server_name::{ServerName, find_all};
use crate::repository::RegisteredServer;
use crate::server::ServerId;

/// Between two reads of the workers' state.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// The exit code after --timeout.
const TIMED_OUT: u8 = 3;

/// Waits until a snapshot of each server is stored that was started at or after a time.
///
/// It requests no snapshot: see "powa-collector snapshot --wait". The exit code is 3 if --timeout has passed, and 1 if no collector
/// answers.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Id, alias or host:port of servers [default: all that are enabled]
    #[arg(value_name = "SERVER")]
    servers: Vec<ServerName>,

    /// As RFC 3339 (2026-05-07T18:00:00Z; UTC without a zone), or in seconds since 1970, by the collector's clock [default: now]
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    newer_than: Option<SystemTime>,

    /// Give up after so many seconds [default: never]
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u32>,
}

fn parse_time(text: &str) -> Result<SystemTime, String> {
    let invalid = || "must be a time such as 2026-05-07T18:00:00Z, or seconds since 1970".to_owned();
    match text.parse::<u64>() {
        Ok(seconds) => SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).ok_or_else(invalid),
        Err(_) => parse_rfc3339_weak(text).map_err(|_| invalid()),
    }
}

impl Arguments {
    pub(super) fn run(self, location: &Location) -> ExitCode {
        let newer_than = self.newer_than.unwrap_or_else(SystemTime::now);
        subcommand::run("wait", location, async |context| {
            let registered = context.repository.registered_servers().await?;
            let servers = if self.servers.is_empty() {
                registered.iter().filter(|server| server.is_active()).collect()
            } else {
                find_all(&self.servers, &registered)?
            };
            servers.iter().try_for_each(|server| refuse_disabled(server))?;
            let timeout = self.timeout.map(|seconds| Duration::from_secs(seconds.into()));
            Wait { servers, newer_than, deadline: timeout.map(|timeout| Instant::now() + timeout) }.run(&context).await
        })
    }
}

struct Wait<'a> {
    servers: Vec<&'a RegisteredServer>,
    newer_than: SystemTime,
    deadline: Option<Instant>,
}

impl Wait<'_> {
    async fn run(&self, context: &Context) -> Result<ExitCode, Box<dyn Error>> {
        let ids: Vec<_> = self.servers.iter().map(|server| server.id).collect();
        let mut client = Some(context.control_client().await?);
        let mut has_answered = false;
        loop {
            let next = Instant::now() + POLL_INTERVAL;
            let answer = self.read(context, &mut client, &ids).await;
            let failure = match &answer {
                Ok(details) => {
                    has_answered = true;
                    match self.first_pending(details) {
                        None => return Ok(ExitCode::SUCCESS),
                        Some(pending) => pending,
                    }
                }
                // A collector or a repository that was there is waited for: it may be restarted.
                Err(_) if !has_answered => return answer.map(|_| ExitCode::SUCCESS),
                Err(error) => error.to_string(),
            };
            match self.deadline {
                Some(deadline) if deadline <= next => {
                    sleep_until(deadline).await;
                    print_error!("powa-collector wait: timed out: {failure}");
                    return Ok(ExitCode::from(if answer.is_ok() { TIMED_OUT } else { 1 }));
                }
                _ => sleep_until(next).await,
            }
        }
    }

    /// Reads the state of the workers. After an error, the next call connects again.
    async fn read(
        &self,
        context: &Context,
        client: &mut Option<Client>,
        ids: &[ServerId],
    ) -> Result<BTreeMap<ServerId, Detail>, Box<dyn Error>> {
        let mut connected = match client.take() {
            Some(connected) => connected,
            None => context.control_client().await?,
        };
        let details = match connected.details(ids).await {
            // Retry once: the collector reconnects, and an answer can be lost.
            Err(ClientError::Silent { .. }) => connected.details(ids).await?,
            details => details?,
        };
        *client = Some(connected);
        Ok(details)
    }

    /// What the first server without a new snapshot waits for. `None` if there is no such server.
    fn first_pending(&self, details: &BTreeMap<ServerId, Detail>) -> Option<String> {
        let pending = self.servers.iter().find(|server| {
            let detail = details.get(&server.id);
            !detail.is_some_and(|detail| is_newer(detail, self.newer_than))
        })?;
        let state = match details.get(&pending.id) {
            None => "the collector does not collect it".to_owned(),
            Some(Detail { trouble: Some(error), .. }) => error.clone(),
            Some(Detail { left_out: Some(reason), .. }) => format!("it is excluded: {reason}"),
            Some(Detail { last: Some(last), .. }) => {
                format!("the last one was started at {}", format_rfc3339_millis(*last))
            }
            Some(_) => "there is none yet".to_owned(),
        };
        let time = format_rfc3339_millis(self.newer_than);
        Some(format!("waiting for a snapshot of {pending} that is newer than {time}; {state}"))
    }
}

/// Whether the last snapshot was started at or after a time. The collector knows when a snapshot was started only if it has taken it
/// since its start: until then, it shows the time when the last one was stored, which is later.
fn is_newer(detail: &Detail, time: SystemTime) -> bool {
    detail.taken > 0 && detail.last.is_some_and(|last| last >= time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_date_or_a_number() {
        let after = |seconds| Ok(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(parse_time("0"), after(0));
        assert_eq!(parse_time("1778176800"), after(1_778_176_800));
        for text in ["2026-05-07T18:00:00Z", "2026-05-07 18:00:00", "2026-05-07T18:00:00.000Z"] {
            assert_eq!(parse_time(text), after(1_778_176_800), "{text}");
        }
        for text in ["", "now", "-1", "2026-05-07", "2026-13-07T18:00:00Z", "99999999999999999999"] {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }
}
