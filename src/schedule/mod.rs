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
        got {}", on_one_line(text)
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
