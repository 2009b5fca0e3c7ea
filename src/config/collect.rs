//! What is excluded from collection: databases, their statements, standbys. For all servers, or for some.

use std::collections::BTreeMap;
use std::sync::Arc;

use config::{Map, Value, ValueKind};

use super::per_server::PerServer;
use super::schema::{self, Checked};
use super::violation::{Problem, Violation};
use crate::config::pattern::Pattern;
use crate::server::ServerId;
use libpq::spelling;

/// The section, its object for single servers, and the keys that both accept.
const ALL: &str = "collect";
pub(super) const SOME: &str = "collect.servers";
const EXCLUDE_DATABASES: &str = "exclude_databases";
const EXCLUDE_STATEMENTS: &str = "exclude_statements";
const STANDBY: &str = "standby";

/// The section `collect`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Collect {
    all: Selection,
    some: PerServer<Own>,
}

/// What is collected from a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Selection {
    /// Excluded databases: the collector opens no session there.
    exclude_databases: Arc<[Pattern]>,
    /// Statements run in these databases are excluded too.
    exclude_statements: bool,
    /// Whether the server is collected while it is a standby.
    pub standby: bool,
}

/// The overrides for one server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Own {
    exclude_databases: Option<Arc<[Pattern]>>,
    exclude_statements: Option<bool>,
    standby: Option<bool>,
}

impl Default for Selection {
    fn default() -> Self {
        Self { exclude_databases: Arc::default(), exclude_statements: false, standby: true }
    }
}

impl Selection {
    /// Whether a database is excluded.
    pub(crate) fn excludes(&self, database: &str) -> bool {
        self.exclude_databases.iter().any(|pattern| pattern.matches(database))
    }

    /// Whether any database can be excluded.
    pub(crate) fn excludes_any(&self) -> bool {
        !self.exclude_databases.is_empty()
    }

    /// Whether the statements of excluded databases are excluded too.
    pub(crate) fn excludes_statements(&self) -> bool {
        self.exclude_statements && self.excludes_any()
    }
}

#[cfg(test)]
impl Selection {
    /// A selection without the databases that match one of these patterns, for tests.
    pub(crate) fn without(patterns: &[&str], exclude_statements: bool) -> Self {
        let exclude_databases = patterns.iter().map(|text| Pattern::parse(text).unwrap()).collect();
        Self { exclude_databases, exclude_statements, ..Self::default() }
    }
}

impl Collect {
    /// Reads the section `collect` and reports what is invalid.
    pub(super) fn read(values: &Checked, violations: &mut Vec<Violation>) -> Self {
        let key = |name: &str| format!("{ALL}.{name}");
        let all = Selection {
            exclude_databases: patterns(
                &key(EXCLUDE_DATABASES),
                values.origin(&key(EXCLUDE_DATABASES)),
                values.list(&key(EXCLUDE_DATABASES)),
                violations,
            ),
            exclude_statements: values.boolean(&key(EXCLUDE_STATEMENTS)),
            standby: values.boolean(&key(STANDBY)),
        };
        let mut some = PerServer::default();
        // Sorted, so that the order of errors is stable.
        for (name, server) in BTreeMap::from_iter(values.section(SOME)) {
            let path = format!("{SOME}.{name}");
            let origin = server.origin().map(ToOwned::to_owned);
            match server.kind {
                ValueKind::Table(members) => some.insert(name, Own::read(&path, members, violations)),
                ValueKind::Nil => {}
                other => {
                    let problem = Problem::not_allowed(&path, &other, schema::OBJECT);
                    violations.push(Violation::new(origin.as_deref(), problem));
                }
            }
        }
        Self { all, some }
    }

    /// The settings of a server: each key from its id, else from its alias, else from the section.
    pub(crate) fn of(&self, id: ServerId, alias: Option<&str>) -> Selection {
        let mut selection = self.all.clone();
        let own: Vec<_> = self.some.of(id, alias).collect();
        // Applied last, so that the id takes precedence.
        for own in own.into_iter().rev() {
            if let Some(patterns) = &own.exclude_databases {
                selection.exclude_databases = Arc::clone(patterns);
            }
            selection.exclude_statements = own.exclude_statements.unwrap_or(selection.exclude_statements);
            selection.standby = own.standby.unwrap_or(selection.standby);
        }
        selection
    }

    /// The names in `collect.servers` that are neither the id nor the alias of any of these servers.
    pub(super) fn unmatched_names<'a>(&'a self, servers: &[(ServerId, Option<&str>)]) -> Vec<&'a str> {
        self.some.unmatched_names(servers)
    }
}

impl Own {
    fn read(parent: &str, members: Map<String, Value>, violations: &mut Vec<Violation>) -> Self {
        let mut own = Self::default();
        for (name, value) in BTreeMap::from_iter(members) {
            let path = format!("{parent}.{name}");
            let origin = value.origin().map(ToOwned::to_owned);
            let problem = match (name.as_str(), value.kind) {
                (EXCLUDE_DATABASES | EXCLUDE_STATEMENTS | STANDBY, ValueKind::Nil) => continue,
                (EXCLUDE_DATABASES, value) => match schema::texts(&value) {
                    Some(texts) => {
                        own.exclude_databases = Some(patterns(&path, origin.as_deref(), texts, violations));
                        continue;
                    }
                    None => Problem::not_allowed(&path, &value, schema::TEXTS),
                },
                (EXCLUDE_STATEMENTS, ValueKind::Boolean(is_on)) => {
                    own.exclude_statements = Some(is_on);
                    continue;
                }
                (STANDBY, ValueKind::Boolean(is_on)) => {
                    own.standby = Some(is_on);
                    continue;
                }
                (EXCLUDE_STATEMENTS | STANDBY, other) => Problem::not_allowed(&path, &other, "true or false"),
                _ => {
                    let nearest = spelling::closest_match(&name, [EXCLUDE_DATABASES, EXCLUDE_STATEMENTS, STANDBY]);
                    let nearest = nearest.map(|nearest| format!("{parent}.{nearest}"));
                    Problem::Unknown { key: path, nearest }
                }
            };
            violations.push(Violation::new(origin.as_deref(), problem));
        }
        own
    }
}

fn patterns(key: &str, origin: Option<&str>, texts: Vec<String>, violations: &mut Vec<Violation>) -> Arc<[Pattern]> {
    let parse = |text: &String| match Pattern::parse(text) {
        Ok(pattern) => Some(pattern),
        Err(invalid) => {
            let reason = format!("contains the pattern \"{text}\", which {invalid}");
            violations.push(Violation::new(origin, Problem::Invalid { key: key.into(), reason }));
            None
        }
    };
    texts.iter().filter_map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{read_among, refusal_among};
    use super::*;

    fn file(collect: &str) -> String {
        format!(r#"{{"repository": {{"dsn": "host=h"}}, "collect": {collect}}}"#)
    }

    fn read(variables: &[(&str, &str)], collect: &str) -> Collect {
        read_among(variables, &file(collect)).unwrap().collect
    }

    fn of(collect: &Collect, id: i32, alias: Option<&str>) -> Selection {
        collect.of(ServerId::new(id).unwrap(), alias)
    }

    #[test]
    fn keys_of_a_server_replace_those_of_all() {
        let collect = read(
            &[],
            r#"{
                "exclude_databases": ["test_*", "scratch"], "standby": false,
                "servers": {
                    "3": {"exclude_databases": []},
                    "Paris": {"exclude_databases": ["a"], "exclude_statements": true, "standby": true},
                    "nothing": null
                }
            }"#,
        );
        let all = of(&collect, 1, None);
        assert!(all.excludes("test_1") && all.excludes("scratch") && !all.excludes("Scratch") && !all.standby);
        assert!(!all.excludes_statements());
        let paris = of(&collect, 1, Some("Paris"));
        assert!(paris.excludes("a") && !paris.excludes("scratch") && paris.excludes_statements() && paris.standby);
        let third = of(&collect, 3, Some("Paris"));
        assert!(!third.excludes("a") && !third.excludes_any() && !third.excludes_statements() && third.standby);
        assert_eq!(of(&collect, 1, Some("3")), all);
        let servers = [(ServerId::new(3).unwrap(), None)];
        assert_eq!(collect.unmatched_names(&servers), ["Paris"]);
    }

    #[test]
    fn nothing_is_excluded_by_default() {
        for nothing in ["null", "{}", r#"{"servers": null, "exclude_databases": null}"#, r#"{"servers": {"3": {}}}"#] {
            assert_eq!(of(&read(&[], nothing), 3, None), Selection::default(), "{nothing}");
        }
        assert!(Selection::default().standby && !Selection::default().excludes_any());
    }

    #[test]
    fn what_is_wrong_is_told_with_its_key() {
        let cases = [
            (
                r#"{"exclude_databases": ["a["]}"#,
                "\"collect.exclude_databases\" contains the pattern \"a[\", which has a \"[\"",
            ),
            (r#"{"exclude_databases": [""]}"#, "contains the pattern \"\", which is empty"),
            (r#"{"exclude_databases": [1.5]}"#, "\"collect.exclude_databases\" must be a list of strings, got a list"),
            (r#"{"exclude_databases": {}}"#, "\"collect.exclude_databases\" must be a list of strings, got an object"),
            (r#"{"exclude_database": []}"#, "did you mean \"collect.exclude_databases\"?"),
            (r#"{"standby": "no"}"#, "\"collect.standby\" must be true or false, got \"no\""),
            (r#"{"servers": []}"#, "\"collect.servers\" must be an object, got a list"),
            (r#"{"servers": {"a.b": 1}}"#, "\"collect.servers.a.b\" must be an object, got 1"),
            (r#"{"servers": {"a": {"standby": 1}}}"#, "\"collect.servers.a.standby\" must be true or false, got 1"),
            (
                r#"{"servers": {"a": {"exclude_databases": ["[z-a]"]}}}"#,
                "\"collect.servers.a.exclude_databases\" contains the pattern \"[z-a]\"",
            ),
            (r#"{"servers": {"a": {"exclude_databases": 2.5}}}"#, "must be a list of strings, got 2.5"),
            (r#"{"servers": {"a": {"standbys": 1}}}"#, "did you mean \"collect.servers.a.standby\"?"),
        ];
        for (collect, expected) in cases {
            let message = refusal_among(&[], &file(collect));
            assert!(message.contains(expected) && message.contains("has one error"), "{collect}: {message}");
        }
    }

    #[test]
    fn the_environment_overrides_the_file() {
        let variables = [
            ("POWA_COLLECTOR__COLLECT__EXCLUDE_DATABASES", "2026"),
            ("POWA_COLLECTOR__COLLECT__SERVERS__3__EXCLUDE_DATABASES", "test_*"),
            ("POWA_COLLECTOR__COLLECT__SERVERS__3__STANDBY", "false"),
        ];
        let collect = read(&variables, r#"{"exclude_databases": ["a"]}"#);
        let (all, third) = (of(&collect, 1, None), of(&collect, 3, None));
        assert!(all.excludes("2026") && !all.excludes("a") && all.standby);
        assert!(third.excludes("test_1") && !third.excludes("2026") && !third.standby);
    }
}
