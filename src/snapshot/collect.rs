//! Reads the datasources from the remote server into the spool. The failure of one does not affect the others.

use futures_util::FutureExt;
use futures_util::future::join_all;
use tokio::time::sleep;

use super::database_queue::DatabaseQueue;
use super::plan::{DatabasePlan, Datasource, Leading};
use super::sessions::max_sessions;
use super::{Sessions, SourceFailure, cures};
use crate::remote::{DatabaseInfo, IncomingRows, RemoteSession};
use crate::server::ServerId;
use crate::spool::{Spool, SpooledRows};
use session::{ConnectionLimit, Error, Extensions, Side, in_order};

/// Collects the datasources of one server.
pub(super) struct Collector<'a> {
    pub(super) server: ServerId,
    /// The longest statement text in bytes (`limits.query_text`). Longer ones are truncated.
    pub(super) query_text: Option<usize>,
    /// The extensions of the database with PoWA.
    pub(super) extensions: &'a Extensions,
    pub(super) spool: &'a Spool,
}

/// The result of one datasource.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) rows: Option<SpooledRows>,
    /// Several, as reading and cleaning up can both fail.
    pub(super) failures: Vec<SourceFailure>,
    /// The OID of the database, if the datasource is a catalog that could not be read.
    pub(super) incomplete_catalogs: Option<String>,
}

impl Outcome {
    /// Whether PostgreSQL reported an error in an open session. Does not include sessions that could not be opened.
    pub(super) fn has_session_error(&self) -> bool {
        self.failures.iter().any(|failure| failure.sqlstate.is_some() && failure.database.is_none())
    }

    fn database_failed(database: &str, error: &super::Error) -> Self {
        let failure = SourceFailure {
            database: Some(database.to_owned()),
            sqlstate: error.sqlstate().map(Into::into),
            ..SourceFailure::new(format!("database \"{database}\""), error.to_string())
        };
        Self { failures: vec![failure], ..Self::default() }
    }

    /// The failure for a database whose name is not valid UTF-8: its invalid bytes were replaced by U+FFFD.
    fn undecodable_name(database: &str) -> Self {
        let reason = "its name has bytes that are not UTF-8, so it cannot be connected to (remote server); \
                      rename it from another database whose own encoding is SQL_ASCII, after set client_encoding to sql_ascii: \
                      create database ascii template template0 encoding 'SQL_ASCII' lc_collate 'C' lc_ctype 'C' makes one";
        let failure = SourceFailure {
            database: Some(database.to_owned()),
            ..SourceFailure::new(format!("database \"{database}\""), reason)
        };
        Self { failures: vec![failure], ..Self::default() }
    }
}

fn failure(datasource: impl Into<String>, error: &Error) -> SourceFailure {
    SourceFailure { sqlstate: error.sqlstate().map(Into::into), ..SourceFailure::new(datasource, error.to_string()) }
}

impl Collector<'_> {
    /// Collects the datasources of one database in one transaction of the session, and ends the transaction. `begin` begins it,
    /// or is ready if that was done before.
    ///
    /// All requests are pipelined, so that they take one round trip. Statements that are not prepared yet take another one.
    pub(super) async fn collect_and_end(
        &self,
        session: &RemoteSession,
        begin: impl Future<Output = Result<(), Error>>,
        database: &DatabaseInfo,
        datasources: &[Datasource<'_>],
    ) -> Result<Vec<Outcome>, super::Error> {
        let collecting = async {
            session.prepare(datasources.iter().map(|datasource| &datasource.query)).await;
            let collecting = datasources.iter().map(|source| self.collect_one(session, database, source).boxed());
            tokio::join!(biased; in_order(collecting.collect()), session.end())
        };
        let collecting = async { tokio::join!(biased; begin, collecting) };
        let (started, (mut outcomes, ended)) = session.with_silence_limit("collect", collecting).await?;
        started?;
        match ended {
            Ok(()) => Ok(outcomes),
            // The first failure has the cause; the error at the end of the transaction only says that the session is lost.
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
        let leading = columns.iter().copied();
        let mut rows = IncomingRows::new(leading, &source.columns, self.query_text, self.spool.writer())
            .without(source.excluded.clone());
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
            Ok(()) if rows.is_incomplete() => {
                let error = Error::unexpected(Side::Remote, "read it", "a row is too long for any repository");
                outcome.failures.push(failure(&source.name, &error));
            }
            Ok(()) => {
                let too_long = rows.left_out().map(|rows| cures::rows_too_long(source, rows, self.extensions));
                let is_whole = too_long.is_none();
                outcome.failures.extend(too_long);
                // In a complete list, a missing row would mean that the object was dropped.
                if is_whole || !source.is_list {
                    // An error of the spool is not reported here: it ends the whole snapshot.
                    outcome.rows = rows.finish(source.name.clone(), source.target.to_string()).await.ok();
                }
            }
            Err(error) => {
                outcome.failures.push(failure(&source.name, &error));
                outcome.incomplete_catalogs = (source.leading == Leading::ServerDatabase).then(|| database.oid.clone());
            }
        }
        if let Err(error) = cleaned_up {
            outcome.failures.push(failure(&source.name, &error));
        }
        outcome
    }

    /// Collects from several databases, at most `concurrency` at a time. `now` is the time of the snapshot, the same for all.
    pub(super) async fn collect_databases(
        &self,
        sessions: &Sessions,
        plans: &[DatabasePlan<'_>],
        concurrency: usize,
        now: &str,
    ) -> Vec<Outcome> {
        // One future for each reader, not for each database: there may be thousands of databases.
        let readers = sessions.start_databases(concurrency.min(plans.len()));
        let queue = DatabaseQueue::new(plans, readers);
        let needed = max_sessions(plans.len(), concurrency);
        let collecting: Vec<_> =
            (0..readers).map(|_| self.collect_queued(sessions, &queue, needed, now).boxed()).collect();
        let outcomes = join_all(collecting).await.into_iter().flatten().collect();
        sessions.keep_only(plans.iter().map(|plan| plan.database.as_str()));
        outcomes
    }

    /// Reads databases from the queue until it is empty. `needed` is the number of sessions that the server should allow.
    async fn collect_queued(
        &self,
        sessions: &Sessions,
        queue: &DatabaseQueue<'_>,
        needed: usize,
        now: &str,
    ) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        while let Some((queued, plan)) = queue.next() {
            let error = match self.collect_database(sessions, plan, now).await {
                Ok(collected) => {
                    sessions.check_in(&plan.database, plan.may_stay_open);
                    outcomes.extend(collected);
                    continue;
                }
                Err(super::Error::NoSession(error)) if error.is_missing_database() => {
                    // Otherwise the database was dropped, or closed to connections, after the plan was made: not a failure.
                    if plan.database.contains(char::REPLACEMENT_CHARACTER) {
                        outcomes.push(Outcome::undecodable_name(&plan.database));
                    }
                    continue;
                }
                Err(error) => error,
            };
            match error.connection_limit() {
                Some(ConnectionLimit::Database) if !queued.is_retry => {
                    queue.requeue(queued);
                    continue;
                }
                Some(ConnectionLimit::Role | ConnectionLimit::Server) => {
                    if queue.hand_over(queued) {
                        return outcomes;
                    }
                    if let Some(pause) = queue.pause() {
                        sleep(pause).await;
                        queue.requeue(queued);
                        continue;
                    }
                }
                _ => {}
            }
            // The state of the session is unknown: cancel everything that runs in it.
            sessions.cancel_database(&plan.database).await;
            outcomes.push(Outcome::database_failed(&plan.database, &sessions.with_cure(error, &plan.database, needed)));
        }
        outcomes
    }

    async fn collect_database(
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
