//! Deletes rows of removed servers from the collector's own tables, which have no foreign key to `powa_servers`.

use super::log;
use crate::repository::Repository;

/// The error of the last round, to log each error once.
#[derive(Default)]
pub(super) struct RemovedServers {
    error: Option<String>,
}

impl RemovedServers {
    /// Deletes some rows, if there are any.
    pub(super) async fn clean(&mut self, repository: &Repository) {
        match repository.delete_removed_schedules().await {
            Ok(0) => self.error = None,
            Ok(number) => {
                self.error = None;
                tracing::info!("deleted {number} schedules of removed servers");
            }
            Err(error) => {
                // Workers and the command channel report that the repository is unreachable.
                let (is_reported, reason) = (error.is_connection(), error.to_string());
                log(&reason, !is_reported && self.error.replace(reason.clone()).as_ref() != Some(&reason));
            }
        }
    }
}
