//! Copies the rows of a snapshot into their tables, each of which may refuse them, in one transaction and with one
//! round trip for each table.

use session::{Error, ErrorKind, Side, in_order};
use std::collections::{HashMap, VecDeque};
use std::future::ready;
use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use deadpool_postgres::ClientWrapper;
use futures_util::{FutureExt, SinkExt};
use tokio_postgres::{CopyInSink, Statement};

use super::columns::{CopyTarget, Mismatch};
use super::load::{Columns, DOING, LoadMode, Refused};
use super::savepoint::{KEEP, SAVEPOINT, UNDO, attempt};
use crate::spool::SpooledRows;

type Sink = Pin<Box<CopyInSink<Bytes>>>;

/// The rows to load, by table. Rows of several databases for the same table are copied together.
pub(super) struct Tables<'a> {
    waiting: VecDeque<Table<'a>>,
    refused: Vec<Refused>,
    mode: LoadMode,
    columns: Columns,
}

struct Table<'a> {
    target: String,
    copy: CopyTarget,
    pieces: Vec<&'a mut SpooledRows>,
    statement: Option<Statement>,
}

/// A COPY in progress.
struct Copying<'a> {
    table: Table<'a>,
    /// An error on our side, such as reading the spool.
    sent: Result<Sink, Error>,
}

/// Why a load failed.
pub(super) struct Failed {
    pub(super) error: Error,
    /// The session is usable again after a rollback.
    pub(super) can_be_rolled_back: bool,
    /// Repeat the load at once in another way.
    pub(super) retry: Option<Retry>,
}

/// Another way to load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retry {
    /// With savepoints, so that only a part fails.
    WithSavepoints,
    /// Without a lock on the server's row in `powa_servers`.
    WithoutServerLock,
}

impl Failed {
    /// A table refused its rows in a load without savepoints.
    pub(super) fn refused_by_table(error: Error) -> Self {
        let is_about_rows = !error.is_connection() && !error.is_momentary();
        Self { retry: is_about_rows.then_some(Retry::WithSavepoints), ..error.into() }
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        let can_be_rolled_back = !error.is_connection();
        Self { error, can_be_rolled_back, retry: None }
    }
}

impl<'a> Tables<'a> {
    /// Skips datasources without rows, so that a missing table does not matter for them; the function that reads it in
    /// `powa_take_snapshot()` reports it. `copy_target` tells how to copy rows into a table.
    pub(super) fn of(
        pieces: &'a mut [SpooledRows],
        (mode, columns): (LoadMode, Columns),
        copy_target: impl Fn(&str) -> Result<CopyTarget, Mismatch>,
    ) -> Self {
        let mut tables: Vec<Table<'a>> = Vec::new();
        let mut indexes = HashMap::new();
        let mut refused = Vec::new();
        for piece in pieces.iter_mut().filter(|piece| piece.rows() > 0) {
            let target = piece.target();
            let index = match indexes.get(target) {
                Some(index) => *index,
                None => match copy_target(target) {
                    Ok(copy) => {
                        indexes.insert(target.to_owned(), tables.len());
                        tables.push(Table { target: target.to_owned(), copy, pieces: Vec::new(), statement: None });
                        tables.len() - 1
                    }
                    Err(mismatch) => {
                        let action = format!("load it into {target}");
                        let error = Error::unexpected(Side::Repository, action, mismatch.to_string());
                        refused.push(Refused::of(piece, error.to_string()));
                        continue;
                    }
                },
            };
            tables[index].pieces.push(piece);
        }
        Self { waiting: tables.into(), refused, mode, columns }
    }

    /// Prepares the COPY statements that the session has not prepared yet. A missing table counts as refusing its rows.
    pub(super) async fn prepare(&mut self, client: &ClientWrapper) -> Result<(), Failed> {
        let preparing = self.waiting.iter().map(|table| {
            let sql = table.copy.statement(&table.target);
            async move { client.prepare_cached(&sql).await }.boxed()
        });
        let prepared = in_order(preparing.collect()).await;
        for (mut table, prepared) in std::mem::take(&mut self.waiting).into_iter().zip(prepared) {
            match prepared {
                Ok(statement) => {
                    table.statement = Some(statement);
                    self.waiting.push_back(table);
                }
                Err(error) => {
                    let error = table.failed(error);
                    self.refuse(&table, error)?;
                }
            }
        }
        Ok(())
    }

    /// A statement that fails if any table refuses rows, and takes the locks of COPY. To be sent inside the
    /// transaction.
    ///
    /// A COPY that fails to start would need a wait for its answer: the driver then mistakes the answer to the end of
    /// the data for that of the next statement.
    pub(super) fn probe(&self) -> String {
        let probes: Vec<_> = self.waiting.iter().map(Table::probe).collect();
        probes.join("; ")
    }

    /// Probes each table separately, and drops those that refuse rows.
    pub(super) async fn probe_each(&mut self, client: &ClientWrapper) -> Result<(), Failed> {
        let probing = self.waiting.iter().map(|table| {
            let probe = table.probe();
            async move { attempt(client, client.batch_execute(&probe)).await }.boxed()
        });
        let answers = in_order(probing.collect()).await;
        for (table, answer) in std::mem::take(&mut self.waiting).into_iter().zip(answers) {
            match answer.map_err(|error| Error::new(Side::Repository, DOING, error))? {
                Ok(()) => self.waiting.push_back(table),
                Err(error) => {
                    let error = table.failed(error);
                    self.refuse(&table, error)?;
                }
            }
        }
        Ok(())
    }

    /// Copies the tables one after the other. Each costs the round trip in which the driver waits until the repository
    /// is ready for data; the end of the previous table is sent with it. Only a few parts of the spool are in memory,
    /// because a table's rows are read when the repository is ready for them.
    pub(super) async fn copy(self, client: &ClientWrapper) -> Result<Vec<Refused>, Failed> {
        match self.mode {
            LoadMode::NoSavepoints => Ok(self.copy_and(client, ready(())).await?.0),
            LoadMode::Savepoints | LoadMode::SkipFailingRows => self.copy_with_savepoints(client).await,
        }
    }

    /// Copies without savepoints, and runs `then`, which is sent with the end of the last table.
    pub(super) async fn copy_and<T>(
        self,
        client: &ClientWrapper,
        then: impl Future<Output = T>,
    ) -> Result<(Vec<Refused>, T), Failed> {
        let mut last: Option<Copying<'_>> = None;
        for table in self.waiting {
            let (ended, sink) = tokio::join!(biased; finish(last.take()), begin(client, &table));
            // The next COPY was started in a failed transaction, which leaves the driver unusable.
            ended.map_err(|error| Failed { can_be_rolled_back: false, ..Failed::refused_by_table(error) })?;
            last = Some(table.send(sink?).await);
        }
        let (ended, done) = tokio::join!(biased; finish(last), then);
        ended.map_err(Failed::refused_by_table)?;
        Ok((self.refused, done))
    }

    async fn copy_with_savepoints(mut self, client: &ClientWrapper) -> Result<Vec<Refused>, Failed> {
        let mut last: Option<Copying<'_>> = None;
        loop {
            let Some(table) = self.waiting.pop_front() else {
                let Some(last) = last.take() else { return Ok(self.refused) };
                // If it fails, its datasources are retried one by one.
                let ended = keep_or_undo(client, Some(last)).await;
                self.handle_result(ended)?;
                continue;
            };
            let (ended, _, sink) = tokio::join!(
                biased;
                keep_or_undo(client, last.take()),
                client.batch_execute(SAVEPOINT),
                begin(client, &table),
            );
            self.handle_result(ended)?;
            last = Some(table.send(sink?).await);
        }
    }

    /// Handles the result for a table.
    fn handle_result(&mut self, ended: Option<(Table<'a>, Result<(), Error>)>) -> Result<(), Failed> {
        match ended {
            Some((table, Err(error))) if error.is_connection() || table.is_one_datasource() => {
                self.refuse(&table, error)
            }
            Some((table, Err(_))) => {
                self.waiting.extend(table.by_datasource());
                Ok(())
            }
            Some((_, Ok(()))) | None => Ok(()),
        }
    }

    fn refuse(&mut self, table: &Table<'_>, error: Error) -> Result<(), Failed> {
        if error.is_connection() || error.is_momentary() && self.mode != LoadMode::SkipFailingRows {
            return Err(error.into());
        }
        let may_fit = self.columns == Columns::AsPlanned && error.kind() == ErrorKind::MissingColumn;
        if self.mode == LoadMode::NoSavepoints || may_fit {
            return Err(Failed::refused_by_table(error));
        }
        let reason = error.to_string();
        self.refused.extend(table.pieces.iter().map(|piece| Refused::of(piece, reason.clone())));
        Ok(())
    }
}

impl<'a> Table<'a> {
    fn is_one_datasource(&self) -> bool {
        self.pieces.len() == 1
    }

    fn by_datasource(self) -> impl Iterator<Item = Table<'a>> {
        let Self { target, copy, pieces, statement } = self;
        pieces.into_iter().map(move |piece| Table {
            target: target.clone(),
            copy: copy.clone(),
            pieces: vec![piece],
            statement: statement.clone(),
        })
    }

    fn probe(&self) -> String {
        format!("insert into {} select where false", self.target)
    }

    fn failed(&self, error: tokio_postgres::Error) -> Error {
        Error::new(Side::Repository, format!("load it into {}", self.target), error)
    }

    async fn send(mut self, mut sink: Sink) -> Copying<'a> {
        for piece in &mut self.pieces {
            if let Err(error) = send(piece, &self.copy.suffix, &mut sink).await {
                // Dropping the sink makes the COPY fail.
                return Copying { table: self, sent: Err(error) };
            }
        }
        Copying { table: self, sent: Ok(sink) }
    }
}

impl<'a> Copying<'a> {
    /// Ends the COPY and waits for its result.
    async fn finish(self) -> (Table<'a>, Result<(), Error>) {
        let Self { table, sent } = self;
        let finished = match sent {
            Ok(mut sink) => sink.as_mut().finish().await.map(drop).map_err(|error| table.failed(error)),
            Err(error) => Err(error),
        };
        (table, finished)
    }
}

async fn send(piece: &mut SpooledRows, suffix: &str, sink: &mut Sink) -> Result<(), Error> {
    let failed = |error| Error::new(Side::Repository, DOING, error);
    let mut is_row_open = false;
    piece.rewind();
    loop {
        let part = piece.next_part().await.map_err(|error| Error::local(Side::Repository, "read the spool", error))?;
        let Some(last) = part.last() else { break };
        is_row_open = *last != b'\n';
        let part = if suffix.is_empty() { part } else { with_suffix(&part, suffix) };
        // The repository's error arrives at the end.
        sink.send(part).await.map_err(failed)?;
    }
    if is_row_open {
        // An unfinished row, which only a faulty server sends. The next datasource starts a new row.
        sink.send(format!("{suffix}\n").into()).await.map_err(failed)?;
    }
    Ok(())
}

/// Appends values to each row. In the text format of COPY, a newline always ends a row.
fn with_suffix(part: &[u8], suffix: &str) -> Bytes {
    let mut rows = BytesMut::with_capacity(part.len() + part.len() / 4);
    let mut rest = part;
    while let Some(end) = memchr::memchr(b'\n', rest) {
        rows.extend_from_slice(&rest[..end]);
        rows.extend_from_slice(suffix.as_bytes());
        rows.extend_from_slice(b"\n");
        rest = &rest[end + 1..];
    }
    rows.extend_from_slice(rest);
    rows.freeze()
}

async fn begin(client: &ClientWrapper, table: &Table<'_>) -> Result<Sink, Failed> {
    let statement = table.statement.as_ref().expect("it was prepared, or refused");
    let sink = client.copy_in::<_, Bytes>(statement).await;
    // The driver is unusable.
    sink.map(Box::pin)
        .map_err(|error| Failed { can_be_rolled_back: false, ..Failed::refused_by_table(table.failed(error)) })
}

async fn finish(last: Option<Copying<'_>>) -> Result<(), Error> {
    match last {
        Some(last) => last.finish().await.1,
        None => Ok(()),
    }
}

async fn keep_or_undo<'a>(client: &ClientWrapper, last: Option<Copying<'a>>) -> Option<(Table<'a>, Result<(), Error>)> {
    let last = last?;
    let ((table, copied), _, undone) =
        tokio::join!(biased; last.finish(), client.batch_execute(KEEP), client.batch_execute(UNDO));
    // Without the rollback to the savepoint, the transaction is lost.
    let ended = undone.map_err(|error| Error::new(Side::Repository, DOING, error)).and(copied);
    Some((table, ended))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_gets_more_values_whichever_parts_it_comes_in() {
        let all = b"1\ta\n2\tb\\nb\n\n3";
        let expected = b"1\ta\t0\n2\tb\\nb\t0\n\t0\n3";
        for middle in 0..=all.len() {
            let (first, second) = all.split_at(middle);
            let rows = [with_suffix(first, "\t0"), with_suffix(second, "\t0")].concat();
            assert_eq!(rows, expected, "{middle}");
        }
    }
}
