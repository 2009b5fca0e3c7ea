//! May the role have a server removed, with its history? Asked before anything is changed.

use futures_util::FutureExt;

use super::Repository;
use super::conversation::Conversation;
use crate::postgres::{Error, Side};

impl Repository {
    /// The grants that the role lacks to do so, each a statement. A server that is collected from has to be disabled
    /// before.
    ///
    /// # Errors
    /// The repository cannot be reached, or has no PoWA that can be worked with.
    pub async fn missing_to_remove(&self, is_collected_from: bool) -> Result<Vec<String>, Error> {
        let doing = "read whether the role may remove the server";
        self.say(doing, is_collected_from, |conversation, &is_collected_from| {
            missing(conversation, is_collected_from).boxed()
        })
        .await
    }
}

async fn missing(conversation: &Conversation, is_collected_from: bool) -> Result<Vec<String>, Error> {
    let unreadable = |error| Error::new(Side::Repository, conversation.doing, error);
    let empties_sources = conversation.powa()?.has_modules();
    let sql = include_str!("../../../sql/repository/missing_to_remove.sql");
    let rows = conversation.query(sql, &[&empties_sources, &is_collected_from]).await?;
    rows.iter().map(|row| row.try_get(0).map_err(unreadable)).collect()
}
