//! How a server is shown: its row in the repository, and what its worker does.

use std::collections::BTreeMap;
use std::time::SystemTime;

use axum::http::HeaderValue;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::super::server_state::ServerState;
use super::schedule::ScheduleObject;
use super::tags::TagsObject;
use crate::control::{Overview, timestamp};
use crate::repository::RegisteredServer;
use crate::worker::WorkerDetail;

/// A registered server. The password is never shown.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http::api) struct ServerObject {
    pub(super) id: i32,
    pub(super) alias: Option<String>,
    host: String,
    port: i32,
    /// The role that the collector connects as.
    user: String,
    /// Whether a password is registered.
    has_password: bool,
    /// The database that has the extension powa.
    dbname: String,
    enabled: bool,
    /// Seconds from one snapshot to the next; null while it is disabled.
    frequency: Option<i32>,
    /// How long the history is kept, as an interval of PostgreSQL.
    retention: String,
    /// Snapshots that are aggregated into one record.
    coalesce: i32,
    /// Whether powa-web may connect to it.
    allow_ui_connection: bool,
    /// PostgreSQL's version, as the collector has stored it.
    version: Option<String>,
    tags: TagsObject,
    /// The schedule that takes the place of the frequency.
    schedule: Option<ScheduleObject>,
    /// The end of the pause.
    #[schema(value_type = Option<String>, format = DateTime)]
    paused_until: Option<String>,
    /// Why the schedule or the pause has no effect.
    invalid_schedule: Option<String>,
    pub(super) state: State,
    /// When the last snapshot was begun.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_snapshot: Option<String>,
    /// When the next snapshot is due, or the next attempt after an error.
    #[schema(value_type = Option<String>, format = DateTime)]
    next_snapshot: Option<String>,
    /// The error that prevents snapshots now.
    last_error: Option<String>,
}

/// The state of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::http::api) enum State {
    /// An error prevents snapshots.
    Failing,
    /// The last snapshot is too old.
    Overdue,
    /// The last snapshot lacks some of its datasources.
    Incomplete,
    /// It is about to be connected to.
    Starting,
    Running,
    /// A standby that is left out.
    Standby,
    /// No snapshots are taken until a time.
    Paused,
    /// It is about to be disabled.
    Stopping,
    Disabled,
    /// The collector does not answer, or its row in powa_servers is not valid.
    Unknown,
}

impl From<ServerState> for State {
    fn from(state: ServerState) -> Self {
        match state {
            ServerState::Failing => Self::Failing,
            ServerState::Overdue => Self::Overdue,
            ServerState::Incomplete => Self::Incomplete,
            ServerState::Starting => Self::Starting,
            ServerState::Running => Self::Running,
            ServerState::Standby => Self::Standby,
            ServerState::Paused => Self::Paused,
            ServerState::Stopping => Self::Stopping,
        }
    }
}

impl ServerObject {
    /// `overview` is what the main task has reported, if it has.
    pub(in crate::http::api) fn of(server: &RegisteredServer, overview: Option<&Overview>, now: SystemTime) -> Self {
        let worker = overview.and_then(|overview| overview.workers.get(&server.id));
        let progress = worker.map(|worker| &worker.progress);
        let time = |time: Option<SystemTime>| time.map(timestamp::text);
        let timing = server.timing.as_deref();
        Self {
            id: server.id.get(),
            alias: server.alias.clone(),
            host: server.host.clone(),
            port: server.port,
            user: server.user.clone(),
            has_password: server.has_password,
            dbname: server.dbname.clone(),
            enabled: server.is_active(),
            frequency: server.is_active().then_some(server.frequency),
            retention: server.retention.clone(),
            coalesce: server.coalesce,
            allow_ui_connection: server.allow_ui_connection,
            version: server.version.clone(),
            tags: TagsObject(BTreeMap::clone(&server.tags)),
            schedule: timing.and_then(ScheduleObject::of),
            paused_until: time(timing.and_then(|timing| timing.paused_until).filter(|until| *until > now)),
            invalid_schedule: timing.and_then(|timing| timing.invalid.as_ref()).map(ToString::to_string),
            state: state(server, worker, now),
            last_snapshot: time(progress.and_then(|progress| progress.last)),
            next_snapshot: time(progress.and_then(|progress| progress.next)),
            last_error: progress.and_then(|progress| progress.error.clone()),
        }
    }
}

fn state(server: &RegisteredServer, worker: Option<&WorkerDetail>, now: SystemTime) -> State {
    let is_quiet = server.timing.as_deref().is_some_and(|timing| timing.quiet_until(now).is_some());
    match worker {
        // Its worker may not know yet.
        Some(_) if is_quiet && server.is_active() => State::Paused,
        Some(worker) => ServerState::of(worker, now).into(),
        None if !server.is_active() => State::Disabled,
        None => State::Unknown,
    }
}

/// The version of a server's row, for `If-Match`. It does not change with the server's state.
pub(in crate::http::api) fn entity_tag(server: &RegisteredServer) -> String {
    format!("\"{}-{}\"", server.id, server.row_version)
}

/// Whether a value of `If-Match` has the tag. `*` has any.
pub(super) fn is_matched(value: &HeaderValue, tag: &str) -> bool {
    let Ok(value) = value.to_str() else { return false };
    value.split(',').map(str::trim).any(|one| one == "*" || one == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_without_worker_is_disabled_or_unknown() {
        let now = SystemTime::now();
        let mut server = RegisteredServer::example(1);
        let object = |server: &RegisteredServer| ServerObject::of(server, None, now);
        assert_eq!((object(&server).state, object(&server).frequency), (State::Unknown, Some(300)));
        server.frequency = -1;
        assert_eq!((object(&server).state, object(&server).frequency), (State::Disabled, None));
    }

    #[test]
    fn a_tag_matches_itself_and_the_star() {
        let tag = entity_tag(&RegisteredServer { row_version: "77".into(), ..RegisteredServer::example(3) });
        let is_matched = |value: &str| is_matched(&HeaderValue::from_str(value).unwrap(), &tag);
        assert_eq!(tag, "\"3-77\"");
        assert!(["\"3-77\"", "*", "\"1-1\", \"3-77\""].iter().all(|value| is_matched(value)));
        assert!(["\"3-78\"", "3-77", "W/\"3-77\"", ""].iter().all(|value| !is_matched(value)));
    }
}
