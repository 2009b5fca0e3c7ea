//! What can be said of a configuration that is valid?

use std::io;
use std::time::Duration;

use tokio::time::timeout;

use super::finding::{Finding, Findings, Mark, Place, What};
use crate::config::{self, Config};
use crate::postgres::RegisteredServer;
use crate::spool::Spool;

/// Looks at it. `servers` are those that are registered, if that is known; also those that nobody could connect to.
pub async fn check_configuration(config: &Config, servers: Option<&[RegisteredServer]>) -> Findings {
    let mut findings = Findings::default();
    if let Some(servers) = servers {
        findings.push(overrides(config, servers));
    }
    findings.push(spool(&config.spool, config.timeouts.connect).await);
    findings
}

/// A slip in a name leaves its server without what was meant for it.
fn overrides(config: &Config, servers: &[RegisteredServer]) -> Finding {
    let servers: Vec<_> = servers.iter().map(|server| (server.id, server.alias.as_deref())).collect();
    let names = config.remote.names_of_nobody(&servers);
    if names.is_empty() {
        return Finding::new(What::Overrides, Mark::Well, "");
    }
    let said = format!("\"remote.servers\" has names that are no server's id or alias: {names:?}");
    Finding::new(What::Overrides, Mark::Warning, said).cured_by(
        Place::Configuration,
        "remote.servers: the id or the alias of a server that is registered, in their place",
    )
}

/// Whether something can be kept in the folder, by whoever looks: the daemon may be somebody else.
async fn spool(config: &config::Spool, limit: Duration) -> Finding {
    let spool = Spool::new(&config::Spool { memory: 0, ..config.clone() });
    let mut writer = spool.writer();
    writer.block().push(b'\n');
    of_writing(limit, writer.finish(String::new(), String::new(), 1)).await
}

/// A disk that hangs is not waited for.
async fn of_writing<T>(limit: Duration, writing: impl Future<Output = io::Result<T>>) -> Finding {
    match timeout(limit, writing).await {
        Ok(Ok(_)) => Finding::new(What::Spool, Mark::Well, ""),
        Ok(Err(error)) => {
            let said = format!("a snapshot that does not fit into spool.memory is lost: {error}");
            Finding::new(What::Spool, Mark::Wrong, said)
                .cured_by(Place::Configuration, "spool.directory: a folder that the collector may write to, with room")
        }
        Err(_) => {
            let said = format!("the disk did not answer within {} s", limit.as_secs());
            Finding::new(What::Spool, Mark::Wrong, said)
                .cured_by(Place::Configuration, "spool.directory: a folder on a disk that answers")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_disk_that_hangs_is_not_waited_for() {
        let found = of_writing(Duration::from_secs(7), std::future::pending::<io::Result<()>>()).await;
        assert_eq!((found.mark, found.said.as_str()), (Mark::Wrong, "the disk did not answer within 7 s"));
        let found = of_writing(Duration::from_secs(7), async { Err::<(), _>(io::Error::other("full")) }).await;
        let said = "a snapshot that does not fit into spool.memory is lost: full";
        assert_eq!((found.mark, found.said.as_str()), (Mark::Wrong, said));
        assert_eq!(found.cures[0].place, Place::Configuration);
    }
}
