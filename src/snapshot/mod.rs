//! The life of a snapshot: plan, collect, load. The whole story is on this page; the steps are in the files.
//!
//! Collecting talks to the remote server only, and loading to the repository only, so that neither waits for the
//! other, and what was collected outlives a load that failed.

mod collect;
mod plan;
mod report;
mod sessions;

use std::time::Instant;

pub use plan::CatalogRefresh;
pub use report::{Report, SourceFailure};
pub use sessions::Sessions;

use crate::config::Config;
use crate::postgres::{self, LoadTurn, PowaVersion, Repository, Side, Sources};
use crate::server::ServerId;
use crate::spool::SpooledRows;
use collect::Collector;
use plan::Plan;

/// Whose snapshot it is, and where it goes.
pub struct Snapshot<'a> {
    pub server: ServerId,
    /// What the server is called.
    pub name: &'a str,
    pub config: &'a Config,
    pub repository: &'a Repository,
}

/// Everything that was read from a server, waiting to be loaded.
pub struct Collected {
    sources: Sources,
    pieces: Vec<SpooledRows>,
    failures: Vec<SourceFailure>,
    report: Report,
}

/// Why there is no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{}", .0.in_full())]
    Postgres(#[from] postgres::Error),
    #[error("PoWA on the remote server: {0}")]
    Unusable(String),
    #[error("incompatible PoWA versions: the repository server has {repository}, the remote server {remote}")]
    Incompatible { repository: PowaVersion, remote: PowaVersion },
}

impl Error {
    /// The side that cannot be talked to at all, if that is the reason.
    pub fn unreachable_side(&self) -> Option<Side> {
        match self {
            Self::Postgres(error) if error.is_connection() => Some(error.side()),
            _ => None,
        }
    }
}

impl Snapshot<'_> {
    /// Plans and collects. `known` is the plan's source of the last time, which serves when the repository cannot be
    /// reached, and is replaced when it can.
    ///
    /// # Errors
    /// The remote server cannot be talked to, or has no PoWA that fits the repository's. A datasource that fails is no
    /// error of the snapshot: it becomes a line in the report.
    pub async fn collect(
        &self,
        sessions: &mut Sessions,
        known: &mut Option<Sources>,
        refresh: &CatalogRefresh,
    ) -> Result<Collected, Error> {
        let started = Instant::now();
        let version_num = sessions.main().await?.version_num();
        let sources = self.sources(version_num, known).await?;
        let (session, server) = sessions.begin().await?;
        let remote = server.extensions.usable_powa().map_err(|unusable| Error::Unusable(unusable.to_string()))?;
        if !sources.powa.fits(&remote) {
            return Err(Error::Incompatible { repository: sources.powa, remote });
        }

        let plan = Plan::new(&sources, &server, refresh);
        let collector = Collector { server: self.server, spool: &self.config.spool };
        let (main, others) = tokio::join!(
            collector.collect(&session, &server.database, &plan.main),
            collector.collect_databases(sessions, &plan.others, self.config.limits.databases, &server.database.now),
        );
        session.end().await?;

        let mut failures = plan.failures;
        let mut pieces = Vec::new();
        for outcome in main.into_iter().chain(others) {
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
        Ok(Collected { sources, pieces, failures, report })
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

    /// Loads what was collected: all of it, or nothing.
    ///
    /// # Errors
    /// The repository cannot be talked to, or refuses the snapshot as a whole.
    pub async fn load(&self, collected: Collected, turn: LoadTurn) -> Result<Report, Error> {
        let started = Instant::now();
        let Collected { sources, mut pieces, failures, mut report } = collected;
        report.errors = failures.iter().map(ToString::to_string).collect();
        let loaded = self
            .repository
            .load(
                postgres::Load {
                    server: self.server,
                    name: self.name,
                    sources: &sources,
                    pieces: &mut pieces,
                    errors: &report.errors,
                },
                turn,
            )
            .await?;
        report.add(loaded);
        report.loading = started.elapsed();
        Ok(report)
    }
}
