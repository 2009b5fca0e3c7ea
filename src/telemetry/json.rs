//! Formats a message as a JSON object on one line: `timestamp`, `level`, `message`, an object for each span (such as `server`),
//! and the other values in `fields`.
//!
//! tracing-subscriber's JSON format is not used because the name of a span overwrites the field `name` of the server, and large
//! numbers become strings.

use std::fmt;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// Formats messages as JSON.
pub(super) struct JsonLines;

impl<S: Subscriber + for<'a> LookupSpan<'a>> FormatEvent<S, Fields> for JsonLines {
    fn format_event(
        &self,
        context: &FmtContext<'_, S, Fields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Values::of(event);
        let message = match fields.0.remove("message") {
            Some(Value::String(message)) => message,
            _ => String::new(),
        };
        let mut line = Line::new(*event.metadata().level(), &message);
        for span in context.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            let extensions = span.extensions();
            let fields = extensions.get::<FormattedFields<Fields>>().map_or("", |fields| fields.fields.as_str());
            line.add(span.name(), &serde_json::from_str(fields).unwrap_or_default());
        }
        if !fields.0.is_empty() {
            line.add("fields", &Value::Object(fields.0));
        }
        write!(writer, "{line}")
    }
}

/// Formats the fields of a span as JSON.
pub(super) struct Fields;

impl<'a> FormatFields<'a> for Fields {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'a>, fields: R) -> fmt::Result {
        write!(writer, "{}", Value::Object(Values::of(fields).0))
    }
}

/// A JSON object with its members in the order in which they are added.
pub(super) struct Line(String);

impl Line {
    /// A message with the current time.
    pub(super) fn new(level: Level, message: &str) -> Self {
        let mut time = String::new();
        // Writing to a String cannot fail.
        SystemTime.format_time(&mut Writer::new(&mut time)).ok();
        let mut line = Self(String::new());
        line.add("timestamp", &time.into());
        line.add("level", &level.as_str().into());
        line.add("message", &message.into());
        line
    }

    fn add(&mut self, key: &str, value: &Value) {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        self.0 += &format!("{}:{value}", Value::from(key));
    }
}

impl fmt::Display for Line {
    /// Also escapes the control characters that JSON permits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            if c.is_control() {
                write!(f, "\\u{:04x}", u32::from(c))?;
            } else {
                write!(f, "{c}")?;
            }
        }
        writeln!(f, "}}")
    }
}

/// The fields of a message or span, by name.
struct Values(Map<String, Value>);

impl Values {
    fn of(fields: impl RecordFields) -> Self {
        let mut values = Self(Map::new());
        fields.record(&mut values);
        values
    }

    fn insert(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().into(), value.into());
    }
}

impl Visit for Values {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.insert(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.insert(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.insert(field, value);
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        // Such as milliseconds: in practice no value is too large.
        self.insert(field, u64::try_from(value).unwrap_or(u64::MAX));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.insert(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.insert(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.insert(field, format!("{value:?}"));
    }
}
