//! When a server is collected, other than by its frequency: at the times of a schedule, not before its start, and not while it
//! is paused. Knows nothing of workers.

mod cron;
mod fields;
#[cfg(test)]
mod tests;
mod timing;
mod zone;

pub(crate) use cron::Cron;
pub(crate) use timing::{InvalidRow, Timing, TimingRow};
pub(crate) use zone::{DEFAULT_ZONE, InvalidTime, format_time, parse_time};

use std::time::{Duration, SystemTime};

use session::on_one_line;

/// The shortest time between two due times, in seconds, as for a frequency.
const MIN_INTERVAL_SECONDS: u16 = 5;

/// Why a schedule is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidSchedule {
    #[error(
        "a schedule has five fields (minute, hour, day of month, month, day of week), or six with the second first, \
        got {0}"
    )]
    FieldCount(usize),
    #[error("a schedule has at most {0} bytes")]
    TooLong(usize),
    #[error(
        "the {name} must be * or a list of values and ranges ({allowed}), each perhaps with a step such as */5 or 10-30/5, \
        got {}",
        on_one_line(text)
    )]
    Field { name: &'static str, text: String, allowed: &'static str },
    /// All fields are valid by themselves.
    #[error("{0}")]
    Cron(String),
    #[error("the schedule never runs: no selected month has a selected day")]
    Never,
    #[error("the schedule runs {0} s after it has run, and the least is {MIN_INTERVAL_SECONDS} s")]
    TooFrequent(u16),
    #[error("\"{}\" is no time zone{}", on_one_line(name), suggestion(nearest.as_deref()))]
    Zone { name: String, nearest: Option<String> },
}

impl InvalidSchedule {
    /// Whether the time zone is invalid, not the fields.
    pub(crate) fn is_of_zone(&self) -> bool {
        matches!(self, Self::Zone { .. })
    }
}

fn suggestion(nearest: Option<&str>) -> String {
    match nearest {
        Some(nearest) => format!("; did you mean \"{nearest}\"?"),
        None => "; use a name of the IANA database, such as Europe/Paris".into(),
    }
}

/// The due times of a schedule after a time, in seconds since 1970. For a test that compares them with another program's.
///
/// # Errors
/// The schedule is invalid.
pub fn due_times(cron: &str, zone: &str, after: u64, number: usize) -> Result<Vec<u64>, String> {
    let row = TimingRow { cron: Some(cron.into()), time_zone: Some(zone.into()), ..TimingRow::default() };
    let timing = Timing::of_row(0, &row);
    if let Some(invalid) = timing.invalid {
        return Err(invalid.to_string());
    }
    let since = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let after = SystemTime::UNIX_EPOCH + Duration::from_secs(after);
    Ok(timing.upcoming(after, number).into_iter().map(|time| since(time).as_secs()).collect())
}
