//! Which texts the fields of a schedule may have: numbers, names, `*`, lists, ranges and steps. Pure.
//!
//! The crate that evaluates schedules accepts more, for example names in any field, `L` and `@daily`. Only what every cron
//! knows is accepted here, so that a schedule means the same to all of its readers.

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS_OF_WEEK: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// A field of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: &'static str,
    /// The values that it may have, for messages.
    pub(super) allowed: &'static str,
    /// Names of values, in lower case.
    names: &'static [&'static str],
}

/// The fields of a schedule with seconds, in their order.
pub(super) const FIELDS: [Field; 6] = [
    Field { name: "second", allowed: "0 to 59", names: &[] },
    Field { name: "minute", allowed: "0 to 59", names: &[] },
    Field { name: "hour", allowed: "0 to 23", names: &[] },
    Field { name: "day of month", allowed: "1 to 31", names: &[] },
    Field { name: "month", allowed: "1 to 12, or jan to dec", names: &MONTHS },
    Field { name: "day of week", allowed: "0 to 7, where 0 and 7 are Sunday, or sun to sat", names: &DAYS_OF_WEEK },
];

impl Field {
    /// Whether a text has the form of this field: a list of `*`, values and ranges, each perhaps with a step. The values
    /// themselves are not checked.
    pub(super) fn accepts(&self, text: &str) -> bool {
        text.split(',').all(|item| {
            let (range, step) = item.split_once('/').map_or((item, None), |(range, step)| (range, Some(step)));
            let is_range = match range.split_once('-') {
                Some((first, last)) => self.is_value(first) && self.is_value(last),
                // A step needs an end.
                None => range == "*" || (step.is_none() && self.is_value(range)),
            };
            // In a list, "*" leaves no place for anything else.
            is_range && step.is_none_or(is_number) && (range != "*" || !text.contains(','))
        })
    }

    fn is_value(&self, text: &str) -> bool {
        is_number(text) || self.names.iter().any(|name| text.eq_ignore_ascii_case(name))
    }
}

fn is_number(text: &str) -> bool {
    (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_has_the_forms_that_every_cron_knows() {
        let [_, minute, _, day, month, day_of_week] = FIELDS;
        for text in ["*", "0", "59", "1,2", "1-5", "*/5", "0-30/10", "1,10-20/5,30"] {
            assert!(minute.accepts(text), "{text}");
        }
        for text in ["jan", "JAN-Mar", "1-dec/2"] {
            assert!(month.accepts(text), "{text}");
            assert!(!minute.accepts(text) && !day_of_week.accepts(text), "{text}");
        }
        assert!(day_of_week.accepts("mon-fri,sun"));
        for text in ["", ",", "1,", "-", "1-", "-5", "/5", "5/10", "*/", "*/*", "1-2-3", "*-5", "*,5", "100", "?", "x"]
        {
            assert!(!minute.accepts(text), "{text}");
        }
        for text in ["L", "LW", "15W", "?", "monday", "mon", "@daily", "+1"] {
            assert!(!day.accepts(text), "{text}");
        }
        for text in ["1#2", "5L", "monday", "+mon", "jan"] {
            assert!(!day_of_week.accepts(text), "{text}");
        }
    }
}
