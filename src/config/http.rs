//! The section `http`: the address to listen on, who has access, the certificate, and the API.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::schema::Checked;
use super::variables::Variables;
use super::violation::{self, Violation};
use libpq::Conninfo;

const LISTEN: &str = "http.listen";
const TOKENS_FILE: &str = "http.tokens_file";
const CERTIFICATE: &str = "http.certificate";
const KEY: &str = "http.key";
const OPEN_TO_ALL: &str = "http.open_to_all";
const API: &str = "http.api";
const API_WITHOUT_TLS: &str = "http.api_without_tls";
const ADMIN_DSN: &str = "http.admin_dsn";
const POLL_OPEN: &str = "http.poll_open";

/// The section `http`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Http {
    /// `None`: HTTP is off.
    pub listen: Option<SocketAddr>,
    /// A file with one `NAME:TOKEN` a line. `None`: no token is needed.
    pub tokens_file: Option<PathBuf>,
    /// `None`: plain HTTP.
    pub identity: Option<Identity>,
    /// Access without a token is allowed from other machines and with any host name.
    pub is_open_to_all: bool,
    /// Whether the API is served.
    pub api: ApiAccess,
    /// `/poll` needs no login.
    pub is_poll_open: bool,
    /// How to connect to the repository for changes that are requested with a token. `None`: as the collector does.
    pub admin: Option<Conninfo>,
    /// Values with environment variables that are not set: an error for the daemon, but not for the other commands.
    pub unresolved: Vec<Violation>,
}

/// Whether the API is served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ApiAccess {
    /// HTTP or the API is off.
    #[default]
    Off,
    /// Passwords would cross a network in plain text.
    NeedsTls,
    On,
}

/// The server's certificate and its private key, as PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The server's own certificate first, then those of intermediate authorities.
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Http {
    pub(super) fn read(values: &Checked, variables: &Variables, violations: &mut Vec<Violation>) -> Self {
        let mut unresolved = Vec::new();
        let mut file = |key: &str| {
            // Empty means not set, so that an environment variable can override the configuration file.
            let written = values.text(key).filter(|file| !file.is_empty())?;
            let expanded = variables.expand(&written);
            Some(PathBuf::from(expanded.unwrap_or_else(|problem| {
                unresolved.push(values.unexpandable(key, problem));
                String::new()
            })))
        };
        let (tokens_file, certificate, key) = (file(TOKENS_FILE), file(CERTIFICATE), file(KEY));
        let mut invalid = |key: &str, reason: String| violations.push(values.invalid(key, reason));
        let identity = match (certificate, key) {
            (Some(certificate), Some(key)) => Some(Identity { certificate, key }),
            (None, None) => None,
            (Some(_), None) => {
                invalid(CERTIFICATE, format!("needs its private key; set \"{KEY}\""));
                None
            }
            (None, Some(_)) => {
                invalid(KEY, format!("needs its certificate; set \"{CERTIFICATE}\""));
                None
            }
        };
        let listen = values.text(LISTEN).filter(|listen| !listen.is_empty());
        let listen = listen.and_then(|text| match text.parse::<SocketAddr>() {
            Ok(address) => Some(address),
            Err(_) => {
                let allowed = "an address and a port, such as \"127.0.0.1:9187\" or \"[::1]:9187\"";
                violations.push(values.not_allowed(LISTEN, allowed));
                None
            }
        });
        let is_open_to_all = values.boolean(OPEN_TO_ALL);
        let admin = admin(values, variables, (&mut unresolved, violations));
        violation::join_by_variable(&mut unresolved);
        let api = match listen {
            Some(_) if !values.boolean(API) => ApiAccess::Off,
            Some(address) if is_loopback(&address) || identity.is_some() || values.boolean(API_WITHOUT_TLS) => {
                ApiAccess::On
            }
            Some(_) => ApiAccess::NeedsTls,
            None => ApiAccess::Off,
        };
        let has_access_rule = tokens_file.is_some() || is_open_to_all;
        if let Some(address) = listen.filter(|address| !is_loopback(address) && !has_access_rule) {
            let reason = format!(
                "is {address}, which other machines can reach; set \"{TOKENS_FILE}\", or set \"{OPEN_TO_ALL}\" to true to \
                 allow access without tokens"
            );
            violations.push(values.invalid(LISTEN, reason));
        }
        let is_poll_open = values.boolean(POLL_OPEN);
        Self { listen, tokens_file, identity, is_open_to_all, api, is_poll_open, admin, unresolved }
    }

    /// Whether all local users have access without a token, but web pages in a local browser must not.
    pub(crate) fn is_local_only(&self) -> bool {
        !self.is_open_to_all && self.tokens_file.is_none() && self.listen.as_ref().is_some_and(is_loopback)
    }

    /// Whether tokens cross a network in plain text.
    pub(crate) fn exposes_tokens(&self) -> bool {
        let is_remote = self.listen.is_some_and(|address| !is_loopback(&address));
        is_remote && self.tokens_file.is_some() && self.identity.is_none()
    }
}

/// The parsed connection string for changes. An empty one counts as unset.
fn admin(
    values: &Checked,
    variables: &Variables,
    (unresolved, violations): (&mut Vec<Violation>, &mut Vec<Violation>),
) -> Option<Conninfo> {
    let written = values.text(ADMIN_DSN).filter(|dsn| !dsn.is_empty())?;
    match Conninfo::parse(&written) {
        Ok(given) => {
            // Replaced after parsing: the content of a variable may contain spaces, quotes or slashes.
            let Ok(given) = given.try_map(|value| {
                Ok::<_, Infallible>(variables.expand(value).unwrap_or_else(|problem| {
                    unresolved.push(values.unexpandable(ADMIN_DSN, problem));
                    String::new()
                }))
            });
            Some(given)
        }
        Err(error) => {
            violations.push(values.invalid(ADMIN_DSN, format!("is not a valid connection string: {error}")));
            None
        }
    }
}

/// Whether only this machine can reach the address.
fn is_loopback(address: &SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{read, read_among, refusal_among};
    use super::*;

    fn section(http: &str) -> String {
        format!(r#"{{"repository": {{"dsn": "host=h"}}, "http": {{{http}}}}}"#)
    }

    #[test]
    fn http_is_off_by_default() {
        for none in ["", r#""listen": null"#, r#""listen": """#] {
            assert_eq!(read(&section(none)).unwrap().http, Http::default(), "{none}");
        }
        let http = read(&section(r#""listen": "[::1]:9187", "certificate": "/c", "key": "/k""#)).unwrap().http;
        assert_eq!(http.listen, Some("[::1]:9187".parse().unwrap()));
        assert_eq!(http.identity, Some(Identity { certificate: "/c".into(), key: "/k".into() }));
    }

    #[test]
    fn an_address_beyond_this_machine_requires_tokens_or_open_to_all() {
        for beyond in ["0.0.0.0:9187", "[::]:9187", "192.0.2.1:9187", "[::ffff:192.0.2.1]:9187"] {
            let listen = format!(r#""listen": "{beyond}""#);
            let message = refusal_among(&[], &section(&listen));
            assert!(message.contains("which other machines can reach; set \"http.tokens_file\""), "{message}");
            for rest in [r#", "tokens_file": "/t""#, r#", "open_to_all": true"#] {
                assert!(read(&section(&format!("{listen}{rest}"))).is_ok(), "{beyond}{rest}");
            }
        }
        for own in ["127.0.0.1:9187", "127.9.9.9:1", "[::1]:9187", "[::ffff:127.0.0.1]:9187"] {
            assert!(read(&section(&format!(r#""listen": "{own}""#))).is_ok(), "{own}");
        }
    }

    #[test]
    fn what_is_open_to_all_is_so_by_way_of_this_machine_too() {
        let is_local_only = |rest: &str| read(&section(rest)).unwrap().http.is_local_only();
        assert!(is_local_only(r#""listen": "127.0.0.1:1""#));
        assert!(!is_local_only(r#""listen": "127.0.0.1:1", "open_to_all": true"#));
        assert!(!is_local_only(r#""listen": "127.0.0.1:1", "tokens_file": "/t""#));
        assert!(!is_local_only(r#""listen": "0.0.0.0:1", "open_to_all": true"#));
    }

    #[test]
    fn tokens_beyond_this_machine_are_not_for_plain_text() {
        let exposes = |rest: &str| read(&section(rest)).unwrap().http.exposes_tokens();
        assert!(exposes(r#""listen": "0.0.0.0:1", "tokens_file": "/t""#));
        assert!(!exposes(r#""listen": "127.0.0.1:1", "tokens_file": "/t""#));
        assert!(!exposes(r#""listen": "0.0.0.0:1", "open_to_all": true"#));
        assert!(!exposes(r#""listen": "0.0.0.0:1", "tokens_file": "/t", "certificate": "/c", "key": "/k""#));
    }

    #[test]
    fn each_error_names_the_key() {
        let cases = [
            (r#""listen": "9187""#, "must be an address and a port"),
            (r#""listen": "localhost:9187""#, "must be an address and a port"),
            (r#""listen": 9187"#, "\"http.listen\" must be a string, got 9187"),
            (r#""certificate": "/c""#, "\"http.certificate\" needs its private key"),
            (r#""key": "/k""#, "\"http.key\" needs its certificate"),
            (r#""tokens_file": "${GONE}/t""#, "\"http.tokens_file\" needs the environment variable \"GONE\""),
            (r#""lisen": "127.0.0.1:1""#, "did you mean \"http.listen\"?"),
        ];
        for (http, expected) in cases {
            let message = refusal_among(&[], &section(http));
            assert!(message.contains(expected) && message.contains("has one error:"), "{http}: {message}");
        }
    }

    #[test]
    fn the_api_is_for_loopback_and_tls_unless_plain_text_is_allowed() {
        let api = |rest: &str| read(&section(rest)).unwrap().http.api;
        assert_eq!(api(""), ApiAccess::Off);
        assert_eq!(api(r#""listen": "127.0.0.1:1""#), ApiAccess::On);
        assert_eq!(api(r#""listen": "127.0.0.1:1", "api": false"#), ApiAccess::Off);
        let beyond = r#""listen": "0.0.0.0:1", "open_to_all": true"#;
        assert_eq!(api(beyond), ApiAccess::NeedsTls);
        assert_eq!(api(&format!(r#"{beyond}, "certificate": "/c", "key": "/k""#)), ApiAccess::On);
        assert_eq!(api(&format!(r#"{beyond}, "api_without_tls": true"#)), ApiAccess::On);
        assert_eq!(api(&format!(r#"{beyond}, "api_without_tls": true, "api": false"#)), ApiAccess::Off);
    }

    #[test]
    fn the_connection_string_for_changes_is_parsed_and_never_quoted() {
        let text = section(r#""admin_dsn": "host=${HOST} password=${PW}""#);
        let variables = [("HOST", "db1"), ("PW", "s3cret word")];
        let config = read_among(&variables, &text).unwrap();
        assert_eq!(config.http.admin.as_ref().and_then(|given| given.get("password")), Some("s3cret word"));
        assert!(!format!("{config:?}").contains("s3cret"));
        assert_eq!(read(&section(r#""admin_dsn": """#)).unwrap().http.admin, None);
        for (wrong, expected) in [
            (r#""admin_dsn": "password=s3cret nonsense=1""#, "\"http.admin_dsn\" is not a valid connection string"),
            (r#""admin_dsn": "host=${GONE}""#, "\"http.admin_dsn\" needs the environment variable \"GONE\""),
            (r#""admin_dsn": 5"#, "\"http.admin_dsn\" must be a string"),
        ] {
            let message = refusal_among(&[], &section(wrong));
            assert!(message.contains(expected) && !message.contains("s3cret"), "{message}");
        }
    }

    #[test]
    fn its_files_may_be_where_a_variable_says() {
        let text = section(r#""listen": "127.0.0.1:1", "tokens_file": "${CREDENTIALS_DIRECTORY}/tokens""#);
        let http = read_among(&[("CREDENTIALS_DIRECTORY", "/run/c")], &text).unwrap().http;
        assert_eq!(http.tokens_file, Some("/run/c/tokens".into()));
    }
}
