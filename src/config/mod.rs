//! The configuration: found, read, checked as a whole, and from then on only valid values.
//!
//! Reading order: `location` finds the file, `source` reads it and the environment (`variables`), `schema` knows every key
//! and checks what was read, `repository` and `remotes` read the connection parameters in it, `http` its own section, and
//! [`Config`] is what the rest of the program sees.

mod http;
mod location;
mod remotes;
mod repository;
mod schema;
mod source;
mod variables;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use self::variables::Variables;
use crate::libpq::Surroundings;

pub use http::{Http, Identity};
pub use location::{Location, NotFound};
pub use remotes::Remotes;
pub use repository::Repository;
pub use schema::Violation;

/// A whole, valid configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub repository: Repository,
    pub debug: bool,
    pub use_server_alias: bool,
    pub limits: Limits,
    pub timeouts: Timeouts,
    pub spool: Spool,
    pub remote: Remotes,
    pub http: Http,
    /// What the program was started in.
    pub surroundings: Arc<Surroundings>,
}

/// How much happens at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Remote servers being collected at once.
    pub collects: usize,
    /// Loads running at once on the repository.
    pub loads: usize,
    /// Databases of one remote server being collected at once.
    pub databases: usize,
}

/// How long anything may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Opening a connection, authentication included.
    pub connect: Duration,
    /// One statement on a remote server.
    pub query: Duration,
    /// Collecting all of a server; also loading all of it.
    pub snapshot: Duration,
    /// How long a connection to one database of a remote server may lie unused.
    pub idle: Duration,
    /// From the request to stop to the end of the program.
    pub stop: Duration,
}

/// Where collected rows wait for the load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spool {
    /// Bytes of one server's snapshot kept in memory; beyond, all of it goes to one unlinked temporary file.
    pub memory: usize,
    /// Bytes of one server's snapshot, wherever they are kept; what is longer is no snapshot.
    pub limit: u64,
    /// Folder of the temporary files; `None` is the system's.
    pub directory: Option<PathBuf>,
}

/// Why there is no configuration. The message names the file, and each key with its value and what is allowed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    NotFound(#[from] NotFound),
    #[error("could not read configuration file \"{}\": {source}", file.display())]
    Unreadable { file: PathBuf, source: std::io::Error },
    #[error("configuration file \"{}\" is not valid JSON: {reason}", file.display())]
    Syntax { file: PathBuf, reason: String },
    #[error("the environment variable \"{variable}\" is not UTF-8")]
    NotUnicode { variable: String },
    #[error("configuration file \"{}\" has {} to correct:{}", file.display(), count(violations), list(violations))]
    Invalid { file: PathBuf, violations: Vec<Violation> },
}

fn count(violations: &[Violation]) -> String {
    match violations.len() {
        1 => "one thing".into(),
        n => format!("{n} things"),
    }
}

fn list(violations: &[Violation]) -> String {
    violations.iter().map(|violation| format!("\n  - {violation}")).collect()
}

impl Config {
    /// Reads `file` and the environment's `POWA_COLLECTOR__...`, and checks all of it.
    ///
    /// # Errors
    /// The file cannot be read, is not JSON, or holds something that is not allowed; then all of it is named at once.
    pub fn read(file: &Path) -> Result<Self, Error> {
        let variables = std::env::vars_os().collect();
        Self::read_in(&variables, Arc::new(Surroundings::of_this_process()), file)
    }

    fn read_in(variables: &Variables, surroundings: Arc<Surroundings>, file: &Path) -> Result<Self, Error> {
        let mut violations = Vec::new();
        let values = schema::check(source::read(file, variables)?, &mut violations);
        let config = Self {
            repository: Repository::read(&values, variables, &mut violations),
            remote: Remotes::read(values.section("remote"), &mut violations),
            http: Http::read(&values, variables, &mut violations),
            surroundings,
            debug: values.boolean("debug"),
            use_server_alias: values.boolean("use_server_alias"),
            limits: Limits {
                collects: values.count("limits.collects"),
                loads: values.count("limits.loads"),
                databases: values.count("limits.databases"),
            },
            timeouts: Timeouts {
                connect: values.seconds("timeouts.connect"),
                query: values.seconds("timeouts.query"),
                snapshot: values.seconds("timeouts.snapshot"),
                idle: values.seconds("timeouts.idle"),
                stop: values.seconds("timeouts.stop"),
            },
            spool: Spool {
                memory: values.count("spool.memory") * 1024,
                limit: (values.count("spool.limit") as u64) << 20,
                directory: values.text("spool.directory").map(PathBuf::from),
            },
        };
        if violations.is_empty() { Ok(config) } else { Err(Error::Invalid { file: file.to_owned(), violations }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a file with this text, where there are only these variables.
    pub(super) fn read_among(variables: &[(&str, &str)], text: &str) -> Result<Config, Error> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("powa-collector.conf");
        std::fs::write(&file, text).unwrap();
        let variables = variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
        Config::read_in(&variables, Arc::default(), &file)
    }

    pub(super) fn read(text: &str) -> Result<Config, Error> {
        read_among(&[], text)
    }

    /// What is said of a file that is refused. No such text may show what is secret in it.
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
    fn the_sample_and_the_readme_document_every_key() {
        let sample = include_str!("../../powa-collector.conf-dist");
        let readme = include_str!("../../README.md");
        for key in schema::KEYS {
            let name = key.path.rsplit('.').next().unwrap();
            assert!(sample.contains(&format!("\"{name}\"")), "{} is not in the sample", key.path);
            assert!(readme.contains(&format!("| `{}` |", key.path)), "{} is not in the README's table", key.path);
        }
        let from_sample = read(sample).unwrap();
        let from_defaults = read(r#"{"repository": {"dsn": "postgresql://powa@localhost:5432/powa"}}"#).unwrap();
        assert_eq!(from_sample, from_defaults);
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let error = read(
            r#"{"repositori": {}, "debug": "yes", "limits": {"loads": 0, "databases": 2.5},
                "timeouts": 3, "repository": {"dsn": ["a"], "pool": 3}, "remote": {"sslmod": 1, "servers": 2}}"#,
        )
        .unwrap_err()
        .to_string();
        for expected in [
            "\"repositori\" is not known; did you mean \"repository\"?",
            "\"repository.pool\" is not known",
            "\"debug\" is \"yes\", allowed is true or false",
            "\"limits.loads\" is 0, allowed is a whole number from 1 to 1000",
            "\"limits.databases\" is 2.5, allowed is a whole number from 1 to 1000",
            "\"timeouts\" is 3, allowed is an object",
            "\"repository.dsn\" is a list, allowed is a text",
            "\"remote.sslmod\" is not known; did you mean \"remote.sslmode\"?",
            "\"remote.servers\" is a value of another kind, allowed is an object",
            "has 9 things to correct",
        ] {
            assert!(error.contains(expected), "{expected} is missing in: {error}");
        }
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
        let error = Config::read_in(&variables, Arc::default(), file.path()).unwrap_err().to_string();
        assert_eq!(error, "the environment variable \"POWA_COLLECTOR__REPOSITORY__DSN\" is not UTF-8");
    }

    #[test]
    fn comments_are_allowed() {
        assert!(read("{ // why\n \"repository\": {\"dsn\": \"host=localhost\"} }").is_ok());
    }
}
