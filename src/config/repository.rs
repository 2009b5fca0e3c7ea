//! The section `repository`: connection string, password file, and the limit for bloated tables.

use std::convert::Infallible;
use std::path::PathBuf;

use super::schema::Checked;
use super::variables::Variables;
use super::violation::Violation;
use libpq::Conninfo;

const DSN: &str = "repository.dsn";
const PASSWORD_FILE: &str = "repository.password_file";
const BLOAT: &str = "repository.bloat";

/// The connection to the repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Repository {
    /// The parsed connection string, with variables replaced.
    pub given: Conninfo,
    /// A file that contains only the password, read again for each connection.
    pub password_file: Option<PathBuf>,
    /// Bytes above which an empty `*_src_tmp` table is truncated. `None` disables that.
    pub bloat: Option<u64>,
}

impl Repository {
    pub(super) fn read(values: &Checked, variables: &Variables, violations: &mut Vec<Violation>) -> Self {
        let mut expand = |key: &str, text: &str| {
            variables.expand(text).unwrap_or_else(|problem| {
                let violation = values.unexpandable(key, problem);
                if !violations.contains(&violation) {
                    violations.push(violation);
                }
                String::new()
            })
        };
        // An empty name counts as unset, so that the environment can override the file.
        let password_file = values.text(PASSWORD_FILE).filter(|file| !file.is_empty());
        let password_file = password_file.map(|file| PathBuf::from(expand(PASSWORD_FILE, &file)));
        // Replaced after parsing: the content of a variable may contain spaces, quotes or slashes.
        let parsed = Conninfo::parse(&values.text(DSN).unwrap_or_default());
        let given = parsed.map(|given| {
            let Ok(given) = given.try_map(|value| Ok::<_, Infallible>(expand(DSN, value)));
            given
        });
        let given = given.unwrap_or_else(|error| {
            let reason = format!("is not a valid connection string: {error}");
            violations.push(values.invalid(DSN, reason));
            Conninfo::default()
        });
        if password_file.is_some() && given.get("password").is_some() {
            let reason = format!("is set, and \"{DSN}\" contains a password; use only one of them");
            violations.push(values.invalid(PASSWORD_FILE, reason));
        }
        let bloat = Some(values.count(BLOAT) as u64).filter(|bloat| *bloat > 0).map(|bloat| bloat << 20);
        Self { given, password_file, bloat }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{read, read_among, refusal_among};

    const VARIABLES: &[(&str, &str)] = &[
        ("PW", "a b'c\\d@e/f?g=h"),
        ("HOST", "db1"),
        ("CREDENTIALS_DIRECTORY", "/run/credentials/powa-collector.service"),
        ("OTHER", "${PW}"),
    ];

    fn file(dsn: &str) -> String {
        format!(r#"{{"repository": {{"dsn": "{dsn}"}}}}"#)
    }

    #[test]
    fn variables_are_replaced_in_values() {
        let password = VARIABLES[0].1;
        let cases = [
            ("host=${HOST} password=${PW}", "password", password),
            ("host=${HOST}.example password=${PW}", "host", "db1.example"),
            ("postgresql://u:${PW}@${HOST}:5432/d", "password", password),
            ("postgresql://u:${PW}@${HOST}:5432/d", "host", "db1"),
            ("host=h password=${OTHER}", "password", "${PW}"),
            ("host=h password=$${PW}", "password", "${PW}"),
            ("host=h password=a$b$$c$", "password", "a$b$$c$"),
        ];
        for (dsn, keyword, expected) in cases {
            let config = read_among(VARIABLES, &file(dsn)).unwrap();
            assert_eq!(config.repository.given.get(keyword), Some(expected), "{dsn}");
            assert!(!format!("{config:?}").contains(password), "{dsn}");
        }
    }

    #[test]
    fn what_is_wrong_with_it_is_said_without_quoting_it() {
        let cases = [
            ("host=h password=s3cret${GONE} user=${AWAY}", "\"GONE\", which is not set"),
            ("host=h password=s3cret${GONE} user=${AWAY}", "\"AWAY\", which is not set"),
            ("host=h password=s3cret${GONE} user=${GONE}", "has one error:"),
            ("host=h password=${s3cret", "\"$${\""),
            ("host=h password=s3cret nonsense=1", "\"repository.dsn\" is not a valid connection string: "),
            ("host=h password=s3cret gssencmode=require", "gssencmode"),
        ];
        for (dsn, expected) in cases {
            let message = refusal_among(VARIABLES, &file(dsn));
            assert!(message.contains("\"repository.dsn\" ") && message.contains(expected), "{dsn}: {message}");
        }
        let message = refusal_among(&[], r#"{"repository": {"dsn": "host=h password"}, "debug": 1, "limit": {}}"#);
        assert!(message.contains("has 3 errors:") && message.contains("not a valid connection string"), "{message}");
    }

    #[test]
    fn the_password_may_be_in_a_file() {
        let read = |text: &str| read_among(VARIABLES, text).unwrap().repository.password_file;
        let credential = r#"{"repository": {"dsn": "host=h", "password_file": "${CREDENTIALS_DIRECTORY}/password"}}"#;
        assert_eq!(read(credential), Some("/run/credentials/powa-collector.service/password".into()));
        for none in [r#""""#, "null"] {
            let text = format!(r#"{{"repository": {{"dsn": "host=h password=p", "password_file": {none}}}}}"#);
            assert_eq!(read(&text), None, "{text}");
        }
        let message = refusal_among(&[], credential);
        assert!(
            message.contains("\"repository.password_file\" needs the environment variable \"CREDENTIALS_D"),
            "{message}"
        );
        for password in ["s3cret", "${PW}"] {
            let text = credential.replace("host=h", &format!("host=h password={password}"));
            let message = refusal_among(VARIABLES, &text);
            assert!(
                message.contains("\"repository.password_file\" is set, and \"repository.dsn\" contains a password"),
                "{message}"
            );
        }
    }

    #[test]
    fn bloat_is_told_in_megabytes_and_nothing_is_done_without() {
        let of = |bloat| read(&format!(r#"{{"repository": {{"dsn": "host=h"{bloat}}}}}"#)).map(|c| c.repository.bloat);
        assert_eq!(of("").unwrap(), Some(256 << 20));
        assert_eq!(of(r#", "bloat": 1"#).unwrap(), Some(1 << 20));
        assert_eq!(of(r#", "bloat": 0"#).unwrap(), None);
        let refused = of(r#", "bloat": -1"#).unwrap_err().to_string();
        assert!(refused.contains("must be an integer from 0 to 1048576"), "{refused}");
    }

    #[test]
    fn the_environment_overrides_it_as_text() {
        let text = r#"{"repository": {"dsn": "host=h", "password_file": "/a"}}"#;
        let of = |variable, value| read_among(&[(variable, value)], text).unwrap().repository;
        assert_eq!(of("POWA_COLLECTOR__REPOSITORY__PASSWORD_FILE", "1").password_file, Some("1".into()));
        assert_eq!(of("POWA_COLLECTOR__REPOSITORY__PASSWORD_FILE", "").password_file, None);
        assert_eq!(of("POWA_COLLECTOR__REPOSITORY__DSN", "host=h2").given.get("host"), Some("h2"));
        assert_eq!(read(text).unwrap().repository, of("UNRELATED", "x"));
    }
}
