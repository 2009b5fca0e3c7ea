//! `--check` of `servers add` and `servers set`: checks a server with its new values before they are stored, so that a server
//! that does not work is not registered.

use super::Failure;
use crate::check::{CheckTarget, Checker, Verdict};
use crate::cli::check::{Progress, details, facts};
use crate::cli::output::{self, print_error};
use crate::cli::subcommand::Context;
use crate::fleet;
use crate::repository::{Changes, NewServer, RegisteredServer};
use crate::server::{Server, ServerRow};
use libpq::Secret;
use session::on_one_line;

/// Checks a server that is to be registered. Prints the problems.
///
/// # Errors
/// Something is wrong, or it cannot be checked.
pub(super) async fn check_new(new: &NewServer, extensions: &[String], context: &Context) -> Result<(), Failure> {
    check(&Server::parse(new.row())?, CheckTarget::New(extensions), context).await
}

/// Checks a server with its new values. Prints the problems.
///
/// # Errors
/// Something is wrong, or it cannot be checked.
pub(super) async fn check_changed(
    server: &RegisteredServer,
    changes: &Changes,
    context: &Context,
) -> Result<(), Failure> {
    let password = match &changes.password {
        Some(password) => password.clone(),
        None => registered_password(server, context).await?,
    };
    let row = row_of(server, changes, password);
    check(&Server::parse(row)?, CheckTarget::Registered, context).await
}

async fn registered_password(server: &RegisteredServer, context: &Context) -> Result<Option<Secret>, Failure> {
    let rows = context.repository.all_servers().await?;
    let id = server.id.to_string();
    if let Some(invalid) = rows.invalid.into_iter().find(|invalid| invalid.id() == id) {
        return Err(invalid.into());
    }
    Ok(rows.servers.into_iter().find(|row| row.id == server.id).and_then(|row| row.password))
}

fn row_of(server: &RegisteredServer, changes: &Changes, password: Option<Secret>) -> ServerRow {
    let or = |changed: &Option<String>, registered: &String| Some(changed.as_ref().unwrap_or(registered).clone());
    let frequency = if server.is_active() { server.frequency } else { fleet::DEFAULT_FREQUENCY };
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

async fn check(server: &Server, target: CheckTarget<'_>, context: &Context) -> Result<(), Failure> {
    let state = context.repository.inspect().await?;
    let checker = Checker::new(context.config.clone(), context.repository.clone(), &state);
    let progress = Progress::new(1);
    let (findings, server_facts) = checker.check_unregistered(server, target).await;
    progress.finish();
    let address = on_one_line(&format!("{}:{}", server.host, server.port)).into_owned();
    if findings.worst().is_some() {
        print_error!("{}\n", details(&address, &findings).trim());
    }
    if findings.verdict() == Verdict::Wrong {
        return Err(Failure::CheckFailed(address));
    }
    output::print(&format!("{address}: {}\n", facts(&server_facts)))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_are_not_changed_are_kept() {
        let (port, alias) = (5433, Some("main".into()));
        let server =
            RegisteredServer { host: "db1".into(), port, alias, frequency: -1, ..RegisteredServer::example(3) };
        let unchanged = Server::parse(row_of(&server, &Changes::default(), None)).unwrap();
        assert_eq!(
            (unchanged.id, unchanged.name(true), unchanged.name(false)),
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
