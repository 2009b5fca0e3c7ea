//! The load of a snapshot, in one transaction.
//!
//! What can be sent together is: beginning, a round trip for each table that gets rows (`tables`), taking the snapshot,
//! and the end, before which all has to be known.

use std::fmt;
use std::sync::Arc;

use deadpool_postgres::ClientWrapper;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tokio_postgres::types::{ToSql, Type};

use super::committed::was_committed;
use super::conversation::expand;
use super::tables::{Failed, Tables};
use super::{Repository, Sources};

use crate::failures::Failures;
use crate::postgres::{Error, Side};
use crate::server::ServerId;
use crate::spool::SpooledRows;

pub(super) const DOING: &str = "load the snapshot";

const APPENDING: &str = "report errors in powa_snapshot_metas";

/// All there is to load for one snapshot.
pub struct Load<'a> {
    pub server: ServerId,
    /// The `application_name` of the session is `PoWA collector - repo_conn for worker NAME` meanwhile.
    pub name: &'a str,
    pub sources: &'a Sources,
    pub pieces: &'a mut [SpooledRows],
    /// What has failed before the load.
    pub failures: &'a Failures,
    pub care: Care,
}

/// How much care is taken that a table that refuses its rows costs only these.
///
/// A savepoint for each table takes a transaction id of its own and three more answers, for what hardly ever happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Care {
    /// None. If a table refuses, the load begins anew, carefully.
    Trusting,
    /// A savepoint for each table. What the repository cannot take just now fails the load: it may be taken the next
    /// time, and is not to be had again from the remote server.
    Careful,
    /// There will be no other try: what the repository cannot take just now is left out as well.
    LastTry,
}

/// A load whose commit was asked for: whether it is there, only the repository can tell.
#[derive(Debug)]
pub struct Attempt {
    transaction: i64,
    loaded: Loaded,
}

/// Only so many loads run at once: this is one of them, or the place of all.
pub struct LoadTurn(#[expect(dead_code, reason = "it is held, not used")] OwnedSemaphorePermit);

/// What became of a load that was committed.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Datasources whose rows the repository refused.
    pub refused: Vec<Refused>,
    /// What `powa_take_snapshot()` says of functions that failed inside it. It has put that into
    /// `powa_snapshot_metas.errors` itself.
    pub failed_functions: Vec<String>,
}

/// A datasource whose rows the repository refused.
#[derive(Debug)]
pub struct Refused {
    pub datasource: String,
    pub reason: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.datasource, self.reason)
    }
}

impl Repository {
    /// Waits until one more load may run.
    pub async fn turn_to_load(&self) -> LoadTurn {
        LoadTurn(Arc::clone(&self.loads).acquire_owned().await.expect("nobody closes the semaphore"))
    }

    /// Waits until no load runs any more. None begins meanwhile, nor before the turn is over.
    pub(super) async fn all_turns_to_load(&self) -> LoadTurn {
        let all = Arc::clone(&self.loads).acquire_many_owned(self.most_loads);
        LoadTurn(all.await.expect("nobody closes the semaphore"))
    }

    /// Loads a snapshot in one transaction: all of it is there afterwards, or nothing, and never twice. `attempt` is the
    /// try before, if nobody knows how it ended, and becomes this one if nobody will.
    ///
    /// # Errors
    /// The repository cannot be reached, or `powa_take_snapshot()` fails. Rows that a table refuses are no error of the
    /// load: they cost their datasource only.
    pub async fn load(&self, load: Load<'_>, attempt: &mut Option<Attempt>, _turn: LoadTurn) -> Result<Loaded, Error> {
        // The server's own limit, for each statement, comes first, and tells more.
        let limit = self.timeouts.snapshot + self.timeouts.connect;
        let loading = async {
            match self.try_to_load(Load { pieces: &mut *load.pieces, ..load }, attempt).await {
                Err(Failed { is_for_want_of_care: true, .. }) => {
                    self.try_to_load(Load { care: Care::Careful, ..load }, attempt).await
                }
                tried => tried,
            }
        };
        match timeout(limit, loading).await {
            Ok(loaded) => loaded.map_err(|failed| failed.error),
            // Not a repository that is away: it was there, and would take as long again.
            Err(_) => {
                let reason = format!("it took longer than {} s; raise timeouts.snapshot if it has to", limit.as_secs());
                Err(Error::found(Side::Repository, DOING, reason))
            }
        }
    }

    async fn try_to_load(&self, load: Load<'_>, attempt: &mut Option<Attempt>) -> Result<Loaded, Failed> {
        let conversation = self.session(DOING).await?;
        if let Some(before) = attempt {
            let is_there = self.unless_gone(DOING, was_committed(&conversation, before.transaction)).await?;
            if let Some(before) = attempt.take().filter(|_| is_there) {
                return Ok(before.loaded);
            }
        }
        let frame = Frame::of(&load)?;
        let client = conversation.begin_work();
        let loaded = match self.load_into(client, load, &frame).await {
            Ok(written) => {
                let written = attempt.insert(written);
                match frame.commit(client, &written.loaded.refused).await {
                    // Lost on the way: the attempt stays, to be asked about.
                    Err(error) if error.is_connection() => return Err(error.into()),
                    ended => ended.and(Ok(attempt.take().expect("it was written").loaded)).map_err(Failed::from),
                }
            }
            Err(failed @ Failed { can_be_rolled_back: false, .. }) => return Err(failed),
            Err(failed) => {
                // That it failed is said already.
                drop(client.batch_execute("rollback").await);
                Err(failed)
            }
        };
        conversation.end_work();
        loaded
    }

    /// What was written is not there before it is committed.
    async fn load_into(&self, client: &ClientWrapper, load: Load<'_>, frame: &Frame<'_>) -> Result<Attempt, Failed> {
        let failed = |doing: &'static str| move |error| Error::new(Side::Repository, doing, error);
        let id = load.server.get();
        let extensions = &load.sources.extensions;
        let taking = "run powa_take_snapshot()";
        let take_snapshot = expand(extensions, (taking, include_str!("../../../sql/repository/take_snapshot.sql")))?;

        let mut tables = Tables::of(load.pieces, load.care);
        let question = tables.question();
        let preparing = async {
            // Before the transaction, in which what comes after a failure would fail too.
            let (tables, take_snapshot) =
                tokio::join!(biased; tables.prepare(client), client.prepare_cached(&take_snapshot));
            tables.and(take_snapshot.map_err(|error| failed(taking)(error).into()))
        };
        // The first word tells whether there is still somebody at the other end.
        let beginning = async { client.batch_execute("begin").await.map_err(failed(DOING)) };
        let (take_snapshot, (), (), answer) = tokio::try_join!(
            biased;
            preparing,
            async { Ok(self.unless_gone(DOING, beginning).await?) },
            async { Ok(frame.name_session(client).await?) },
            async { Ok(client.batch_execute(&question).await) },
        )?;
        if answer.is_err() {
            let (begun, named, asked) = tokio::join!(
                biased;
                client.batch_execute("rollback; begin"),
                frame.name_session(client),
                tables.ask_each(client),
            );
            begun.map_err(failed(DOING))?;
            named?;
            asked?;
        }
        let taking_it = async { client.query_one(&take_snapshot, &[&id]).await };
        let (refused, taken) = tables.copy(client, taking_it).await?;
        let taken = taken.map_err(failed(taking))?;
        let unreadable = failed(DOING);
        let (failures, transaction): (i32, i64) =
            (taken.try_get(0).map_err(unreadable)?, taken.try_get(1).map_err(unreadable)?);
        let failed_functions = if failures > 0 {
            let doing = "read powa_snapshot_metas";
            let reasons = expand(extensions, (doing, include_str!("../../../sql/repository/snapshot_errors.sql")))?;
            let rows = client.query_typed(&reasons, &[(&id, Type::INT4)]).await.map_err(failed(doing))?;
            rows.iter().flat_map(|row| row.try_get::<_, Vec<String>>(0).unwrap_or_default()).collect()
        } else {
            vec![]
        };
        Ok(Attempt { transaction, loaded: Loaded { refused, failed_functions } })
    }
}

/// What is around the load in its transaction. All of it is sent without being prepared, for which there would be an
/// answer to wait for.
struct Frame<'a> {
    server: ServerId,
    session_name: String,
    failures: &'a Failures,
    append_errors: String,
}

impl<'a> Frame<'a> {
    fn of(load: &Load<'a>) -> Result<Self, Error> {
        let append_errors = include_str!("../../../sql/repository/append_errors.sql");
        Ok(Self {
            server: load.server,
            session_name: format!("PoWA collector - repo_conn for worker {}", load.name),
            failures: load.failures,
            append_errors: expand(&load.sources.extensions, (APPENDING, append_errors))?,
        })
    }

    async fn name_session(&self, client: &ClientWrapper) -> Result<(), Error> {
        let sql = include_str!("../../../sql/repository/name_session.sql");
        let named = client.query_typed(sql, &[(&self.session_name, Type::TEXT)]).await;
        named.map(drop).map_err(|error| Error::new(Side::Repository, "name the session", error))
    }

    /// Commits, or fails: where what comes before the commit fails, that is a roll-back.
    async fn commit(&self, client: &ClientWrapper, refused: &[Refused]) -> Result<(), Error> {
        let appending = async {
            let errors = refused.iter().collect::<Failures>().before(self.failures).lines();
            if errors.is_empty() {
                return Ok(());
            }
            let values: [(&(dyn ToSql + Sync), Type); 2] =
                [(&self.server.get(), Type::INT4), (&errors, Type::TEXT_ARRAY)];
            let appended = client.query_typed(&self.append_errors, &values).await;
            appended.map(drop).map_err(|error| Error::new(Side::Repository, APPENDING, error))
        };
        // powa_take_snapshot() has reset the errors and changed the session's name, so both come after it.
        let (appended, named, committed) =
            tokio::join!(biased; appending, self.name_session(client), client.batch_execute("commit"));
        let committed = committed.map_err(|error| Error::new(Side::Repository, DOING, error));
        appended.and(named).and(committed)
    }
}
