//! Times in JSON: RFC 3339, in UTC, with milliseconds.

use std::time::SystemTime;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// For `#[serde(with = "timestamp")]`.
///
/// # Errors
/// An error of the serializer.
pub(crate) fn serialize<S: Serializer>(time: &Option<SystemTime>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(text).serialize(serializer)
}

/// A time as text.
pub(crate) fn text(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}

/// For `#[serde(with = "timestamp")]`.
///
/// # Errors
/// The text is not a valid time.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SystemTime>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| humantime::parse_rfc3339(&text).map_err(D::Error::custom)).transpose()
}
