//! An invalid setting, and its message. Pure.

use std::fmt;

use super::environment;
use super::variables::hint;

/// An invalid setting and its origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    /// A line of the file, or a variable of the environment. `None` for a missing key.
    origin: Option<String>,
    problem: Problem,
}

/// What is wrong with a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Problem {
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
    /// A variable that all these keys need is not set.
    Unset {
        keys: Vec<String>,
        variable: String,
    },
    /// Any other error, as a predicate whose subject is the key. Does not quote values that may be secret.
    Invalid {
        key: String,
        reason: String,
    },
}

impl Violation {
    pub(super) fn new(origin: Option<&str>, problem: Problem) -> Self {
        Self { origin: origin.map(ToOwned::to_owned), problem }
    }

    pub(super) fn is_from_environment(&self) -> bool {
        self.origin.as_deref().is_some_and(environment::is_origin)
    }

    pub(super) fn is_about_parent_of(&self, path: &str) -> bool {
        matches!(&self.problem, Problem::NotAllowed { key, .. } if path.rsplit_once('.').is_some_and(|(parent, _)| parent == key))
    }

    pub(super) fn is_about(&self, path: &str) -> bool {
        matches!(&self.problem, Problem::NotAllowed { key, .. } if key == path)
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(origin) = &self.origin {
            write!(f, "{origin}: ")?;
        }
        match &self.problem {
            Problem::Unknown { key, nearest: Some(nearest) } if self.is_from_environment() => {
                let nearest = environment::variable_for(nearest);
                write!(f, "unknown key \"{key}\"; did you mean \"{nearest}\"?")
            }
            Problem::Unknown { key, nearest: Some(nearest) } => {
                write!(f, "unknown key \"{key}\"; did you mean \"{nearest}\"?")
            }
            Problem::Unknown { key, nearest: None } => write!(f, "unknown key \"{key}\""),
            Problem::Missing { key, allowed } => write!(f, "\"{key}\" is missing; it must be {allowed}"),
            Problem::NotAllowed { key, value, allowed } => write!(f, "\"{key}\" must be {allowed}, got {value}"),
            Problem::Unset { keys, variable } => {
                let keys: Vec<_> = keys.iter().map(|key| format!("\"{key}\"")).collect();
                match &keys[..] {
                    [several @ .., last] if !several.is_empty() => write!(f, "{} and {last} need", several.join(", "))?,
                    one => write!(f, "{} needs", one.concat())?,
                }
                write!(f, " the environment variable \"{variable}\", which is not set{}", hint(variable))
            }
            Problem::Invalid { key, reason } => write!(f, "\"{key}\" {reason}"),
        }
    }
}

/// Merges all violations for the same unset variable, at the position of the first.
pub(super) fn join_by_variable(violations: &mut Vec<Violation>) {
    let mut joined: Vec<Violation> = Vec::new();
    for violation in violations.drain(..) {
        let Problem::Unset { keys: more, variable: wanted } = &violation.problem else {
            joined.push(violation);
            continue;
        };
        let same = joined.iter_mut().find_map(|known| match &mut known.problem {
            Problem::Unset { keys, variable } if variable == wanted => Some(keys),
            _ => None,
        });
        match same {
            Some(keys) => keys.extend(more.iter().filter(|key| !keys.contains(key)).cloned().collect::<Vec<_>>()),
            None => joined.push(violation),
        }
    }
    *violations = joined;
}
