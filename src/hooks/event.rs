//! An event: which server has failed or recovered, since when, and why. As environment variables and as JSON.

use std::time::SystemTime;

use humantime::format_rfc3339_seconds;
use serde_json::{Value, json};

use crate::server::ServerId;
use session::on_one_line;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EventKind {
    Failure,
    Recovery(Recovery),
}

/// Why a server fails no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recovery {
    /// A new snapshot is stored.
    Stored,
    /// It was removed, disabled or excluded.
    NotCollected,
}

impl EventKind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Failure => "failure",
            Self::Recovery(_) => "recovery",
        }
    }
}

/// A server has failed or recovered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) kind: EventKind,
    pub(super) server: ServerId,
    /// The server's name in logs.
    pub(super) name: String,
    /// When the server began to fail.
    pub(super) since: SystemTime,
    /// The error that prevents or prevented snapshots.
    pub(super) error: String,
}

impl Event {
    /// The environment variables of a program.
    pub(super) fn variables(&self) -> [(&'static str, String); 6] {
        // A NUL character cannot be in a variable.
        let text = |text: &str| on_one_line(text).replace('\0', "");
        [
            ("POWA_EVENT", self.kind.name().into()),
            ("POWA_SERVER_ID", self.server.to_string()),
            ("POWA_SERVER", text(&self.name)),
            ("POWA_SINCE", format_rfc3339_seconds(self.since).to_string()),
            ("POWA_ERROR", text(&self.error)),
            ("POWA_MESSAGE", text(&self.message())),
        ]
    }

    /// The body of a request.
    pub(super) fn json(&self) -> Value {
        json!({
            "event": self.kind.name(),
            "server": {"id": self.server.get(), "name": self.name},
            "since": format_rfc3339_seconds(self.since).to_string(),
            "error": self.error,
            // Shown by chats that accept the format of Slack's webhooks.
            "text": self.message(),
        })
    }

    fn message(&self) -> String {
        let (name, since) = (&self.name, format_rfc3339_seconds(self.since));
        match self.kind {
            EventKind::Failure => format!("powa-collector: no snapshots of {name} since {since}: {}", self.error),
            EventKind::Recovery(Recovery::Stored) => {
                format!("powa-collector: snapshots of {name} are taken again; it had been failing since {since}")
            }
            EventKind::Recovery(Recovery::NotCollected) => {
                format!("powa-collector: {name} is not collected any more; it had been failing since {since}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_have_the_same() {
        let event = Event {
            kind: EventKind::Failure,
            server: ServerId::new(3).unwrap(),
            name: "db\0\n3".into(),
            since: SystemTime::UNIX_EPOCH,
            error: "it \"failed\"\nbadly".into(),
        };
        let variables = event.variables();
        assert_eq!(variables[0].1, "failure");
        assert!(variables.iter().all(|(_, value)| !value.contains(['\0', '\n'])), "{variables:?}");
        let json = event.json();
        assert_eq!((json["server"]["id"].as_i64(), json["since"].as_str()), (Some(3), Some("1970-01-01T00:00:00Z")));
        assert_eq!(json["error"], "it \"failed\"\nbadly");
        assert!(json["text"].as_str().unwrap().starts_with("powa-collector: no snapshots of db"));
    }
}
