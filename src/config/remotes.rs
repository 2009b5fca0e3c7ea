//! How to connect to remote servers, beyond what `powa_servers` has columns for.

use std::collections::BTreeMap;

use config::{Map, Value, ValueKind};

use super::schema::{self, Violation};
use crate::libpq::{Conninfo, InvalidParameter, KEYWORDS, Keyword, Parameters, Support, Surroundings};
use crate::server::ServerId;
use crate::spelling;

/// Where parameters for all servers are, and the objects with those for some of them.
const ALL: &str = "remote";
const SOME: &str = "remote.servers";

/// Parameters that are said elsewhere: keyword, and column of `powa_servers`.
const COLUMNS: &[(&str, &str)] =
    &[("host", "hostname"), ("port", "port"), ("user", "username"), ("password", "password"), ("dbname", "dbname")];

/// Parameters for all remote servers, and other ones for some of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remotes {
    all: Conninfo,
    /// By id, or by alias. What has digits only is an id.
    some: BTreeMap<String, Conninfo>,
}

impl Remotes {
    /// Reads the section `remote`, and says what is wrong with it.
    pub(super) fn read(mut section: Map<String, Value>, violations: &mut Vec<Violation>) -> Self {
        let servers = match section.remove("servers").map_or(ValueKind::Nil, |servers| servers.kind) {
            ValueKind::Table(servers) => servers,
            ValueKind::Nil => Map::new(),
            other => {
                violations.push(Violation::not_allowed(SOME, &other, schema::OBJECT));
                Map::new()
            }
        };
        let all = parameters(ALL, section, violations);
        let mut some = BTreeMap::new();
        // Sorted, so that the same file is answered with the same words each time.
        for (name, server) in BTreeMap::from_iter(servers) {
            let path = format!("{SOME}.{name}");
            match server.kind {
                ValueKind::Table(members) => {
                    some.insert(name, parameters(&path, members, violations));
                }
                ValueKind::Nil => {}
                other => violations.push(Violation::not_allowed(&path, &other, schema::OBJECT)),
            }
        }
        Self { all, some }
    }

    /// What is configured for a server: by its id first, then by its alias, then for all of them. What is empty for one
    /// server is not taken from the others, and is as if nobody had said anything.
    pub fn parameters(&self, id: ServerId, alias: Option<&str>) -> Conninfo {
        let own = self.some.get(&id.to_string()).cloned().unwrap_or_default();
        let alias = alias.filter(|alias| !is_id(alias));
        let by_alias = alias.and_then(|alias| self.some.get(alias)).cloned().unwrap_or_default();
        own.or(&by_alias).or(&self.all).without_empty()
    }

    /// The names in the section `servers` that are neither the id nor the alias of any of these: what is said under them counts for
    /// nobody.
    pub fn names_of_nobody<'a>(&'a self, servers: &[(ServerId, Option<&str>)]) -> Vec<&'a str> {
        let is_of = |name: &str, (id, alias): &(ServerId, Option<&str>)| match is_id(name) {
            true => id.to_string() == name,
            false => *alias == Some(name),
        };
        let names = self.some.keys().map(String::as_str);
        names.filter(|name| !servers.iter().any(|server| is_of(name, server))).collect()
    }
}

/// Whether a name stands for an id: an alias of this kind would take what is meant for another server.
fn is_id(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_digit())
}

/// The members of an object, each a keyword and its value.
fn parameters(parent: &str, members: Map<String, Value>, violations: &mut Vec<Violation>) -> Conninfo {
    let mut parameters = Conninfo::default();
    for (keyword, value) in BTreeMap::from_iter(members) {
        if let Err(violation) = set(&mut parameters, parent, &keyword, value.kind) {
            violations.push(violation);
        }
    }
    parameters
}

fn set(parameters: &mut Conninfo, parent: &str, keyword: &str, value: ValueKind) -> Result<(), Violation> {
    let path = format!("{parent}.{keyword}");
    if Keyword::named(keyword).is_none() {
        let nearest = nearest(parent, keyword).map(|nearest| format!("{parent}.{nearest}"));
        return Err(Violation::Unknown { key: path, nearest });
    }
    if let Some(reason) = elsewhere(parent, keyword) {
        return Err(Violation::Invalid { key: path, reason: format!("is not for here: {reason}") });
    }
    let value = match value {
        ValueKind::Nil => return Ok(()),
        ValueKind::String(text) => text,
        ValueKind::Boolean(is_on) => u8::from(is_on).to_string(),
        ValueKind::I64(number) => number.to_string(),
        other => return Err(Violation::not_allowed(&path, &other, "a text, a whole number, true or false")),
    };
    let refused = |reason: String| Violation::Invalid { key: path.clone(), reason: format!("is refused: {reason}") };
    parameters.set(keyword, &value).map_err(|refusal| refused(refusal.to_string()))?;
    check_alone(keyword, &value).map_err(|wrong| refused(wrong.to_string()))
}

/// Why a keyword may not stand in this object, if that is so.
fn elsewhere(parent: &str, keyword: &str) -> Option<String> {
    if parent == ALL && keyword == "hostaddr" {
        return Some(format!("it would send every server to one address; under \"{SOME}\" it is allowed"));
    }
    let (_, column) = COLUMNS.iter().find(|(name, _)| *name == keyword)?;
    Some(format!("powa_servers has the column \"{column}\" for it"))
}

/// What no service and no variable can make right is told before any server is connected to.
fn check_alone(keyword: &str, value: &str) -> Result<(), InvalidParameter> {
    // Whether there is such a service is another question, and may change. What is empty takes back what is said of all.
    if keyword == "service" || value.is_empty() {
        return Ok(());
    }
    let mut alone = Conninfo::default();
    // Some values need a mode that is strict enough, or another bound than the default.
    let beside = [("user", "anybody"), ("sslmode", "verify-full"), ("ssl_min_protocol_version", "")];
    for (keyword, value) in beside.into_iter().chain([(keyword, value)]) {
        alone.set(keyword, value).expect("what is refused was refused before");
    }
    Parameters::resolve(&alone, &Surroundings::default()).map(drop)
}

/// The keyword that looks most like `keyword`, among those that may stand here.
fn nearest(parent: &str, keyword: &str) -> Option<&'static str> {
    let names = KEYWORDS
        .iter()
        .filter(|known| !matches!(known.support, Support::Refused { .. }))
        .map(|known| known.name)
        .filter(|name| elsewhere(parent, name).is_none());
    spelling::most_alike(&keyword.to_lowercase(), names.chain(["servers"]))
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
            (r#"{"sslmode": "requre"}"#, r#""remote.sslmode" is refused: "sslmode" has to be one of disable, allow, "#),
            (r#"{"servers": {"a": {"connect_timeout": "5x"}}}"#, r#""remote.servers.a.connect_timeout" is refused: "#),
            (r#"{"servers": {"3": {"hostaddr": "db1"}}}"#, r#""hostaddr" has to be an IP address"#),
            (r#"{"require_auth": "scram"}"#, "a method in it is not known"),
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
    fn what_is_said_of_a_server_goes_before_what_is_said_of_all() {
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
        assert_eq!(remotes.names_of_nobody(&servers), ["", "03", "4", "db1.paris"]);
        assert_eq!(remotes.names_of_nobody(&[]).len(), 7);
        assert!(Remotes::default().names_of_nobody(&servers).is_empty());
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
            let said = format!("\"remote.{keyword}\" is not for here: powa_servers has the column \"{column}\" for it");
            (format!(r#"{{"{keyword}": "s3cret"}}"#), said)
        };
        let columns = ["host", "port", "user", "password", "dbname"];
        assert_eq!(COLUMNS.iter().map(|(keyword, _)| *keyword).collect::<Vec<_>>(), columns);
        let mut cases: Vec<_> = COLUMNS.iter().map(|(keyword, name)| column(keyword, name)).collect();
        let other = [
            (r#"{"servers": {"a.b": {"user": "s3cret"}}}"#, "\"remote.servers.a.b.user\" is not for here"),
            (
                r#"{"hostaddr": "s3cret"}"#,
                "\"remote.hostaddr\" is not for here: it would send every server to one address; under \"remote.servers\" \
                 it is allowed",
            ),
            (r#"{"servers": {"x": {"hostadr": 1}}}"#, "did you mean \"remote.servers.x.hostaddr\"?"),
            (r#"{"sslmod": "s3cret"}"#, "\"remote.sslmod\" is not known; did you mean \"remote.sslmode\"?"),
            (r#"{"SSLMODE": "s3cret"}"#, "\"remote.SSLMODE\" is not known; did you mean \"remote.sslmode\"?"),
            (r#"{"nonsense": "s3cret"}"#, "\"remote.nonsense\" is not known"),
            (r#"{"server": {}}"#, "\"remote.server\" is not known; did you mean \"remote.servers\"?"),
            (r#"{"servers": {"x": {"sslmod": 1}}}"#, "did you mean \"remote.servers.x.sslmode\"?"),
            (r#"{"gssencmode": "require"}"#, "\"remote.gssencmode\" is refused: "),
            (
                r#"{"sslpassword": ["s3cret"]}"#,
                "\"remote.sslpassword\" is a list, allowed is a text, a whole number, t",
            ),
            (r#"{"sslpassword": {"s3cret": 1}}"#, "\"remote.sslpassword\" is an object, allowed is a text"),
            (r#"{"connect_timeout": 1.5}"#, "\"remote.connect_timeout\" is a value of another kind, allowed is a text"),
            (
                r#"{"servers": {"x": "s3cret"}}"#,
                "\"remote.servers.x\" is a value of another kind, allowed is an object",
            ),
            (r#"{"servers": ["s3cret"]}"#, "\"remote.servers\" is a list, allowed is an object"),
            (r#""s3cret""#, "\"remote\" is a value of another kind, allowed is an object"),
        ];
        cases.extend(other.map(|(remote, said)| (remote.into(), said.into())));
        for (remote, expected) in cases {
            let said = refusal_among(&[], &file(&remote));
            assert!(said.contains(&expected) && said.contains("has one thing"), "{remote}: {said}");
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
        let said = refusal_among(&[("POWA_COLLECTOR__REMOTE__PASSWORD", "s3cret")], &file(written));
        assert!(said.contains("\"remote.password\" is not for here"), "{said}");
        let said = refusal_among(&[("POWA_COLLECTOR__REMOTE__SERVERS", "s3cret")], &file(written));
        assert!(said.contains("\"remote.servers\" is a value of another kind"), "{said}");
    }
}
