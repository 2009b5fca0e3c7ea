//! Runs work inside a transaction so that a failure undoes only this work, without waiting for intermediate answers.

use deadpool_postgres::ClientWrapper;

pub(super) const SAVEPOINT: &str = "savepoint datasource";

/// Sent after the work. If the work failed, `KEEP` fails too, and `UNDO` rolls back to the savepoint before the work.
/// If it succeeded, `UNDO` rolls back to the savepoint that `KEEP` has set after it. So the result is right in both
/// cases, and everything can be sent at once.
pub(super) const KEEP: &str = "release savepoint datasource; savepoint datasource";
pub(super) const UNDO: &str = "rollback to savepoint datasource; release savepoint datasource";

/// Runs work that is sent when first polled, and undoes it on failure, in one round trip.
///
/// # Errors
/// The transaction cannot continue. A failure of the work itself is part of the result.
pub(super) async fn attempt<T>(
    client: &ClientWrapper,
    work: impl Future<Output = T>,
) -> Result<T, tokio_postgres::Error> {
    let (_, done, _, ended) = tokio::join!(
        biased;
        client.batch_execute(SAVEPOINT),
        work,
        client.batch_execute(KEEP),
        client.batch_execute(UNDO),
    );
    ended.map(|()| done)
}
