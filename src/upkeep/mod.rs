//! When are the tables emptied that rows only pass through?
//!
//! They are looked at once at the beginning, and then again and again. Where one has bloated, and cannot be emptied, that is
//! said once, with what to do about it.

mod left;

use std::convert::Infallible;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::sleep;

use crate::config::Config;
use crate::one_line::on_one_line;
use crate::postgres::Repository;
use left::{Left, Why};

/// The care for one repository.
pub struct Upkeep(BoxFuture<'static, Infallible>);

impl Upkeep {
    /// It does nothing until it is polled. What is under way when it is dropped is cancelled.
    pub fn of(repository: Repository, config: &Config) -> Self {
        let Some(bound) = config.repository.bloat else { return Self(std::future::pending().boxed()) };
        // Each time, a table may take others as long as a load: so not again before as much time is theirs.
        let pause = config.timeouts.snapshot;
        let caring = async move {
            let mut left = Left::default();
            loop {
                empty_what_has_bloated(&repository, bound, &mut left).await;
                sleep(pause).await;
            }
        };
        Self(caring.boxed())
    }

    /// Goes on with it, for ever. Safe to drop: it stays where it is.
    pub async fn go_on(&mut self) -> Infallible {
        (&mut self.0).await
    }
}

/// One table after the other, so that snapshots are loaded in between.
async fn empty_what_has_bloated(repository: &Repository, bound: u64, left: &mut Left) {
    let bloated = match repository.bloated_tables(bound).await {
        Ok(bloated) => bloated,
        Err(error) => {
            let reason = error.in_full();
            // Of a repository that is away, all others tell.
            return tell(&reason, !error.is_connection() && left.note_blindness(&reason));
        }
    };
    for table in left.due(bloated) {
        let (name, megabytes) = (on_one_line(&table.name), table.size >> 20);
        let emptied = match &table.missing_grant {
            Some(grant) => Err(Why::NotAllowed(grant.clone())),
            None => {
                tracing::debug!("{name} is to be emptied, as soon as no snapshot is being loaded");
                match repository.empty(&table).await {
                    Ok(true) => Ok(()),
                    Ok(false) => Err(Why::HasRows),
                    Err(error) if error.is_connection() => return tell(&error.in_full(), false),
                    Err(error) => Err(Why::Failed(error.in_full())),
                }
            }
        };
        match emptied {
            Ok(()) => {
                tracing::info!("{name} had bloated to {megabytes} MB, and was emptied");
                left.forget(&table);
            }
            Err(why) => tell(&why.told_of(&table), left.note(&table, why)),
        }
    }
}

fn tell(what: &str, is_news: bool) {
    if is_news {
        tracing::warn!("{what}");
    } else {
        tracing::debug!("{what}");
    }
}
