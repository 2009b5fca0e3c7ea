//! The connection parameters that libpq knows, and what becomes of each here. Pure.

use crate::spelling;

/// A connection parameter.
#[derive(Debug)]
pub struct Keyword {
    pub name: &'static str,
    /// The environment variable that gives it where nothing else does.
    pub variable: Option<&'static str>,
    pub support: Support,
}

/// What becomes of a parameter. An empty value asks for nothing, and may always be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// It means what it means to libpq.
    Taken,
    /// Likewise, but for some values: whoever wants one of these cannot have it, for the reason.
    TakenExcept { reason: &'static str, values: &'static [&'static str] },
    /// It may be there, and changes nothing, for the reason.
    WithoutEffect(&'static str),
    /// Whoever wants it cannot have it, for the reason. The values that ask for nothing are taken.
    Refused { reason: &'static str, harmless: &'static [&'static str] },
}

use Support::{Refused, Taken, TakenExcept, WithoutEffect};

const NO_GSSAPI: &str = "there is no GSSAPI in the collector";
const NO_OAUTH: &str = "the collector cannot log in with OAuth";
const NO_SCRAM_KEYS: &str = "the collector logs in with a password or a certificate, not with SCRAM keys";
const OWN_NAMES: &str = "powa-web finds the collector's sessions by the names that they have";

/// All of them, through libpq 18, in the order of its documentation.
pub const KEYWORDS: &[Keyword] = &[
    keyword("host", Some("PGHOST"), Taken),
    keyword("hostaddr", Some("PGHOSTADDR"), Taken),
    keyword("port", Some("PGPORT"), Taken),
    keyword("dbname", Some("PGDATABASE"), Taken),
    keyword("user", Some("PGUSER"), Taken),
    keyword("password", Some("PGPASSWORD"), Taken),
    keyword("passfile", Some("PGPASSFILE"), Taken),
    keyword("require_auth", Some("PGREQUIREAUTH"), Taken),
    keyword("channel_binding", Some("PGCHANNELBINDING"), Taken),
    keyword("connect_timeout", Some("PGCONNECT_TIMEOUT"), Taken),
    keyword("client_encoding", Some("PGCLIENTENCODING"), WithoutEffect("all sessions speak UTF-8")),
    keyword("options", Some("PGOPTIONS"), Taken),
    keyword("application_name", Some("PGAPPNAME"), WithoutEffect(OWN_NAMES)),
    keyword("fallback_application_name", None, WithoutEffect(OWN_NAMES)),
    keyword("keepalives", None, Taken),
    keyword("keepalives_idle", None, Taken),
    keyword("keepalives_interval", None, Taken),
    keyword("keepalives_count", None, Taken),
    keyword("tcp_user_timeout", None, Taken),
    keyword(
        "replication",
        None,
        Refused {
            reason: "a replication session takes no queries of the collector's",
            harmless: &["false", "off", "no", "0"],
        },
    ),
    keyword("gssencmode", Some("PGGSSENCMODE"), Refused { reason: NO_GSSAPI, harmless: &["disable", "prefer"] }),
    keyword("sslmode", Some("PGSSLMODE"), Taken),
    keyword("sslnegotiation", Some("PGSSLNEGOTIATION"), Taken),
    keyword(
        "sslcompression",
        Some("PGSSLCOMPRESSION"),
        WithoutEffect("TLS is never compressed: what is compressed can be guessed from its length"),
    ),
    keyword("sslcert", Some("PGSSLCERT"), Taken),
    keyword("sslkey", Some("PGSSLKEY"), Taken),
    keyword(
        "sslkeylogfile",
        None,
        Refused { reason: "with the keys of its sessions, anybody can read along", harmless: &[] },
    ),
    keyword("sslpassword", None, Taken),
    keyword(
        "sslcertmode",
        Some("PGSSLCERTMODE"),
        TakenExcept { reason: "nobody watches whether the server asks for the certificate", values: &["require"] },
    ),
    keyword("sslrootcert", Some("PGSSLROOTCERT"), Taken),
    keyword("sslcrl", Some("PGSSLCRL"), Taken),
    keyword("sslcrldir", Some("PGSSLCRLDIR"), Taken),
    keyword("sslsni", Some("PGSSLSNI"), Taken),
    keyword("requirepeer", Some("PGREQUIREPEER"), Taken),
    keyword("ssl_min_protocol_version", Some("PGSSLMINPROTOCOLVERSION"), Taken),
    keyword("ssl_max_protocol_version", Some("PGSSLMAXPROTOCOLVERSION"), Taken),
    keyword(
        "min_protocol_version",
        Some("PGMINPROTOCOLVERSION"),
        Refused { reason: "version 3.0 of the protocol is spoken", harmless: &["3.0"] },
    ),
    keyword(
        "max_protocol_version",
        Some("PGMAXPROTOCOLVERSION"),
        WithoutEffect("version 3.0 of the protocol is spoken, which is the least that may be named"),
    ),
    keyword("krbsrvname", Some("PGKRBSRVNAME"), WithoutEffect(NO_GSSAPI)),
    keyword("gsslib", Some("PGGSSLIB"), WithoutEffect(NO_GSSAPI)),
    keyword("gssdelegation", Some("PGGSSDELEGATION"), Refused { reason: NO_GSSAPI, harmless: &["0"] }),
    keyword("scram_client_key", None, Refused { reason: NO_SCRAM_KEYS, harmless: &[] }),
    keyword("scram_server_key", None, Refused { reason: NO_SCRAM_KEYS, harmless: &[] }),
    keyword("service", Some("PGSERVICE"), Taken),
    keyword("target_session_attrs", Some("PGTARGETSESSIONATTRS"), Taken),
    keyword("load_balance_hosts", Some("PGLOADBALANCEHOSTS"), Taken),
    keyword("oauth_issuer", None, Refused { reason: NO_OAUTH, harmless: &[] }),
    keyword("oauth_client_id", None, Refused { reason: NO_OAUTH, harmless: &[] }),
    keyword("oauth_client_secret", None, Refused { reason: NO_OAUTH, harmless: &[] }),
    keyword("oauth_scope", None, Refused { reason: NO_OAUTH, harmless: &[] }),
];

/// A line of the table.
const fn keyword(name: &'static str, variable: Option<&'static str>, support: Support) -> Keyword {
    Keyword { name, variable, support }
}

impl Keyword {
    /// The keyword of that name, which has to be written exactly so.
    pub fn named(name: &str) -> Option<&'static Self> {
        KEYWORDS.iter().find(|keyword| keyword.name == name)
    }

    /// The keyword that somebody may have meant by a name that there is not.
    pub fn nearest(name: &str) -> Option<&'static Self> {
        spelling::most_alike(name, KEYWORDS.iter().map(|keyword| keyword.name)).and_then(Self::named)
    }

    /// Why a value cannot be had, if that is so.
    pub(super) fn refusal(&self, value: &str) -> Option<String> {
        let name = self.name;
        match self.support {
            _ if value.is_empty() => None,
            Taken | WithoutEffect(_) => None,
            TakenExcept { reason, values } => {
                values.contains(&value).then(|| format!("\"{name}={value}\" cannot be had: {reason}"))
            }
            Refused { harmless, .. } if harmless.contains(&value) => None,
            Refused { reason, harmless: [] } => Some(format!("\"{name}\" cannot be had: {reason}")),
            Refused { reason, harmless } => {
                Some(format!("\"{name}\" cannot be had but as {}: {reason}", harmless.join(", ")))
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
    fn what_is_refused_is_refused_by_name_and_for_a_reason() {
        let cases = [
            ("gssencmode", "require", Some("\"gssencmode\" cannot be had but as disable, prefer: there is no GSSAPI")),
            ("gssencmode", "disable", None),
            ("gssencmode", "", None),
            ("gssdelegation", "0", None),
            ("gssdelegation", "1", Some("cannot be had but as 0")),
            ("replication", "off", None),
            ("replication", "database", Some("takes no queries")),
            ("sslcertmode", "allow", None),
            ("sslcertmode", "disable", None),
            ("sslcertmode", "require", Some("\"sslcertmode=require\" cannot be had: nobody watches")),
            ("min_protocol_version", "3.0", None),
            ("min_protocol_version", "3.2", Some("version 3.0")),
            ("max_protocol_version", "latest", None),
            ("oauth_client_secret", "s3cret", Some("\"oauth_client_secret\" cannot be had: ")),
            ("scram_client_key", "s3cret", Some("SCRAM keys")),
            ("sslkeylogfile", "/tmp/keys", Some("read along")),
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
        let document = include_str!("../../docs/connections.md");
        for Keyword { name, variable, support } in KEYWORDS {
            let variable = variable.map_or(String::new(), |variable| format!("`{variable}`"));
            let start = format!("| `{name}` | {variable} |");
            let told = document.lines().filter_map(|line| line.strip_prefix(&start)).collect::<Vec<_>>();
            let [told] = told[..] else { panic!("{start} is in {} lines", told.len()) };
            match support {
                Taken => assert!(!told.contains("refused") && !told.contains("no effect"), "{name}"),
                WithoutEffect(reason) => assert!(told.contains(&format!("no effect: {reason}")), "{name}"),
                TakenExcept { reason, values } => {
                    assert!(told.contains(&format!("refused: {reason}")), "{name}");
                    assert!(values.iter().all(|value| told.contains(&format!("`{value}`"))), "{name}");
                }
                Refused { reason, harmless } => {
                    assert!(told.contains(&format!("refused: {reason}")), "{name}");
                    assert!(harmless.iter().all(|value| told.contains(&format!("`{value}`"))), "{name}");
                }
            }
        }
    }
}
