//! What is collected of a server is changed: extensions, and what PoWA collects by itself.

use super::Repository;
use super::administering::found;
use super::conversation::Conversation;
use crate::postgres::{Error, Side};
use crate::server::ServerId;

/// What became of names that were to be switched on, and of those that were to be switched off.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Switched {
    pub on: Turned,
    pub off: Turned,
}

/// Names that were to be switched one way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turned {
    pub changed: Vec<String>,
    /// Were as they should be before.
    pub as_before: Vec<String>,
}

impl Switched {
    /// Whether anything is another than it was.
    pub fn is_change(&self) -> bool {
        !self.on.changed.is_empty() || !self.off.changed.is_empty()
    }
}

impl Repository {
    /// Activates and deactivates extensions for a server; with PoWA 5, modules and database modules too.
    ///
    /// # Errors
    /// The repository cannot be reached, or PoWA does not know one of them: nothing is changed then.
    pub async fn switch(&self, server: ServerId, on: &[String], off: &[String]) -> Result<Switched, Error> {
        self.change("change what is collected of the server", self.timeouts.query, async |conversation| {
            all_are_known(conversation, on.iter().chain(off)).await?;
            let on = switch(conversation, server, on, true).await?;
            Ok(Switched { on, off: switch(conversation, server, off, false).await? })
        })
        .await
    }
}

/// Activates extensions for a server that has just been registered.
pub(super) async fn activate(conversation: &Conversation, server: ServerId, names: &[String]) -> Result<(), Error> {
    all_are_known(conversation, names.iter()).await?;
    switch(conversation, server, names, true).await.map(drop)
}

/// Switches what PoWA knows.
pub(super) async fn switch(
    conversation: &Conversation,
    server: ServerId,
    names: &[String],
    on: bool,
) -> Result<Turned, Error> {
    let has_modules = conversation.powa()?.has_modules();
    let is_active = if has_modules {
        include_str!("../../../sql/repository/is_active_powa5.sql")
    } else {
        include_str!("../../../sql/repository/is_active_powa4.sql")
    };
    let sql = match (has_modules, on) {
        (true, true) => include_str!("../../../sql/repository/activate_powa5.sql"),
        (true, false) => include_str!("../../../sql/repository/deactivate_powa5.sql"),
        (false, true) => include_str!("../../../sql/repository/activate_powa4.sql"),
        (false, false) => include_str!("../../../sql/repository/deactivate_powa4.sql"),
    };
    let mut turned = Turned::default();
    for name in names {
        let was_active = answer(conversation, is_active, server, name).await?;
        let is_as_before = was_active == Some(on);
        // PoWA refuses to deactivate what was never configured, and completes what is active in part only.
        if (on || !is_as_before) && answer(conversation, sql, server, name).await? != Some(true) {
            return Err(found(conversation, format!("PoWA says no to \"{name}\"")));
        }
        let done = if is_as_before { &mut turned.as_before } else { &mut turned.changed };
        done.push(name.clone());
    }
    Ok(turned)
}

async fn answer(
    conversation: &Conversation,
    sql: &str,
    server: ServerId,
    name: &String,
) -> Result<Option<bool>, Error> {
    let rows = conversation.query(sql, &[&server.get(), name]).await?;
    Ok(rows.first().and_then(|row| row.try_get(0).ok().flatten()))
}

/// What PoWA 5 takes for its modules as a whole.
const ALL_MODULES: &str = "powa";

/// PoWA takes some names that it does not know, and does nothing then, or worse.
async fn all_are_known(conversation: &Conversation, names: impl Iterator<Item = &String>) -> Result<(), Error> {
    let has_modules = conversation.powa()?.has_modules();
    let sql = if has_modules {
        include_str!("../../../sql/repository/known_powa5.sql")
    } else {
        include_str!("../../../sql/repository/known_powa4.sql")
    };
    let mut names = names.peekable();
    if names.peek().is_none() {
        return Ok(());
    }
    let unreadable = |error| Error::new(Side::Repository, conversation.doing, error);
    let rows = conversation.query(sql, &[]).await?;
    let known: Vec<String> = rows.iter().map(|row| row.try_get(0).map_err(unreadable)).collect::<Result<_, _>>()?;
    match names.find(|name| !known.contains(name)) {
        None => Ok(()),
        // PoWA switches more on by it than off, and nobody could tell what was off before.
        Some(name) if name == ALL_MODULES && has_modules => {
            let known = known.join(", ");
            Err(found(
                conversation,
                format!("\"{name}\" stands for all modules: name those that are meant, of {known}"),
            ))
        }
        Some(name) => {
            let known = known.join(", ");
            Err(found(conversation, format!("PoWA knows no \"{name}\" that could be collected; it knows {known}")))
        }
    }
}
