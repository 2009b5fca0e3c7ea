//! Checks a valid configuration for settings without effect and for a spool that cannot be used.

use std::io;
use std::time::Duration;

use tokio::time::timeout;

use super::finding::{CheckItem, CureKind, Finding, Findings, Verdict};
use crate::config::{self, Config};
use crate::repository::RegisteredServer;
use crate::spool::{Spool, Spools};

/// `servers` are all registered servers, with invalid ones; `None` if they could not be read.
pub(crate) async fn check_configuration(config: &Config, servers: Option<&[RegisteredServer]>) -> Findings {
    let mut findings = Findings::default();
    findings.extend(environment(config));
    if let Some(servers) = servers {
        findings.extend(overrides(config, servers));
    }
    findings.push(spool(&config.spool, config.timeouts.connect).await);
    findings
}

/// A misspelt variable has no effect.
fn environment(config: &Config) -> Vec<Finding> {
    if config.ignored_variables.is_empty() {
        return vec![Finding::new(CheckItem::Environment, Verdict::Well, "")];
    }
    let findings = config.ignored_variables.iter().map(|warning| {
        Finding::new(CheckItem::Environment, Verdict::Warning, warning)
            .cured_by(CureKind::Advice, "rename the variable, or unset it where the collector is started")
    });
    findings.collect()
}

/// A misspelt override silently drops settings such as certificate verification.
fn overrides(config: &Config, servers: &[RegisteredServer]) -> Vec<Finding> {
    let servers: Vec<_> = servers.iter().map(|server| (server.id, server.alias.as_deref())).collect();
    let unknown = config.unmatched_names(&servers);
    if unknown.is_empty() {
        return vec![Finding::new(CheckItem::Overrides, Verdict::Well, "")];
    }
    let warning = |(section, names): (&str, Vec<&str>)| {
        let message = format!("{section} has sections for servers that are not registered: {names:?}");
        let cure = format!("{section}: use the id or the alias of a registered server");
        Finding::new(CheckItem::Overrides, Verdict::Warning, message).cured_by(CureKind::Configuration, cure)
    };
    unknown.into_iter().map(warning).collect()
}

/// Whether this user can write to the spool. The daemon can run as another user.
async fn spool(config: &config::Spool, limit: Duration) -> Finding {
    let in_file = config::Spool { memory: 0, ..config.clone() };
    let spool = Spool::new(&Spools::new(&in_file), &in_file);
    let mut writer = spool.writer();
    writer.block().push(b'\n');
    check_write(limit, writer.finish(String::new(), String::new(), 1)).await
}

/// Gives up on a disk that hangs after `limit`.
async fn check_write<T>(limit: Duration, writing: impl Future<Output = io::Result<T>>) -> Finding {
    match timeout(limit, writing).await {
        Ok(Ok(_)) => Finding::new(CheckItem::Spool, Verdict::Well, ""),
        Ok(Err(error)) => {
            let message = format!("snapshots that do not fit into spool.memory are lost: {error}");
            Finding::new(CheckItem::Spool, Verdict::Wrong, message).cured_by(
                CureKind::Configuration,
                "spool.directory: a directory with free space that the collector may write to",
            )
        }
        Err(_) => {
            let message = format!("writing to the disk took more than {} s", limit.as_secs());
            Finding::new(CheckItem::Spool, Verdict::Wrong, message)
                .cured_by(CureKind::Configuration, "spool.directory: a directory on another disk")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_disk_that_hangs_is_not_waited_for() {
        let found = check_write(Duration::from_secs(7), std::future::pending::<io::Result<()>>()).await;
        assert_eq!((found.verdict, found.message.as_str()), (Verdict::Wrong, "writing to the disk took more than 7 s"));
        let found = check_write(Duration::from_secs(7), async { Err::<(), _>(io::Error::other("full")) }).await;
        let message = "snapshots that do not fit into spool.memory are lost: full";
        assert_eq!((found.verdict, found.message.as_str()), (Verdict::Wrong, message));
        assert_eq!(found.cures[0].kind, CureKind::Configuration);
    }
}
