//! The connection parameters of libpq, and which of them are supported here. Pure.

use crate::spelling;

/// A connection parameter.
#[derive(Debug)]
pub struct Keyword {
    pub name: &'static str,
    /// The environment variable that supplies the default.
    pub variable: Option<&'static str>,
    pub support: Support,
}

/// Whether a parameter is supported. An empty value is always accepted, as unset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// It means what it means to libpq.
    Supported,
    /// It means what it means to libpq, except that `values` are refused, for `reason`.
    SupportedExcept { reason: &'static str, values: &'static [&'static str] },
    /// It is accepted and changes nothing, for this reason.
    Ignored(&'static str),
    /// Only values that request nothing are accepted, for `reason`.
    Unsupported { reason: &'static str, accepted: &'static [&'static str] },
}

use Support::{Ignored, Supported, SupportedExcept, Unsupported};

const NO_GSSAPI: &str = "there is no GSSAPI in the collector";
const NO_OAUTH: &str = "the collector cannot log in with OAuth";
const NO_SCRAM_KEYS: &str = "the collector logs in with a password or a certificate, not with SCRAM keys";
const OWN_NAMES: &str = "powa-web finds the collector's sessions by the names that they have";

/// All parameters of libpq 18, in the order of its documentation.
pub const KEYWORDS: &[Keyword] = &[
    keyword("host", Some("PGHOST"), Supported),
    keyword("hostaddr", Some("PGHOSTADDR"), Supported),
    keyword("port", Some("PGPORT"), Supported),
    keyword("dbname", Some("PGDATABASE"), Supported),
    keyword("user", Some("PGUSER"), Supported),
    keyword("password", Some("PGPASSWORD"), Supported),
    keyword("passfile", Some("PGPASSFILE"), Supported),
    keyword("require_auth", Some("PGREQUIREAUTH"), Supported),
    keyword("channel_binding", Some("PGCHANNELBINDING"), Supported),
    keyword("connect_timeout", Some("PGCONNECT_TIMEOUT"), Supported),
    keyword("client_encoding", Some("PGCLIENTENCODING"), Ignored("all sessions speak UTF-8")),
    keyword("options", Some("PGOPTIONS"), Supported),
    keyword("application_name", Some("PGAPPNAME"), Ignored(OWN_NAMES)),
    keyword("fallback_application_name", None, Ignored(OWN_NAMES)),
    keyword("keepalives", None, Supported),
    keyword("keepalives_idle", None, Supported),
    keyword("keepalives_interval", None, Supported),
    keyword("keepalives_count", None, Supported),
    keyword("tcp_user_timeout", None, Supported),
    keyword(
        "replication",
        None,
        Unsupported {
            reason: "the collector's queries do not work in a replication session",
            accepted: &["false", "off", "no", "0"],
        },
    ),
    keyword("gssencmode", Some("PGGSSENCMODE"), Unsupported { reason: NO_GSSAPI, accepted: &["disable", "prefer"] }),
    keyword("sslmode", Some("PGSSLMODE"), Supported),
    keyword("sslnegotiation", Some("PGSSLNEGOTIATION"), Supported),
    keyword(
        "sslcompression",
        Some("PGSSLCOMPRESSION"),
        Ignored("TLS compression is never used: it leaks what is compressed through its length"),
    ),
    keyword("sslcert", Some("PGSSLCERT"), Supported),
    keyword("sslkey", Some("PGSSLKEY"), Supported),
    keyword(
        "sslkeylogfile",
        None,
        Unsupported { reason: "whoever reads the file can decrypt the collector's sessions", accepted: &[] },
    ),
    keyword("sslpassword", None, Supported),
    keyword(
        "sslcertmode",
        Some("PGSSLCERTMODE"),
        SupportedExcept { reason: "the collector does not check whether the server requests it", values: &["require"] },
    ),
    keyword("sslrootcert", Some("PGSSLROOTCERT"), Supported),
    keyword("sslcrl", Some("PGSSLCRL"), Supported),
    keyword("sslcrldir", Some("PGSSLCRLDIR"), Supported),
    keyword("sslsni", Some("PGSSLSNI"), Supported),
    keyword("requirepeer", Some("PGREQUIREPEER"), Supported),
    keyword("ssl_min_protocol_version", Some("PGSSLMINPROTOCOLVERSION"), Supported),
    keyword("ssl_max_protocol_version", Some("PGSSLMAXPROTOCOLVERSION"), Supported),
    keyword(
        "min_protocol_version",
        Some("PGMINPROTOCOLVERSION"),
        Unsupported { reason: "the collector speaks protocol version 3.0", accepted: &["3.0"] },
    ),
    keyword(
        "max_protocol_version",
        Some("PGMAXPROTOCOLVERSION"),
        Ignored("the collector speaks protocol version 3.0, which is always within this limit"),
    ),
    keyword("krbsrvname", Some("PGKRBSRVNAME"), Ignored(NO_GSSAPI)),
    keyword("gsslib", Some("PGGSSLIB"), Ignored(NO_GSSAPI)),
    keyword("gssdelegation", Some("PGGSSDELEGATION"), Unsupported { reason: NO_GSSAPI, accepted: &["0"] }),
    keyword("scram_client_key", None, Unsupported { reason: NO_SCRAM_KEYS, accepted: &[] }),
    keyword("scram_server_key", None, Unsupported { reason: NO_SCRAM_KEYS, accepted: &[] }),
    keyword("service", Some("PGSERVICE"), Supported),
    keyword("target_session_attrs", Some("PGTARGETSESSIONATTRS"), Supported),
    keyword("load_balance_hosts", Some("PGLOADBALANCEHOSTS"), Supported),
    keyword("oauth_issuer", None, Unsupported { reason: NO_OAUTH, accepted: &[] }),
    keyword("oauth_client_id", None, Unsupported { reason: NO_OAUTH, accepted: &[] }),
    keyword("oauth_client_secret", None, Unsupported { reason: NO_OAUTH, accepted: &[] }),
    keyword("oauth_scope", None, Unsupported { reason: NO_OAUTH, accepted: &[] }),
];

const fn keyword(name: &'static str, variable: Option<&'static str>, support: Support) -> Keyword {
    Keyword { name, variable, support }
}

impl Keyword {
    /// The keyword of exactly this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        KEYWORDS.iter().find(|keyword| keyword.name == name)
    }

    /// The keyword closest to an unknown name, to suggest it.
    pub fn nearest(name: &str) -> Option<&'static Self> {
        spelling::closest_match(name, KEYWORDS.iter().map(|keyword| keyword.name)).and_then(Self::named)
    }

    /// Why a value is refused; `None` if it is accepted.
    pub(super) fn refusal(&self, value: &str) -> Option<String> {
        let name = self.name;
        match self.support {
            _ if value.is_empty() => None,
            Supported | Ignored(_) => None,
            SupportedExcept { reason, values } => {
                values.contains(&value).then(|| format!("\"{name}={value}\" is not supported: {reason}"))
            }
            Unsupported { accepted, .. } if accepted.contains(&value) => None,
            Unsupported { reason, accepted: [] } => Some(format!("\"{name}\" is not supported: {reason}")),
            Unsupported { reason, accepted } => {
                Some(format!("\"{name}\" is not supported except as {}: {reason}", accepted.join(", ")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_keyword_is_there_once_and_so_is_its_variable() {
        for (position, keyword) in KEYWORDS.iter().enumerate() {
            let later = &KEYWORDS[position + 1..];
            assert!(!later.iter().any(|other| other.name == keyword.name), "{}", keyword.name);
            let is_shared = later.iter().any(|other| other.variable.is_some() && other.variable == keyword.variable);
            assert!(!is_shared, "{:?}", keyword.variable);
        }
    }

    #[test]
    fn each_refusal_names_the_keyword_and_the_reason() {
        let cases = [
            (
                "gssencmode",
                "require",
                Some("\"gssencmode\" is not supported except as disable, prefer: there is no GSSAPI"),
            ),
            ("gssencmode", "disable", None),
            ("gssencmode", "", None),
            ("gssdelegation", "0", None),
            ("gssdelegation", "1", Some("is not supported except as 0")),
            ("replication", "off", None),
            ("replication", "database", Some("do not work")),
            ("sslcertmode", "allow", None),
            ("sslcertmode", "disable", None),
            ("sslcertmode", "require", Some("\"sslcertmode=require\" is not supported: the collector does not check")),
            ("min_protocol_version", "3.0", None),
            ("min_protocol_version", "3.2", Some("version 3.0")),
            ("max_protocol_version", "latest", None),
            ("oauth_client_secret", "s3cret", Some("\"oauth_client_secret\" is not supported: ")),
            ("scram_client_key", "s3cret", Some("SCRAM keys")),
            ("sslkeylogfile", "/tmp/keys", Some("decrypt")),
            ("client_encoding", "LATIN1", None),
            ("password", "s3cret", None),
        ];
        for (name, value, expected) in cases {
            let refusal = Keyword::named(name).unwrap().refusal(value);
            match (&refusal, expected) {
                (None, None) => {}
                (Some(refusal), Some(expected)) if refusal.contains(expected) => {
                    assert!(!refusal.contains("s3cret"), "{refusal}");
                }
                _ => panic!("{name}={value}: {refusal:?}"),
            }
        }
    }

    #[test]
    fn the_document_has_every_keyword_with_its_variable_and_what_becomes_of_it() {
        let document = include_str!("../../../docs/connections.md");
        for Keyword { name, variable, support } in KEYWORDS {
            let variable = variable.map_or(String::new(), |variable| format!("`{variable}`"));
            let start = format!("| `{name}` | {variable} |");
            let line = document.lines().filter_map(|line| line.strip_prefix(&start)).collect::<Vec<_>>();
            let [line] = line[..] else { panic!("{start} is in {} lines", line.len()) };
            match support {
                Supported => assert!(!line.contains("refused") && !line.contains("no effect"), "{name}"),
                Ignored(reason) => assert!(line.contains(&format!("no effect: {reason}")), "{name}"),
                SupportedExcept { reason, values } => {
                    assert!(line.contains(&format!("refused: {reason}")), "{name}");
                    assert!(values.iter().all(|value| line.contains(&format!("`{value}`"))), "{name}");
                }
                Unsupported { reason, accepted } => {
                    assert!(line.contains(&format!("refused: {reason}")), "{name}");
                    assert!(accepted.iter().all(|value| line.contains(&format!("`{value}`"))), "{name}");
                }
            }
        }
    }
}
