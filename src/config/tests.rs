use super::*;

/// Reads a file with this text, where there are only these variables.
pub(super) fn read_among(variables: &[(&str, &str)], text: &str) -> Result<Config, Error> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("powa-collector.conf");
    std::fs::write(&file, text).unwrap();
    let variables = variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
    Config::read_in(&variables, Arc::default(), &file, Reader::Service)
}

pub(super) fn read(text: &str) -> Result<Config, Error> {
    read_among(&[], text)
}

/// The error for an invalid file. It must not contain secrets.
pub(super) fn refusal_among(variables: &[(&str, &str)], text: &str) -> String {
    let error = read_among(variables, text).err().unwrap_or_else(|| panic!("{text} is taken"));
    assert!(!format!("{error} {error:?}").contains("s3cret"), "{text}: {error} {error:?}");
    error.to_string()
}

#[test]
fn the_file_of_the_python_collector_is_taken_as_it_is() {
    let config = read(
        r#"{"repository": {"dsn": "postgresql://powa_user@localhost:5432/powa"},
            "use_server_alias": true, "debug": false}"#,
    )
    .unwrap();
    let given = |keyword| config.repository.given.get(keyword);
    assert_eq!((given("user"), given("host")), (Some("powa_user"), Some("localhost")));
    assert!(config.use_server_alias);
    assert_eq!(config.limits.loads, 4);
}

#[test]
fn the_sample_and_the_documentation_have_every_key() {
    let sample = include_str!("../../powa-collector.conf-dist");
    let documentation = include_str!("../../docs/configuration.md");
    for key in schema::KEYS {
        let name = key.path.rsplit('.').next().unwrap();
        assert!(sample.contains(&format!("\"{name}\"")), "{} is not in the sample", key.path);
        let row = format!("| `{}` |", key.path);
        assert!(documentation.contains(&row), "{} is not in docs/configuration.md", key.path);
    }
    let from_sample = read(sample).unwrap();
    let from_defaults = read(r#"{"repository": {"dsn": "postgresql://powa@localhost:5432/powa"}}"#).unwrap();
    assert_eq!(from_sample, from_defaults);
}

#[test]
fn all_errors_are_reported_at_once() {
    let error = read(
        r#"{"repositori": {}, "debug": "yes", "limits": {"loads": 0, "databases": 2.5},
            "timeouts": 3, "repository": {"dsn": ["a"], "pool": 3}, "remote": {"sslmod": 1, "servers": 2}}"#,
    )
    .unwrap_err()
    .to_string();
    for expected in [
        "line 1: unknown key \"repositori\"; did you mean \"repository\"?",
        "line 2: unknown key \"repository.pool\"",
        "line 1: \"debug\" must be true or false, got \"yes\"",
        "line 1: \"limits.loads\" must be an integer from 1 to 1000, got 0",
        "line 1: \"limits.databases\" must be an integer from 1 to 1000, got 2.5",
        "line 2: \"timeouts\" must be an object, got 3",
        "line 2: \"repository.dsn\" must be a string, got a list",
        "line 2: unknown key \"remote.sslmod\"; did you mean \"remote.sslmode\"?",
        "line 2: \"remote.servers\" must be an object, got a value of another type",
        "has 9 errors:",
    ] {
        assert!(error.contains(expected), "{expected} is missing in: {error}");
    }
}

#[test]
fn the_first_of_many_errors_are_listed_and_the_rest_is_counted() {
    let keys: String = (0..5000).map(|n| format!(", \"x{n:04}\": 1")).collect();
    let message = refusal_among(&[], &format!(r#"{{"repository": {{"dsn": "host=h"}}{keys}}}"#));
    assert!(message.contains("has 5000 errors:") && message.ends_with("\n  - and 4980 more"), "{message}");
    assert_eq!(message.lines().count(), 22, "{message}");
}

#[test]
fn a_variable_that_is_not_set_is_one_error_however_many_keys_need_it() {
    let text = r#"{"repository": {"dsn": "host=h", "password_file": "${CREDENTIALS_DIRECTORY}/password"},
        "http": {"listen": "127.0.0.1:1", "tokens_file": "${CREDENTIALS_DIRECTORY}/tokens",
                 "certificate": "${CREDENTIALS_DIRECTORY}/cert", "key": "${OTHER}/key"}}"#;
    let message = refusal_among(&[], text);
    let expected = "line 1: \"repository.password_file\", \"http.tokens_file\" and \"http.certificate\" need the environment \
                    variable \"CREDENTIALS_DIRECTORY\", which is not set; systemd sets it for a service whose unit has \
                    LoadCredential=";
    assert!(message.contains("has 2 errors:") && message.contains(expected), "{message}");
    assert!(
        message.contains("line 3: \"http.key\" needs the environment variable \"OTHER\", which is not set"),
        "{message}"
    );
    assert_eq!(message.matches("CREDENTIALS_DIRECTORY").count(), 1, "{message}");
}

#[test]
fn it_is_known_whether_the_file_or_the_environment_is_at_fault() {
    let file = r#"{"repository": {"dsn": "host=h"}, "debug": 1}"#;
    let variable = ("POWA_COLLECTOR__LIMITS__LOADS", "0");
    let is_from_environment =
        |variables: &[_], text: &str| read_among(variables, text).unwrap_err().is_from_environment();
    assert!(is_from_environment(&[variable], &file.replace("\"debug\": 1", "\"debug\": true")));
    assert!(!is_from_environment(&[variable], file));
    assert!(!is_from_environment(&[], file));
    assert!(!is_from_environment(&[variable], "{"));
}

#[test]
fn a_password_is_never_printed() {
    let config = read(r#"{"repository": {"dsn": "host=h password=s3cret"}}"#).unwrap();
    assert!(!format!("{config:?}").contains("s3cret"));
    for text in [
        r#""host=h password=s3cret""#,
        r#"{"repository": "host=h password=s3cret"}"#,
        r#"{"repository": {"dsn": ["s3cret"]}}"#,
        r#"{"repository": {"dsn": "host=h"}, "debug": "postgresql://u:s3cret@h/d"}"#,
        r#"{"repository": {"dsn": "host=h"}, "password": "s3cret"}"#,
        r#"{"repository": {"dsn": "host=h password=s3cret" "s3cret"}}"#,
        r#"{"repository": {"dsn": "host=h password=s3cret s3cret"}}"#,
        r#"{"repository": {"dsn": "postgresql://u:p@s3cret@h/d"}}"#,
    ] {
        refusal_among(&[], text);
    }
}

#[test]
fn a_missing_dsn_is_named() {
    let error = read(r#"{"debug": true}"#).unwrap_err().to_string();
    assert!(error.contains("\"repository.dsn\" is missing"), "{error}");
}

#[test]
fn broken_json_is_refused_with_the_place() {
    let error = read("{\"debug\": true,\n \"repository\": }").unwrap_err().to_string();
    assert!(error.contains("line 2"), "{error}");
    assert!(error.contains("powa-collector.conf"), "{error}");
    let error = read("[1, 2]").unwrap_err().to_string();
    assert!(error.contains("not valid JSON"), "{error}");
}

#[test]
fn a_variable_that_is_not_utf_8_is_named_and_not_quoted() {
    use std::os::unix::ffi::OsStringExt;
    let value = std::ffi::OsString::from_vec(b"s3cret\xff".to_vec());
    let variables = [("POWA_COLLECTOR__REPOSITORY__DSN".into(), value)].into_iter().collect();
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = Config::read_in(&variables, Arc::default(), file.path(), Reader::Service).unwrap_err().to_string();
    assert_eq!(error, "the environment variable \"POWA_COLLECTOR__REPOSITORY__DSN\" is not UTF-8");
}

#[test]
fn comments_are_allowed() {
    assert!(read("{ // why\n \"repository\": {\"dsn\": \"host=localhost\"} }").is_ok());
}
