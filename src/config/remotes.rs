//! Connection parameters of remote servers that have no column in `powa_servers`.

use std::collections::BTreeMap;

use config::{Map, Value, ValueKind};

use super::per_server::PerServer;
use super::schema;
use super::violation::{Problem, Violation};
use crate::server::ServerId;
use libpq::{Conninfo, Environment, InvalidParameter, KEYWORDS, Keyword, Parameters, Support, spelling};

/// The section for all servers, and its object for single servers.
const ALL: &str = "remote";
pub(super) const SOME: &str = "remote.servers";

/// Parameters that are columns of `powa_servers`: keyword and column.
const COLUMNS: &[(&str, &str)] =
    &[("host", "hostname"), ("port", "port"), ("user", "username"), ("password", "password"), ("dbname", "dbname")];

/// Parameters for all remote servers, and overrides for some.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Remotes {
    all: Conninfo,
    some: PerServer<Conninfo>,
}

impl Remotes {
    /// Reads the section `remote` and reports what is invalid.
    pub(super) fn read(mut section: Map<String, Value>, violations: &mut Vec<Violation>) -> Self {
        let servers = match section.remove("servers").unwrap_or_default() {
            Value { kind: ValueKind::Table(servers), .. } => servers,
            Value { kind: ValueKind::Nil, .. } => Map::new(),
            other => {
                let problem = Problem::not_allowed(SOME, &other.kind, schema::OBJECT);
                violations.push(Violation::new(other.origin(), problem));
                Map::new()
            }
        };
        let all = parameters(ALL, section, violations);
        let mut some = PerServer::default();
        // Sorted, so that the order of errors is stable.
        for (name, server) in BTreeMap::from_iter(servers) {
            let path = format!("{SOME}.{name}");
            match server {
                Value { kind: ValueKind::Table(members), .. } => {
                    some.insert(name, parameters(&path, members, violations));
                }
                Value { kind: ValueKind::Nil, .. } => {}
                other => {
                    let problem = Problem::not_allowed(&path, &other.kind, schema::OBJECT);
                    violations.push(Violation::new(other.origin(), problem));
                }
            }
        }
        Self { all, some }
    }

    /// The parameters of a server: from its id, else from its alias, else from the section. An empty value hides the
    /// others and counts as unset.
    pub(crate) fn parameters(&self, id: ServerId, alias: Option<&str>) -> Conninfo {
        let own = self.some.of(id, alias).fold(Conninfo::default(), |own, more| own.or(more));
        own.or(&self.all).without_empty()
    }

    /// The names in `remote.servers` that are neither the id nor the alias of any of these servers.
    pub(super) fn unmatched_names<'a>(&'a self, servers: &[(ServerId, Option<&str>)]) -> Vec<&'a str> {
        self.some.unmatched_names(servers)
    }
}

/// Parses an object of keywords and values.
fn parameters(parent: &str, members: Map<String, Value>, violations: &mut Vec<Violation>) -> Conninfo {
    let mut parameters = Conninfo::default();
    for (keyword, value) in BTreeMap::from_iter(members) {
        let origin = value.origin().map(ToOwned::to_owned);
        if let Err(problem) = set(&mut parameters, parent, &keyword, value.kind) {
            violations.push(Violation::new(origin.as_deref(), problem));
        }
    }
    parameters
}

fn set(parameters: &mut Conninfo, parent: &str, keyword: &str, value: ValueKind) -> Result<(), Problem> {
    let path = format!("{parent}.{keyword}");
    if Keyword::named(keyword).is_none() {
        let nearest = nearest(parent, keyword).map(|nearest| format!("{parent}.{nearest}"));
        return Err(Problem::Unknown { key: path, nearest });
    }
    if let Some(reason) = elsewhere(parent, keyword) {
        return Err(Problem::Invalid { key: path, reason: format!("is not allowed here: {reason}") });
    }
    let value = match value {
        ValueKind::Nil => return Ok(()),
        ValueKind::String(text) => text,
        ValueKind::Boolean(is_on) => u8::from(is_on).to_string(),
        ValueKind::I64(number) => number.to_string(),
        other => return Err(Problem::not_allowed(&path, &other, "a string, an integer, true or false")),
    };
    let refused = |reason: String| Problem::Invalid { key: path.clone(), reason: format!("is invalid: {reason}") };
    parameters.set(keyword, &value).map_err(|refusal| refused(refusal.to_string()))?;
    check_alone(keyword, &value).map_err(|wrong| refused(wrong.to_string()))
}

/// Why a keyword is not allowed in this object; `None` if it is.
fn elsewhere(parent: &str, keyword: &str) -> Option<String> {
    if parent == ALL && keyword == "hostaddr" {
        return Some(format!("it would send every server to one address; set it under \"{SOME}\""));
    }
    let (_, column) = COLUMNS.iter().find(|(name, _)| *name == keyword)?;
    Some(format!("it is the column \"{column}\" of powa_servers"))
}

/// Reports values that are invalid with any other parameters, before any server is connected to.
fn check_alone(keyword: &str, value: &str) -> Result<(), InvalidParameter> {
    // Whether a service exists may change. An empty value only hides others.
    if keyword == "service" || value.is_empty() {
        return Ok(());
    }
    let mut alone = Conninfo::default();
    // Some values are valid only with a strict mode, or without the default bound.
    let others = [("user", "anybody"), ("sslmode", "verify-full"), ("ssl_min_protocol_version", "")];
    for (keyword, value) in others.into_iter().chain([(keyword, value)]) {
        alone.set(keyword, value).expect("unsupported values were reported before");
    }
    Parameters::resolve(&alone, &Environment::default()).map(drop)
}

/// The closest keyword that is allowed here.
fn nearest(parent: &str, keyword: &str) -> Option<&'static str> {
    let names = KEYWORDS
        .iter()
        .filter(|known| !matches!(known.support, Support::Unsupported { .. }))
        .map(|known| known.name)
        .filter(|name| elsewhere(parent, name).is_none());
    spelling::closest_match(&keyword.to_lowercase(), names.chain(["servers"]))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{read_among, refusal_among};
    use super::*;

    fn file(remote: &str) -> String {
        format!(r#"{{"repository": {{"dsn": "host=h"}}, "remote": {remote}}}"#)
    }

    fn read(variables: &[(&str, &str)], remote: &str) -> Remotes {
        read_among(variables, &file(remote)).unwrap().remote
    }

    #[test]
    fn a_value_that_cannot_be_is_refused_before_anything_is_connected_to() {
        let cases = [
            (r#"{"sslmode": "requre"}"#, r#""remote.sslmode" is invalid: "sslmode" must be one of disable, allow, "#),
            (r#"{"servers": {"a": {"connect_timeout": "5x"}}}"#, r#""remote.servers.a.connect_timeout" is invalid: "#),
            (r#"{"servers": {"3": {"hostaddr": "db1"}}}"#, r#""hostaddr" must be an IP address"#),
            (r#"{"require_auth": "scram"}"#, "it contains an unknown method"),
        ];
        for (remote, expected) in cases {
            let refusal = refusal_among(&[], &file(remote));
            assert!(refusal.contains(expected), "{remote}: {refusal}");
        }
        for remote in [
            r#"{"sslnegotiation": "direct"}"#,
            r#"{"sslrootcert": "system"}"#,
            r#"{"ssl_max_protocol_version": "TLSv1"}"#,
            r#"{"service": "nowhere"}"#,
            r#"{"servers": {"3": {"hostaddr": "10.0.0.1"}}}"#,
        ] {
            read(&[], remote);
        }
    }

    #[test]
    fn parameters_of_a_server_override_those_of_all() {
        let remotes = read(
            &[],
            r#"{
                "sslmode": "verify-full", "sslrootcert": "/all", "connect_timeout": 5, "sslsni": null,
                "servers": {
                    "3": {"sslmode": "verify-ca", "sslrootcert": null},
                    "My.Alias with dots": {"sslmode": "require", "sslrootcert": "/alias", "keepalives": false, "connect_timeout": ""},
                    "gone": {}, "nothing": null
                }
            }"#,
        );
        let alias = Some("My.Alias with dots");
        let cases = [
            (1, None, "sslmode", Some("verify-full")),
            (1, Some("gone"), "sslmode", Some("verify-full")),
            (1, alias, "sslmode", Some("require")),
            (1, Some("my.alias with dots"), "sslmode", Some("verify-full")),
            (1, alias, "keepalives", Some("0")),
            (1, alias, "connect_timeout", None),
            (3, None, "connect_timeout", Some("5")),
            (3, None, "sslmode", Some("verify-ca")),
            (3, None, "sslrootcert", Some("/all")),
            (3, alias, "sslmode", Some("verify-ca")),
            (3, alias, "sslrootcert", Some("/alias")),
            (3, alias, "sslsni", None),
            (33, None, "sslmode", Some("verify-full")),
            (1, Some("3"), "sslmode", Some("verify-full")),
            (3, Some("1"), "sslmode", Some("verify-ca")),
        ];
        for (id, alias, keyword, expected) in cases {
            let parameters = remotes.parameters(ServerId::new(id).unwrap(), alias);
            assert_eq!(parameters.get(keyword), expected, "{id}, {alias:?}: {keyword}");
        }
    }

    #[test]
    fn a_name_that_no_server_has_is_told() {
        let server = |id, alias| (ServerId::new(id).unwrap(), alias);
        let servers = [server(3, Some("4")), server(5, Some("db1.Paris")), server(6, None)];
        let remotes = read(
            &[],
            r#"{"servers": {"3": {}, "4": {}, "03": {}, "5": {}, "db1.Paris": {}, "db1.paris": {}, "": {}, "x": null}}"#,
        );
        assert_eq!(remotes.unmatched_names(&servers), ["", "03", "4", "db1.paris"]);
        assert_eq!(remotes.unmatched_names(&[]).len(), 7);
        assert!(Remotes::default().unmatched_names(&servers).is_empty());
    }

    #[test]
    fn a_value_may_be_a_text_a_whole_number_or_a_boolean() {
        let cases = [
            (r#""1""#, Some("1")),
            (r#""007""#, Some("007")),
            ("10", Some("10")),
            ("-1", Some("-1")),
            ("true", Some("1")),
            ("false", Some("0")),
            (r#""""#, None),
            ("null", None),
        ];
        for (value, expected) in cases {
            let remotes = read(&[], &format!(r#"{{"keepalives": {value}}}"#));
            assert_eq!(remotes.all.get("keepalives"), expected, "{value}");
        }
        for nothing in ["null", "{}", r#"{"servers": null}"#, r#"{"servers": {}}"#] {
            assert_eq!(read(&[], nothing), Remotes::default(), "{nothing}");
        }
    }

    #[test]
    fn what_is_not_for_here_is_refused() {
        let column = |keyword: &str, column: &str| {
            let message =
                format!("\"remote.{keyword}\" is not allowed here: it is the column \"{column}\" of powa_servers");
            (format!(r#"{{"{keyword}": "s3cret"}}"#), message)
        };
        let columns = ["host", "port", "user", "password", "dbname"];
        assert_eq!(COLUMNS.iter().map(|(keyword, _)| *keyword).collect::<Vec<_>>(), columns);
        let mut cases: Vec<_> = COLUMNS.iter().map(|(keyword, name)| column(keyword, name)).collect();
        let other = [
            (r#"{"servers": {"a.b": {"user": "s3cret"}}}"#, "\"remote.servers.a.b.user\" is not allowed here"),
            (
                r#"{"hostaddr": "s3cret"}"#,
                "\"remote.hostaddr\" is not allowed here: it would send every server to one address; set it under \
                 \"remote.servers\"",
            ),
            (r#"{"servers": {"x": {"hostadr": 1}}}"#, "did you mean \"remote.servers.x.hostaddr\"?"),
            (r#"{"sslmod": "s3cret"}"#, "unknown key \"remote.sslmod\"; did you mean \"remote.sslmode\"?"),
            (r#"{"SSLMODE": "s3cret"}"#, "unknown key \"remote.SSLMODE\"; did you mean \"remote.sslmode\"?"),
            (r#"{"nonsense": "s3cret"}"#, "unknown key \"remote.nonsense\""),
            (r#"{"server": {}}"#, "unknown key \"remote.server\"; did you mean \"remote.servers\"?"),
            (r#"{"servers": {"x": {"sslmod": 1}}}"#, "did you mean \"remote.servers.x.sslmode\"?"),
            (r#"{"gssencmode": "require"}"#, "\"remote.gssencmode\" is invalid: "),
            (
                r#"{"sslpassword": ["s3cret"]}"#,
                "\"remote.sslpassword\" must be a string, an integer, true or false, got a list",
            ),
            (
                r#"{"sslpassword": {"s3cret": 1}}"#,
                "\"remote.sslpassword\" must be a string, an integer, true or false, got an object",
            ),
            (
                r#"{"connect_timeout": 1.5}"#,
                "\"remote.connect_timeout\" must be a string, an integer, true or false, got a value of another type",
            ),
            (r#"{"servers": {"x": "s3cret"}}"#, "\"remote.servers.x\" must be an object, got a value of another type"),
            (r#"{"servers": ["s3cret"]}"#, "\"remote.servers\" must be an object, got a list"),
            (r#""s3cret""#, "\"remote\" must be an object, got a value of another type"),
        ];
        cases.extend(other.map(|(remote, message)| (remote.into(), message.into())));
        for (remote, expected) in cases {
            let message = refusal_among(&[], &file(&remote));
            assert!(message.contains(&expected) && message.contains("has one error:"), "{remote}: {message}");
        }
        assert!(!format!("{:?}", read(&[], r#"{"sslpassword": "s3cret"}"#)).contains("s3cret"));
    }

    #[test]
    fn the_environment_overrides_the_file() {
        let written =
            r#"{"sslmode": "disable", "connect_timeout": 5, "servers": {"3": {"sslmode": "allow"}, "x": {}}}"#;
        let variables = [
            ("POWA_COLLECTOR__REMOTE__SSLMODE", "require"),
            ("POWA_COLLECTOR__REMOTE__SSLPASSWORD", "0123"),
            ("POWA_COLLECTOR__REMOTE__OPTIONS", "true"),
            ("powa_collector__remote__servers__3__sslmode", "verify-ca"),
            ("POWA_COLLECTOR__REMOTE__SERVERS__4__SSLMODE", "verify-full"),
        ];
        let remotes = read(&variables, written);
        let of = |id| remotes.parameters(ServerId::new(id).unwrap(), Some("x"));
        let cases = [
            (1, "sslmode", "require"),
            (1, "connect_timeout", "5"),
            (1, "sslpassword", "0123"),
            (1, "options", "true"),
            (3, "sslmode", "verify-ca"),
            (4, "sslmode", "verify-full"),
        ];
        for (id, keyword, expected) in cases {
            assert_eq!(of(id).get(keyword), Some(expected), "{id}: {keyword}");
        }
        let message = refusal_among(&[("POWA_COLLECTOR__REMOTE__PASSWORD", "s3cret")], &file(written));
        assert!(message.contains("\"remote.password\" is not allowed here"), "{message}");
        let message = refusal_among(&[("POWA_COLLECTOR__REMOTE__SERVERS", "s3cret")], &file(written));
        assert!(message.contains("\"remote.servers\" must be an object"), "{message}");
    }
}
