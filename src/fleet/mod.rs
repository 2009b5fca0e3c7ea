//! The rules about the servers that are registered in a repository: which values a server can have, when two servers are in
//! conflict, and which privileges a change needs.
//!
//! Nothing here parses arguments or prints, so that every interface that administers servers decides alike.

mod alias;
mod duplicates;
mod extensions;
mod host;
mod limits;
mod own_tables;
mod retention;
mod rights;
mod schedules;
pub(crate) mod server_name;
mod tags;

pub(crate) use alias::parse_alias;
pub(crate) use duplicates::Duplicate;
pub(crate) use extensions::{PG_STAT_STATEMENTS, check_extension_changes};
pub(crate) use host::{InvalidHost, parse_host};
pub(crate) use limits::{OutOfRange, parse_coalesce, parse_frequency, parse_port};
pub(crate) use own_tables::require_read;
pub(crate) use retention::{check_frequency, parse_retention};
pub(crate) use rights::{MissingRights, require_rights};
pub(crate) use schedules::{
    InvalidPause, NoCollectorSchema, check_cron, check_zone, parse_pause, parse_time_of, pause, remove_schedule,
    resume, set_schedule, zone_of,
};
pub(crate) use tags::{ChangedTwice, TagChange, TagFilter, change_tags, check_tags, parse_changes, replace_tags};

use crate::repository::{Changes, NewServer, RegisteredServer, Repository};
use crate::server::tags::InvalidTag;
use duplicates::{Identity, check_duplicates};
use limits::{check_new_numbers, check_numbers};

pub(crate) const DEFAULT_PORT: u16 = 5432;

/// The role and the database of a server, by default.
pub(crate) const DEFAULT_NAME: &str = "powa";

/// In seconds. PoWA does not accept less.
pub(crate) const MIN_FREQUENCY: i32 = 5;

/// In seconds.
pub(crate) const DEFAULT_FREQUENCY: i32 = 300;

/// In snapshots. PoWA does not accept less.
pub(crate) const MIN_COALESCE: i32 = 5;

/// In snapshots.
pub(crate) const DEFAULT_COALESCE: i32 = 100;

/// As PostgreSQL reads an `interval`.
pub(crate) const DEFAULT_RETENTION: &str = "1 day";

/// Why servers cannot be registered or changed like this.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    OutOfRange(#[from] OutOfRange),
    #[error(transparent)]
    Duplicate(#[from] Duplicate),
    #[error(transparent)]
    MissingRights(#[from] MissingRights),
    #[error(transparent)]
    NoCollectorSchema(#[from] NoCollectorSchema),
    #[error(transparent)]
    Pause(#[from] InvalidPause),
    #[error(transparent)]
    Tag(#[from] InvalidTag),
    /// The repository cannot be reached, or its PoWA rejects the retention.
    #[error(transparent)]
    Repository(#[from] session::Error),
}

/// Checks that a server could be registered: its numbers are within their limits, its address and alias are unique, and the
/// retention fits the frequency. The password is not used.
pub(crate) async fn check_new(repository: &Repository, new: &NewServer) -> Result<(), Error> {
    check_new_numbers(new)?;
    let identity = Identity { host: &new.host, port: i32::from(new.port), alias: new.alias.as_deref() };
    check_duplicates(&repository.registered_servers().await?, identity, None)?;
    Ok(repository.check_retention(&new.retention, new.frequency).await?)
}

/// Checks that a server could be changed, as [`check_new`] does. `servers` are all that are registered.
pub(crate) async fn check_changes(
    repository: &Repository,
    servers: &[RegisteredServer],
    server: &RegisteredServer,
    changes: &Changes,
) -> Result<(), Error> {
    check_numbers(changes.port, changes.frequency, changes.coalesce)?;
    let identity = Identity {
        host: changes.host.as_deref().unwrap_or(&server.host),
        port: changes.port.map_or(server.port, i32::from),
        // An alias that stays was accepted before.
        alias: changes.alias.as_ref().and_then(Option::as_deref),
    };
    check_duplicates(servers, identity, Some(server.id))?;
    let frequency = changes.frequency.unwrap_or(server.frequency);
    match &changes.retention {
        Some(retention) => repository.check_retention(retention, frequency).await?,
        None => check_frequency(repository, server, frequency).await?,
    }
    Ok(())
}
