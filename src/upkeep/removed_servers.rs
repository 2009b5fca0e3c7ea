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
        match repository.delete_rows_of_removed_servers().await {
            Ok(number) => {
                self.error = None;
                if number > 0 {
                    tracing::info!("deleted {number} rows of removed servers from the schema powa_collector");
                }
            }
            Err(error) => {
                // Workers and the command channel report that the repository is unreachable.
                let (is_reported, reason) = (error.is_connection(), error.to_string());
                log(&reason, !is_reported && self.error.replace(reason.clone()).as_ref() != Some(&reason));
            }
        }
    }
}
