//! Which keys there are, what each may hold and what it holds when nobody says: one table, and the check against it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use config::{Map, Value, ValueKind};

use crate::spelling;

/// One key of the configuration.
pub(super) struct Key {
    /// Its name, with a dot between an object and its member.
    pub(super) path: &'static str,
    kind: Kind,
}

enum Kind {
    /// A text that has to be there.
    Required,
    Text,
    /// An object with members of its own rules.
    Section,
    Boolean {
        default: bool,
    },
    Whole {
        default: i64,
        least: i64,
        most: i64,
    },
}

const fn whole(path: &'static str, default: i64, least: i64, most: i64) -> Key {
    Key { path, kind: Kind::Whole { default, least, most } }
}

const fn seconds(path: &'static str, default: i64) -> Key {
    whole(path, default, 1, 86_400)
}

pub(super) const KEYS: &[Key] = &[
    Key { path: "repository.dsn", kind: Kind::Required },
    Key { path: "repository.password_file", kind: Kind::Text },
    whole("repository.bloat", 256, 0, 1_048_576),
    Key { path: "remote", kind: Kind::Section },
    Key { path: "debug", kind: Kind::Boolean { default: false } },
    Key { path: "use_server_alias", kind: Kind::Boolean { default: false } },
    whole("limits.collects", 32, 1, 1000),
    whole("limits.loads", 4, 1, 1000),
    whole("limits.databases", 4, 1, 1000),
    seconds("timeouts.connect", 10),
    seconds("timeouts.query", 60),
    seconds("timeouts.snapshot", 600),
    seconds("timeouts.idle", 30),
    seconds("timeouts.stop", 10),
    whole("spool.memory", 1024, 0, 1_048_576),
    whole("spool.limit", 4096, 1, 1_048_576),
    Key { path: "spool.directory", kind: Kind::Text },
    Key { path: "http.listen", kind: Kind::Text },
    Key { path: "http.tokens_file", kind: Kind::Text },
    Key { path: "http.certificate", kind: Kind::Text },
    Key { path: "http.key", kind: Kind::Text },
    Key { path: "http.open_to_all", kind: Kind::Boolean { default: false } },
];

/// What is allowed where keys have members.
pub(super) const OBJECT: &str = "an object";

/// One thing that is wrong: the key, its value, and what is allowed.
#[derive(Debug, PartialEq, Eq)]
pub enum Violation {
    Unknown {
        key: String,
        nearest: Option<String>,
    },
    Missing {
        key: &'static str,
        allowed: String,
    },
    NotAllowed {
        key: String,
        value: String,
        allowed: String,
    },
    /// What is wrong takes more words; they go on where the key ends, and do not quote what may be a secret.
    Invalid {
        key: String,
        reason: String,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { key, nearest: Some(nearest) } => {
                write!(f, "\"{key}\" is not known; did you mean \"{nearest}\"?")
            }
            Self::Unknown { key, nearest: None } => write!(f, "\"{key}\" is not known"),
            Self::Missing { key, allowed } => write!(f, "\"{key}\" is missing, allowed is {allowed}"),
            Self::NotAllowed { key, value, allowed } => write!(f, "\"{key}\" is {value}, allowed is {allowed}"),
            Self::Invalid { key, reason } => write!(f, "\"{key}\" {reason}"),
        }
    }
}

/// Every key with a value that is allowed, or with none.
pub(super) struct Checked(BTreeMap<&'static str, ValueKind>);

/// Holds what was read against the table, and says all that is wrong, not the first of it. What is wrong is replaced, so
/// that the rest can be looked at.
pub(super) fn check(values: Map<String, Value>, violations: &mut Vec<Violation>) -> Checked {
    let mut found = BTreeMap::new();
    flatten("", values, &mut found, violations);

    let mut checked = BTreeMap::new();
    for key in KEYS {
        // A null is the same as not being there.
        let value = found.remove(key.path).filter(|value| *value != ValueKind::Nil);
        let default = key.default();
        match &value {
            Some(value) if key.allows(value) => {}
            Some(value) => violations.push(Violation::not_allowed(key.path, value, &key.allowed())),
            None if default.is_some() || violations.iter().any(|known| known.is_about_parent_of(key.path)) => {}
            None => violations.push(Violation::Missing { key: key.path, allowed: key.allowed() }),
        }
        let value = value.filter(|value| key.allows(value)).or(default);
        checked.insert(key.path, value.unwrap_or(ValueKind::Nil));
    }
    Checked(checked)
}

/// Turns nested objects into `object.member`, and sorts out what no key of the table is called.
fn flatten(
    parent: &str,
    values: Map<String, Value>,
    found: &mut BTreeMap<String, ValueKind>,
    violations: &mut Vec<Violation>,
) {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_by(|(a, _), (b, _)| a.cmp(b));
    for (name, value) in values {
        let path = if parent.is_empty() { name } else { format!("{parent}.{name}") };
        let is_object = KEYS.iter().any(|key| parent_of(key.path) == Some(&path));
        match value.kind {
            ValueKind::Table(members) if is_object => flatten(&path, members, found, violations),
            ValueKind::Nil if is_object => {}
            other if is_object => violations.push(Violation::not_allowed(&path, &other, OBJECT)),
            other if KEYS.iter().any(|key| key.path == path) => {
                found.insert(path, other);
            }
            _ => violations.push(Violation::Unknown { nearest: nearest(&path), key: path }),
        }
    }
}

fn parent_of(path: &str) -> Option<&str> {
    path.rsplit_once('.').map(|(parent, _)| parent)
}

/// The known name that looks most like `path`, if any looks like it at all.
fn nearest(path: &str) -> Option<String> {
    let objects = KEYS.iter().filter_map(|key| parent_of(key.path));
    spelling::most_alike(path, KEYS.iter().map(|key| key.path).chain(objects)).map(Into::into)
}

/// A value for a message. What stands where connection parameters belong may be a secret, and so may one that is misplaced.
fn shown(path: &str, value: &ValueKind) -> String {
    match value {
        ValueKind::Table(_) => "an object".into(),
        ValueKind::Array(_) => "a list".into(),
        ValueKind::Nil => "null".into(),
        _ if path.starts_with("repository") || path.starts_with("remote") => "a value of another kind".into(),
        ValueKind::String(text) if text.contains("password") || text.contains("://") => "a connection string".into(),
        ValueKind::String(text) => format!("\"{text}\""),
        other => other.to_string(),
    }
}

impl Violation {
    pub(super) fn not_allowed(key: &str, value: &ValueKind, allowed: &str) -> Self {
        Self::NotAllowed { key: key.into(), value: shown(key, value), allowed: allowed.into() }
    }

    fn is_about_parent_of(&self, path: &str) -> bool {
        matches!(self, Self::NotAllowed { key, .. } if parent_of(path) == Some(key))
    }
}

impl Key {
    fn allows(&self, value: &ValueKind) -> bool {
        match (&self.kind, value) {
            (Kind::Required, ValueKind::String(text)) => !text.is_empty(),
            (Kind::Text, ValueKind::String(_))
            | (Kind::Section, ValueKind::Table(_))
            | (Kind::Boolean { .. }, ValueKind::Boolean(_)) => true,
            (Kind::Whole { least, most, .. }, ValueKind::I64(number)) => (least..=most).contains(&number),
            _ => false,
        }
    }

    fn allowed(&self) -> String {
        match self.kind {
            Kind::Required | Kind::Text => "a text".into(),
            Kind::Section => OBJECT.into(),
            Kind::Boolean { .. } => "true or false".into(),
            Kind::Whole { least, most, .. } => format!("a whole number from {least} to {most}"),
        }
    }

    fn default(&self) -> Option<ValueKind> {
        match self.kind {
            Kind::Required => None,
            Kind::Text | Kind::Section => Some(ValueKind::Nil),
            Kind::Boolean { default } => Some(ValueKind::Boolean(default)),
            Kind::Whole { default, .. } => Some(ValueKind::I64(default)),
        }
    }
}

impl Checked {
    pub(super) fn text(&self, path: &str) -> Option<String> {
        match &self.0[path] {
            ValueKind::String(text) => Some(text.clone()),
            _ => None,
        }
    }

    pub(super) fn section(&self, path: &str) -> Map<String, Value> {
        match &self.0[path] {
            ValueKind::Table(members) => members.clone(),
            _ => Map::new(),
        }
    }

    pub(super) fn boolean(&self, path: &str) -> bool {
        self.0[path] == ValueKind::Boolean(true)
    }

    pub(super) fn count(&self, path: &str) -> usize {
        match self.0[path] {
            ValueKind::I64(number) => usize::try_from(number).expect("the table allows no negative number"),
            _ => unreachable!("{path} is a whole number in the table"),
        }
    }

    pub(super) fn seconds(&self, path: &str) -> Duration {
        Duration::from_secs(self.count(path) as u64)
    }
}
