//! The life of a snapshot: plan, collect, load. The whole story is on this page; the steps are in the files.
//!
//! Collecting talks to the remote server only, and loading to the repository only, so that neither waits for the
//! other, and what was collected outlives a load that failed.

mod collect;
mod plan;
mod report;
mod sessions;
mod trial;

use std::fmt;
use std::future::ready;
use std::sync::Arc;
use std::time::Instant;

pub use plan::CatalogRefresh;
pub use report::{Report, SourceFailure};
pub use sessions::Sessions;
pub use trial::{Trial, Tried};

use crate::config::Config;
use crate::failures::Failures;
use crate::postgres::{
    self, Attempt, Care, LoadTurn, PowaVersion, RemoteServerInfo, RemoteSession, Repository, Side, Sources,
};
use crate::server::ServerId;
use crate::spool::{Spool, SpooledRows};
use collect::{Collector, Outcome};
use plan::Plan;

/// Whose snapshot it is, and where it goes.
pub struct Snapshot<'a> {
    pub server: ServerId,
    /// What the server is called.
    pub name: &'a str,
    pub config: &'a Config,
    pub repository: &'a Repository,
}

/// A transaction that was begun on the remote server, and what is to be read in it.
pub struct Begun {
    sources: Sources,
    session: Arc<RemoteSession>,
    server: RemoteServerInfo,
}

/// Everything that was read from a server, waiting to be loaded.
pub struct Collected {
    sources: Sources,
    pieces: Vec<SpooledRows>,
    report: Report,
    failures: Failures,
    attempt: Option<Attempt>,
}

/// In words, for whoever has to learn that it was lost.
impl fmt::Display for Collected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} rows of {} datasources that were collected", self.report.rows, self.report.datasources)
    }
}

/// Why there is no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{}", .0.in_full())]
    NoSession(postgres::Error),
    #[error("{}", .0.in_full())]
    Postgres(#[from] postgres::Error),
    #[error("the session broke; the first to fail was {0}")]
    Broken(SourceFailure),
    #[error("could not keep what was read (collector): {0}")]
    Spool(std::io::Error),
    #[error("PoWA on the remote server: {0}")]
    Unusable(String),
    #[error("incompatible PoWA versions: the repository server has {repository}, the remote server {remote}")]
    Incompatible { repository: PowaVersion, remote: PowaVersion },
    #[error("the server has no row in powa_snapshot_metas: register it with powa_register_server()")]
    NotRegistered,
}

impl Error {
    /// It happened on the repository, so that the sessions on the remote server are as they were.
    pub fn is_of_repository(&self) -> bool {
        matches!(self, Self::Postgres(error) if error.side() == Side::Repository)
    }

    /// PostgreSQL's code of it, if it is an error of PostgreSQL's.
    pub fn sqlstate(&self) -> Option<&str> {
        match self {
            Self::NoSession(error) | Self::Postgres(error) => error.sqlstate(),
            Self::Broken(first) => first.sqlstate.as_deref(),
            _ => None,
        }
    }

    /// The side that cannot be talked to at all, if that is the reason.
    pub fn unreachable_side(&self) -> Option<Side> {
        match self {
            // Whatever the server says: who is not let in is not connected.
            Self::NoSession(error) => Some(error.side()),
            Self::Postgres(error) if error.is_connection() => Some(error.side()),
            Self::Broken(_) => Some(Side::Remote),
            _ => None,
        }
    }
}

impl Snapshot<'_> {
    /// Plans: finds out what the repository wants, and begins the transaction on the remote server. `known` is what the
    /// repository wanted the last time, which serves when it cannot be reached, and is replaced when it can.
    ///
    /// # Errors
    /// The remote server cannot be talked to, or has no PoWA that fits the repository's.
    pub async fn begin(&self, sessions: &mut Sessions, known: &mut Option<Sources>) -> Result<Begun, Error> {
        let version_num = sessions.main().await.map_err(Error::NoSession)?.version_num();
        let sources = self.sources(version_num, known).await?;
        Self::begin_for(sources, sessions).await
    }

    /// Begins for what is known to be wanted.
    ///
    /// # Errors
    /// As for [`Self::begin`].
    pub async fn begin_for(sources: Sources, sessions: &mut Sessions) -> Result<Begun, Error> {
        let (session, server) = sessions.begin().await?;
        let remote = server.extensions.usable_powa().map_err(|unusable| Error::Unusable(unusable.to_string()))?;
        if !sources.powa.fits(&remote) {
            return Err(Error::Incompatible { repository: sources.powa, remote });
        }
        Ok(Begun { sources, session, server })
    }

    /// Collects. A datasource that fails is no error of the snapshot: it becomes a line in the report.
    ///
    /// # Errors
    /// The connection to the remote server was lost, or it does not answer any more, or there is no room for what it
    /// says.
    pub async fn collect(
        &self,
        begun: Begun,
        sessions: &Sessions,
        refresh: &CatalogRefresh,
    ) -> Result<Collected, Error> {
        let started = Instant::now();
        let plan = Plan::new(&begun.sources, &begun.server, refresh);
        let outcomes = self.read(&begun, sessions, &plan, &Spool::new(&self.config.spool)).await?;
        let mut failures = plan.failures;
        let mut pieces = Vec::new();
        for outcome in outcomes {
            failures.extend(outcome.failures);
            pieces.extend(outcome.rows);
        }
        let report = Report {
            datasources: pieces.len(),
            rows: pieces.iter().map(SpooledRows::rows).sum(),
            bytes: pieces.iter().map(SpooledRows::bytes).sum(),
            collecting: started.elapsed(),
            ..Report::default()
        };
        let sources = begun.sources;
        Ok(Collected { sources, pieces, report, failures: failures.iter().collect(), attempt: None })
    }

    /// Reads what a plan says, all databases side by side, into the spool.
    async fn read(
        &self,
        begun: &Begun,
        sessions: &Sessions,
        plan: &Plan<'_>,
        spool: &Spool,
    ) -> Result<Vec<Outcome>, Error> {
        let (session, database) = (&begun.session, &begun.server.database);
        let collector = Collector { server: self.server, spool };
        let collecting = async {
            tokio::join!(
                collector.collect_and_end(session, ready(Ok(())), database, &plan.main),
                collector.collect_databases(sessions, &plan.others, self.config.limits.databases, &database.now),
            )
        };
        let (main, others) = spool.unless_broken(collecting).await.map_err(Error::Spool)?;
        Ok(main?.into_iter().chain(others).collect())
    }

    async fn sources(&self, version_num: i32, known: &mut Option<Sources>) -> Result<Sources, postgres::Error> {
        match (self.repository.sources(self.server, version_num).await, &known) {
            (Ok(sources), _) => {
                *known = Some(sources.clone());
                Ok(sources)
            }
            (Err(error), Some(last)) if error.is_connection() => {
                tracing::debug!(error = error.in_full(), "the last known plan serves");
                Ok(last.clone())
            }
            (Err(error), _) => Err(error),
        }
    }

    /// Loads what was collected: all of it, or nothing. What was not loaded can be loaded again, and is not there twice
    /// then, also where the answer to the first try was lost.
    ///
    /// # Errors
    /// The repository cannot be talked to, or refuses the snapshot as a whole.
    pub async fn load(&self, collected: &mut Collected, turn: LoadTurn, care: Care) -> Result<Report, Error> {
        let started = Instant::now();
        let load = postgres::Load {
            server: self.server,
            name: self.name,
            sources: &collected.sources,
            pieces: &mut collected.pieces,
            failures: &collected.failures,
            care,
        };
        let loaded = self.repository.load(load, &mut collected.attempt, turn).await?;
        let mut report = collected.report.clone();
        report.add(&loaded, &collected.failures);
        report.loading = started.elapsed();
        Ok(report)
    }
}
