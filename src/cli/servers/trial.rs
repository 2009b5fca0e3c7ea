//! `--check`: would a worker get along with a server that is about to be registered? This is the small check, of what a
//! worker needs to begin; `powa-collector check` is the large one, which needs the row that is not there yet.

use crate::config::Config;
use crate::postgres::{self, Connectors, Endpoint, Extensions, NewServer, PowaVersion, RemoteSession, Repository};
use crate::server::{InvalidServer, Server, ServerRow};

/// It would not.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unfit {
    #[error("{}", .0.in_full())]
    Postgres(#[from] postgres::Error),
    #[error(transparent)]
    Invalid(#[from] InvalidServer),
    #[error("PoWA on the remote server: {0}")]
    Unusable(String),
    #[error(
        "incompatible PoWA versions: the repository server has {repository}, the remote server {remote}; update the \
         older one"
    )]
    Incompatible { repository: PowaVersion, remote: PowaVersion },
    #[error(
        "not installed in the database \"{dbname}\" of the remote server: {}; run \"create extension\" there",
        .missing.join(", ")
    )]
    Missing { dbname: String, missing: Vec<String> },
}

/// Connects as a worker would, and looks whether what is to be collected is there.
///
/// # Errors
/// There is no connection, no PoWA that fits the repository's, or not all of the extensions.
pub(super) async fn check(
    new: &NewServer,
    extensions: &[String],
    config: &Config,
    repository: &Repository,
) -> Result<(), Unfit> {
    let server = Server::parse(row(new))?;
    let name = server.name(config.use_server_alias);
    let endpoint = Endpoint::remote(&server, &name, config, &Connectors::default()).for_command("servers add");
    let session = RemoteSession::open(&endpoint).await?;
    let found = session.begin_server().await?.extensions;
    compare(&repository.powa().await?, &found)?;
    let missing = missing(extensions, &found);
    if missing.is_empty() { Ok(()) } else { Err(Unfit::Missing { dbname: new.dbname.clone(), missing }) }
}

/// There is no id yet: what is configured under the one that it will have cannot be meant by anybody.
fn row(new: &NewServer) -> ServerRow {
    ServerRow {
        id: i32::MAX,
        host: Some(new.host.clone()),
        port: Some(new.port.into()),
        user: Some(new.user.clone()),
        password: new.password.clone(),
        dbname: Some(new.dbname.clone()),
        frequency: Some(new.frequency),
        alias: new.alias.clone(),
    }
}

fn compare(repository: &PowaVersion, found: &Extensions) -> Result<(), Unfit> {
    let remote = found.usable_powa().map_err(|unusable| Unfit::Unusable(unusable.to_string()))?;
    if repository.fits(&remote) { Ok(()) } else { Err(Unfit::Incompatible { repository: repository.clone(), remote }) }
}

/// Those that a server needs to have installed: what PoWA collects by itself is no extension, and hypopg is looked for by
/// powa-web only.
fn missing(wanted: &[String], found: &Extensions) -> Vec<String> {
    let needed = |name: &&String| !matches!(name.as_str(), "powa" | "hypopg");
    let always = [String::from("pg_stat_statements")];
    let all = always.iter().chain(wanted.iter().filter(needed));
    let mut missing: Vec<_> = all.filter(|name| found.version(name).is_none()).cloned().collect();
    missing.dedup();
    missing
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extensions(installed: &[(&str, &str)]) -> Extensions {
        Extensions::from_rows(
            installed
                .iter()
                .map(|(name, version)| (String::from(*name), String::from(*version), String::from("public"))),
        )
    }

    #[test]
    fn what_is_not_there_is_named() {
        let found = extensions(&[("powa", "5.0.2"), ("pg_stat_kcache", "2.3")]);
        let wanted = ["pg_stat_kcache", "pg_qualstats", "hypopg"].map(String::from);
        assert_eq!(missing(&wanted, &found), ["pg_stat_statements", "pg_qualstats"]);
    }

    #[test]
    fn versions_that_do_not_fit_are_told_apart_from_none() {
        let repository = extensions(&[("powa", "5.0.2")]).usable_powa().unwrap();
        assert!(compare(&repository, &extensions(&[("powa", "5.0.1")])).is_ok());
        assert!(matches!(compare(&repository, &extensions(&[("powa", "4.1.4")])), Err(Unfit::Incompatible { .. })));
        assert!(matches!(compare(&repository, &extensions(&[])), Err(Unfit::Unusable(_))));
    }
}
