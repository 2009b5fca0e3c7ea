//! Time zones by name, and times as people write them.

use std::time::{Duration, SystemTime};

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use super::InvalidSchedule;
use libpq::spelling;

/// The time zone of a schedule, if no other is given.
pub(crate) const DEFAULT_ZONE: &str = "UTC";

/// The last time that is accepted: the end of the year 9998. Infinity in the database is read as this.
pub(super) const LAST: Duration = Duration::from_secs(253_370_764_800);

/// A text that is not a time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidTime {
    #[error("a time must be like 2026-05-07T18:00, or with an offset like 2026-05-07T18:00+02:00 or 2026-05-07T16:00Z")]
    Format,
    #[error("the time is too far away")]
    TooFar,
}

/// Finds a time zone by its name in the IANA database. Also returns the name as the database spells it.
///
/// # Errors
/// There is none of that name.
pub(super) fn find(name: &str) -> Result<(TimeZone, String), InvalidSchedule> {
    // Some databases have a zone for an unknown place, which is useless here.
    let found = jiff::tz::db().get(name).ok().filter(|zone| !zone.is_unknown());
    match found {
        Some(zone) => {
            let spelled = zone.iana_name().unwrap_or(name).to_owned();
            Ok((zone, spelled))
        }
        None => {
            let names: Vec<String> = jiff::tz::db().available().map(|name| name.to_string()).collect();
            let nearest = spelling::closest_match(name, names.iter().map(String::as_str)).map(Into::into);
            Err(InvalidSchedule::Zone { name: name.into(), nearest })
        }
    }
}

/// Parses a time: with an offset, or as local time in `zone`. A local time that does not exist is the first one after it.
///
/// # Errors
/// The text is not a time.
pub(crate) fn parse_time(text: &str, zone: &TimeZone) -> Result<SystemTime, InvalidTime> {
    let time = match text.parse::<Timestamp>() {
        Ok(time) => time,
        Err(_) => {
            let local: DateTime = text.parse().map_err(|_| InvalidTime::Format)?;
            // DateTime ignores an offset that Timestamp cannot use, such as one without a time.
            let has_date_and_time = text.contains(['T', 't', ' ']);
            if !has_date_and_time {
                return Err(InvalidTime::Format);
            }
            zone.to_ambiguous_timestamp(local).compatible().map_err(|_| InvalidTime::TooFar)?
        }
    };
    let time = SystemTime::from(time);
    if time > SystemTime::UNIX_EPOCH + LAST { Err(InvalidTime::TooFar) } else { Ok(time) }
}

/// A time in a time zone, to the second, with its offset: `2026-05-07T18:00:00+02:00`.
pub(crate) fn format_time(time: SystemTime, zone: &TimeZone) -> String {
    match timestamp(time) {
        Some(time) if *zone == TimeZone::UTC => time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        Some(time) => Zoned::new(time, zone.clone()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
        None => "never".into(),
    }
}

/// `None` for a time outside of the calendar.
pub(super) fn timestamp(time: SystemTime) -> Option<Timestamp> {
    Timestamp::try_from(time).ok()
}
