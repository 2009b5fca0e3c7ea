//! Reads the datasources from the remote server into spools. Each stands for itself: one that fails costs itself only.

use futures_util::{FutureExt, StreamExt, stream};

use super::plan::{DatabasePlan, Datasource, Leading};
use super::{Sessions, SourceFailure};
use crate::config;
use crate::postgres::copy_text::RowPrefixer;
use crate::postgres::{DatabaseInfo, Error, RemoteSession, in_order};
use crate::server::ServerId;
use crate::spool::{Spool, SpooledRows};

/// Collects for one server.
pub(super) struct Collector<'a> {
    pub(super) server: ServerId,
    pub(super) spool: &'a config::Spool,
}

/// What became of one datasource.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) rows: Option<SpooledRows>,
    /// Reading and cleaning up can both fail.
    pub(super) failures: Vec<SourceFailure>,
}

impl Outcome {
    fn failed(datasource: impl Into<String>, error: &Error) -> Self {
        Self { rows: None, failures: vec![failure(datasource, error)] }
    }
}

fn failure(datasource: impl Into<String>, error: &Error) -> SourceFailure {
    SourceFailure { datasource: datasource.into(), reason: error.in_full() }
}

impl Collector<'_> {
    /// Collects the datasources of one database, inside the transaction that was begun in the session.
    ///
    /// All requests are sent without waiting for an answer, so that they cost one round trip; what has not been
    /// prepared yet costs another one.
    pub(super) async fn collect(
        &self,
        session: &RemoteSession,
        database: &DatabaseInfo,
        datasources: &[Datasource],
    ) -> Vec<Outcome> {
        session.prepare(datasources.iter().map(|datasource| datasource.query.as_str())).await;
        let collecting = datasources.iter().map(|datasource| self.collect_one(session, database, datasource).boxed());
        in_order(collecting.collect()).await
    }

    async fn collect_one(&self, session: &RemoteSession, database: &DatabaseInfo, source: &Datasource) -> Outcome {
        let server = self.server.to_string();
        let columns: &[&str] = match source.leading {
            Leading::Server => &[&server],
            Leading::ServerTimeDatabase => &[&server, &database.now, &database.oid],
            Leading::ServerDatabase => &[&server, &database.oid],
        };
        let mut spool = Spool::new(self.spool);
        let mut prefixer = RowPrefixer::new(columns.iter().copied());
        let copying = session.copy_out(&source.query, |piece| prefixer.push(piece, &mut spool));
        let cleaning_up = async {
            match &source.cleanup {
                Some(statement) => session.clean_up(statement).await,
                None => Ok(()),
            }
        };
        let (copied, cleaned_up) = tokio::join!(biased; copying, cleaning_up);
        let copied = copied.and_then(|()| {
            prefixer
                .finish(&mut spool)
                .map_err(|error| Error::local(crate::postgres::Side::Remote, "keep what was read in the spool", error))
        });

        let mut outcome = Outcome::default();
        match copied {
            Ok(()) => {
                let rows = prefixer.rows();
                outcome.rows = Some(spool.finish(source.name.clone(), source.target.clone(), rows));
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
        plans: &[DatabasePlan],
        at_once: usize,
        now: &str,
    ) -> Vec<Outcome> {
        let collecting: Vec<_> = plans.iter().map(|plan| self.collect_database(sessions, plan, now).boxed()).collect();
        let outcomes = stream::iter(collecting).buffer_unordered(at_once).concat().await;
        sessions.keep_only(plans.iter().filter(|plan| plan.may_stay).map(|plan| plan.database.as_str()));
        outcomes
    }

    async fn collect_database(&self, sessions: &Sessions, plan: &DatabasePlan, now: &str) -> Vec<Outcome> {
        match self.try_database(sessions, plan, now).await {
            Ok(outcomes) => outcomes,
            // Dropped since the plan was made.
            Err(error) if error.is_missing_database() => vec![],
            Err(error) => vec![Outcome::failed(format!("database \"{}\"", plan.database), &error)],
        }
    }

    async fn try_database(&self, sessions: &Sessions, plan: &DatabasePlan, now: &str) -> Result<Vec<Outcome>, Error> {
        let session = sessions.database(&plan.database).await?;
        let database = DatabaseInfo { now: now.to_owned(), ..session.begin_database().await? };
        let outcomes = self.collect(&session, &database, &plan.datasources).await;
        session.end().await?;
        Ok(outcomes)
    }
}
