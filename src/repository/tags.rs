//! Tags: reads and changes the table `powa_collector.tags`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio_postgres::Row;

use super::Repository;
use crate::server::ServerId;
use crate::server::tags::{self, Tags};
use session::{Error, on_one_line};

/// The tags of all servers that have any.
#[derive(Debug, Default)]
pub(super) struct AllTags {
    of: BTreeMap<i32, Tags>,
    /// Why the table cannot be read, or which row is invalid, if so.
    pub(super) problem: Option<String>,
}

impl AllTags {
    /// Nothing, and why.
    pub(super) fn unreadable(problem: String) -> Self {
        Self { problem: Some(problem), ..Self::default() }
    }

    /// What is invalid is left out, and the first such row is named.
    pub(super) fn of(rows: &[Row]) -> Self {
        let mut all = Self::default();
        let mut invalid = 0;
        for row in rows {
            if let Err(problem) = all.add(row) {
                invalid += 1;
                all.problem.get_or_insert(problem);
            }
        }
        if let Some(problem) = all.problem.as_mut().filter(|_| invalid > 1) {
            *problem += &format!(" (and {} more)", invalid - 1);
        }
        all
    }

    fn add(&mut self, row: &Row) -> Result<(), String> {
        // The table may have been altered.
        let other_type = |_| "powa_collector.tags: a column has another type than the collector's schema".to_owned();
        let server: i32 = row.try_get("srvid").map_err(other_type)?;
        let text = |name| row.try_get::<_, Option<String>>(name).map_err(other_type).map(Option::unwrap_or_default);
        let (key, value) = (text("key")?, text("value")?);
        let place = format!("powa_collector.tags row with srvid {server} and key \"{}\"", on_one_line(&key));
        let added = tags::insert(self.of.entry(server).or_default(), key, value);
        added.map_err(|error| format!("{place}: {error}"))
    }

    /// The tags of a server, if it has any.
    pub(super) fn take(&mut self, server: ServerId) -> Option<Arc<Tags>> {
        self.of.remove(&server.get()).filter(|tags| !tags.is_empty()).map(Arc::new)
    }
}

impl Repository {
    /// Sets and removes tags of a server. The others stay.
    ///
    /// # Errors
    /// The repository cannot be reached, or refuses; then nothing is changed.
    pub(crate) async fn change_tags(
        &self,
        server: ServerId,
        set: &Tags,
        removed: &BTreeSet<String>,
    ) -> Result<(), Error> {
        let removed: Vec<&str> = removed.iter().map(String::as_str).collect();
        self.save_tags(server, set, (include_str!("../../sql/repository/remove_tags.sql"), removed)).await
    }

    /// Replaces all tags of a server.
    ///
    /// # Errors
    /// The repository cannot be reached, or refuses; then nothing is changed.
    pub(crate) async fn replace_tags(&self, server: ServerId, wanted: &Tags) -> Result<(), Error> {
        let kept: Vec<&str> = wanted.keys().map(String::as_str).collect();
        self.save_tags(server, wanted, (include_str!("../../sql/repository/keep_tags.sql"), kept)).await
    }

    /// Saves tags, after a statement that removes some by their keys.
    async fn save_tags(
        &self,
        server: ServerId,
        set: &Tags,
        (removing, keys): (&'static str, Vec<&str>),
    ) -> Result<(), Error> {
        let (names, values): (Vec<&str>, Vec<&str>) =
            set.iter().map(|(key, value)| (key.as_str(), value.as_str())).unzip();
        self.change("save the tags", self.timeouts.query, async |session| {
            session.query(removing, &[&server.get(), &keys]).await?;
            session
                .query(include_str!("../../sql/repository/save_tags.sql"), &[&server.get(), &names, &values])
                .await
                .map(drop)
        })
        .await
    }
}
