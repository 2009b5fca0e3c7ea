//! Settings from the environment, such as `POWA_COLLECTOR__LIMITS__LOADS` for `limits.loads`, and warnings about
//! variables that look like misspelt settings. Pure.

use std::collections::BTreeMap;

use config::{Map, Value, ValueKind};

use super::Error;
use super::schema::{self, settable};
use super::variables::Variables;
use super::violation::{Problem, Violation};
use libpq::spelling;

/// The prefix of settings. It and the keys after it are case-insensitive.
const PREFIX: &str = "POWA_COLLECTOR__";

/// Separates a section from its key.
const SEPARATOR: &str = "__";

/// The prefix of the origin of a value from the environment.
const ORIGIN: &str = "environment variable ";

/// Reads the variables for keys, each as the type of its key. An invalid one is reported as a violation with the name
/// of the variable, and skipped.
///
/// # Errors
/// The value of a variable is not UTF-8.
pub(super) fn read(variables: &Variables, violations: &mut Vec<Violation>) -> Result<Map<String, Value>, Error> {
    let variables = variables.with_prefix(PREFIX).map_err(|variable| Error::NotUnicode { variable })?;
    let mut values = Map::new();
    let mut names = BTreeMap::new();
    for (name, text) in variables {
        let origin = origin_of(&name);
        let key = name[PREFIX.len()..].to_lowercase();
        let members: Vec<_> = key.split(SEPARATOR).collect();
        let path = members.join(".");
        match schema::typed(&path, text) {
            Ok(kind) => insert(&mut values, &members, Value::new(Some(&origin), kind)),
            Err(problem) => violations.push(Violation::new(Some(&origin), problem)),
        }
        if let Some(other) = names.insert(path.clone(), name) {
            let problem = Problem::Invalid { key: path, reason: format!("is also set by {}", origin_of(&other)) };
            violations.push(Violation::new(Some(&origin), problem));
        }
    }
    Ok(values)
}

fn origin_of(name: &str) -> String {
    format!("{ORIGIN}\"{name}\"")
}

/// Whether the origin of a value or violation is the environment.
pub(super) fn is_origin(origin: &str) -> bool {
    origin.starts_with(ORIGIN)
}

/// The variable for a key.
pub(super) fn variable_for(path: &str) -> String {
    // The name of a server may contain dots.
    let for_one = |section: &'static str| {
        let (server, keyword) = path.strip_prefix(section)?.strip_prefix(".servers.")?.rsplit_once('.')?;
        Some(vec![section, "servers", server, keyword])
    };
    let members = for_one("remote").or_else(|| for_one("collect")).unwrap_or_else(|| path.split('.').collect());
    PREFIX.to_owned() + &members.join(SEPARATOR).to_uppercase()
}

fn insert(values: &mut Map<String, Value>, members: &[&str], value: Value) {
    match members {
        [] => {}
        [last] => drop(values.insert((*last).to_owned(), value)),
        [section, rest @ ..] => {
            let origin = value.origin().map(ToOwned::to_owned);
            let section = values.entry((*section).to_owned());
            let section = section.or_insert_with(|| Value::new(origin.as_ref(), ValueKind::Table(Map::new())));
            if !matches!(section.kind, ValueKind::Table(_)) {
                section.kind = ValueKind::Table(Map::new());
            }
            if let ValueKind::Table(inner) = &mut section.kind {
                insert(inner, rest, value);
            }
        }
    }
}

/// A warning for each variable that looks like a misspelt setting and has no effect.
pub(super) fn misspelt_settings(variables: &Variables) -> Vec<String> {
    let names = variables.names().filter(|name| !Variables::begins_with(name, PREFIX));
    names.filter_map(|name| warning_of(&name)).collect()
}

fn warning_of(name: &str) -> Option<String> {
    let normalized = normalized(name);
    let meant = match normalized.strip_prefix("powacollector") {
        Some(_) if is_of_a_kubernetes_service(name) => return None,
        Some(key) => meant_by(key),
        // Other prefixes count only with the full name of a key that is specific enough.
        None if normalized.starts_with("powa") => {
            let is_telling = |path: &str| path.contains(['.', '_']);
            let ends_it = |path: &str| normalized.ends_with(&self::normalized(path));
            let paths = settable().map(|key| key.path);
            Some(paths.filter(|path| is_telling(path) && ends_it(path)).max_by_key(|path| path.len())?.to_owned())
        }
        None => return None,
    };
    let variable = origin_of(name);
    Some(match meant {
        Some(path) => format!("{variable} is ignored; did you mean \"{}\"?", variable_for(&path)),
        None => format!("{variable} is ignored: settings begin with \"{PREFIX}\""),
    })
}

/// The name without case and separators, which are misspelt most often.
fn normalized(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

/// The path of the key that was probably meant.
fn meant_by(key: &str) -> Option<String> {
    let exact = settable().find(|known| normalized(known.path) == key);
    if let Some(known) = exact {
        return Some(known.path.into());
    }
    // The many connection parameters belong to one section.
    if let Some(keyword) = key.strip_prefix("remote").filter(|keyword| !keyword.is_empty()) {
        let known = libpq::KEYWORDS.iter().map(|known| known.name).find(|name| normalized(name) == keyword);
        return known.map(|name| format!("remote.{name}"));
    }
    let all: Vec<_> = settable().map(|known| (normalized(known.path), known.path)).collect();
    let nearest = spelling::closest_match(key, all.iter().map(|(normalized, _)| normalized.as_str()))?;
    all.iter().find(|(normalized, _)| normalized == nearest).map(|(_, path)| (*path).to_owned())
}

/// Kubernetes sets such variables in every container for a service named powa-collector: `POWA_COLLECTOR_SERVICE_HOST`,
/// `POWA_COLLECTOR_PORT_9187_TCP_ADDR` and so on.
fn is_of_a_kubernetes_service(name: &str) -> bool {
    let Some(rest) = name.strip_prefix("POWA_COLLECTOR_") else { return false };
    let is_port = |rest: &str| rest.starts_with(|c: char| c.is_ascii_digit());
    matches!(rest, "SERVICE_HOST" | "SERVICE_PORT" | "PORT")
        || rest.starts_with("SERVICE_PORT_")
        || rest.strip_prefix("PORT_").is_some_and(is_port)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{read_among, refusal_among};

    const FILE: &str = r#"{"repository": {"dsn": "host=h"}, "limits": {"loads": 7}}"#;

    #[test]
    fn a_variable_is_read_as_the_type_of_its_key() {
        let variables = [
            ("POWA_COLLECTOR__LIMITS__LOADS", "2"),
            ("powa_collector__limits__COLLECTS", "3"),
            ("POWA_COLLECTOR__SPOOL__DIRECTORY", "1"),
            ("POWA_COLLECTOR__REPOSITORY__PASSWORD_FILE", "true"),
            ("POWA_COLLECTOR__DEBUG", "TRUE"),
            ("POWA_COLLECTOR__USE_SERVER_ALIAS", "false"),
        ];
        let config = read_among(&variables, FILE).unwrap();
        assert_eq!((config.limits.loads, config.limits.collects, config.limits.databases), (2, 3, 4));
        assert_eq!(config.spool.directory, Some("1".into()));
        assert_eq!(config.repository.password_file, Some("true".into()));
        assert!(config.debug && !config.use_server_alias);
        assert_eq!(config.ignored_variables, [""; 0]);
    }

    #[test]
    fn what_is_wrong_with_a_variable_names_the_variable() {
        let cases = [
            (
                "POWA_COLLECTOR__LIMIT__LOADS",
                "3",
                "unknown key \"limit.loads\"; did you mean \"POWA_COLLECTOR__LIMITS__LOADS\"?",
            ),
            (
                "POWA_COLLECTOR__LIMITS_LOADS",
                "3",
                "unknown key \"limits_loads\"; did you mean \"POWA_COLLECTOR__LIMITS__LOADS\"?",
            ),
            ("POWA_COLLECTOR__NONSENSE", "s3cret", "unknown key \"nonsense\""),
            ("POWA_COLLECTOR__", "s3cret", "unknown key \"\""),
            ("POWA_COLLECTOR____LIMITS__LOADS", "3", "unknown key \".limits.loads\"; did you mean "),
            (
                "POWA_COLLECTOR__LIMITS__LOADS__MORE",
                "3",
                "unknown key \"limits.loads.more\"; did you mean \"POWA_COLLECTOR__LIMITS__LOADS\"?",
            ),
            (
                "powa_collector__limits__loads",
                "many",
                "\"limits.loads\" must be an integer from 1 to 1000, got \"many\"",
            ),
            ("POWA_COLLECTOR__LIMITS__LOADS", "0", "\"limits.loads\" must be an integer from 1 to 1000, got \"0\""),
            ("POWA_COLLECTOR__LIMITS__LOADS", "", "\"limits.loads\" must be an integer from 1 to 1000, got \"\""),
            ("POWA_COLLECTOR__DEBUG", "yes", "\"debug\" must be true or false, got \"yes\""),
            ("POWA_COLLECTOR__LIMITS", "3", "\"limits\" must be an object, got \"3\""),
            (
                "POWA_COLLECTOR__COLLECT__SERVERS__3__STANDBY",
                "nope",
                "\"collect.servers.3.standby\" must be true or false, got \"nope\"",
            ),
            (
                "POWA_COLLECTOR__COLLECT__SERVERS__DB.1__STANDBI",
                "nope",
                "unknown key \"collect.servers.db.1.standbi\"; did you mean \
                 \"POWA_COLLECTOR__COLLECT__SERVERS__DB.1__STANDBY\"?",
            ),
            ("POWA_COLLECTOR__COLLECT__SERVERS__3__SERVERS", "3", "unknown key \"collect.servers.3.servers\""),
            ("POWA_COLLECTOR__COLLECT__SERVERS__3", "3", "\"collect.servers.3\" must be an object"),
            ("POWA_COLLECTOR__REPOSITORY", "host=s3cret", "\"repository\" must be an object"),
            ("POWA_COLLECTOR__REMOTE", "s3cret", "\"remote\" must be an object"),
            ("POWA_COLLECTOR__REMOTE__SERVERS", "s3cret", "\"remote.servers\" must be an object"),
            ("POWA_COLLECTOR__REMOTE__SERVERS__3", "s3cret", "\"remote.servers.3\" must be an object"),
            ("POWA_COLLECTOR__REMOTE__SSLMODE", "s3cret", "\"remote.sslmode\" is invalid: "),
            (
                "POWA_COLLECTOR__REMOTE__SSLMOD",
                "s3cret",
                "unknown key \"remote.sslmod\"; did you mean \"POWA_COLLECTOR__REMOTE__SSLMODE\"?",
            ),
            (
                "POWA_COLLECTOR__REMOTE__SERVERS__DB.1__SSLMOD",
                "s3cret",
                "unknown key \"remote.servers.db.1.sslmod\"; did you mean \"POWA_COLLECTOR__REMOTE__SERVERS__DB.1__SSLMODE\"?",
            ),
            ("POWA_COLLECTOR__REMOTE__SERVERS__A__B__SSLMODE", "s3cret", "unknown key \"remote.servers.a.b\""),
            ("POWA_COLLECTOR__REPOSITORY__DSN", "s3cret", "\"repository.dsn\" is not a valid connection string: "),
            ("POWA_COLLECTOR__REPOSITORY__DSN", "host=${GONE}", "\"repository.dsn\" needs the environment variable "),
            ("POWA_COLLECTOR__HTTP__LISTEN", "9187", "\"http.listen\" must be an address and a port, such as "),
            (
                "POWA_COLLECTOR__HTTP__LISTEN",
                "0.0.0.0:1",
                "\"http.listen\" is 0.0.0.0:1, which other machines can reach",
            ),
            ("POWA_COLLECTOR__HTTP__KEY", "/k", "\"http.key\" needs its certificate"),
        ];
        for (name, value, problem) in cases {
            let refusal = refusal_among(&[(name, value)], FILE);
            let expected = format!("the environment has one error:\n  - environment variable \"{name}\": {problem}");
            assert!(refusal.starts_with(&expected), "{name}={value}: {refusal}");
        }
    }

    #[test]
    fn no_name_is_suggested_that_is_refused_too() {
        for name in ["LIMITS__", "LIMIT", "SPOOLS", "REMOTES", "COLLECT__SERVER"] {
            let refusal = refusal_among(&[(&format!("POWA_COLLECTOR__{name}"), "x")], FILE);
            let Some((_, suggested)) = refusal.split_once("did you mean \"") else { continue };
            let (suggested, _) = suggested.split_once('"').unwrap();
            let refusal = read_among(&[(suggested, "x")], FILE).err().map(|error| error.to_string());
            assert!(!refusal.is_some_and(|refusal| refusal.contains("an object")), "{name}: {suggested}");
        }
        let refusal = refusal_among(&[("POWA_COLLECTOR__LIMITS__", "x")], FILE);
        assert!(refusal.ends_with("unknown key \"limits.\""), "{refusal}");
    }

    #[test]
    fn each_error_names_its_source() {
        let file = "{\"repository\": {\"dsn\": \"host=h\"},\n \"limits\": {\"loads\": 0,\n \"collects\": 0}}";
        let variables = [("POWA_COLLECTOR__LIMITS__DATABASES", "0"), ("POWA_COLLECTOR__LIMITS__COLLECTS", "1")];
        let refusal = refusal_among(&variables, file);
        let expected = [
            "\" and the environment have 2 errors:",
            "\n  - environment variable \"POWA_COLLECTOR__LIMITS__DATABASES\": \"limits.databases\" must be",
            "\n  - line 2: \"limits.loads\" must be",
        ];
        for part in expected {
            assert!(refusal.contains(part), "{part}: {refusal}");
        }
    }

    #[test]
    fn a_key_is_set_by_one_variable() {
        let variables = [("POWA_COLLECTOR__LIMITS__LOADS", "2"), ("powa_collector__limits__loads", "3")];
        let refusal = refusal_among(&variables, FILE);
        let expected = "environment variable \"powa_collector__limits__loads\": \"limits.loads\" is also set by \
                        environment variable \"POWA_COLLECTOR__LIMITS__LOADS\"";
        assert!(refusal.contains(expected), "{refusal}");
    }

    #[test]
    fn look_alikes_are_warned_of() {
        let cases = [
            ("POWA_COLLECTOR_LIMITS__LOADS", "POWA_COLLECTOR__LIMITS__LOADS"),
            ("POWA_COLLECTOR_LIMITS_LOADS", "POWA_COLLECTOR__LIMITS__LOADS"),
            ("powa_collector_limits_loads", "POWA_COLLECTOR__LIMITS__LOADS"),
            ("POWA-COLLECTOR__LIMITS__LOADS", "POWA_COLLECTOR__LIMITS__LOADS"),
            ("POWA__COLLECTOR__LIMITS__LOADS", "POWA_COLLECTOR__LIMITS__LOADS"),
            ("POWACOLLECTOR__LIMITS__LOADS", "POWA_COLLECTOR__LIMITS__LOADS"),
            ("POWA_COLECTOR__LIMITS__LOADS", "POWA_COLLECTOR__LIMITS__LOADS"),
            ("POWA_COLLECTOR_LIMIT_LOADS", "POWA_COLLECTOR__LIMITS__LOADS"),
            ("POWA_COLLECTOR_DEBUG", "POWA_COLLECTOR__DEBUG"),
            ("POWA_COLLECTOR_REMOTE__SSLMODE", "POWA_COLLECTOR__REMOTE__SSLMODE"),
            ("POWA_REPOSITORY_DSN", "POWA_COLLECTOR__REPOSITORY__DSN"),
            ("POWA__REPOSITORY__PASSWORD_FILE", "POWA_COLLECTOR__REPOSITORY__PASSWORD_FILE"),
        ];
        for (name, meant) in cases {
            let config = read_among(&[(name, "s3cret")], FILE).unwrap();
            let expected = format!("environment variable \"{name}\" is ignored; did you mean \"{meant}\"?");
            assert_eq!(config.ignored_variables, [expected]);
            assert_eq!(config.limits.loads, 7);
        }
        for name in
            ["POWA_COLLECTOR", "POWA_COLLECTOR_NONSENSE", "POWA_COLLECTOR_REMOTE_X", "POWA_COLLECTOR_COLLECT_SERVERS"]
        {
            let config = read_among(&[(name, "s3cret")], FILE).unwrap();
            let expected = "is ignored: settings begin with \"POWA_COLLECTOR__\"";
            assert_eq!(config.ignored_variables, [format!("environment variable \"{name}\" {expected}")]);
        }
        for name in [
            "POWA_COLLECTOR_SERVICE_HOST",
            "POWA_COLLECTOR_SERVICE_PORT_HTTP",
            "POWA_COLLECTOR_PORT",
            "POWA_COLLECTOR_PORT_9187_TCP_ADDR",
            "POWA_WEB_DEBUG",
            "POWA_HOME",
            "LIMITS__LOADS",
            "POWER",
        ] {
            assert_eq!(read_among(&[(name, "s3cret")], FILE).unwrap().ignored_variables, [""; 0], "{name}");
        }
    }
}
