//! The collector's own schema: stores errors of servers, and deletes old rows. Without that schema, it does nothing.

use std::convert::Infallible;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::log;
use super::removed_servers::RemovedServers;
use crate::repository::Repository;
use crate::worker::ErrorLog;

/// The time in which errors are collected for one statement.
const BATCH_INTERVAL: Duration = Duration::from_secs(10);

/// Errors of one statement.
const BATCH_SIZE: usize = 200;

/// How often it is looked for a schema that is not there.
const SCHEMA_INTERVAL: Duration = Duration::from_secs(60);

/// Stores errors of servers, some at a time. Runs forever, and sleeps while there are none.
pub(super) async fn store_errors(repository: &Repository, errors: &ErrorLog) -> Infallible {
    let mut next_look = None;
    let mut logged = None;
    loop {
        errors.added().await;
        sleep(BATCH_INTERVAL).await;
        if next_look.is_some_and(|next_look| Instant::now() < next_look) {
            drop(errors.take(usize::MAX));
            continue;
        }
        next_look = store_all(repository, errors, &mut logged).await;
    }
}

/// Stores what waits. Returns when to look for the schema again if it is not there. A problem is logged as a warning once.
async fn store_all(repository: &Repository, errors: &ErrorLog, logged: &mut Option<String>) -> Option<Instant> {
    loop {
        let batch = errors.take(BATCH_SIZE);
        if batch.is_empty() {
            return None;
        }
        let result = match repository.has_collector_schema().await {
            Ok(true) => repository.store_errors(&batch).await,
            Ok(false) => {
                drop(errors.take(usize::MAX));
                return Some(Instant::now() + SCHEMA_INTERVAL);
            }
            Err(error) => Err(error),
        };
        if let Err(error) = result {
            let is_lost = error.is_connection() || error.is_momentary();
            let message = error.to_string();
            log(&message, !is_lost && logged.as_ref() != Some(&message));
            *logged = Some(message);
            // Stored with the next error. What the repository refuses would be refused again.
            if is_lost {
                errors.put_back(batch);
            }
            return None;
        }
    }
}

/// Deletes expired tokens, old rows of the audit log and of errors, and rows of removed servers.
pub(super) async fn delete_old_rows(repository: &Repository, removed: &mut RemovedServers) {
    let deleting = async {
        if repository.has_collector_schema().await? {
            removed.clean(repository).await;
            repository.delete_old_errors().await?;
            repository.delete_expired_tokens().await?;
            repository.delete_old_audit().await?;
        }
        Ok::<_, session::Error>(())
    };
    if let Err(error) = deleting.await {
        // Workers and the command channel report that the repository is unreachable; otherwise rows stay a while.
        log(&error.to_string(), false);
    }
}
