//! Which privileges the role in the repository needs to administer servers.

use std::fmt;

use super::Error;
use crate::repository::{AdminTask, OwnTable, Repository};
use session::on_one_line;

/// The role lacks privileges. The message ends with a line for each statement that grants one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MissingRights {
    task: AdminTask,
    grants: Vec<String>,
}

impl MissingRights {
    /// `grants` are the statements that the task needs, one a line.
    pub(super) fn new(task: AdminTask, grants: Vec<String>) -> Self {
        Self { task, grants }
    }

    /// Whether the task would have changed something.
    pub(crate) fn is_for_change(&self) -> bool {
        !matches!(self.task, AdminTask::List | AdminTask::ReadOwn(_))
    }
}

impl std::error::Error for MissingRights {}

impl fmt::Display for MissingRights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let task = match self.task {
            AdminTask::List => "list the servers",
            AdminTask::Register { .. } => "register a server",
            AdminTask::Change { .. } => "change a server",
            AdminTask::ReadOwn(OwnTable::Schedules) => "read schedules and pauses",
            AdminTask::ReadOwn(OwnTable::Tags) => "read tags",
            AdminTask::ChangeOwn(OwnTable::Schedules) => "change schedules and pauses",
            AdminTask::ChangeOwn(OwnTable::Tags) => "change tags",
            AdminTask::ChangeExtensions => "change the extensions of a server",
            AdminTask::Remove { .. } => "remove a server",
        };
        write!(f, "the role may not {task}; a superuser can grant the missing privileges in the repository:")?;
        self.grants.iter().try_for_each(|grant| write!(f, "\n  {};", on_one_line(grant)))
    }
}

/// Checks before a change that the role has every privilege for it, so that no change fails halfway.
pub(crate) async fn require_rights(repository: &Repository, task: AdminTask) -> Result<(), Error> {
    let grants = repository.missing_grants_for(task).await?;
    if grants.is_empty() { Ok(()) } else { Err(MissingRights { task, grants }.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_grant_is_a_statement_on_its_own_line() {
        let missing =
            MissingRights { task: AdminTask::List, grants: vec!["grant a to b".into(), "grant \"x\ny\" to b".into()] };
        let expected = "the role may not list the servers; a superuser can grant the missing privileges in the repository:\n  \
                        grant a to b;\n  grant \"x\\ny\" to b;";
        assert_eq!(missing.to_string(), expected);
    }
}
