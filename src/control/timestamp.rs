//! Times in JSON: RFC 3339, in UTC, with milliseconds.

use std::time::{Duration, SystemTime};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// 9999-12-31T23:59:59.999Z.
const LAST: Duration = Duration::from_millis(253_402_300_799_999);

/// For `#[serde(with = "timestamp")]`.
///
/// # Errors
/// An error of the serializer.
pub(crate) fn serialize<S: Serializer>(time: &Option<SystemTime>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(text).serialize(serializer)
}

/// A time as text. One before 1970 or after 9999, which PostgreSQL knows too, is the nearest that can be written.
pub(crate) fn text(time: SystemTime) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().min(LAST);
    humantime::format_rfc3339_millis(SystemTime::UNIX_EPOCH + since).to_string()
}

/// For `#[serde(with = "timestamp")]`.
///
/// # Errors
/// The text is not a valid time.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SystemTime>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| humantime::parse_rfc3339(&text).map_err(D::Error::custom)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_that_cannot_be_written_are_the_nearest_that_can() {
        let day = Duration::from_secs(86_400);
        assert_eq!(text(SystemTime::UNIX_EPOCH - day), "1970-01-01T00:00:00.000Z");
        assert_eq!(text(SystemTime::UNIX_EPOCH + 4_000_000 * day), "9999-12-31T23:59:59.999Z");
        assert_eq!(text(SystemTime::UNIX_EPOCH + day), "1970-01-02T00:00:00.000Z");
    }
}
