//! The filter for messages: from `RUST_LOG`, or else from the configuration.

use std::env;
use std::ffi::OsString;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{Directive, LevelFilter};

use libpq::spelling;

/// The levels as written in a filter.
const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

/// The sources of messages: the modules of this program, and one library. Messages of the driver are never logged, because they
/// contain the values of parameters.
const SOURCES: [&str; 23] = [
    "powa_collector::app",
    "powa_collector::backoff",
    "powa_collector::check",
    "powa_collector::cli",
    "powa_collector::config",
    "powa_collector::control",
    "powa_collector::fleet",
    "powa_collector::hooks",
    "powa_collector::http",
    "powa_collector::metrics",
    "powa_collector::pace",
    "powa_collector::remote",
    "powa_collector::repository",
    "powa_collector::schedule",
    "powa_collector::server",
    "powa_collector::session",
    "powa_collector::snapshot",
    "powa_collector::spool",
    "powa_collector::telemetry",
    "powa_collector::upkeep",
    "powa_collector::worker",
    "deadpool_postgres",
    "powa_collector",
];

/// The spans of messages: one for each server, one for the command channel, and one for each run of a hook.
const SPANS: [&str; 3] = ["server", "commands", "hook"];

/// Why `RUST_LOG` is not a valid filter.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InvalidFilter {
    #[error("the environment variable \"RUST_LOG\" is not UTF-8")]
    NotUnicode,
    #[error(
        "the environment variable \"RUST_LOG\" is not valid: in \"{directive}\", {reason}; a level must be one of {}{}",
        LEVELS.join(", "), suggestion(.nearest.as_deref())
    )]
    Directive { directive: String, reason: &'static str, nearest: Option<String> },
}

fn suggestion(nearest: Option<&str>) -> String {
    nearest.map(|nearest| format!("; did you mean \"{nearest}\"?")).unwrap_or_default()
}

/// The valid directives of `RUST_LOG`; `None` if it is not set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RustLog(Option<Vec<String>>);

impl RustLog {
    /// Reads the environment variable of this process.
    ///
    /// # Errors
    /// It cannot be parsed.
    pub(super) fn from_environment() -> Result<Self, InvalidFilter> {
        Self::parse(env::var_os("RUST_LOG"))
    }

    /// An empty variable counts as not set.
    fn parse(text: Option<OsString>) -> Result<Self, InvalidFilter> {
        let text = text.unwrap_or_default().into_string().map_err(|_| InvalidFilter::NotUnicode)?;
        let directives = text.split(',').map(str::trim).filter(|directive| !directive.is_empty());
        let directives: Vec<String> = directives.map(ToOwned::to_owned).collect();
        for directive in &directives {
            if !has_valid_target(directive) || directive.parse::<Directive>().is_err() {
                return Err(invalid(directive));
            }
        }
        Ok(Self(Some(directives).filter(|directives| !directives.is_empty())))
    }

    /// The filter; `default` if `RUST_LOG` is not set.
    ///
    /// Errors are logged unless `RUST_LOG` contains `off`, so that a filter for one module does not hide errors of others. A
    /// filter that matches no message is ignored.
    pub(super) fn filter(&self, default: &str) -> EnvFilter {
        match &self.0 {
            Some(directives) if directives.iter().all(|directive| warning(directive).is_some()) => {
                EnvFilter::new(format!("{default},{}", directives.join(",")))
            }
            Some(directives) => EnvFilter::new(format!("error,{}", directives.join(","))),
            None => EnvFilter::new(default),
        }
    }

    /// A warning for each directive that matches no message.
    pub(super) fn warnings(&self) -> Vec<String> {
        self.0.iter().flatten().filter_map(|directive| warning(directive)).collect()
    }
}

/// The part of a directive before the span and the level.
fn target(directive: &str) -> &str {
    &directive[..directive.find(['[', '=']).unwrap_or(directive.len())]
}

/// Whether the part before the span and the level is a possible module name, a level, or empty.
fn has_valid_target(directive: &str) -> bool {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || ['_', ':', '-'].contains(&c);
    let target = target(directive);
    target.chars().all(is_of_name) && !(target.is_empty() && directive.starts_with('='))
}

fn invalid(directive: &str) -> InvalidFilter {
    let brackets = |bracket: char| directive.matches(bracket).count();
    let are_closed = brackets('[') == brackets(']') && brackets('{') == brackets('}');
    let level = directive.rsplit_once('=').map(|(_, level)| level).filter(|level| !level.contains(['}', ']']));
    let wrong = level.filter(|level| are_closed && level.parse::<LevelFilter>().is_err());
    let nearest = wrong.and_then(|level| spelling::closest_match(&level.to_lowercase(), LEVELS));
    let reason = match wrong {
        _ if directive.starts_with('=') => "the module before \"=\" is missing",
        _ if !has_valid_target(directive) => {
            "a module name contains an invalid character; separate directives with commas"
        }
        Some(_) => "the word after \"=\" is not a level",
        None => "the brackets are invalid",
    };
    InvalidFilter::Directive { directive: directive.into(), reason, nearest: nearest.map(Into::into) }
}

fn warning(directive: &str) -> Option<String> {
    let has_level_only = directive.parse::<LevelFilter>().is_ok();
    if has_level_only {
        return None;
    }
    let target = target(directive);
    if target.parse::<LevelFilter>().is_ok() && !directive.contains('[') {
        return Some(format!(
            "in the environment variable \"RUST_LOG\", \"{directive}\" matches no message: \"{target}\" is a level, not a module"
        ));
    }
    let span = directive.split_once('[').map(|(_, rest)| &rest[..rest.find([']', '{']).unwrap_or(rest.len())]);
    let span = span.filter(|span| !span.is_empty());
    let unknown_span = span
        .filter(|span| !SPANS.contains(span))
        .map(|_| format!("its span is unknown; the spans of this program are {}", SPANS.join(" and ")));
    let unknown_target = Some(target).filter(|target| !is_known(target)).map(|target| {
        let names = LEVELS.into_iter().chain(SOURCES);
        let nearest = spelling::closest_match(&target.to_lowercase(), names);
        let levels = LEVELS.join(", ");
        format!(
            "\"{target}\" is neither a level ({levels}) nor a module of this program (powa_collector){}",
            suggestion(nearest)
        )
    });
    let reason = unknown_target.or(unknown_span)?;
    Some(format!("in the environment variable \"RUST_LOG\", \"{directive}\" matches no message: {reason}"))
}

/// Whether a target is a source of messages. Submodules are not checked.
fn is_known(target: &str) -> bool {
    let lies_within = |source: &str| target.strip_prefix(source).is_some_and(|rest| rest.starts_with("::"));
    let root = "powa_collector";
    SOURCES.iter().any(|source| source.starts_with(target) || (*source != root && lies_within(source)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::os::unix::ffi::OsStringExt;
    use std::path::Path;

    use super::*;

    fn parse(text: &str) -> Result<RustLog, InvalidFilter> {
        RustLog::parse(Some(text.into()))
    }

    #[test]
    fn what_cannot_be_parsed_is_refused_with_the_words() {
        let words = "a level must be one of error, warn, info, debug, trace, off";
        let cases = [
            (
                "powa_collector=bananas",
                format!("in \"powa_collector=bananas\", the word after \"=\" is not a level; {words}"),
            ),
            (
                "info,powa_collector=warning",
                format!(
                    "in \"powa_collector=warning\", the word after \"=\" is not a level; {words}; did you mean \"warn\"?"
                ),
            ),
            ("[server{id=3]=debug", format!("in \"[server{{id=3]=debug\", the brackets are invalid; {words}")),
            ("[server{id=abc", format!("in \"[server{{id=abc\", the brackets are invalid; {words}")),
            ("=info", format!("in \"=info\", the module before \"=\" is missing; {words}")),
            (
                "debug info",
                format!(
                    "in \"debug info\", a module name contains an invalid character; separate directives with commas; {words}"
                ),
            ),
        ];
        for (text, expected) in cases {
            let error = parse(text).err().unwrap_or_else(|| panic!("{text} is accepted")).to_string();
            assert_eq!(error, format!("the environment variable \"RUST_LOG\" is not valid: {expected}"));
        }
        let odd = RustLog::parse(Some(OsString::from_vec(b"info\xff".to_vec()))).unwrap_err();
        assert_eq!(odd.to_string(), "the environment variable \"RUST_LOG\" is not UTF-8");
    }

    #[test]
    fn an_empty_filter_counts_as_unset() {
        for empty in ["", " ", ",", " , "] {
            assert_eq!(parse(empty).unwrap(), RustLog::default(), "{empty:?}");
        }
        assert_eq!(RustLog::parse(None).unwrap(), RustLog::default());
        assert_eq!(RustLog::default().filter("warn").to_string(), "warn");
    }

    #[test]
    fn errors_are_logged_unless_they_are_switched_off() {
        let cases = [
            ("banana", "banana=trace,warn"),
            ("banana,apple=debug", "banana=trace,apple=debug,warn"),
            ("banana,off", "banana=trace,off"),
            ("deadpool_postgres=debug", "deadpool_postgres=debug,error"),
            ("off", "off"),
            ("info", "info"),
            ("powa_collector=debug, deadpool_postgres=warn", "deadpool_postgres=warn,powa_collector=debug,error"),
        ];
        for (text, filter) in cases {
            assert_eq!(parse(text).unwrap().filter("warn").to_string(), filter, "{text}");
        }
    }

    #[test]
    fn what_matches_nothing_is_warned_of() {
        let cases = [
            ("banana", "\"banana\" matches no message: \"banana\" is neither a level (error, warn, info, "),
            ("warning", "did you mean \"warn\"?"),
            ("INFOS", "did you mean \"info\"?"),
            ("powa_colector=debug", "\"powa_colector=debug\" matches no message"),
            ("powa_colector=debug", "did you mean \"powa_collector\"?"),
            ("powa_collector::wroker=debug", "did you mean \"powa_collector::worker\"?"),
            ("powa-collector=debug", "did you mean \"powa_collector\"?"),
            ("tokio_postgres=debug", "\"tokio_postgres=debug\" matches no message"),
            ("info=info", "\"info\" is a level, not a module"),
            ("[servers]=debug", "its span is unknown; the spans of this program are server and commands"),
        ];
        for (text, expected) in cases {
            let warnings = parse(text).unwrap().warnings();
            assert!(warnings.len() == 1 && warnings[0].contains(expected), "{text}: {warnings:?}");
        }
        assert_eq!(parse("banana,info,apple=warn").unwrap().warnings().len(), 2);
        for text in [
            "info",
            "DEBUG",
            "off",
            "3",
            "powa_collector",
            "powa",
            "powa_collector=debug",
            "powa_collector::worker::take=trace",
            "warn,powa_collector::session=trace,deadpool_postgres=off",
            "[server]=debug",
            "[server{id=3}]=debug",
            "powa_collector[{id=3}]=trace",
        ] {
            assert_eq!(parse(text).unwrap().warnings(), [""; 0], "{text}");
        }
    }

    #[test]
    fn every_module_is_known() {
        let lines = include_str!("../lib.rs").lines().filter(|line| *line != "mod layers;");
        let modules =
            lines.filter_map(|line| line.strip_prefix("pub ").unwrap_or(line).strip_prefix("mod ")?.strip_suffix(';'));
        let modules: BTreeSet<_> = modules.map(|module| format!("powa_collector::{module}")).collect();
        let own = |source: &&&str| source.contains("::") && **source != "powa_collector::session";
        let known = SOURCES.iter().filter(own).map(|source| (*source).to_owned());
        assert_eq!(known.collect::<BTreeSet<_>>(), modules);
    }

    /// Adds the names of all spans that the source files in a directory and its subdirectories create.
    fn spans(directory: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                spans(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let macros = text.split(concat!("_span", "!(\"")).skip(1);
                found.extend(macros.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())));
            }
        }
    }

    #[test]
    fn every_span_is_known() {
        let mut found = BTreeSet::new();
        spans(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
        assert_eq!(found, SPANS.map(ToOwned::to_owned).into());
    }
}
