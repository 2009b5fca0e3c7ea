//! `--check`: what would `powa-collector check` tell of a server, if it were registered like this? It is asked for before it
//! is, so that what does not work is not registered.

use super::super::check::{Progress, details, figures};
use super::super::one_shot::Installation;
use super::super::output;
use super::Failure;
use crate::check::{Ground, Mark, Subject};
use crate::one_line::on_one_line;
use crate::postgres::{Changes, NewServer, RegisteredServer};
use crate::secret::Secret;
use crate::server::{Server, ServerRow};

/// Looks at a server that is to be registered.
///
/// # Errors
/// Something is wrong with it, which was told.
pub(super) async fn check_new(
    new: &NewServer,
    extensions: &[String],
    installation: &Installation,
) -> Result<(), Failure> {
    let row = ServerRow {
        // There is none yet: what is configured under the one that it will have cannot be meant by anybody.
        id: i32::MAX,
        host: Some(new.host.clone()),
        port: Some(new.port.into()),
        user: Some(new.user.clone()),
        password: new.password.clone(),
        dbname: Some(new.dbname.clone()),
        frequency: Some(new.frequency),
        alias: new.alias.clone(),
    };
    check(&Server::parse(row)?, Subject::New(extensions), installation).await
}

/// Looks at a server that is to be changed, as it would be then.
///
/// # Errors
/// Something would be wrong with it, which was told.
pub(super) async fn check_changed(
    server: &RegisteredServer,
    changes: &Changes,
    installation: &Installation,
) -> Result<(), Failure> {
    let password = match &changes.password {
        Some(password) => password.clone(),
        None => password(server, installation).await?,
    };
    let row = row_of(server, changes, password);
    check(&Server::parse(row)?, Subject::Registered, installation).await
}

/// The one that is registered.
async fn password(server: &RegisteredServer, installation: &Installation) -> Result<Option<Secret>, Failure> {
    let rows = installation.repository.all_servers().await?;
    let id = server.id.to_string();
    if let Some(invalid) = rows.invalid.into_iter().find(|invalid| invalid.id() == id) {
        return Err(invalid.into());
    }
    Ok(rows.servers.into_iter().find(|row| row.id == server.id).and_then(|row| row.password))
}

fn row_of(server: &RegisteredServer, changes: &Changes, password: Option<Secret>) -> ServerRow {
    let or = |changed: &Option<String>, registered: &String| Some(changed.as_ref().unwrap_or(registered).clone());
    let frequency = if server.is_active() { server.frequency } else { super::active::FREQUENCY };
    ServerRow {
        id: server.id.get(),
        host: or(&changes.host, &server.host),
        port: Some(changes.port.map_or(server.port, i32::from)),
        user: or(&changes.user, &server.user),
        password,
        dbname: or(&changes.dbname, &server.dbname),
        frequency: Some(changes.frequency.unwrap_or(frequency)),
        alias: changes.alias.clone().unwrap_or_else(|| server.alias.clone()),
    }
}

async fn check(server: &Server, subject: Subject<'_>, installation: &Installation) -> Result<(), Failure> {
    let state = installation.repository.inspect().await?;
    let ground = Ground::new(installation.config.clone(), installation.repository.clone(), &state);
    let progress = Progress::over(1);
    let (findings, found) = ground.check_before(server, subject).await;
    progress.end();
    let address = on_one_line(&format!("{}:{}", server.host, server.port)).into_owned();
    if findings.worst().is_some() {
        eprintln!("{}\n", details(&address, &findings).trim());
    }
    if findings.mark() == Mark::Wrong {
        return Err(Failure::Wrong(address));
    }
    output::print(&format!("{address}: {}\n", figures(&found)))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_changed_is_looked_at_as_it_is() {
        let (port, alias) = (5433, Some("main".into()));
        let server =
            RegisteredServer { host: "db1".into(), port, alias, frequency: -1, ..RegisteredServer::example(3) };
        let as_it_is = Server::parse(row_of(&server, &Changes::default(), None)).unwrap();
        assert_eq!(
            (as_it_is.id, as_it_is.name(true), as_it_is.name(false)),
            (server.id, "main".into(), "db1:5433".into())
        );
        let changes = Changes {
            host: Some("db2".into()),
            port: Some(1),
            alias: Some(None),
            user: Some("me".into()),
            ..Changes::default()
        };
        let changed = Server::parse(row_of(&server, &changes, Some(Secret::new("x".into())))).unwrap();
        assert_eq!(
            (changed.name(true).as_str(), changed.user.as_str(), changed.dbname.as_str()),
            ("db2:1", "me", "powa")
        );
        assert_eq!(changed.password.as_ref().map(Secret::reveal), Some("x"));
    }
}
