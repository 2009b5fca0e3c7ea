//! Schedules and pauses: reads and changes the table `powa_collector.schedules`.
//!
//! The collector's own schema may be missing. Statements that run anyway find out whether it is there (`schedules_access`), so
//! that reading costs no statement without it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

use super::Repository;
use super::checked_out::CheckedOutSession;
use crate::schedule::{Cron, InvalidRow, Timing, TimingRow};
use crate::server::ServerId;
use session::Error;

/// The timings of all servers that have one.
#[derive(Debug, Default)]
pub(super) struct Timings {
    of: BTreeMap<i32, Arc<Timing>>,
    /// Why the table cannot be read, and what to do, if so.
    pub(super) problem: Option<String>,
    /// There are rows of servers that are not registered any more.
    pub(super) has_removed: bool,
}

impl Timings {
    /// Reads the timings, if one of the rows that were read before shows that they can be read.
    ///
    /// # Errors
    /// The connection was lost, or the table cannot be read at this moment. Anything else is a [`Self::problem`].
    pub(super) async fn read(session: &CheckedOutSession, servers: &[Row]) -> Result<Self, Error> {
        let access = servers.first().and_then(|row| row.try_get::<_, Option<&str>>("schedules_access").ok().flatten());
        match access {
            None => Ok(Self::default()),
            Some("") => match session.query(include_str!("../../sql/repository/schedules.sql"), &[]).await {
                Ok(rows) => Ok(Self::of(&rows)),
                Err(error) if error.is_connection() || error.is_transient() || error.is_momentary() => Err(error),
                Err(error) => {
                    Ok(Self::unreadable(format!("the table powa_collector.schedules cannot be read: {error}")))
                }
            },
            Some(grants) => Ok(Self::unreadable(format!(
                "the role may not read powa_collector.schedules; run in the repository: {grants}"
            ))),
        }
    }

    fn unreadable(problem: String) -> Self {
        Self { problem: Some(problem), ..Self::default() }
    }

    fn of(rows: &[Row]) -> Self {
        let mut timings = Self::default();
        for row in rows {
            let Ok(server) = row.try_get::<_, i32>("srvid") else {
                timings.problem = Some("powa_collector.schedules: invalid srvid: it is not an integer".into());
                continue;
            };
            if row.try_get("is_registered").unwrap_or(true) {
                let timing = match timing_row(server, row) {
                    Ok(row) => Timing::of_row(server, &row),
                    Err(invalid) => Timing::unreadable(invalid),
                };
                timings.of.insert(server, Arc::new(timing));
            } else {
                timings.has_removed = true;
            }
        }
        timings
    }

    /// The timing of a server, if it has one.
    pub(super) fn take(&mut self, server: ServerId) -> Option<Arc<Timing>> {
        self.of.remove(&server.get())
    }
}

fn timing_row(server: i32, row: &Row) -> Result<TimingRow, InvalidRow> {
    Ok(TimingRow {
        cron: column(server, row, "cron")?,
        time_zone: column(server, row, "time_zone")?,
        start_at: column(server, row, "start_at")?,
        paused_until: column(server, row, "paused_until")?,
        changed_at: column(server, row, "changed_at")?,
    })
}

/// The table may have been altered.
fn column<'a, T: FromSql<'a>>(server: i32, row: &'a Row, name: &'static str) -> Result<Option<T>, InvalidRow> {
    row.try_get(name)
        .map_err(|_| InvalidRow::new(server, name, "the column has another type than the collector's schema"))
}

impl Repository {
    /// The `GRANT` statements that the role lacks to change schedules and pauses; `None` without the collector's schema.
    ///
    /// # Errors
    /// The repository cannot be reached, or has no supported PoWA.
    pub(crate) async fn missing_to_schedule(&self) -> Result<Option<Vec<String>>, Error> {
        let sql = include_str!("../../sql/repository/missing_to_schedule.sql");
        let rows = self.query("read what the role may do", sql, &[]).await?;
        let grants = rows.first().map(|row| row.try_get::<_, String>(0).unwrap_or_default());
        Ok(grants.map(|grants| grants.lines().map(Into::into).collect()))
    }

    /// Sets the schedule of a server. A pause is kept.
    ///
    /// # Errors
    /// The repository cannot be reached, or refuses; then nothing is changed.
    pub(crate) async fn save_schedule(
        &self,
        server: ServerId,
        cron: &Cron,
        start: Option<SystemTime>,
    ) -> Result<(), Error> {
        self.change("save the schedule", self.timeouts.query, async |session| {
            let sql = include_str!("../../sql/repository/save_schedule.sql");
            session.query(sql, &[&server.get(), &cron.text(), &cron.zone_name(), &start]).await.map(drop)
        })
        .await
    }

    /// Removes the schedule of a server, with its start, so that the frequency holds again. Returns whether there was one. A pause
    /// is kept.
    ///
    /// # Errors
    /// The repository cannot be reached, or refuses; then nothing is changed.
    pub(crate) async fn remove_schedule(&self, server: ServerId) -> Result<bool, Error> {
        self.change("remove the schedule", self.timeouts.query, async |session| {
            update_and_tidy(session, include_str!("../../sql/repository/clear_schedule.sql"), server).await
        })
        .await
    }

    /// Pauses a server.
    ///
    /// # Errors
    /// The repository cannot be reached, or refuses; then nothing is changed.
    pub(crate) async fn pause(&self, server: ServerId, until: SystemTime) -> Result<(), Error> {
        self.change("pause the server", self.timeouts.query, async |session| {
            let sql = include_str!("../../sql/repository/pause_server.sql");
            session.query(sql, &[&server.get(), &until]).await.map(drop)
        })
        .await
    }

    /// Ends the pause of a server. Returns whether it was paused.
    ///
    /// # Errors
    /// The repository cannot be reached, or refuses; then nothing is changed.
    pub(crate) async fn resume(&self, server: ServerId) -> Result<bool, Error> {
        self.change("resume the server", self.timeouts.query, async |session| {
            update_and_tidy(session, include_str!("../../sql/repository/resume_server.sql"), server).await
        })
        .await
    }

    /// Deletes at most 1,000 rows of servers that are not registered any more. Does nothing unless the last reading of the
    /// servers has found some. Returns how many it has deleted.
    ///
    /// # Errors
    /// The repository cannot be reached, or refuses.
    pub(crate) async fn delete_removed_schedules(&self) -> Result<u64, Error> {
        if !self.has_removed_schedules.load(Ordering::Relaxed) {
            return Ok(0);
        }
        let sql = include_str!("../../sql/repository/delete_removed_schedules.sql");
        let rows = self.query("delete the schedules of removed servers", sql, &[]).await?;
        Ok(rows.len().try_into().unwrap_or(u64::MAX))
    }
}

/// Runs an update that returns the rows that it has changed, and deletes the server's row if nothing is left in it.
async fn update_and_tidy(session: &CheckedOutSession, sql: &str, server: ServerId) -> Result<bool, Error> {
    let changed = session.query(sql, &[&server.get()]).await?;
    session.query(include_str!("../../sql/repository/delete_empty_schedule.sql"), &[&server.get()]).await?;
    Ok(!changed.is_empty())
}
