//! A schedule of five or six cron fields in a time zone: which texts are valid, and when it is due next. Pure, apart from
//! the time zones of the system.
//!
//! The crate `croner` evaluates the fields in local time, where no clock is ever changed. What a change of the clock means is
//! decided here, from one change to the next ([`Cron::next_after`]):
//!
//! - A time that is left out runs at the first instant after it. Where every hour runs (`30 * * * *`), the times before and
//!   after are an hour apart anyway, and nothing is added.
//! - A time that is repeated runs once, the first time. Where the minutes or the hours are `*` or a step of it
//!   (`*/5 * * * *`), or every hour runs, it runs both times: these are different instants.

use croner::Cron as Fields;
use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};

use super::fields::FIELDS;
use super::zone;
use super::{InvalidSchedule, MIN_INTERVAL_SECONDS};

/// In bytes. A list of all minutes has 169.
const MAX_BYTES: usize = 256;

/// The most changes of a clock until the next due time. 29 February can be eight years away, and some zones have four changes
/// a year.
const MAX_CHANGES: usize = 64;

/// A valid schedule. It is due again and again.
#[derive(Clone, Debug)]
pub(crate) struct Cron {
    text: String,
    fields: Fields,
    zone: TimeZone,
    zone_name: String,
    /// It runs in every hour of the day.
    is_hourly: bool,
    /// A repeated time runs both times.
    repeats: bool,
}

impl PartialEq for Cron {
    fn eq(&self, other: &Self) -> bool {
        (&self.text, &self.zone_name) == (&other.text, &other.zone_name)
    }
}

impl Eq for Cron {}

impl Cron {
    /// Parses five or six fields and the name of a time zone.
    ///
    /// # Errors
    /// A field or the name is invalid, the schedule never runs, or it runs too often.
    pub(crate) fn parse(text: &str, zone_name: &str) -> Result<Self, InvalidSchedule> {
        if text.len() > MAX_BYTES {
            return Err(InvalidSchedule::TooLong(MAX_BYTES));
        }
        let mut texts: Vec<&str> = text.split_ascii_whitespace().collect();
        let normalized = texts.join(" ");
        match texts.len() {
            5 => texts.insert(0, "0"),
            6 => {}
            number => return Err(InvalidSchedule::FieldCount(number)),
        }
        let parser = CronParser::builder().seconds(Seconds::Required).year(Year::Disallowed).build();
        let parsed = parser.parse(&texts.join(" "));
        // The crate accepts more forms, and its errors do not name the field.
        for (index, (field, text)) in FIELDS.iter().zip(&texts).enumerate() {
            let alone = |other| if other == index { text } else { "*" };
            let is_valid = parsed.is_ok() || parser.parse(&[0, 1, 2, 3, 4, 5].map(alone).join(" ")).is_ok();
            if !field.accepts(text) || !is_valid {
                let (name, allowed) = (field.name, field.allowed);
                return Err(InvalidSchedule::Field { name, text: (*text).into(), allowed });
            }
        }
        let fields = parsed.map_err(|error| InvalidSchedule::Cron(error.to_string()))?;
        let hours = fields.pattern.hours.values();
        let is_hourly = hours.len() == 24;
        let repeats = is_hourly || texts[1].starts_with('*') || texts[2].starts_with('*');
        if never_runs(&fields) {
            return Err(InvalidSchedule::Never);
        }
        let interval = shortest_interval(&fields, &hours);
        if interval < MIN_INTERVAL_SECONDS {
            return Err(InvalidSchedule::TooFrequent(interval));
        }
        let (zone, zone_name) = zone::find(zone_name)?;
        Ok(Self { text: normalized, fields, zone, zone_name, is_hourly, repeats })
    }

    /// The fields, separated by single spaces.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The name of the time zone.
    pub(crate) fn zone_name(&self) -> &str {
        &self.zone_name
    }

    pub(crate) fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// The first due time after an instant. `None` only at the end of the calendar.
    pub(super) fn next_after(&self, instant: Timestamp) -> Option<Timestamp> {
        let (mut from, mut is_included) = (instant, false);
        for _ in 0..MAX_CHANGES {
            // Until the next change, local time passes like any other.
            let offset = self.zone.to_offset(from);
            let change = self.zone.following(from).next().map(|change| (change.timestamp(), change.offset()));
            let mut local = offset.to_datetime(from);
            if let Some(end) = self.end_of_repeated_time(from, offset).filter(|end| !self.repeats && local < *end) {
                (local, is_included) = (end, true);
            }
            let found = self.fields.find_next_occurrence(&local, is_included).ok()?;
            match change {
                Some((at, after)) if found >= offset.to_datetime(at) => {
                    let is_left_out = found < after.to_datetime(at);
                    if is_left_out && !self.is_hourly {
                        return Some(at);
                    }
                    (from, is_included) = (at, true);
                }
                _ => return offset.to_timestamp(found).ok(),
            }
        }
        None
    }

    /// The local time up to which times are repeated at an instant, if the clock was set back last.
    fn end_of_repeated_time(&self, at: Timestamp, offset: Offset) -> Option<DateTime> {
        let moment = jiff::SignedDuration::from_nanos(1);
        let set_back = self.zone.preceding(at.checked_add(moment).ok()?).next()?.timestamp();
        let before = self.zone.to_offset(set_back.checked_sub(moment).ok()?);
        (before > offset).then(|| before.to_datetime(set_back))
    }
}

/// Whether no month that is selected has a day that is selected.
fn never_runs(fields: &Fields) -> bool {
    let pattern = &fields.pattern;
    // With both, either is enough.
    let needs_day = pattern.is_dow_wildcard();
    let days_of = |month| match month {
        2 => 29,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    let days = pattern.days.values();
    let can_run = |month: &u16| days.iter().any(|day| *day <= days_of(*month));
    needs_day && !pattern.months.values().iter().any(can_run)
}

/// The seconds between the two due times of a day, or of one day and the next, that are closest to each other.
fn shortest_interval(fields: &Fields, hours: &[u16]) -> u16 {
    let pattern = &fields.pattern;
    let (seconds, minutes) = (pattern.seconds.values(), pattern.minutes.values());
    let within = seconds.windows(2).map(|pair| pair[1] - pair[0]).min();
    let is_next =
        |values: &[u16], size| values.windows(2).any(|pair| pair[1] - pair[0] == 1) || has_both_ends(values, size);
    // From the last second of a minute to the first of the next.
    let next_hour = has_both_ends(&minutes, 60) && (is_next(hours, 24));
    let minute_follows = next_hour || minutes.windows(2).any(|pair| pair[1] - pair[0] == 1);
    let across = match (seconds.first(), seconds.last()) {
        (Some(first), Some(last)) if minute_follows => Some(first + 60 - last),
        _ => None,
    };
    within.into_iter().chain(across).min().unwrap_or(60)
}

fn has_both_ends(values: &[u16], size: u16) -> bool {
    values.first() == Some(&0) && values.last() == Some(&(size - 1))
}
