//! The table of all keys, with types and defaults, and validation against it.

use std::collections::BTreeMap;
use std::time::Duration;

use config::{Map, Value, ValueKind};

use super::variables::Unexpandable;
use super::violation::{Problem, Violation};
use libpq::spelling;

/// A key of the configuration.
pub(super) struct Key {
    /// Its name, with a dot between object and member.
    pub(super) path: &'static str,
    kind: Kind,
}

enum Kind {
    /// A mandatory string.
    Required,
    Text,
    /// A list of strings, or one string.
    Texts,
    /// An object that validates its own members.
    Section,
    Boolean {
        default: bool,
    },
    Integer {
        default: i64,
        min: i64,
        max: i64,
    },
}

const fn integer(path: &'static str, default: i64, min: i64, max: i64) -> Key {
    Key { path, kind: Kind::Integer { default, min, max } }
}

const fn seconds(path: &'static str, default: i64) -> Key {
    integer(path, default, 1, 86_400)
}

pub(super) const KEYS: &[Key] = &[
    Key { path: "repository.dsn", kind: Kind::Required },
    Key { path: "repository.password_file", kind: Kind::Text },
    integer("repository.bloat", 256, 0, 1_048_576),
    Key { path: "remote", kind: Kind::Section },
    Key { path: "collect.exclude_databases", kind: Kind::Texts },
    Key { path: "collect.exclude_statements", kind: Kind::Boolean { default: false } },
    Key { path: "collect.standby", kind: Kind::Boolean { default: true } },
    Key { path: "collect.servers", kind: Kind::Section },
    Key { path: "debug", kind: Kind::Boolean { default: false } },
    Key { path: "use_server_alias", kind: Kind::Boolean { default: false } },
    integer("limits.collects", 32, 1, 1000),
    integer("limits.loads", 4, 1, 1000),
    integer("limits.databases", 4, 1, 1000),
    integer("limits.query_text", 0, 0, 16_777_216),
    seconds("timeouts.connect", 10),
    seconds("timeouts.query", 60),
    seconds("timeouts.snapshot", 600),
    seconds("timeouts.idle", 30),
    seconds("timeouts.stop", 10),
    integer("spool.memory", 1024, 0, 1_048_576),
    integer("spool.total_memory", 32, 0, 1_048_576),
    integer("spool.limit", 4096, 1, 1_048_576),
    Key { path: "spool.directory", kind: Kind::Text },
    Key { path: "http.listen", kind: Kind::Text },
    Key { path: "http.tokens_file", kind: Kind::Text },
    Key { path: "http.certificate", kind: Kind::Text },
    Key { path: "http.key", kind: Kind::Text },
    Key { path: "http.open_to_all", kind: Kind::Boolean { default: false } },
    Key { path: "http.api", kind: Kind::Boolean { default: true } },
    Key { path: "http.api_without_tls", kind: Kind::Boolean { default: false } },
    Key { path: "http.admin_dsn", kind: Kind::Text },
    Key { path: "http.poll_open", kind: Kind::Boolean { default: false } },
    Key { path: "hooks.on_failure", kind: Kind::Texts },
    Key { path: "hooks.on_recovery", kind: Kind::Texts },
    Key { path: "hooks.webhook", kind: Kind::Text },
    integer("hooks.delay", 60, 0, 86_400),
    seconds("hooks.timeout", 30),
];

/// The types of keys, for messages.
pub(super) const OBJECT: &str = "an object";
pub(super) const TEXTS: &str = "a list of strings";

/// The valid value of every key, or none, with its origin.
pub(super) struct Checked(BTreeMap<&'static str, Value>);

/// Validates what was read against the table, and reports all errors. An invalid value is replaced by the default, so
/// that the rest can be validated.
pub(super) fn check(values: Map<String, Value>, violations: &mut Vec<Violation>) -> Checked {
    let mut found = BTreeMap::new();
    flatten("", values, &mut found, violations);

    let mut checked = BTreeMap::new();
    for key in KEYS {
        // null counts as unset.
        let value = found.remove(key.path).filter(|value| value.kind != ValueKind::Nil);
        let default = key.default();
        let is_known_to_be_wrong =
            || violations.iter().any(|known| known.is_about(key.path) || known.is_about_parent_of(key.path));
        match &value {
            Some(value) if key.allows(&value.kind) => {}
            Some(value) => {
                let problem = Problem::not_allowed(key.path, &value.kind, &key.allowed());
                violations.push(Violation::new(value.origin(), problem));
            }
            None if default.is_some() || is_known_to_be_wrong() => {}
            None => {
                let problem = Problem::Missing { key: key.path, allowed: key.allowed() };
                violations.push(Violation::new(None, problem));
            }
        }
        let origin = value.as_ref().and_then(|value| value.origin().map(ToOwned::to_owned));
        let kind = value.map(|value| value.kind).filter(|kind| key.allows(kind)).or(default);
        checked.insert(key.path, Value::new(origin.as_ref(), kind));
    }
    Checked(checked)
}

/// Flattens nested objects to `object.member`, and reports unknown keys.
fn flatten(
    parent: &str,
    values: Map<String, Value>,
    found: &mut BTreeMap<String, Value>,
    violations: &mut Vec<Violation>,
) {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_by(|(a, _), (b, _)| a.cmp(b));
    for (name, value) in values {
        let path = if parent.is_empty() { name } else { format!("{parent}.{name}") };
        let origin = value.origin().map(ToOwned::to_owned);
        let problem = match value.kind {
            ValueKind::Table(members) if is_object(&path) => {
                flatten(&path, members, found, violations);
                continue;
            }
            ValueKind::Nil if is_object(&path) => continue,
            other if is_object(&path) => Problem::not_allowed(&path, &other, OBJECT),
            _ if key_of(&path).is_some() => {
                found.insert(path, value);
                continue;
            }
            _ => Problem::unknown(path),
        };
        violations.push(Violation::new(origin.as_deref(), problem));
    }
}

/// Converts the text of a variable to the type of the key.
///
/// # Errors
/// The key is unknown, or the text is not a valid value.
pub(super) fn typed(path: &str, text: String) -> Result<ValueKind, Problem> {
    // The setting of a single server has the type that it has for all servers.
    let for_one = path.strip_prefix("collect.servers.").and_then(|rest| rest.rsplit_once('.'));
    let key = match for_one {
        Some((_, member)) => settable().find(|key| key.path.strip_prefix("collect.") == Some(member)),
        None => key_of(path),
    };
    let kind = match key {
        Some(Key { kind: Kind::Required | Kind::Text | Kind::Texts, .. }) => return Ok(text.into()),
        Some(Key { kind: Kind::Boolean { .. }, .. }) => text.to_lowercase().parse().ok().map(ValueKind::Boolean),
        Some(Key { kind: Kind::Integer { .. }, .. }) => text.parse().ok().map(ValueKind::I64),
        Some(Key { kind: Kind::Section, .. }) => None,
        None if is_object(path) => None,
        // A section validates its own members and their values.
        None => match section_of(path) {
            Some(rest)
                if rest == "servers" || rest.strip_prefix("servers.").is_some_and(|rest| !rest.contains('.')) =>
            {
                None
            }
            Some(_) => return Ok(text.into()),
            None => {
                // A section's name alone does not tell which member was meant.
                let names = settable().map(|key| key.path).filter(|_| !is_object(path.trim_end_matches('.')));
                let nearest = spelling::closest_match(path, names).map(Into::into);
                return Err(Problem::Unknown { key: path.into(), nearest });
            }
        },
    };
    let allowed = key.map_or_else(|| OBJECT.into(), Key::allowed);
    match kind.filter(|kind| key.is_some_and(|key| key.allows(kind))) {
        Some(kind) => Ok(kind),
        None => Err(Problem::not_allowed(path, &text.into(), &allowed)),
    }
}

/// The keys that can be set by one variable.
pub(super) fn settable() -> impl Iterator<Item = &'static Key> {
    KEYS.iter().filter(|key| !matches!(key.kind, Kind::Section))
}

fn key_of(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

fn is_object(path: &str) -> bool {
    KEYS.iter().any(|key| parent_of(key.path) == Some(path))
}

/// The rest of a path that begins with a section.
fn section_of(path: &str) -> Option<&str> {
    let sections = KEYS.iter().filter(|key| matches!(key.kind, Kind::Section));
    sections.filter_map(|section| path.strip_prefix(section.path)?.strip_prefix('.')).next()
}

fn parent_of(path: &str) -> Option<&str> {
    path.rsplit_once('.').map(|(parent, _)| parent)
}

/// The known name closest to `path`.
fn nearest(path: &str) -> Option<String> {
    let objects = KEYS.iter().filter_map(|key| parent_of(key.path));
    spelling::closest_match(path, KEYS.iter().map(|key| key.path).chain(objects)).map(Into::into)
}

/// A value for a message. Hidden where a connection parameter, which may be secret, belongs or may be misplaced.
fn shown(path: &str, value: &ValueKind) -> String {
    match value {
        ValueKind::Table(_) => "an object".into(),
        ValueKind::Array(_) => "a list".into(),
        ValueKind::Nil => "null".into(),
        ValueKind::String(text) if text.is_empty() => "\"\"".into(),
        _ if ["repository", "remote", "http.admin_dsn"].iter().any(|secret| path.starts_with(secret)) => {
            "a value of another type".into()
        }
        ValueKind::String(text) if text.contains("password") || text.contains("://") => "a connection string".into(),
        ValueKind::String(text) => format!("\"{text}\""),
        // With its decimal point.
        ValueKind::Float(number) => format!("{number:?}"),
        other => other.to_string(),
    }
}

/// The strings of a list. A single string, as from a variable, is a list of one. A name of digits only is a number
/// there.
pub(super) fn texts(value: &ValueKind) -> Option<Vec<String>> {
    let text = |value: &ValueKind| match value {
        ValueKind::String(text) => Some(text.clone()),
        ValueKind::I64(number) => Some(number.to_string()),
        _ => None,
    };
    match value {
        ValueKind::Array(values) => values.iter().map(|value| text(&value.kind)).collect(),
        value => text(value).map(|text| vec![text]),
    }
}

impl Problem {
    pub(super) fn not_allowed(key: &str, value: &ValueKind, allowed: &str) -> Self {
        Self::NotAllowed { key: key.into(), value: shown(key, value), allowed: allowed.into() }
    }

    fn unknown(key: String) -> Self {
        Self::Unknown { nearest: nearest(&key), key }
    }
}

impl Key {
    fn allows(&self, value: &ValueKind) -> bool {
        match (&self.kind, value) {
            (Kind::Required, ValueKind::String(text)) => !text.is_empty(),
            (Kind::Text, ValueKind::String(_))
            | (Kind::Section, ValueKind::Table(_))
            | (Kind::Boolean { .. }, ValueKind::Boolean(_)) => true,
            (Kind::Texts, value) => texts(value).is_some(),
            (Kind::Integer { min, max, .. }, ValueKind::I64(number)) => (min..=max).contains(&number),
            _ => false,
        }
    }

    fn allowed(&self) -> String {
        match self.kind {
            Kind::Required | Kind::Text => "a string".into(),
            Kind::Texts => TEXTS.into(),
            Kind::Section => OBJECT.into(),
            Kind::Boolean { .. } => "true or false".into(),
            Kind::Integer { min, max, .. } => format!("an integer from {min} to {max}"),
        }
    }

    fn default(&self) -> Option<ValueKind> {
        match self.kind {
            Kind::Required => None,
            Kind::Text | Kind::Texts | Kind::Section => Some(ValueKind::Nil),
            Kind::Boolean { default } => Some(ValueKind::Boolean(default)),
            Kind::Integer { default, .. } => Some(ValueKind::I64(default)),
        }
    }
}

impl Checked {
    /// Something wrong with a key's value, which goes on where the key ends.
    pub(super) fn invalid(&self, path: &str, reason: String) -> Violation {
        Violation::new(self.0[path].origin(), Problem::Invalid { key: path.into(), reason })
    }

    /// A value with variables in it that cannot be replaced.
    pub(super) fn unexpandable(&self, path: &str, problem: Unexpandable) -> Violation {
        match problem {
            Unexpandable::Unset(variable) => {
                Violation::new(self.0[path].origin(), Problem::Unset { keys: vec![path.into()], variable })
            }
            Unexpandable::Invalid(reason) => self.invalid(path, reason),
        }
    }

    /// A value that is none of those that are allowed, quoted.
    pub(super) fn not_allowed(&self, path: &str, allowed: &str) -> Violation {
        Violation::new(self.0[path].origin(), Problem::not_allowed(path, &self.0[path].kind, allowed))
    }

    pub(super) fn text(&self, path: &str) -> Option<String> {
        match &self.0[path].kind {
            ValueKind::String(text) => Some(text.clone()),
            _ => None,
        }
    }

    /// Where the value of a key comes from, if it was given.
    pub(super) fn origin(&self, path: &str) -> Option<&str> {
        self.0[path].origin()
    }

    /// The texts of a list; none where there is no list.
    pub(super) fn list(&self, path: &str) -> Vec<String> {
        texts(&self.0[path].kind).unwrap_or_default()
    }

    pub(super) fn section(&self, path: &str) -> Map<String, Value> {
        match &self.0[path].kind {
            ValueKind::Table(members) => members.clone(),
            _ => Map::new(),
        }
    }

    pub(super) fn boolean(&self, path: &str) -> bool {
        self.0[path].kind == ValueKind::Boolean(true)
    }

    pub(super) fn count(&self, path: &str) -> usize {
        match self.0[path].kind {
            ValueKind::I64(number) => usize::try_from(number).expect("the table allows no negative number"),
            _ => unreachable!("{path} is an integer in the table"),
        }
    }

    pub(super) fn seconds(&self, path: &str) -> Duration {
        Duration::from_secs(self.count(path) as u64)
    }
}
