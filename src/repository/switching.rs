//! Enables and disables extensions and modules for a server.

use super::Repository;
use super::administering::unexpected;
use super::checked_out::CheckedOutSession;
use crate::server::ServerId;
use session::{Error, Side};

/// The result of enabling and disabling modules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ModuleChanges {
    pub activated: ChangedModules,
    pub deactivated: ChangedModules,
}

/// The result for the modules that were to be enabled, or to be disabled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ChangedModules {
    pub changed: Vec<String>,
    /// Already in the wanted state.
    pub unchanged: Vec<String>,
}

impl ModuleChanges {
    /// Whether anything was changed.
    pub(crate) fn has_changes(&self) -> bool {
        !self.activated.changed.is_empty() || !self.deactivated.changed.is_empty()
    }
}

impl Repository {
    /// Enables and disables extensions for a server; with PoWA 5, modules and database modules too.
    ///
    /// # Errors
    /// The repository cannot be reached, or a name is unknown to PoWA; then nothing is changed.
    pub(crate) async fn change_extensions(
        &self,
        server: ServerId,
        on: &[String],
        off: &[String],
    ) -> Result<ModuleChanges, Error> {
        self.change("change what is collected of the server", self.timeouts.query, async |session| {
            all_are_known(session, on.iter().chain(off)).await?;
            let activated = switch(session, server, on, true).await?;
            Ok(ModuleChanges { activated, deactivated: switch(session, server, off, false).await? })
        })
        .await
    }
}

/// Enables extensions for a newly registered server.
pub(super) async fn activate(session: &CheckedOutSession, server: ServerId, names: &[String]) -> Result<(), Error> {
    all_are_known(session, names.iter()).await?;
    switch(session, server, names, true).await.map(drop)
}

/// Enables or disables names that PoWA knows.
pub(super) async fn switch(
    session: &CheckedOutSession,
    server: ServerId,
    names: &[String],
    on: bool,
) -> Result<ChangedModules, Error> {
    let has_modules = session.powa()?.has_modules();
    let is_active = if has_modules {
        include_str!("../../sql/repository/is_active_powa5.sql")
    } else {
        include_str!("../../sql/repository/is_active_powa4.sql")
    };
    let sql = match (has_modules, on) {
        (true, true) => include_str!("../../sql/repository/activate_powa5.sql"),
        (true, false) => include_str!("../../sql/repository/deactivate_powa5.sql"),
        (false, true) => include_str!("../../sql/repository/activate_powa4.sql"),
        (false, false) => include_str!("../../sql/repository/deactivate_powa4.sql"),
    };
    let mut result = ChangedModules::default();
    for name in names {
        let was_active = answer(session, is_active, server, name).await?;
        let is_as_before = was_active == Some(on);
        // PoWA refuses to disable what was never configured; enabling completes what is only partly enabled.
        if (on || !is_as_before) && answer(session, sql, server, name).await? != Some(true) {
            return Err(unexpected(session, format!("PoWA refused \"{name}\"")));
        }
        let done = if is_as_before { &mut result.unchanged } else { &mut result.changed };
        done.push(name.clone());
    }
    Ok(result)
}

async fn answer(
    session: &CheckedOutSession,
    sql: &str,
    server: ServerId,
    name: &String,
) -> Result<Option<bool>, Error> {
    let rows = session.query(sql, &[&server.get(), name]).await?;
    Ok(rows.first().and_then(|row| row.try_get(0).ok().flatten()))
}

/// PoWA 5's name for all of its modules.
const ALL_MODULES: &str = "powa";

/// Checks the names first: PoWA accepts some that it does not know, without effect or with a wrong one.
async fn all_are_known(session: &CheckedOutSession, names: impl Iterator<Item = &String>) -> Result<(), Error> {
    let has_modules = session.powa()?.has_modules();
    let sql = if has_modules {
        include_str!("../../sql/repository/known_powa5.sql")
    } else {
        include_str!("../../sql/repository/known_powa4.sql")
    };
    let mut names = names.peekable();
    if names.peek().is_none() {
        return Ok(());
    }
    let unreadable = |error| Error::new(Side::Repository, session.action, error);
    let rows = session.query(sql, &[]).await?;
    let known: Vec<String> = rows.iter().map(|row| row.try_get(0).map_err(unreadable)).collect::<Result<_, _>>()?;
    match names.find(|name| !known.contains(name)) {
        None => Ok(()),
        // It enables more than it disables, and the previous state could not be restored.
        Some(name) if name == ALL_MODULES && has_modules => {
            let known = known.join(", ");
            Err(unexpected(session, format!("\"{name}\" stands for all modules; name the modules instead: {known}")))
        }
        Some(name) => Err(Error::no_such_name(session.action, name, known)),
    }
}
