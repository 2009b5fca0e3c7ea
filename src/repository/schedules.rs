//! Schedules and pauses: reads and changes the table `powa_collector.schedules`.

use std::collections::BTreeMap;
use std::sync::Arc;
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
}

impl Timings {
    /// Nothing, and why.
    pub(super) fn unreadable(problem: String) -> Self {
        Self { problem: Some(problem), ..Self::default() }
    }

    pub(super) fn of(rows: &[Row]) -> Self {
        let mut timings = Self::default();
        for row in rows {
            let Ok(server) = row.try_get::<_, i32>("srvid") else {
                timings.problem = Some("powa_collector.schedules: invalid srvid: it is not an integer".into());
                continue;
            };
            let timing = match timing_row(server, row) {
                Ok(row) => Timing::of_row(server, &row),
                Err(invalid) => Timing::unreadable(invalid),
            };
            timings.of.insert(server, Arc::new(timing));
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
}

/// Runs an update that returns the rows that it has changed, and deletes the server's row if nothing is left in it.
async fn update_and_tidy(session: &CheckedOutSession, sql: &str, server: ServerId) -> Result<bool, Error> {
    let changed = session.query(sql, &[&server.get()]).await?;
    session.query(include_str!("../../sql/repository/delete_empty_schedule.sql"), &[&server.get()]).await?;
    Ok(!changed.is_empty())
}
