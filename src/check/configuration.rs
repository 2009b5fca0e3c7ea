//! What can be said of a configuration that is valid?

use super::finding::{Finding, Findings, Mark, Place, What};
use crate::config::{self, Config};
use crate::server::Server;
use crate::spool::Spool;

/// Looks at it. `servers` are those that are registered, if that is known.
pub async fn check_configuration(config: &Config, servers: Option<&[Server]>) -> Findings {
    let mut findings = Findings::default();
    if let Some(servers) = servers {
        findings.push(overrides(config, servers));
    }
    findings.push(spool(&config.spool).await);
    findings
}

/// A slip in a name leaves its server without what was meant for it.
fn overrides(config: &Config, servers: &[Server]) -> Finding {
    let names = config.remote.names_of_nobody(servers);
    if names.is_empty() {
        return Finding::new(What::Overrides, Mark::Well, "");
    }
    let said = format!("\"remote.servers\" has names that are no server's id or alias: {names:?}");
    Finding::new(What::Overrides, Mark::Warning, said)
        .cured_by(Place::Configuration, "the id or the alias of a server that is registered, in their place")
}

/// Whether something can be kept in the folder, by whoever looks: the daemon may be somebody else.
async fn spool(config: &config::Spool) -> Finding {
    let spool = Spool::new(&config::Spool { memory: 0, ..config.clone() });
    let mut writer = spool.writer();
    writer.block().push(b'\n');
    match writer.finish(String::new(), String::new(), 1).await {
        Ok(_) => Finding::new(What::Spool, Mark::Well, ""),
        Err(error) => Finding::new(What::Spool, Mark::Warning, format!("nothing can be kept: {error}")),
    }
}
