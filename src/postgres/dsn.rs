//! Parses a connection string. What is wrong with one is told without quoting it: what is misplaced in it may be part of
//! a password. Pure.

use std::borrow::Cow;
use std::error::Error;

use tokio_postgres::Config;

use crate::libpq::Conninfo;

/// What libpq knows. These names are not anybody's password.
const OPTIONS: &[&str] = &[
    "application_name",
    "channel_binding",
    "client_encoding",
    "connect_timeout",
    "dbname",
    "fallback_application_name",
    "gssdelegation",
    "gssencmode",
    "gsslib",
    "host",
    "hostaddr",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "krbsrvname",
    "load_balance_hosts",
    "options",
    "passfile",
    "password",
    "port",
    "replication",
    "require_auth",
    "requirepeer",
    "requiressl",
    "service",
    "ssl_max_protocol_version",
    "ssl_min_protocol_version",
    "sslcert",
    "sslcertmode",
    "sslcompression",
    "sslcrl",
    "sslcrldir",
    "sslkey",
    "sslmode",
    "sslnegotiation",
    "sslpassword",
    "sslrootcert",
    "sslsni",
    "target_session_attrs",
    "tcp_user_timeout",
    "user",
];

/// What was given, as the driver has it.
///
/// # Errors
/// It has something in it that the driver does not know.
pub(super) fn in_the_drivers_form(given: &Conninfo) -> Result<Config, String> {
    let quoted = |value: &str| value.replace('\\', "\\\\").replace('\'', "\\'");
    let pairs = OPTIONS.iter().filter_map(|name| Some(format!("{name}='{}' ", quoted(given.get(name)?))));
    parse(&pairs.collect::<String>())
}

/// Parses a URI, or pairs of name and value.
///
/// # Errors
/// It is neither, or has something in it that the driver does not know.
pub(super) fn parse(text: &str) -> Result<Config, String> {
    let uri = text.strip_prefix("postgresql://").or_else(|| text.strip_prefix("postgres://"));
    if uri.is_some_and(is_ambiguous) {
        return Err("in a URI, the characters @ / ? = and % of a password or a name are written \
            %40 %2F %3F %3D and %25"
            .into());
    }
    in_the_drivers_words(text).parse().map_err(|error| reason(&error))
}

/// The driver knows `read-write`, and not the newer `primary`, which is what the repository has to be anyhow.
fn in_the_drivers_words(dsn: &str) -> Cow<'_, str> {
    const KEY: &str = "target_session_attrs";
    let values = dsn.match_indices(KEY).filter_map(|(at, _)| {
        let value = dsn[at + KEY.len()..].trim_start().strip_prefix('=')?.trim_start();
        value.strip_prefix('\'').unwrap_or(value).strip_prefix("primary")
    });
    match values.map(|after| dsn.len() - after.len()).next() {
        Some(end) => Cow::Owned(format!("{}any{}", &dsn[..end - "primary".len()], &dsn[end..])),
        None => Cow::Borrowed(dsn),
    }
}

/// Where a password seems to go on as a host or a database: these are named in messages.
fn is_ambiguous(uri: &str) -> bool {
    let (authority, rest) = uri.split_at(uri.find('/').unwrap_or(uri.len()));
    let path = rest.split('?').next().unwrap_or_default();
    match authority.split_once('@') {
        None => rest.contains('@'),
        Some((credentials, hosts)) => {
            let has_parameter = credentials.split_once('?').is_some_and(|(_, after)| after.contains('='));
            has_parameter || hosts.split('?').next().is_some_and(|hosts| hosts.contains('@')) || path.contains('@')
        }
    }
}

fn reason(error: &tokio_postgres::Error) -> String {
    let said = error.source().map_or_else(|| error.to_string(), ToString::to_string);
    if let Some(option) = said.strip_prefix("unknown option `").and_then(|rest| rest.strip_suffix('`')) {
        return unknown(option);
    }
    match said.split_once(" but got ") {
        Some((expected, _)) => format!("{expected}; a value with spaces has to be in single quotes"),
        None => said,
    }
}

fn unknown(option: &str) -> String {
    if OPTIONS.contains(&option) {
        return format!("option \"{option}\" is not supported");
    }
    let likeness = |known: &&str| strsim::jaro_winkler(option, known);
    match OPTIONS.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b))).filter(|known| likeness(known) > 0.85) {
        Some(nearest) => format!("an option in it is not known; did you mean \"{nearest}\"?"),
        None => "an option in it is not known; a value with spaces has to be in single quotes".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_told_without_quoting_it() {
        let cases = [
            ("host=a password=s3cret nonsense=1", "an option in it is not known; a value with spaces"),
            ("host=a password=my s3cret=1", "an option in it is not known; a value with spaces"),
            ("host=a password=my s3cret d", "expected `=`; a value with spaces"),
            ("host=a password=my s3cret", "unexpected EOF"),
            ("host=a password='s3cret", "unterminated quoted connection parameter value"),
            ("host=a port=s3cret", "invalid value for option `port`"),
            ("host=a sslmod=require", "an option in it is not known; did you mean \"sslmode\"?"),
            ("host=a sslcrl=/s3cret", "option \"sslcrl\" is not supported"),
            ("postgresql://u:p@s3cret@h/d", "%40"),
            ("postgresql://u:p@s3cret/x@h/d", "%40"),
            ("postgresql://u:p/s3cret@h/d", "%2F"),
            ("postgresql://u:p?s3cret=1@h/d", "%3F"),
            ("postgresql://h/d?user=u&password=p@s3cret", "%40"),
            ("postgresql://h?user=u&password=p@s3cret", "%40"),
            ("postgresql://u:p@h:s3cret/d", "invalid value for option `port`"),
            ("postgresql://u:p@h/d?s3cret", "unterminated parameter"),
            ("postgresql://u:%ffs3cret@h/d?user=%ff", "utf-8"),
        ];
        for (text, expected) in cases {
            let error = parse(text).err().unwrap_or_else(|| panic!("{text} is taken"));
            assert!(error.contains(expected), "{text}: {error}");
            assert!(!error.contains("s3cret"), "{text}: {error}");
        }
    }

    #[test]
    fn what_libpq_takes_is_taken() {
        for text in [
            "",
            "host=h password='my s3cret' dbname=d",
            "postgresql://",
            "postgresql:///d",
            "postgres://u@h/d",
            "postgresql://u:p?w#x@h:5432,h2:5433/d?target_session_attrs=read-write&application_name=a@b",
            "postgresql://u:p%40%2F@[::1]:5432/d",
        ] {
            assert!(parse(text).is_ok(), "{text}: {:?}", parse(text).err());
        }
    }

    #[test]
    fn a_primary_may_be_asked_for() {
        let cases = [
            ("host=a target_session_attrs = 'primary' port=1", "host=a target_session_attrs = 'any' port=1"),
            ("postgresql://a/b?target_session_attrs=primary", "postgresql://a/b?target_session_attrs=any"),
            ("host=a target_session_attrs=read-write", "host=a target_session_attrs=read-write"),
            ("host=primary", "host=primary"),
        ];
        for (dsn, expected) in cases {
            assert_eq!(in_the_drivers_words(dsn), expected);
            assert!(in_the_drivers_words(dsn).parse::<Config>().is_ok(), "{dsn}");
        }
        assert_eq!(in_the_drivers_words("target_session_attrs=standby"), "target_session_attrs=standby");
    }
}
