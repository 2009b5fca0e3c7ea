//! Snapshots of remote servers: [`Snapshot`] has one method for each step (prepare, begin, collect, load).
//!
//! Collecting uses only the remote server and loading only the repository, so that neither waits for the other, and a
//! collected snapshot survives a failed load.

mod catalog_retries;
mod collect;
mod cures;
mod database_queue;
mod dry_run;
mod plan;
mod report;
mod session_capacity;
mod session_renewal;
mod sessions;

use session::{ConnectionLimit, ErrorKind, PowaVersion, Side};
use std::fmt;
use std::future::ready;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) use catalog_retries::CatalogRetries;
pub(crate) use dry_run::{DryRun, DryRunResult};
pub(crate) use plan::CatalogRefresh;
pub(crate) use report::{Report, SourceFailure};
pub(crate) use sessions::{Sessions, max_sessions};

use crate::config::{Config, Selection};
use crate::remote::{RemoteServerInfo, RemoteSession};
use crate::repository::failures::Failures;
use crate::repository::{Attempt, LoadMode, LoadPermit, Repository, Sources};
use crate::server::ServerId;
use crate::spool::{Spool, SpooledRows, Spools};
use collect::{Collector, Outcome};
use plan::Plan;

/// The server to take a snapshot of, the repository to store it in, and the settings for both.
pub(crate) struct Snapshot<'a> {
    pub server: ServerId,
    /// The name of the server in messages.
    pub name: &'a str,
    pub config: &'a Config,
    /// Which databases of the server are collected, and whether it is while it is a standby.
    pub selection: &'a Selection,
    pub repository: &'a Repository,
}

/// Changes the selection of catalogs to read; without it, those that are due are read.
pub(crate) struct Catalogs<'a> {
    /// Catalogs that are read although they are not due.
    pub refresh: &'a CatalogRefresh,
    /// Catalogs that are not read again yet although they are due.
    pub retries: &'a mut CatalogRetries,
    /// The pause between the first two attempts.
    pub first_pause: Duration,
}

/// A snapshot that has started: the open transaction on the remote server, and the datasources to read in it.
pub(crate) struct StartedSnapshot {
    sources: Sources,
    session: Arc<RemoteSession>,
    server: RemoteServerInfo,
}

/// The rows and errors of a snapshot that was read from a server and waits to be loaded.
pub(crate) struct CollectedSnapshot {
    sources: Sources,
    pieces: Vec<SpooledRows>,
    report: Report,
    failures: Failures,
    attempt: Option<Attempt>,
    /// When the snapshot was taken, by the clock of the remote server.
    taken_at: String,
    /// OIDs of databases with a catalog that could not be read.
    incomplete_catalogs: Vec<String>,
}

/// For messages about a snapshot that is lost.
impl fmt::Display for CollectedSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} collected rows of {} datasources", self.report.rows, self.report.datasources)
    }
}

/// Why a snapshot could not be taken or loaded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{0}")]
    NoSession(session::Error),
    #[error("{0}")]
    Postgres(#[from] session::Error),
    #[error("the session was lost; the first datasource that failed was {0}")]
    Broken(SourceFailure),
    #[error("could not spool the collected rows (collector): {0}")]
    Spool(std::io::Error),
    #[error("PoWA on the remote server: {0}")]
    Unusable(String),
    #[error("incompatible PoWA versions: the repository server has {repository}, the remote server {remote}")]
    Incompatible { repository: PowaVersion, remote: PowaVersion },
    #[error("the server is a standby; not collected while it is one (collect.standby is false)")]
    ExcludedStandby,
    #[error("the server has no row in powa_snapshot_metas: register it with powa_register_server()")]
    NotRegistered,
}

impl Error {
    /// Whether it is an error of the repository, so that the sessions on the remote server are still usable.
    pub(crate) fn is_of_repository(&self) -> bool {
        matches!(self, Self::Postgres(error) if error.side() == Side::Repository)
    }

    /// The name of the extension or module that the repository's PoWA does not have.
    pub(crate) fn unknown_name(&self) -> Option<&str> {
        match self {
            Self::Postgres(error) => error.unknown_name(),
            _ => None,
        }
    }

    /// The SQLSTATE, if PostgreSQL reported the error.
    pub(crate) fn sqlstate(&self) -> Option<&str> {
        match self {
            Self::NoSession(error) | Self::Postgres(error) => error.sqlstate(),
            Self::Broken(first) => first.sqlstate.as_deref(),
            _ => None,
        }
    }

    /// Whether the role lacks a privilege in the repository.
    pub(crate) fn is_denied_by_repository(&self) -> bool {
        matches!(self, Self::Postgres(error) if error.side() == Side::Repository && error.kind() == ErrorKind::Denied)
    }

    /// Whether the server is not registered in the repository, or no longer.
    pub(crate) fn is_not_registered(&self) -> bool {
        matches!(self, Self::Postgres(error) if error.kind() == ErrorKind::NotRegistered)
    }

    /// The connection limit because of which a session was refused, if that is the reason.
    pub(crate) fn connection_limit(&self) -> Option<ConnectionLimit> {
        match self {
            Self::NoSession(error) => error.connection_limit(),
            _ => None,
        }
    }

    /// The unreachable side, if that is the reason.
    pub(crate) fn unreachable_side(&self) -> Option<Side> {
        match self {
            // Including refused logins: the collector has no session then.
            Self::NoSession(error) => Some(error.side()),
            Self::Postgres(error) if error.is_connection() => Some(error.side()),
            Self::Broken(_) => Some(Side::Remote),
            _ => None,
        }
    }
}

impl Snapshot<'_> {
    /// Connects to the server and reads from the repository which datasources to collect. `cached_sources` has the
    /// last result: it is used when the repository is unreachable, and updated otherwise.
    ///
    /// # Errors
    /// The remote server cannot be connected to, or the repository cannot be read and `cached_sources` is empty.
    pub(crate) async fn prepare(
        &self,
        sessions: &mut Sessions,
        cached_sources: &mut Option<Sources>,
    ) -> Result<Sources, Error> {
        let version_num = sessions.main().await.map_err(Error::NoSession)?.version_num();
        Ok(self.sources(version_num, cached_sources).await?)
    }

    /// Begins the transaction on the remote server.
    ///
    /// # Errors
    /// The connection failed, the server has no PoWA version that is compatible with the repository's, or it is excluded.
    pub(crate) async fn begin(&self, sources: Sources, sessions: &mut Sessions) -> Result<StartedSnapshot, Error> {
        let snapshot = Self::begin_for(sources, sessions).await?;
        if snapshot.server.is_standby && !self.selection.standby {
            snapshot.session.end_and_wait().await?;
            return Err(Error::ExcludedStandby);
        }
        Ok(snapshot)
    }

    /// The same, but excludes no server.
    ///
    /// # Errors
    /// As for [`Self::begin`].
    pub(crate) async fn begin_for(sources: Sources, sessions: &mut Sessions) -> Result<StartedSnapshot, Error> {
        let (session, server) = sessions.begin().await?;
        let remote = server.extensions.usable_powa().map_err(|unusable| Error::Unusable(unusable.to_string()))?;
        if !sources.powa.fits(&remote) {
            return Err(Error::Incompatible { repository: sources.powa, remote });
        }
        Ok(StartedSnapshot { sources, session, server })
    }

    /// Reads the datasources from the remote server. The failure of a datasource is not an error of the snapshot: it is listed
    /// in the report.
    ///
    /// # Errors
    /// The connection to the remote server was lost, it stopped responding, or there is no room for the rows.
    pub(crate) async fn collect(
        &self,
        mut snapshot: StartedSnapshot,
        sessions: &Sessions,
        catalogs: Catalogs<'_>,
        spools: &Spools,
    ) -> Result<CollectedSnapshot, Error> {
        let Catalogs { refresh, retries, first_pause } = catalogs;
        let started_at = Instant::now();
        let databases = snapshot.server.databases.iter().map(|database| database.name.as_str());
        retries.apply(&mut snapshot.sources, databases, first_pause, started_at.into());
        let plan = Plan::new(&snapshot.sources, &snapshot.server, refresh, self.selection);
        let outcomes = self.read(&snapshot, sessions, &plan, &Spool::new(spools, &self.config.spool)).await?;
        let mut failures = plan.failures;
        let mut pieces = Vec::new();
        let mut incomplete_catalogs = Vec::new();
        for outcome in outcomes {
            failures.extend(outcome.failures);
            pieces.extend(outcome.rows);
            incomplete_catalogs.extend(outcome.incomplete_catalogs);
        }
        let report = Report {
            datasources: pieces.len(),
            rows: pieces.iter().map(SpooledRows::rows).sum(),
            bytes: pieces.iter().map(SpooledRows::bytes).sum(),
            collecting: started_at.elapsed(),
            ..Report::default()
        };
        Ok(CollectedSnapshot {
            sources: snapshot.sources,
            pieces,
            report,
            failures: failures.iter().collect(),
            attempt: None,
            taken_at: snapshot.server.database.now,
            incomplete_catalogs,
        })
    }

    /// Reads the datasources of a plan into the spool, several databases concurrently.
    async fn read(
        &self,
        snapshot: &StartedSnapshot,
        sessions: &Sessions,
        plan: &Plan<'_>,
        spool: &Spool,
    ) -> Result<Vec<Outcome>, Error> {
        let (session, database) = (&snapshot.session, &snapshot.server.database);
        let (query_text, extensions) = (self.config.limits.query_text, &snapshot.server.extensions);
        let collector = Collector { server: self.server, query_text, extensions, spool };
        let collecting = async {
            tokio::join!(
                collector.collect_and_end(session, ready(Ok(())), database, &plan.main),
                collector.collect_databases(sessions, &plan.others, self.config.limits.databases, &database.now),
            )
        };
        let (main, others) = spool.unless_broken(collecting).await.map_err(Error::Spool)?;
        let mut main = main?;
        cures::add(snapshot, &plan.main, &mut main).await;
        let outcomes: Vec<Outcome> = main.into_iter().chain(others).collect();
        sessions.snapshot_ended(outcomes.iter().any(Outcome::has_session_error));
        Ok(outcomes)
    }

    async fn sources(&self, version_num: i32, cached_sources: &mut Option<Sources>) -> Result<Sources, session::Error> {
        match (self.repository.sources(self.server, version_num).await, &cached_sources) {
            (Ok(sources), _) => {
                *cached_sources = Some(sources.clone());
                Ok(sources)
            }
            (Err(error), Some(last)) if error.is_connection() => {
                tracing::debug!(error = %error, "using the last known list of datasources");
                Ok(last.clone())
            }
            (Err(error), _) => Err(error),
        }
    }

    /// Loads a collected snapshot in one transaction. Safe to retry: a snapshot is stored once, even if the result of an
    /// earlier commit was lost. `last_count` is [`Report::count`] of the server's last snapshot.
    ///
    /// # Errors
    /// The repository is unreachable, or refuses the whole snapshot.
    pub(crate) async fn load(
        &self,
        collected: &mut CollectedSnapshot,
        permit: LoadPermit,
        mode: LoadMode,
        last_count: Option<i64>,
    ) -> Result<Report, Error> {
        let started_at = Instant::now();
        let load = crate::repository::Load {
            server: self.server,
            name: self.name,
            sources: &collected.sources,
            pieces: &mut collected.pieces,
            failures: &collected.failures,
            taken_at: &collected.taken_at,
            incomplete_catalogs: &collected.incomplete_catalogs,
            last_count,
            mode,
        };
        let loaded = self.repository.load(load, &mut collected.attempt, permit).await?;
        let mut report = collected.report.clone();
        report.add(&loaded, &collected.failures);
        report.loading = started_at.elapsed();
        Ok(report)
    }
}
