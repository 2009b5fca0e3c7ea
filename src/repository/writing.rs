//! The statements of a load inside its transaction, before the commit.
//!
//! In the best case these are: one round trip for the beginning, with all queries; one for each table with rows
//! (`tables`), the last including `powa_take_snapshot()`; and one for the end. Missing or left-over rows need
//! additional steps.

use session::{Error, ErrorKind, Extensions, Side};
use std::sync::Arc;

use deadpool_postgres::ClientWrapper;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use super::checked_out::{CheckedOutSession, expand};
use super::clearing::{Clear, clear};
use super::columns::Targets;
use super::committed::{Attempt, AttemptState, EVIDENCE, Evidence};
use super::failed_functions::Sorted;
use super::gaps::{Gaps, forget_refresh, revive_databases};
use super::load::{APPENDING, Columns, DOING, Frame, Load, LoadMode, Loaded};
use super::row_locks::LockedServer;
use super::sources::read_targets;
use super::tables::{Failed, Retry, Tables};
use super::{Repository, Sources};
use crate::server::ServerId;
use crate::spool::SpooledRows;

const SNAPSHOT: &str = "run powa_take_snapshot()";

/// The result of writing, not committed yet.
pub(super) enum Written {
    /// Nothing was written: the previous attempt is already stored.
    Before,
    Now {
        written: Attempt,
        /// The statement that appends errors to those of the snapshot.
        append_errors: String,
    },
}

/// The context of one attempt to load a snapshot.
pub(super) struct Try<'a> {
    pub(super) columns: Columns,
    pub(super) frame: &'a Frame,
    /// The previous attempt, if its outcome is unknown.
    pub(super) before: Option<&'a Attempt>,
}

fn failed(action: &'static str) -> impl Fn(tokio_postgres::Error) -> Error {
    move |error| Error::new(Side::Repository, action, error)
}

impl Repository {
    /// Writes a snapshot inside a transaction, which the caller ends.
    ///
    /// # Errors
    /// As for [`Repository::load`]; [`Failed`] describes the state of the transaction.
    pub(super) async fn write(
        &self,
        session: &CheckedOutSession,
        client: &ClientWrapper,
        load: Load<'_>,
        this: Try<'_>,
    ) -> Result<Written, Failed> {
        let Try { columns, frame, before } = this;
        let (server, id) = (load.server, load.server.get());
        let is_trusting = load.mode == LoadMode::NoSavepoints;
        let reread = match columns {
            Columns::AsPlanned => None,
            Columns::Reread => Some(self.reread(session).await?),
        };
        let (extensions, targets) = match &reread {
            Some((extensions, targets)) => (extensions, targets),
            None => (&load.sources.extensions, &load.sources.targets),
        };
        let hold = expand(extensions, (DOING, self.row_locks.sql()))?;
        let take_snapshot = expand(extensions, (SNAPSHOT, include_str!("../../sql/repository/take_snapshot.sql")))?;
        let append_errors = include_str!("../../sql/repository/append_errors.sql");
        let append_errors = expand(extensions, (APPENDING, append_errors))?;
        let mut refused = Vec::new();
        let mut gaps = Gaps::in_collected(load.sources, load.pieces, load.incomplete_catalogs, &mut refused);
        let evidence = evidence_of(load.pieces);
        let planned = &load.sources.targets;
        let mut tables = Tables::of(load.pieces, (load.mode, columns), |table| targets.copy_target(planned, table));

        // Before the transaction, where a failed prepare would make all later statements fail.
        let preparing = async {
            let (tables, hold, take_snapshot) = tokio::join!(
                biased;
                tables.prepare(client),
                client.prepare_cached(&hold),
                client.prepare_cached(&take_snapshot),
            );
            Ok(tables.and(Ok((hold.map_err(failed(DOING))?, take_snapshot.map_err(failed(SNAPSHOT))?))))
        };
        let (hold, take_snapshot) = self.first_round_trip(DOING, preparing).await??;
        let probe = if is_trusting { tables.probe() } else { String::new() };
        // The first statement shows whether the connection still works.
        let beginning = async { client.batch_execute("begin").await.map_err(failed(DOING)) };
        let of_server: &[&(dyn ToSql + Sync)] = &[&id];
        let following = async {
            Ok(tokio::join!(
                biased;
                client.query_opt(&hold, of_server),
                frame.name_session(client),
                client.batch_execute(&probe),
                session.read_extensions(),
            ))
        };
        let ((), (locked, named, answer, found)) =
            tokio::try_join!(biased; self.first_round_trip(DOING, beginning), following)?;
        let locked = self.locked(client, extensions, server, locked).await?;
        named?;
        answer.map_err(|error| Failed::refused_by_table(failed(DOING)(error)))?;
        if found? != *extensions {
            let changed =
                Error::unexpected(Side::Repository, DOING, "an extension has changed since the snapshot was planned");
            return Err(Failed { retry: Some(Retry::WithSavepoints), ..changed.into() });
        }
        if let Some(before) = before {
            let is_stored = match before.state(&locked) {
                AttemptState::Stored => true,
                AttemptState::Lost => false,
                AttemptState::Overtaken => {
                    is_found(client, extensions, (server, load.taken_at), before.loaded(), &evidence).await?
                }
            };
            if is_stored {
                return Ok(Written::Before);
            }
        }

        let is_clear = load.last_count == Some(locked.coalesce_seq);
        if !is_clear {
            clear(client, server, load.sources, (Clear::IncludingShared, load.mode)).await?;
        }
        if !is_trusting {
            tables.probe_each(client).await?;
        }
        let taking = async { client.query_one(&take_snapshot, of_server).await.map_err(failed(SNAPSHOT)) };
        let taken = if is_trusting && is_clear && gaps.is_empty() {
            let (_, taken) = tables.copy_and(client, taking).await?;
            taken?
        } else {
            refused.extend(tables.copy(client).await?);
            refused.iter().for_each(|refused| gaps.add_refused(load.sources, &refused.table));
            gaps.fill(client, extensions, load.sources, server).await?;
            revive_databases(client, extensions, server).await?;
            taking.await?
        };
        let failures: i32 = taken.try_get(0).map_err(failed(DOING))?;
        let Sorted { faults, failed: failed_functions, .. } = if failures > 0 {
            after_failures(client, extensions, server, (load.sources, load.mode)).await?
        } else {
            Sorted::default()
        };
        let written = Attempt::of(&locked, Loaded { refused, failed_functions, faults, ..Loaded::default() });
        Ok(Written::Now { written, append_errors })
    }

    /// Reads the extensions and the columns of the tables again.
    async fn reread(&self, session: &CheckedOutSession) -> Result<(Extensions, Arc<Targets>), Error> {
        let reading = async { tokio::try_join!(biased; session.read_extensions(), read_targets(session)) };
        let (extensions, targets) = self.first_round_trip(DOING, reading).await?;
        self.known.targets.put(&extensions, &targets);
        Ok((extensions, targets))
    }

    /// The result of locking the server's rows.
    async fn locked(
        &self,
        client: &ClientWrapper,
        extensions: &Extensions,
        server: ServerId,
        locked: Result<Option<Row>, tokio_postgres::Error>,
    ) -> Result<LockedServer, Failed> {
        match locked.map_err(failed(DOING)) {
            Ok(Some(row)) => Ok(LockedServer::of(&row).map_err(failed(DOING))?),
            Ok(None) => {
                let sql = expand(extensions, (DOING, include_str!("../../sql/repository/is_registered.sql")))?;
                let rows = client.query_typed(&sql, &[(&server.get(), Type::INT4)]).await.map_err(failed(DOING))?;
                if rows.is_empty() {
                    return Err(Error::not_registered(DOING).into());
                }
                let reason = "the server has no row in powa_snapshot_metas: register it with powa_register_server()";
                Err(Error::unexpected(Side::Repository, DOING, reason).into())
            }
            Err(error) if error.kind() == ErrorKind::Denied && self.row_locks.skip_server_row() => {
                Err(Failed { retry: Some(Retry::WithoutServerLock), ..error.into() })
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// The history tables in which this snapshot can be found if it is stored.
fn evidence_of(pieces: &[SpooledRows]) -> Vec<&'static Evidence> {
    let is_of = |evidence: &&Evidence| {
        let table = format!(".\"{}_tmp\"", evidence.source);
        pieces.iter().any(|piece| piece.rows() > 0 && piece.target().ends_with(&table))
    };
    EVIDENCE.iter().filter(is_of).collect()
}

/// Whether an attempt is stored, judging by its own rows. Without any row it is harmless to load it again.
async fn is_found(
    client: &ClientWrapper,
    extensions: &Extensions,
    (server, taken_at): (ServerId, &str),
    loaded: &Loaded,
    evidence: &[&Evidence],
) -> Result<bool, Error> {
    let was_kept = |evidence: &&&Evidence| {
        let is_refused = loaded.refused.iter().any(|refused| refused.table.contains(evidence.source));
        !is_refused && !loaded.failed_functions.iter().any(|reason| reason.contains(evidence.function))
    };
    let Some(evidence) = evidence.iter().find(was_kept) else { return Ok(false) };
    let sql = expand(extensions, (DOING, &evidence.sql()))?;
    let values: &[(&(dyn ToSql + Sync), Type)] = &[(&server.get(), Type::INT4), (&taken_at, Type::TEXT)];
    let rows = client.query_typed(&sql, values).await.map_err(failed(DOING))?;
    rows.first().map_or(Ok(false), |row| row.try_get(0)).map_err(failed(DOING))
}

/// Handles errors inside `powa_take_snapshot()`: classifies them, and deletes the rows that the functions left.
async fn after_failures(
    client: &ClientWrapper,
    extensions: &Extensions,
    server: ServerId,
    (sources, mode): (&Sources, LoadMode),
) -> Result<Sorted, Error> {
    let action = "read powa_snapshot_metas";
    let id = server.get();
    let reasons = expand(extensions, (action, include_str!("../../sql/repository/snapshot_errors.sql")))?;
    let rows = client.query_typed(&reasons, &[(&id, Type::INT4)]).await.map_err(failed(action))?;
    let errors: Vec<_> = rows.iter().flat_map(|row| row.try_get::<_, Vec<String>>(0).unwrap_or_default()).collect();
    clear(client, server, sources, (Clear::Own, mode)).await?;
    if errors.iter().any(|error| error.contains("powa_catalog_generic_snapshot")) {
        forget_refresh(client, extensions, server).await?;
    }
    let sorted = Sorted::of(&errors, sources);
    if sorted.stored != errors {
        let action = "explain errors in powa_snapshot_metas";
        let replace = expand(extensions, (action, include_str!("../../sql/repository/replace_errors.sql")))?;
        let values: [(&(dyn ToSql + Sync), Type); 2] = [(&id, Type::INT4), (&sorted.stored, Type::TEXT_ARRAY)];
        client.query_typed(&replace, &values).await.map_err(failed(action))?;
    }
    Ok(sorted)
}
