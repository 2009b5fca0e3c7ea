//! Reads the datasources from the remote server into the spool. Each stands for itself: one that fails costs itself only.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt;
use futures_util::future::join_all;

use super::plan::{DatabasePlan, Datasource, Leading};
use super::{Sessions, SourceFailure};
use crate::postgres::{DatabaseInfo, Error, IncomingRows, RemoteSession, in_order};
use crate::server::ServerId;
use crate::spool::{Spool, SpooledRows};

/// Collects for one server.
pub(super) struct Collector<'a> {
    pub(super) server: ServerId,
    pub(super) spool: &'a Spool,
}

/// What became of one datasource.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) rows: Option<SpooledRows>,
    /// Reading and cleaning up can both fail.
    pub(super) failures: Vec<SourceFailure>,
}

impl Outcome {
    fn database_failed(database: &str, error: &super::Error) -> Self {
        let failure = SourceFailure {
            database: Some(database.to_owned()),
            sqlstate: error.sqlstate().map(Into::into),
            ..SourceFailure::new(format!("database \"{database}\""), error.to_string())
        };
        Self { rows: None, failures: vec![failure] }
    }
}

fn failure(datasource: impl Into<String>, error: &Error) -> SourceFailure {
    SourceFailure { sqlstate: error.sqlstate().map(Into::into), ..SourceFailure::new(datasource, error.in_full()) }
}

impl Collector<'_> {
    /// Collects the datasources of one database, inside the transaction that is begun, or was, in the session, and ends it.
    ///
    /// All requests are sent without waiting for an answer, so that they cost one round trip; what has not been
    /// prepared yet costs another one.
    pub(super) async fn collect_and_end(
        &self,
        session: &RemoteSession,
        begin: impl Future<Output = Result<(), Error>>,
        database: &DatabaseInfo,
        datasources: &[Datasource<'_>],
    ) -> Result<Vec<Outcome>, super::Error> {
        let collecting = async {
            session.prepare(datasources.iter().map(|datasource| &*datasource.query)).await;
            let collecting = datasources.iter().map(|source| self.collect_one(session, database, source).boxed());
            tokio::join!(biased; in_order(collecting.collect()), session.end())
        };
        let collecting = async { tokio::join!(biased; begin, collecting) };
        let (begun, (mut outcomes, ended)) = session.unless_silent("collect", collecting).await?;
        begun?;
        match ended {
            Ok(()) => Ok(outcomes),
            // The end tells only that it is over; what it began with tells why.
            Err(error) => match outcomes.iter_mut().find_map(|outcome| outcome.failures.pop()) {
                Some(first) => Err(super::Error::Broken(first)),
                None => Err(error.into()),
            },
        }
    }

    async fn collect_one(&self, session: &RemoteSession, database: &DatabaseInfo, source: &Datasource<'_>) -> Outcome {
        let server = self.server.to_string();
        let columns: &[&str] = match source.leading {
            Leading::Server => &[&server],
            Leading::ServerTimeDatabase => &[&server, &database.now, &database.oid],
            Leading::ServerDatabase => &[&server, &database.oid],
        };
        let mut rows = IncomingRows::new(columns.iter().copied(), self.spool.writer());
        let copying = session.copy_out(&source.query, &mut rows);
        let cleaning_up = async {
            match &source.cleanup {
                Some(statement) => session.clean_up(statement).await,
                None => Ok(()),
            }
        };
        let (copied, cleaned_up) = tokio::join!(biased; copying, cleaning_up);

        let mut outcome = Outcome::default();
        match copied {
            Ok(()) => {
                // A spool that is broken ends the snapshot, not this datasource, and says why itself.
                outcome.rows = rows.finish(source.name.clone(), source.target.to_string()).await.ok();
            }
            Err(error) => outcome.failures.push(failure(&source.name, &error)),
        }
        if let Err(error) = cleaned_up {
            outcome.failures.push(failure(&source.name, &error));
        }
        outcome
    }

    /// Collects from several databases side by side, up to a bound. `now` is the snapshot's time, the same for all.
    pub(super) async fn collect_databases(
        &self,
        sessions: &Sessions,
        plans: &[DatabasePlan<'_>],
        at_once: usize,
        now: &str,
    ) -> Vec<Outcome> {
        // Not a future for each database: of these there may be thousands.
        let next = AtomicUsize::new(0);
        let turns = at_once.min(plans.len());
        let collecting: Vec<_> = (0..turns).map(|_| self.collect_next(sessions, plans, &next, now).boxed()).collect();
        let outcomes = join_all(collecting).await.into_iter().flatten().collect();
        sessions.keep_only(plans.iter().map(|plan| plan.database.as_str()));
        outcomes
    }

    async fn collect_next(
        &self,
        sessions: &Sessions,
        plans: &[DatabasePlan<'_>],
        next: &AtomicUsize,
        now: &str,
    ) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        while let Some(plan) = plans.get(next.fetch_add(1, Ordering::Relaxed)) {
            outcomes.extend(self.collect_database(sessions, plan, now).await);
        }
        outcomes
    }

    async fn collect_database(&self, sessions: &Sessions, plan: &DatabasePlan<'_>, now: &str) -> Vec<Outcome> {
        match self.try_database(sessions, plan, now).await {
            Ok(outcomes) => {
                sessions.put_back(&plan.database, plan.may_stay);
                outcomes
            }
            // Dropped or closed since the plan was made.
            Err(super::Error::NoSession(error)) if error.is_missing_database() => vec![],
            Err(error) => {
                // In whatever state it is: nothing may go on there.
                sessions.cancel_database(&plan.database).await;
                vec![Outcome::database_failed(&plan.database, &error)]
            }
        }
    }

    async fn try_database(
        &self,
        sessions: &Sessions,
        plan: &DatabasePlan<'_>,
        now: &str,
    ) -> Result<Vec<Outcome>, super::Error> {
        let session = sessions.database(&plan.database).await.map_err(super::Error::NoSession)?;
        let database = session.database_at(now);
        self.collect_and_end(&session, session.begin_database(), &database, &plan.datasources).await
    }
}
