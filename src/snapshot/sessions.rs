//! The sessions on one remote server: the main one in the database with PoWA, and those in its other databases.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::session_capacity::SessionCapacity;
use super::session_renewal::SessionRenewal;
use crate::remote::{RemoteServerInfo, RemoteSession};
use session::{ConnectionLimit, Endpoint, Error, QuotedIdent};

/// The most idle sessions in other databases that stay open until the next snapshot, so that a server with many databases keeps
/// its connections for its applications. The other databases get a new session for each snapshot.
///
/// An idle session is not replaced by a later one: the databases are read in the same order each time, so the session used
/// least recently is the one needed next.
const MAX_IDLE_SESSIONS: usize = 20;

/// The fewest sessions that are needed to read other databases: the main one and another one.
const MIN_SESSIONS: usize = 2;

/// The most sessions, including the main one, that are open at a time for this number of other databases, if the server allows
/// them.
pub(crate) fn max_sessions(databases: usize, concurrency: usize) -> usize {
    1 + databases.min(concurrency.saturating_add(MAX_IDLE_SESSIONS))
}

/// How long to wait for closing sessions to end. Only a frozen server takes this long.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Panic message: other databases are read only after the main session is open.
const NO_MAIN_SESSION: &str = "a snapshot begins with the main session";

/// The sessions on one server. Opens them when needed and keeps them open.
pub(crate) struct Sessions {
    endpoint: Endpoint,
    main: Option<Arc<RemoteSession>>,
    others: Mutex<Others>,
}

/// The sessions in other databases, by database name.
#[derive(Default)]
struct Others {
    in_use: HashMap<String, Arc<RemoteSession>>,
    idle: HashMap<String, Arc<RemoteSession>>,
    /// The number of sessions that are being opened.
    opening: usize,
    /// Cancelled when a closing session has ended (including the main one). Until then the server counts it.
    closing: Vec<CancellationToken>,
    capacity: SessionCapacity,
    /// The number of databases that are read at a time.
    concurrency: usize,
    renewal: SessionRenewal,
}

/// Counts as a session that is being opened until it is dropped.
struct Opening<'a>(&'a Sessions);

impl<'a> Opening<'a> {
    fn start(sessions: &'a Sessions) -> Self {
        sessions.others().opening += 1;
        Self(sessions)
    }
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        self.0.others().opening -= 1;
    }
}

impl Others {
    /// Closes a session in the background.
    fn close_session(&mut self, session: Arc<RemoteSession>) {
        self.closing.retain(|end| !end.is_cancelled());
        self.closing.push(session.end_of_connection());
    }

    /// Closes the idle sessions in databases that are not wanted.
    fn close_idle(&mut self, is_wanted: impl Fn(&str) -> bool) {
        let (keep, unwanted) = std::mem::take(&mut self.idle).into_iter().partition(|(name, _)| is_wanted(name));
        self.idle = keep;
        let unwanted: HashMap<_, _> = unwanted;
        unwanted.into_values().for_each(|session| self.close_session(session));
    }

    /// Records that the server refused a session because of a connection limit.
    fn record_refusal(&mut self) {
        let closing = self.closing.iter().filter(|end| !end.is_cancelled()).count();
        // `opening` includes the refused one.
        let sessions = (self.in_use.len() + self.idle.len() + closing + self.opening).saturating_sub(1);
        self.capacity.set_limit(sessions, Instant::now());
    }
}

/// Whether a session was refused because of the connection limit of the role or the server.
fn is_refused_for_limit(opened: &Result<RemoteSession, Error>) -> bool {
    let limit = opened.as_ref().err().and_then(Error::connection_limit);
    matches!(limit, Some(ConnectionLimit::Role | ConnectionLimit::Server))
}

impl Sessions {
    /// Creates it without open sessions.
    pub(crate) fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, main: None, others: Mutex::default() }
    }

    /// Whether the sessions are as good as new ones to this endpoint.
    pub(crate) fn are_for(&self, endpoint: &Endpoint) -> bool {
        self.endpoint.is_interchangeable_with(endpoint)
    }

    /// Closes all sessions and uses another endpoint from now on. No session may be in use.
    pub(crate) fn set_endpoint(&mut self, endpoint: Endpoint) {
        self.close();
        let closing = std::mem::take(&mut self.others().closing);
        *self = Self { endpoint, main: None, others: Mutex::new(Others { closing, ..Others::default() }) };
    }

    /// Replaces all sessions when the next one is needed, and discards the estimate of how many the server allows.
    pub(crate) fn reopen(&self) {
        let mut others = self.others();
        others.renewal.require();
        others.capacity.reset();
    }

    /// Records the end of a snapshot, and whether PostgreSQL reported errors in open sessions: their settings may be the cause.
    pub(super) fn snapshot_ended(&self, have_failed: bool) {
        self.others().renewal.snapshot_ended(have_failed, Instant::now());
    }

    /// The session in the database with PoWA. Opens it if necessary.
    ///
    /// # Errors
    /// The connection failed.
    pub(crate) async fn main(&mut self) -> Result<Arc<RemoteSession>, Error> {
        let is_old = self.others().renewal.take();
        match &self.main {
            Some(session) if !session.is_closed() && !is_old => Ok(Arc::clone(session)),
            _ => {
                // If the endpoint has several hosts, the new session may be on another one, so close the others too.
                self.close();
                let mut opened = RemoteSession::open(&self.endpoint).await;
                if is_refused_for_limit(&opened) && self.free_capacity().await {
                    opened = RemoteSession::open(&self.endpoint).await;
                }
                let session = opened.map_err(|error| {
                    let cure = self.cure(&error, self.endpoint.dbname(), MIN_SESSIONS);
                    with_note(error, cure)
                })?;
                let session = Arc::new(session);
                self.main = Some(Arc::clone(&session));
                Ok(session)
            }
        }
    }

    /// Begins the transaction of a snapshot.
    ///
    /// A session is set up for the extensions that exist at login. If they have changed, another session is opened.
    ///
    /// # Errors
    /// The connection failed, or the server sent an unexpected response.
    pub(super) async fn begin(&mut self) -> Result<(Arc<RemoteSession>, RemoteServerInfo), Error> {
        let session = self.main().await?;
        let server = session.begin_server().await?;
        if session.is_set_up_for(&server.extensions) {
            return Ok((session, server));
        }
        drop(session);
        self.close();
        let session = self.main().await?;
        let server = session.begin_server().await?;
        Ok((session, server))
    }

    /// Begins to read other databases, and returns how many to read at a time, at most `wanted`.
    pub(super) fn start_databases(&self, wanted: usize) -> usize {
        if wanted == 0 {
            return 0;
        }
        let mut others = self.others();
        others.concurrency = others.capacity.concurrency(wanted, Instant::now());
        others.concurrency
    }

    /// A session in another database. Opens it if necessary. It is in use until [`Self::check_in`].
    ///
    /// # Errors
    /// The connection failed.
    pub(super) async fn database(&self, name: &str) -> Result<Arc<RemoteSession>, Error> {
        let idle = self.others().idle.remove(name);
        let session = match idle.filter(|session| !session.is_closed()) {
            Some(session) => session,
            None => Arc::new(self.open(name).await?),
        };
        self.others().in_use.insert(name.to_owned(), Arc::clone(&session));
        Ok(session)
    }

    async fn open(&self, name: &str) -> Result<RemoteSession, Error> {
        if self.others().capacity.limit(Instant::now()).is_some() {
            // Few sessions are allowed: wait until those that are closing no longer count.
            self.wait_for_closing().await;
        }
        let opened = self.try_to_open(name).await;
        if is_refused_for_limit(&opened) && self.free_capacity().await {
            return self.try_to_open(name).await;
        }
        opened
    }

    async fn try_to_open(&self, name: &str) -> Result<RemoteSession, Error> {
        let _opening = Opening::start(self);
        let opened = self.main.as_ref().expect(NO_MAIN_SESSION).open_database(&self.endpoint, name).await;
        if is_refused_for_limit(&opened) {
            self.others().record_refusal();
        }
        opened
    }

    /// Closes idle sessions to free connections. Returns whether there were any.
    async fn free_capacity(&self) -> bool {
        self.others().close_idle(|_| false);
        self.wait_for_closing().await
    }

    /// Waits until closing sessions have ended, so that the server no longer counts them. Returns whether there were any.
    async fn wait_for_closing(&self) -> bool {
        let ends: Vec<_> = self.others().closing.iter().filter(|end| !end.is_cancelled()).cloned().collect();
        let gone = join_all(ends.iter().map(|end| end.cancelled()));
        // A frozen server does not confirm it.
        drop(timeout(CLOSE_TIMEOUT, gone).await);
        !ends.is_empty()
    }

    /// Adds a cure to an error that is due to a connection limit. `needed` is the number of sessions that the server should
    /// allow.
    pub(super) fn with_cure(&self, error: super::Error, database: &str, needed: usize) -> super::Error {
        match error {
            super::Error::NoSession(error) => {
                let cure = self.cure(&error, database, needed);
                super::Error::NoSession(with_note(error, cure))
            }
            other => other,
        }
    }

    fn cure(&self, error: &Error, database: &str, needed: usize) -> Option<String> {
        Some(match error.connection_limit()? {
            ConnectionLimit::Role => {
                let role = QuotedIdent::new(self.endpoint.user().unwrap_or_default());
                let up_to = if needed > MIN_SESSIONS { format!(" and uses up to {needed}") } else { String::new() };
                format!(
                    "the collector needs at least {MIN_SESSIONS} sessions of this role{up_to}: \
                     alter role {role} connection limit {needed}"
                )
            }
            ConnectionLimit::Database => {
                let database = QuotedIdent::new(database);
                format!(
                    "raise the limit with alter database {database} connection limit ..., \
                     or exclude the database with collect.exclude_databases"
                )
            }
            ConnectionLimit::Server => "the server has no free connection for this role: raise max_connections there, \
                 or grant pg_use_reserved_connections to the role (PostgreSQL 16 or newer)"
                .into(),
        })
    }

    /// Returns a session. It stays open if it may and the limit of idle sessions is not reached; otherwise it is closed.
    pub(super) fn check_in(&self, name: &str, may_stay_open: bool) {
        let mut others = self.others();
        let Some(session) = others.in_use.remove(name) else { return };
        let most = others.capacity.idle_limit(MAX_IDLE_SESSIONS, others.concurrency, Instant::now());
        if may_stay_open && others.idle.len() < most {
            others.idle.insert(name.to_owned(), session);
        } else {
            others.close_session(session);
        }
    }

    fn others(&self) -> MutexGuard<'_, Others> {
        self.others.lock().expect("no panic while holding the lock")
    }

    /// Whether the main session is open.
    pub(crate) fn are_open(&self) -> bool {
        self.main.as_ref().is_some_and(|session| !session.is_closed())
    }

    /// Waits until the main session has ended; forever if there is none.
    pub(crate) async fn closed(&self) {
        match &self.main {
            Some(session) => session.closed().await,
            None => std::future::pending().await,
        }
    }

    /// Waits until no session has received data for `limit`.
    pub(crate) async fn wait_for_silence(&self, limit: Duration) {
        loop {
            let silence = self.last_activity().map_or(limit, |last| last.elapsed());
            match limit.checked_sub(silence) {
                Some(left) if !left.is_zero() => tokio::time::sleep(left).await,
                _ => return,
            }
        }
    }

    /// When a session last received data.
    pub(crate) fn last_activity(&self) -> Option<Instant> {
        let others = self.others();
        self.main
            .iter()
            .chain(others.idle.values())
            .chain(others.in_use.values())
            .map(|session| session.last_activity())
            .max()
    }

    /// Closes idle sessions, except those in these databases and the main one.
    pub(super) fn keep_only<'a>(&self, names: impl IntoIterator<Item = &'a str>) {
        let names: HashSet<&str> = names.into_iter().collect();
        self.others().close_idle(|name| names.contains(name));
    }

    /// Closes all sessions except the main one. No session may be in use.
    pub(crate) fn close_databases(&self) {
        let mut others = self.others();
        others.close_idle(|_| false);
        let in_use = std::mem::take(&mut others.in_use);
        in_use.into_values().for_each(|session| others.close_session(session));
    }

    /// Closes all sessions. None may be in use.
    pub(crate) fn close(&mut self) {
        if let Some(session) = self.main.take() {
            self.others().close_session(session);
        }
        self.close_databases();
    }

    /// Cancels what runs in a database, and closes the session.
    pub(super) async fn cancel_database(&self, name: &str) {
        let session = self.others().in_use.remove(name);
        if let Some(session) = session {
            session.cancel().await;
        }
    }

    /// Cancels everything that runs on the server, and closes all sessions.
    pub(crate) async fn cancel(&mut self) {
        let (in_use, idle) = {
            let mut others = self.others();
            (std::mem::take(&mut others.in_use), std::mem::take(&mut others.idle))
        };
        let sessions: Vec<_> =
            self.main.take().into_iter().chain(in_use.into_values()).chain(idle.into_values()).collect();
        join_all(sessions.iter().map(|session| session.cancel())).await;
    }
}

fn with_note(error: Error, note: Option<String>) -> Error {
    match note {
        Some(note) => error.with_note(&note),
        None => error,
    }
}
