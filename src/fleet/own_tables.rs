//! Whether the collector's own tables can be used: the schema may be missing, and so may privileges.

use super::{Error, MissingRights, NoCollectorSchema};
use crate::repository::{AdminTask, OwnTable, Repository};

/// Checks, before a change, that the repository has the table and the role may change it.
pub(crate) async fn require_change(repository: &Repository, table: OwnTable) -> Result<(), Error> {
    require(repository, AdminTask::ChangeOwn(table), table).await
}

/// Checks that the repository has the table and the role may read it: otherwise that nothing was read means nothing.
pub(crate) async fn require_read(repository: &Repository, table: OwnTable) -> Result<(), Error> {
    require(repository, AdminTask::ReadOwn(table), table).await
}

async fn require(repository: &Repository, task: AdminTask, table: OwnTable) -> Result<(), Error> {
    match repository.missing_for_own(table, matches!(task, AdminTask::ChangeOwn(_))).await? {
        None => Err(NoCollectorSchema.into()),
        Some(grants) if grants.is_empty() => Ok(()),
        Some(grants) => Err(MissingRights::new(task, grants).into()),
    }
}
