//! Decides when the catalogs of a database are read again if they are still due after they were read. Pure.
//!
//! They stay due until all of them are stored. If one of them keeps failing, for example because its query always takes too
//! long, reading all of them with every snapshot would be a burden on the server, so the pauses grow.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::time::Instant;

use crate::repository::Sources;

/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// The databases whose catalogs were read and are still due.
#[derive(Debug, Default)]
pub(crate) struct CatalogRetries(HashMap<String, Retry>);

#[derive(Clone, Copy, Debug)]
struct Retry {
    pause: Duration,
    at: Instant,
}

impl CatalogRetries {
    /// Removes from `sources` the catalogs that are not to be retried yet, and records an attempt for the others that are due.
    /// `first_pause` is the time between the first two attempts; each later pause is twice as long.
    pub(super) fn apply<'a>(
        &mut self,
        sources: &mut Sources,
        databases: impl IntoIterator<Item = &'a str>,
        first_pause: Duration,
        now: Instant,
    ) {
        let due: HashSet<&str> = databases
            .into_iter()
            .filter(|database| sources.catalogs.iter().any(|catalog| !catalog.fresh_in.contains(*database)))
            .collect();
        self.0.retain(|database, _| due.contains(database.as_str()));
        for database in due {
            match self.0.get_mut(database) {
                Some(retry) if retry.at > now => {
                    for catalog in &mut sources.catalogs {
                        catalog.fresh_in.insert(database.to_owned());
                    }
                }
                Some(retry) => {
                    retry.pause = (retry.pause * 2).min(LONGEST_PAUSE);
                    retry.at = now + retry.pause;
                }
                None => {
                    self.0.insert(database.to_owned(), Retry { pause: first_pause, at: now + first_pause });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::repository::Catalog;
    use session::{Extensions, PowaVersion};

    const FREQUENCY: Duration = Duration::from_secs(60);

    fn sources(fresh_in: &[&str]) -> Sources {
        let catalog = |name: &str, fresh_in: &[&str]| Catalog {
            name: name.into(),
            query_source: "select 1".into(),
            target: "t".into(),
            fresh_in: fresh_in.iter().map(ToString::to_string).collect(),
        };
        Sources {
            extensions: Extensions::default(),
            powa: PowaVersion::default(),
            modules: vec![],
            database_modules: vec![],
            catalogs: vec![catalog("pg_class", fresh_in), catalog("pg_proc", fresh_in)],
            targets: Arc::default(),
        }
    }

    /// The databases whose catalogs are read.
    fn read(retries: &mut CatalogRetries, fresh_in: &[&str], now: Instant) -> Vec<&'static str> {
        let mut sources = sources(fresh_in);
        retries.apply(&mut sources, ["app", "shop"], FREQUENCY, now);
        let is_due = |name: &&str| sources.catalogs.iter().any(|catalog| !catalog.fresh_in.contains(*name));
        ["app", "shop"].into_iter().filter(is_due).collect()
    }

    #[test]
    fn what_is_due_again_at_once_is_read_in_growing_pauses() {
        let (mut retries, start) = (CatalogRetries::default(), Instant::now());
        let mut reads = Vec::new();
        for minute in 0..400 {
            let now = start + FREQUENCY * minute;
            if !read(&mut retries, &["shop"], now).is_empty() {
                reads.push(minute);
            }
        }
        assert_eq!(reads, [0, 1, 3, 7, 15, 31, 63, 123, 183, 243, 303, 363]);
    }

    #[test]
    fn one_that_was_stored_is_read_at_once_when_it_is_due_again() {
        let (mut retries, start) = (CatalogRetries::default(), Instant::now());
        assert_eq!(read(&mut retries, &[], start), ["app", "shop"]);
        assert_eq!(read(&mut retries, &["app"], start), [""; 0]);
        assert_eq!(read(&mut retries, &[], start), ["app"]);
    }
}
