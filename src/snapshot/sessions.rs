//! The open connections to one remote server: one to the database that has PoWA, and some to its other databases.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use crate::postgres::{Endpoint, Error, RemoteServerInfo, RemoteSession};

/// Sessions in other databases that are kept for the next visit. A server with many databases keeps its connections for
/// those it is there for; what is beyond is opened for each visit.
///
/// Those that are kept stay, and no later one takes their place: as the databases are visited in turn, the one used
/// least recently is the one wanted next.
const KEPT: usize = 20;

/// What is collected in the other databases of a server comes after what is in the one with PoWA.
const MAIN: &str = "a snapshot begins with the main session";

/// Opens connections when they are needed, and keeps them until told otherwise.
pub struct Sessions {
    endpoint: Endpoint,
    main: Option<Arc<RemoteSession>>,
    databases: Mutex<Databases>,
}

/// By name of the database.
#[derive(Default)]
struct Databases {
    at_work: HashMap<String, Arc<RemoteSession>>,
    kept: HashMap<String, Arc<RemoteSession>>,
}

impl Sessions {
    /// None is open yet.
    pub fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, main: None, databases: Mutex::default() }
    }

    /// Whether they are all that those of an endpoint would be.
    pub fn are_of(&self, endpoint: &Endpoint) -> bool {
        self.endpoint.is_as_good_as(endpoint)
    }

    /// The session in the database that has PoWA, opened if need be.
    ///
    /// # Errors
    /// No connection could be made.
    pub async fn main(&mut self) -> Result<Arc<RemoteSession>, Error> {
        match &self.main {
            Some(session) if !session.is_closed() => Ok(Arc::clone(session)),
            _ => {
                // Of several hosts, it may be another one now: the others were opened beside the one before.
                self.close();
                let session = Arc::new(RemoteSession::open(&self.endpoint).await?);
                self.main = Some(Arc::clone(&session));
                Ok(session)
            }
        }
    }

    /// Begins the transaction of a snapshot.
    ///
    /// A session is set up for the extensions it finds. If these have changed meanwhile, another session is opened.
    ///
    /// # Errors
    /// No connection could be made, or the server does not answer as expected.
    pub(super) async fn begin(&mut self) -> Result<(Arc<RemoteSession>, RemoteServerInfo), Error> {
        let session = self.main().await?;
        let server = session.begin_server().await?;
        if session.is_set_up_for(&server.extensions) {
            return Ok((session, server));
        }
        self.close();
        let session = self.main().await?;
        let server = session.begin_server().await?;
        Ok((session, server))
    }

    /// A session in any database, opened if need be, which is at work until [`Self::put_back`].
    ///
    /// # Errors
    /// No connection could be made.
    pub(super) async fn database(&self, name: &str) -> Result<Arc<RemoteSession>, Error> {
        let kept = self.databases().kept.remove(name);
        let session = match kept.filter(|session| !session.is_closed()) {
            Some(session) => session,
            None => Arc::new(self.main.as_ref().expect(MAIN).open_beside(&self.endpoint, name).await?),
        };
        self.databases().at_work.insert(name.to_owned(), Arc::clone(&session));
        Ok(session)
    }

    /// The work in a database is done. Its session is kept, if it may be and there is room; otherwise it is closed.
    pub(super) fn put_back(&self, name: &str, may_stay: bool) {
        let mut databases = self.databases();
        let session = databases.at_work.remove(name).filter(|_| may_stay && databases.kept.len() < KEPT);
        databases.kept.extend(session.map(|session| (name.to_owned(), session)));
    }

    fn databases(&self) -> MutexGuard<'_, Databases> {
        self.databases.lock().expect("no panic while holding the lock")
    }

    /// Whether the server is connected to.
    pub fn are_open(&self) -> bool {
        self.main.as_ref().is_some_and(|session| !session.is_closed())
    }

    /// Waits until the connection to the server has ended; for ever, if there is none.
    pub async fn closed(&self) {
        match &self.main {
            Some(session) => session.closed().await,
            None => std::future::pending().await,
        }
    }

    /// Waits until none of the sessions has heard anything for so long.
    pub async fn silent_for(&self, limit: Duration) {
        loop {
            let silence = self.last_heard().map_or(limit, |heard| heard.elapsed());
            match limit.checked_sub(silence) {
                Some(left) if !left.is_zero() => tokio::time::sleep(left).await,
                _ => return,
            }
        }
    }

    fn last_heard(&self) -> Option<Instant> {
        let open = self.databases();
        self.main
            .iter()
            .chain(open.kept.values())
            .chain(open.at_work.values())
            .map(|session| session.last_heard())
            .max()
    }

    /// Closes the connections to all databases but these, and but the one that has PoWA.
    pub(super) fn keep_only<'a>(&self, names: impl IntoIterator<Item = &'a str>) {
        let names: HashSet<&str> = names.into_iter().collect();
        self.databases().kept.retain(|name, _| names.contains(name.as_str()));
    }

    /// Closes the connections to databases other than the one that has PoWA.
    pub fn close_databases(&self) {
        *self.databases() = Databases::default();
    }

    /// Closes all that are idle: none may be in use.
    pub fn close(&mut self) {
        self.main = None;
        self.close_databases();
    }

    /// Ends what is under way in a database, and closes the connection to it.
    pub(super) async fn cancel_database(&self, name: &str) {
        let session = self.databases().at_work.remove(name);
        if let Some(session) = session {
            session.cancel().await;
        }
    }

    /// Ends all that is under way on the server, and closes the connections.
    pub async fn cancel(&mut self) {
        let Databases { at_work, kept } = std::mem::take(&mut *self.databases());
        let sessions: Vec<_> =
            self.main.take().into_iter().chain(at_work.into_values()).chain(kept.into_values()).collect();
        join_all(sessions.iter().map(|session| session.cancel())).await;
    }
}
