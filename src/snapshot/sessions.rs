//! The open connections to one remote server: one to the database that has PoWA, and some to its other databases.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use futures_util::future::join_all;

use crate::postgres::{Endpoint, Error, RemoteServerInfo, RemoteSession};

/// Opens connections when they are needed, and keeps them until told otherwise.
pub struct Sessions {
    endpoint: Endpoint,
    main: Option<Arc<RemoteSession>>,
    databases: Mutex<HashMap<String, Arc<RemoteSession>>>,
}

impl Sessions {
    /// None is open yet.
    pub fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, main: None, databases: Mutex::default() }
    }

    /// The session in the database that has PoWA, opened if need be.
    ///
    /// # Errors
    /// No connection could be made.
    pub async fn main(&mut self) -> Result<Arc<RemoteSession>, Error> {
        match &self.main {
            Some(session) if !session.is_closed() => Ok(Arc::clone(session)),
            _ => {
                let session = Arc::new(RemoteSession::open(&self.endpoint).await?);
                self.main = Some(Arc::clone(&session));
                Ok(session)
            }
        }
    }

    /// Begins the transaction of a snapshot.
    ///
    /// A session is set up for the PoWA it finds. If that was updated meanwhile, another session is opened.
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

    /// A session in any database, opened if need be.
    ///
    /// # Errors
    /// No connection could be made.
    pub(super) async fn database(&self, name: &str) -> Result<Arc<RemoteSession>, Error> {
        let open = self.databases.lock().expect("no panic while holding the lock").get(name).cloned();
        match open.filter(|session| !session.is_closed()) {
            Some(session) => Ok(session),
            None => {
                let session = Arc::new(RemoteSession::open(&self.endpoint.database(name)).await?);
                let mut databases = self.databases.lock().expect("no panic while holding the lock");
                databases.insert(name.to_owned(), Arc::clone(&session));
                Ok(session)
            }
        }
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

    /// Closes the connections to all databases but these, and but the one that has PoWA.
    pub(super) fn keep_only<'a>(&self, names: impl IntoIterator<Item = &'a str>) {
        let names: HashSet<&str> = names.into_iter().collect();
        let mut databases = self.databases.lock().expect("no panic while holding the lock");
        databases.retain(|name, _| names.contains(name.as_str()));
    }

    /// Closes the connections to databases other than the one that has PoWA.
    pub fn close_databases(&self) {
        self.databases.lock().expect("no panic while holding the lock").clear();
    }

    /// Closes all that are idle: none may be in use.
    pub fn close(&mut self) {
        self.main = None;
        self.close_databases();
    }

    /// Ends what is under way in a database, and closes the connection to it.
    pub(super) async fn cancel_database(&self, name: &str) {
        let session = self.databases.lock().expect("no panic while holding the lock").remove(name);
        if let Some(session) = session {
            session.cancel().await;
        }
    }

    /// Ends all that is under way on the server, and closes the connections.
    pub async fn cancel(&mut self) {
        let databases = std::mem::take(&mut *self.databases.lock().expect("no panic while holding the lock"));
        let sessions: Vec<_> = self.main.take().into_iter().chain(databases.into_values()).collect();
        join_all(sessions.iter().map(|session| session.cancel())).await;
    }
}
