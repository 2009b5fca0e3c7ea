//! The timing of one server: a row of the table `powa_collector.schedules`. What is invalid in it is left out and named.

use std::fmt;
use std::time::{Duration, SystemTime};

use super::cron::Cron;
use super::zone::{self, LAST};
use session::on_one_line;

/// The longest text of a row in a message, in bytes.
const MAX_BYTES: usize = 100;

/// When a server is collected, other than by its frequency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Timing {
    /// Takes the place of the frequency.
    pub cron: Option<Cron>,
    /// Nothing is collected before.
    pub start: Option<SystemTime>,
    /// Nothing is collected until then.
    pub paused_until: Option<SystemTime>,
    /// Due times before the last change of the row were not missed.
    changed_at: Option<SystemTime>,
    /// What is invalid in the row, and has no effect.
    pub invalid: Option<InvalidRow>,
}

/// The columns of a row, not yet validated. Times are seconds since 1970.
#[derive(Clone, Debug, Default)]
pub(crate) struct TimingRow {
    pub cron: Option<String>,
    pub time_zone: Option<String>,
    pub start_at: Option<f64>,
    pub paused_until: Option<f64>,
    pub changed_at: Option<f64>,
}

/// An invalid column. The server is collected as if it were null.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) struct InvalidRow {
    server: i32,
    column: &'static str,
    reason: String,
}

impl InvalidRow {
    pub(crate) fn new(server: i32, column: &'static str, reason: impl Into<String>) -> Self {
        Self { server, column, reason: reason.into() }
    }

    /// What follows from it.
    pub(crate) fn effect(&self) -> &'static str {
        match self.column {
            "cron" | "time_zone" => "the server is collected by its frequency",
            _ => "the column has no effect",
        }
    }
}

impl fmt::Display for InvalidRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { server, column, reason } = self;
        write!(f, "powa_collector.schedules row with srvid {server}: invalid {column}: {}", on_one_line(reason))
    }
}

impl Timing {
    /// Validates the row of a server.
    pub(crate) fn of_row(server: i32, row: &TimingRow) -> Self {
        let mut timing = Self {
            cron: None,
            start: None,
            paused_until: None,
            changed_at: row.changed_at.and_then(time),
            invalid: None,
        };
        for (column, seconds, place) in [
            ("paused_until", row.paused_until, &mut timing.paused_until),
            ("start_at", row.start_at, &mut timing.start),
        ] {
            *place = seconds.and_then(time);
            if seconds.is_some() && place.is_none() {
                timing.invalid = Some(InvalidRow::new(server, column, "the time is before 1970"));
            }
        }
        match (&row.cron, &row.time_zone) {
            (Some(text), zone) => match Cron::parse(text, zone.as_deref().unwrap_or(zone::DEFAULT_ZONE)) {
                Ok(cron) => timing.cron = Some(cron),
                Err(error) => {
                    let (column, value) = if error.is_of_zone() {
                        ("time_zone", zone.as_deref().unwrap_or_default())
                    } else {
                        ("cron", text.as_str())
                    };
                    let value = &value[..value.floor_char_boundary(MAX_BYTES)];
                    timing.invalid = Some(InvalidRow::new(server, column, format!("\"{value}\": {error}")));
                }
            },
            (None, Some(_)) => {
                timing.invalid = Some(InvalidRow::new(server, "time_zone", "there is no schedule that it is for"));
            }
            (None, None) => {}
        }
        timing
    }

    /// The timing of a server whose row could not be read.
    pub(crate) fn unreadable(invalid: InvalidRow) -> Self {
        Self { cron: None, start: None, paused_until: None, changed_at: None, invalid: Some(invalid) }
    }

    /// Until when nothing is collected, because of the start or a pause; `None` if that is over.
    pub(crate) fn quiet_until(&self, now: SystemTime) -> Option<SystemTime> {
        self.not_before().filter(|until| *until > now)
    }

    /// The time before which nothing was, or is, to be collected.
    pub(crate) fn not_before(&self) -> Option<SystemTime> {
        self.start.max(self.paused_until)
    }

    /// When the next snapshot is due after one that was begun at `last`, or after the row was changed. It may be in the past:
    /// then it was missed. `None` without a schedule.
    pub(crate) fn next_after(&self, last: Option<SystemTime>) -> Option<SystemTime> {
        let cron = self.cron.as_ref()?;
        let moment = Duration::from_nanos(1);
        // A due time at the start, or at the end of a pause, counts.
        let not_before = self.not_before().map(|until| until - moment);
        let from = last.max(self.changed_at).max(not_before).unwrap_or(SystemTime::UNIX_EPOCH);
        Some(cron.next(from).unwrap_or(SystemTime::UNIX_EPOCH + LAST))
    }

    /// The next due times after `now`, at most `number`. Empty without a schedule.
    pub(crate) fn upcoming(&self, now: SystemTime, number: usize) -> Vec<SystemTime> {
        let following = |time: &SystemTime| self.next_after(Some(*time));
        std::iter::successors(self.next_after(Some(now)), following).take(number).collect()
    }
}

impl Cron {
    /// The first due time after another time.
    fn next(&self, time: SystemTime) -> Option<SystemTime> {
        self.next_after(zone::timestamp(time)?).map(SystemTime::from)
    }
}

/// A valid time from the seconds since 1970. Later ones than the calendar has are its end.
fn time(seconds: f64) -> Option<SystemTime> {
    if !(0.0..).contains(&seconds) {
        return None;
    }
    // To the microsecond, as in the database. The conversion of a number that is too large gives the largest.
    let since = Duration::from_micros((seconds * 1e6).round() as u64).min(LAST);
    Some(SystemTime::UNIX_EPOCH + since)
}
