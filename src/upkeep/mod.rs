//! The upkeep of the repository: deletes left-over rows of the `*_src_tmp` tables and empties bloated ones, and keeps the tables of
//! the collector's own schema.
//!
//! Runs at the start and then periodically. Problems are logged once, with their cure.

mod cleaning;
mod own_schema;
mod removed_servers;
mod skipped_tables;

use std::convert::Infallible;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::sleep;

use crate::config::Config;
use crate::repository::Repository;
use crate::worker::ErrorLog;
use cleaning::LeftoverCleanup;
use removed_servers::RemovedServers;
use session::on_one_line;
use skipped_tables::{SkipReason, SkippedTables};

/// The upkeep of one repository.
pub(crate) struct Upkeep(BoxFuture<'static, Infallible>);

impl Upkeep {
    /// Creates it. It does nothing until [`Self::run`] is polled; dropping it cancels what it is doing.
    pub(crate) fn new(repository: Repository, config: &Config, errors: ErrorLog) -> Self {
        let threshold = config.repository.bloat;
        // Emptying a table can block loads for up to this long, so leave them as much time in between.
        let pause = config.timeouts.snapshot;
        let working = async move {
            let mut cleanup = LeftoverCleanup::default();
            let mut skipped = SkippedTables::default();
            let mut removed = RemovedServers::default();
            let staging = async {
                loop {
                    // First, because a table with rows is not emptied.
                    cleanup.clean(&repository).await;
                    if let Some(threshold) = threshold {
                        empty_bloated_tables(&repository, threshold, &mut skipped).await;
                    }
                    own_schema::delete_old_rows(&repository, &mut removed).await;
                    sleep(pause).await;
                }
            };
            tokio::select! {
                never = staging => never,
                never = own_schema::store_errors(&repository, &errors) => never,
            }
        };
        Self(working.boxed())
    }

    /// Runs forever. Cancel-safe: the next call continues where it stopped.
    pub(crate) async fn run(&mut self) -> Infallible {
        (&mut self.0).await
    }
}

/// Empties bloated tables one after the other, so that snapshots can be loaded in between.
async fn empty_bloated_tables(repository: &Repository, threshold: u64, skipped: &mut SkippedTables) {
    let bloated = match repository.bloated_tables(threshold).await {
        Ok(bloated) => bloated,
        Err(error) => {
            let reason = error.to_string();
            // Workers and the command channel report that the repository is unreachable.
            return log(&reason, !error.is_connection() && skipped.record_listing_error(&reason));
        }
    };
    for table in skipped.due(bloated) {
        let (name, megabytes) = (on_one_line(&table.name), table.size >> 20);
        let emptied = match &table.missing_truncate {
            Some(grant) => Err(SkipReason::NotAllowed(grant.clone())),
            None => {
                tracing::debug!("emptying {name} as soon as no snapshot is being loaded");
                match repository.empty(&table).await {
                    Ok(true) => Ok(()),
                    Ok(false) => Err(SkipReason::HasRows),
                    Err(error) if error.is_connection() => return log(&error.to_string(), false),
                    Err(error) => Err(SkipReason::Failed(error.to_string())),
                }
            }
        };
        match emptied {
            Ok(()) => {
                tracing::info!("emptied {name}, which had bloated to {megabytes} MB");
                skipped.forget(&table);
            }
            Err(why) => log(&why.message(&table), skipped.record(&table, why)),
        }
    }
}

/// Logs a problem as a warning if it is new.
fn log(what: &str, is_new: bool) {
    if is_new {
        tracing::warn!("{what}");
    } else {
        tracing::debug!("{what}");
    }
}
