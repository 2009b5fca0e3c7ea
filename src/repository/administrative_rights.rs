//! Checks whether the role may register, change or remove servers, before anything is changed or a password is
//! requested.

use super::{OwnTable, Repository};
use session::{Error, Side};

/// A task of an administrator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AdminTask {
    /// List the servers, or what is collected from them.
    List,
    /// Register a server with the extensions to collect. It may be checked first.
    Register { with_password: bool, with_check: bool },
    /// Change the row of a server, which may be checked first, or disable the server.
    Change { with_check: bool },
    /// Read one of the collector's own tables.
    ReadOwn(OwnTable),
    /// Change rows of one of them: the schedule of a server and its pause, or its tags.
    ChangeOwn(OwnTable),
    /// Change what is collected from a server.
    ChangeExtensions,
    /// Remove a server with its history. An enabled one is disabled first.
    Remove { is_enabled: bool },
}

impl Repository {
    /// The `GRANT` statements that the role lacks for a task.
    ///
    /// # Errors
    /// The repository cannot be reached, or has no supported PoWA.
    pub(crate) async fn missing_grants_for(&self, task: AdminTask) -> Result<Vec<String>, Error> {
        let action = "read what the role may do";
        let with_check =
            matches!(task, AdminTask::Register { with_check: true, .. } | AdminTask::Change { with_check: true });
        let task = match task {
            AdminTask::List => "list",
            AdminTask::Register { with_password: false, .. } => "register",
            AdminTask::Register { with_password: true, .. } => "register with password",
            AdminTask::Change { .. } => "change",
            AdminTask::ChangeExtensions => "switch",
            AdminTask::ReadOwn(table) => return Ok(self.missing_for_own(table, false).await?.unwrap_or_default()),
            AdminTask::ChangeOwn(table) => return Ok(self.missing_for_own(table, true).await?.unwrap_or_default()),
            AdminTask::Remove { is_enabled: false } => "remove",
            AdminTask::Remove { is_enabled: true } => "disable and remove",
        };
        let sql = include_str!("../../sql/repository/missing_to_administer.sql");
        let rows = self.query(action, sql, &[&task, &with_check]).await?;
        let unreadable = |error| Error::new(Side::Repository, action, error);
        rows.iter().map(|row| row.try_get(0).map_err(unreadable)).collect()
    }
}
