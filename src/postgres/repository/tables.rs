//! How do the rows of a snapshot get into their tables, each of which may refuse them, in one transaction and in as many
//! round trips as there are tables?

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;

use bytes::Bytes;
use deadpool_postgres::ClientWrapper;
use futures_util::{FutureExt, SinkExt};
use tokio_postgres::{CopyInSink, Statement};

use super::load::{Care, DOING, Refused};
use crate::postgres::{Error, Side, in_order};
use crate::spool::SpooledRows;

const SAVEPOINT: &str = "savepoint datasource";

/// What follows whatever was tried after the savepoint. The first fails in a transaction that has failed, and the second
/// goes back to a savepoint before or after what was tried: so both together keep what succeeded and undo what failed,
/// and nobody has to wait for an answer to know which it is.
const KEEP: &str = "release savepoint datasource; savepoint datasource";
const UNDO: &str = "rollback to savepoint datasource; release savepoint datasource";

type Sink = Pin<Box<CopyInSink<Bytes>>>;

/// What there is to load, by table. Databases have tables in common, and their rows go there together.
pub(super) struct Tables<'a> {
    waiting: VecDeque<Table<'a>>,
    refused: Vec<Refused>,
    care: Care,
}

struct Table<'a> {
    target: String,
    pieces: Vec<&'a mut SpooledRows>,
    statement: Option<Statement>,
}

/// Rows on their way into a table.
struct Copying<'a> {
    table: Table<'a>,
    /// Fails for what happened on this side.
    sent: Result<Sink, Error>,
}

/// Why the load cannot go on.
pub(super) struct Failed {
    pub(super) error: Error,
    /// The session is as good as before, but for the transaction, which has to be rolled back.
    pub(super) can_be_rolled_back: bool,
    /// With more care, only a part of it would have failed.
    pub(super) is_for_want_of_care: bool,
}

impl Failed {
    /// What a table has against its rows.
    fn for_want_of_care(error: Error) -> Self {
        let is_for_want_of_care = !error.is_connection() && !error.is_of_the_moment();
        Self { is_for_want_of_care, ..error.into() }
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        let can_be_rolled_back = !error.is_connection();
        Self { error, can_be_rolled_back, is_for_want_of_care: false }
    }
}

impl<'a> Tables<'a> {
    /// Datasources without rows are left out. A table that is missing goes unnoticed then, and nothing is lost with it;
    /// the function that reads it in `powa_take_snapshot()` has its own say.
    pub(super) fn of(pieces: &'a mut [SpooledRows], care: Care) -> Self {
        let mut tables: Vec<Table<'a>> = Vec::new();
        let mut places = HashMap::new();
        for piece in pieces.iter_mut().filter(|piece| piece.rows() > 0) {
            let place = *places.entry(piece.target().to_owned()).or_insert(tables.len());
            if place == tables.len() {
                tables.push(Table { target: piece.target().to_owned(), pieces: Vec::new(), statement: None });
            }
            tables[place].pieces.push(piece);
        }
        // The last one is best alone: see `copy_carefully`.
        tables.sort_by_key(Table::is_one_datasource);
        Self { waiting: tables.into(), refused: Vec::new(), care }
    }

    /// Prepares what the session has not prepared yet. A table that is not there is no matter here.
    pub(super) async fn prepare(&mut self, client: &ClientWrapper) -> Result<(), Failed> {
        let preparing = self.waiting.iter().map(|table| {
            let sql = format!("copy {} from stdin", table.target);
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

    /// Asks whether the tables take rows at all, which also locks them as COPY does: to be sent inside the transaction.
    ///
    /// A COPY that does not begin would have to be waited for. The driver ends what it says before the data and after it,
    /// either of which is answered then, and takes the second answer for the next statement's.
    pub(super) fn question(&self) -> String {
        let questions: Vec<_> = self.waiting.iter().map(Table::question).collect();
        questions.join("; ")
    }

    /// Asks each for itself, when the answer to all was no, and leaves out those that take none.
    pub(super) async fn ask_each(&mut self, client: &ClientWrapper) -> Result<(), Failed> {
        let asking = self.waiting.iter().map(|table| {
            let question = table.question();
            async move {
                let attempt = tokio::join!(
                    biased;
                    client.batch_execute(SAVEPOINT),
                    client.batch_execute(&question),
                    client.batch_execute(KEEP),
                    client.batch_execute(UNDO),
                );
                (attempt.1, attempt.3)
            }
            .boxed()
        });
        let answers = in_order(asking.collect()).await;
        for (table, (answer, undone)) in std::mem::take(&mut self.waiting).into_iter().zip(answers) {
            undone.map_err(|error| Error::new(Side::Repository, DOING, error))?;
            match answer {
                Ok(()) => self.waiting.push_back(table),
                Err(error) => {
                    let error = table.failed(error);
                    self.refuse(&table, error)?;
                }
            }
        }
        Ok(())
    }

    /// Copies all of it, one table after the other, and does what comes `then`, which is sent with the end of the last
    /// one. Each costs the round trip in which the driver waits for the repository to be ready for data; all that
    /// is between the data of one and those of the next goes with it. No more than a few parts of the spool are
    /// in memory: the next table's are not read before the repository has asked for them.
    pub(super) async fn copy<T>(
        self,
        client: &ClientWrapper,
        then: impl Future<Output = T>,
    ) -> Result<(Vec<Refused>, T), Failed> {
        match self.care {
            Care::Trusting => self.copy_trusting(client, then).await,
            Care::Careful | Care::LastTry => self.copy_carefully(client, then).await,
        }
    }

    async fn copy_trusting<T>(
        self,
        client: &ClientWrapper,
        then: impl Future<Output = T>,
    ) -> Result<(Vec<Refused>, T), Failed> {
        let mut last: Option<Copying<'_>> = None;
        for table in self.waiting {
            let (ended, begun) = tokio::join!(biased; finish(last.take()), begin(client, &table));
            // The next one was begun in a transaction that has failed, and the driver is lost.
            ended.map_err(|error| Failed { can_be_rolled_back: false, ..Failed::for_want_of_care(error) })?;
            last = Some(table.send(begun?).await);
        }
        let (ended, done) = tokio::join!(biased; finish(last), then);
        ended.map_err(Failed::for_want_of_care)?;
        Ok((self.refused, done))
    }

    async fn copy_carefully<T>(
        mut self,
        client: &ClientWrapper,
        then: impl Future<Output = T>,
    ) -> Result<(Vec<Refused>, T), Failed> {
        let mut last: Option<Copying<'_>> = None;
        loop {
            // If it fails, its datasources are tried one by one, so whether there is a next one is not known yet.
            if self.waiting.is_empty() && last.as_ref().is_some_and(|last| !last.table.is_one_datasource()) {
                let ended = keep_or_undo(client, last.take()).await;
                self.note(ended)?;
            }
            let Some(table) = self.waiting.pop_front() else { break };
            let (ended, _, begun) = tokio::join!(
                biased;
                keep_or_undo(client, last.take()),
                client.batch_execute(SAVEPOINT),
                begin(client, &table),
            );
            self.note(ended)?;
            last = Some(table.send(begun?).await);
        }
        let (ended, done) = tokio::join!(biased; keep_or_undo(client, last), then);
        self.note(ended)?;
        Ok((self.refused, done))
    }

    /// What became of a table.
    fn note(&mut self, ended: Option<(Table<'a>, Result<(), Error>)>) -> Result<(), Failed> {
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
        if error.is_connection() || error.is_of_the_moment() && self.care != Care::LastTry {
            return Err(error.into());
        }
        let reason = error.in_full();
        let of = |piece: &&mut SpooledRows| Refused { datasource: piece.name().to_owned(), reason: reason.clone() };
        self.refused.extend(table.pieces.iter().map(of));
        Ok(())
    }
}

impl<'a> Table<'a> {
    fn is_one_datasource(&self) -> bool {
        self.pieces.len() == 1
    }

    fn by_datasource(self) -> impl Iterator<Item = Table<'a>> {
        let Self { target, pieces, statement } = self;
        pieces.into_iter().map(move |piece| Table {
            target: target.clone(),
            pieces: vec![piece],
            statement: statement.clone(),
        })
    }

    fn question(&self) -> String {
        format!("insert into {} select where false", self.target)
    }

    fn failed(&self, error: tokio_postgres::Error) -> Error {
        Error::new(Side::Repository, format!("load it into {}", self.target), error)
    }

    async fn send(mut self, mut sink: Sink) -> Copying<'a> {
        for piece in &mut self.pieces {
            if let Err(error) = send(piece, &mut sink).await {
                // Without its sink, the COPY ends as one that has failed.
                return Copying { table: self, sent: Err(error) };
            }
        }
        Copying { table: self, sent: Ok(sink) }
    }
}

impl<'a> Copying<'a> {
    /// Waits for what the repository has to say of the rows.
    async fn finish(self) -> (Table<'a>, Result<(), Error>) {
        let Self { table, sent } = self;
        let finished = match sent {
            Ok(mut sink) => sink.as_mut().finish().await.map(drop).map_err(|error| table.failed(error)),
            Err(error) => Err(error),
        };
        (table, finished)
    }
}

async fn send(piece: &mut SpooledRows, sink: &mut Sink) -> Result<(), Error> {
    let mut is_row_open = false;
    piece.rewind();
    loop {
        let part = piece.next_part().await.map_err(|error| Error::local(Side::Repository, "read the spool", error))?;
        let Some(last) = part.last() else { break };
        is_row_open = *last != b'\n';
        // What the repository has against it comes at the end.
        sink.send(part).await.map_err(|error| Error::new(Side::Repository, DOING, error))?;
    }
    if is_row_open {
        // No honest server leaves it so. Whatever comes next is a row of its own.
        sink.send(Bytes::from_static(b"\n")).await.map_err(|error| Error::new(Side::Repository, DOING, error))?;
    }
    Ok(())
}

async fn begin(client: &ClientWrapper, table: &Table<'_>) -> Result<Sink, Failed> {
    let statement = table.statement.as_ref().expect("it was prepared, or refused");
    let begun = client.copy_in::<_, Bytes>(statement).await;
    begun.map(Box::pin).map_err(|error| Failed { can_be_rolled_back: false, ..table.failed(error).into() })
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
    // That it cannot be undone is the end of all.
    let ended = undone.map_err(|error| Error::new(Side::Repository, DOING, error)).and(copied);
    Some((table, ended))
}
