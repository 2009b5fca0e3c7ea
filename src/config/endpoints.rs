//! The endpoints that the collector connects to, and the `application_name` of its sessions.

use std::sync::Arc;

use libpq::{Conninfo, InvalidConninfo, InvalidParameter, Parameters, Secret, TargetSessionAttrs};
use session::{Connectors, Destination, Endpoint, Side, Source, Target};

use crate::config::{Config, Remotes};
use crate::server::Server;

/// The prefix of the collector's `application_name`; powa-web searches for it in `pg_stat_activity`.
const NAME: &str = "PoWA collector";

/// The prefix of the main task's `application_name`.
pub(crate) const MAIN_TASK: &str = "PoWA collector - main thread";

/// The connection parameters of the repository are invalid. The message contains no value that may be secret.
#[derive(Debug, thiserror::Error)]
#[error("\"{key}\", with its service and the environment, is not usable: {reason}")]
pub(crate) struct UnusableDsn {
    key: &'static str,
    reason: String,
}

/// The authentication methods by which a server makes sure of a password.
const PASSWORD_METHODS: &str = "password,md5,scram-sha-256";

/// The repository, for the pool that workers share.
///
/// # Errors
/// The parameters contradict each other, or name a service that does not exist or a server that is read-only.
pub(crate) fn repository(config: &Config) -> Result<Endpoint, UnusableDsn> {
    let source = Source {
        given: config.repository.given.clone(),
        environment: Arc::clone(&config.environment),
        password_file: config.repository.password_file.clone(),
    };
    of_repository("repository.dsn", source, config)
}

fn of_repository(key: &'static str, source: Source, config: &Config) -> Result<Endpoint, UnusableDsn> {
    let unusable = |error: InvalidParameter| UnusableDsn { key, reason: error.to_string() };
    let parameters = Parameters::resolve(&source.given, &source.environment).map_err(unusable)?;
    if parameters.target_session_attrs == TargetSessionAttrs::Standby {
        let reason = "target_session_attrs is standby, but the repository must be writable";
        return Err(UnusableDsn { key, reason: reason.into() });
    }
    let target = Target::of(&parameters);
    let timeouts = config.timeouts.of_session(Side::Repository);
    Ok(Endpoint::new(Side::Repository, Destination { source, target }, &format!("{NAME} - repository"), timeouts))
}

/// The same for the main task: powa-web reads the collector's version from its `application_name`.
#[must_use]
pub(crate) fn for_main_task(repository: Endpoint) -> Endpoint {
    repository.with_application_name(&format!("{MAIN_TASK} ({})", env!("CARGO_PKG_VERSION")))
}

/// The same for the HTTP API.
#[must_use]
pub(crate) fn for_api(repository: Endpoint) -> Endpoint {
    repository.with_application_name(&format!("{NAME} - API"))
}

/// The repository, for changes that are requested from the API with a token. `None`: as the collector's own role.
///
/// # Errors
/// As for [`repository`].
pub(crate) fn for_admin(config: &Config) -> Result<Option<Endpoint>, UnusableDsn> {
    let Some(given) = &config.http.admin else { return Ok(None) };
    let source = Source { given: given.clone(), environment: Arc::clone(&config.environment), password_file: None };
    of_repository("http.admin_dsn", source, config).map(for_api).map(Some)
}

/// The repository, as somebody who has sent a name and a password to the API. Nothing of the collector's own identity is used,
/// and a server that lets the name in without verifying the password is an error.
///
/// # Errors
/// The name or the password cannot be one.
pub(crate) fn for_caller(
    repository: &Endpoint,
    config: &Config,
    (user, password): (&str, &Secret),
) -> Result<Endpoint, InvalidConninfo> {
    let mut given = config.repository.given.clone();
    let own = [
        ("user", user),
        ("password", password.reveal()),
        ("dbname", repository.dbname()),
        ("passfile", ""),
        ("sslcertmode", "disable"),
        ("sslcert", ""),
        ("sslkey", ""),
        ("require_auth", PASSWORD_METHODS),
    ];
    for (keyword, value) in own {
        given.set(keyword, value)?;
    }
    let source = Source { given, environment: Arc::clone(&config.environment), password_file: None };
    let timeouts = config.timeouts.of_session(Side::Repository);
    let destination = Destination { source, target: repository.target().clone() };
    Ok(Endpoint::new(Side::Repository, destination, &format!("{NAME} - API"), timeouts))
}

/// The same for a subcommand of that name.
#[must_use]
pub(crate) fn for_command(endpoint: Endpoint, name: &str) -> Endpoint {
    endpoint.with_application_name(&format!("powa-collector {name}"))
}

/// A remote server, called `name` in messages. All servers share `connectors`.
#[must_use]
pub(crate) fn remote(server: &Server, name: &str, config: &Config, connectors: &Connectors) -> Endpoint {
    let source = Source {
        given: given(server, &config.remote),
        environment: Arc::new(config.environment.for_remotes()),
        password_file: None,
    };
    let target = Target { hosts: format!("{}:{}", server.host, server.port), dbname: server.dbname.clone() };
    let timeouts = config.timeouts.of_session(Side::Remote);
    Endpoint::new(Side::Remote, Destination { source, target }, &format!("{NAME} - worker {name}"), timeouts)
        .sharing(connectors)
}

/// The columns of the server's row, and the configured parameters.
fn given(server: &Server, remotes: &Remotes) -> Conninfo {
    let mut given = Conninfo::default();
    let port = server.port.to_string();
    let columns = [("host", &*server.host), ("port", &port), ("user", &server.user), ("dbname", &server.dbname)];
    // Without a password in the row, libpq's rules apply.
    let password = server.password.as_ref().map(|password| ("password", password.reveal()));
    for (keyword, value) in columns.into_iter().chain(password) {
        given.set(keyword, value).expect("the keywords are known, and a valid server contains no NUL");
    }
    given.or(&remotes.parameters(server.id, server.alias.as_deref()))
}
