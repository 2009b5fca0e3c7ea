//! A commit was asked for, and not confirmed: the connection was lost in between. Did it take place?
//!
//! PostgreSQL's documentation names `txid_status()` for exactly this question.

use super::conversation::Conversation;
use crate::postgres::{Error, Side};

/// Whether a transaction was committed, as the repository says.
///
/// # Errors
/// It does not say so, or not yet.
pub(super) async fn was_committed(conversation: &Conversation, transaction: i64) -> Result<bool, Error> {
    let sql = include_str!("../../../sql/repository/was_committed.sql");
    let rows = match conversation.query(sql, &[&transaction]).await {
        Ok(rows) => rows,
        // It is of the future: another host has taken over, and never heard of it.
        Err(error) if error.is_invalid_parameter() => return Ok(false),
        Err(error) => return Err(error),
    };
    match rows.first().and_then(|row| row.try_get::<_, Option<&str>>(0).ok().flatten()) {
        Some("committed") => Ok(true),
        Some("in progress") => {
            Err(Error::found(Side::Repository, "load the snapshot", "the try before is still under way"))
        }
        // Aborted, or so long ago that nobody remembers.
        _ => Ok(false),
    }
}
