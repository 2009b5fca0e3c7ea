//! Why there is no TLS with a server: in words, on one line, of bounded length, and without a secret.

use std::io;
use std::path::PathBuf;

use openssl::error::ErrorStack;
use openssl::ssl::{self, SslVersion};
use openssl::x509::{X509NameRef, X509Ref, X509StoreContextRef};

use crate::one_line::on_one_line;

/// Why there is no TLS with a server.
#[derive(Debug, thiserror::Error)]
pub(in crate::postgres) enum TlsError {
    #[error("the {what} {} {reason}", file.display())]
    File { what: &'static str, file: PathBuf, reason: String },
    #[error(
        "the server's certificate is to be verified, and there is no root certificate: {}; give sslrootcert a file that \
         is there, or the value \"system\"",
        looked_in.as_ref().map_or("there is no home folder to look for it in".to_owned(), |file| format!("no {}", file.display()))
    )]
    NoRootCertificate { looked_in: Option<PathBuf> },
    #[error("TLS cannot be set up: {}", in_short(.0))]
    Setup(#[source] ErrorStack),
    #[error(transparent)]
    Certificate(#[from] BadCertificate),
    #[error("the server's certificate is for {}, not for \"{}\"", listed(names), bounded(wanted))]
    OtherName { wanted: String, names: Vec<String> },
    #[error("the server speaks no version of TLS that is allowed here: {}", versions(*least, *most))]
    Version { least: Option<SslVersion>, most: Option<SslVersion> },
    #[error("the server does not offer TLS")]
    NotOffered,
    #[error("what the server speaks is not TLS")]
    NotTls,
    #[error("the server refused the handshake: {0}")]
    Refused(String),
    #[error("the server refused the connection: {0}")]
    RefusedUs(String),
    #[error("the server did not agree on the protocol \"postgresql\" (ALPN), which sslnegotiation=direct needs")]
    NoProtocol,
    #[error("the server agreed on another protocol than \"postgresql\" (ALPN)")]
    OtherProtocol,
    #[error("the connection was lost in the TLS handshake: {0}")]
    Lost(#[source] io::Error),
    #[error("the TLS handshake failed: {0}")]
    Handshake(String),
    #[error("TLS broke down: {0}")]
    Broken(String),
}

/// A certificate in a server's chain that did not pass, and by which of OpenSSL's numbers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{whose} ({subject}) {what}", whose = if self.depth == 0 { "the server's certificate" } else { "the certificate of an authority above the server's" })]
pub(in crate::postgres) struct BadCertificate {
    depth: u32,
    subject: String,
    what: String,
}

impl TlsError {
    /// The way there broke, or never was, or what came through it was damaged: it may pass.
    pub(in crate::postgres) fn is_lost(&self) -> bool {
        matches!(self, Self::Lost(_) | Self::Broken(_))
    }

    /// What OpenSSL says of a handshake.
    pub(super) fn of_handshake(error: ssl::Error, least: Option<SslVersion>, most: Option<SslVersion>) -> Self {
        let stack = match error.into_io_error() {
            Ok(error) => return Self::Lost(error),
            Err(error) => match error.ssl_error() {
                None => return Self::Lost(io::ErrorKind::UnexpectedEof.into()),
                Some(stack) => stack.clone(),
            },
        };
        let has = |looked_for: &[i32]| reasons(&stack).any(|reason| looked_for.contains(&reason));
        if has(&[reason::ALERT_PROTOCOL_VERSION, reason::UNSUPPORTED_PROTOCOL, reason::WRONG_SSL_VERSION]) {
            Self::Version { least, most }
        } else if has(&[reason::WRONG_VERSION_NUMBER, reason::HTTP_REQUEST]) {
            Self::NotTls
        } else if has(&[reason::NO_PROTOCOLS_AVAILABLE]) {
            Self::Setup(stack)
        } else {
            alert(&stack).map_or_else(|| Self::Handshake(in_short(&stack)), Self::Refused)
        }
    }
}

impl BadCertificate {
    /// The one that a verification has come to.
    pub(super) fn found(verification: &X509StoreContextRef) -> Self {
        let (depth, error) = (verification.error_depth(), verification.error());
        let certificate = verification.current_cert();
        let issuer = || certificate.map_or_else(String::new, |certificate| described(certificate.issuer_name()));
        let until = |certificate: &X509Ref| certificate.not_after().to_string();
        let since = |certificate: &X509Ref| certificate.not_before().to_string();
        let what = match error.as_raw() {
            problem::EXPIRED => {
                format!("has expired: it was valid until {}", certificate.map_or_else(String::new, until))
            }
            problem::NOT_YET_VALID => {
                format!("is not yet valid: it will be from {}", certificate.map_or_else(String::new, since))
            }
            problem::REVOKED => format!("has been revoked by {}", issuer()),
            problem::SELF_SIGNED => "is self-signed, and none of the root certificates".to_owned(),
            problem::NO_ISSUER | problem::NO_ISSUER_HERE | problem::UNVERIFIED | problem::UNKNOWN_ROOT => {
                format!("was issued by an unknown authority: {} is not among the root certificates", issuer())
            }
            problem::NO_CRL => {
                format!("cannot be verified: there is no list of what {} has revoked (sslcrl, sslcrldir)", issuer())
            }
            problem::CRL_EXPIRED => {
                format!("cannot be verified: the list of what {} has revoked (sslcrl, sslcrldir) has expired", issuer())
            }
            _ => format!("cannot be verified: {}", error.error_string()),
        };
        let subject =
            certificate.map_or_else(|| "none".to_owned(), |certificate| described(certificate.subject_name()));
        Self { depth, subject, what }
    }
}

/// What a server says about a connection by one of TLS' alerts, if that is what it has done. With TLS 1.3, what it thinks
/// of our certificate comes after the handshake.
pub(super) fn alert(stack: &ErrorStack) -> Option<String> {
    let is_alert = |error: &&openssl::error::Error| is_of_tls(error) && (1000..1256).contains(&error.reason_code());
    let error = stack.errors().iter().find(is_alert)?;
    let number = error.reason_code() - 1000;
    let said = match number {
        40 => "no cipher, certificate or key exchange suits both (handshake failure)",
        42 | 43 | 46 => "it does not take our certificate",
        44 => "our certificate has been revoked",
        45 => "our certificate has expired",
        48 => "it does not know the authority of our certificate (unknown CA)",
        49 => "access denied",
        51 => "our signature, or the key of our certificate, is not right (decrypt error)",
        71 => "what is allowed here is not secure enough for it",
        80 => "it has a problem of its own (internal error)",
        112 => "it does not know the name it was asked for (SNI)",
        116 => "it wants a certificate of ours (sslcert), and got none",
        120 => "it does not take the protocol \"postgresql\" (ALPN)",
        _ => error.reason().unwrap_or("an alert that means nothing to OpenSSL"),
    };
    Some(format!("{said}, alert {number}"))
}

fn reasons(stack: &ErrorStack) -> impl Iterator<Item = i32> {
    stack.errors().iter().filter(|error| is_of_tls(error)).map(openssl::error::Error::reason_code)
}

/// OpenSSL's parts number their reasons as they like.
fn is_of_tls(error: &openssl::error::Error) -> bool {
    const TLS: i32 = 20;
    error.library_code() == TLS
}

/// What OpenSSL says, without its sources' lines.
pub(super) fn in_short(stack: &ErrorStack) -> String {
    let mut reasons: Vec<&str> = Vec::new();
    for reason in stack.errors().iter().filter_map(openssl::error::Error::reason) {
        // Each of its layers says it again.
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    if reasons.is_empty() { "OpenSSL does not say why".to_owned() } else { bounded(&reasons.join(", ")) }
}

/// The name of a holder or an issuer, as it stands in a certificate.
fn described(name: &X509NameRef) -> String {
    let parts: Vec<_> = name
        .entries()
        .take(10)
        .map(|entry| {
            let key = entry.object().nid().short_name().unwrap_or("?");
            format!("{key}={}", String::from_utf8_lossy(entry.data().as_slice()))
        })
        .collect();
    if parts.is_empty() { "nameless".to_owned() } else { bounded(&parts.join(", ")) }
}

fn listed(names: &[String]) -> String {
    const MOST: usize = 5;
    let mut listed: Vec<_> = names.iter().take(MOST).map(|name| format!("\"{}\"", bounded(name))).collect();
    if names.len() > MOST {
        listed.push(format!("{} more", names.len() - MOST));
    }
    if listed.is_empty() { "no name at all".to_owned() } else { listed.join(", ") }
}

fn versions(least: Option<SslVersion>, most: Option<SslVersion>) -> String {
    let name = |version| match version {
        SslVersion::TLS1 => "TLS 1.0",
        SslVersion::TLS1_1 => "TLS 1.1",
        SslVersion::TLS1_2 => "TLS 1.2",
        _ => "TLS 1.3",
    };
    match (least.map(name), most.map(name)) {
        (Some(least), Some(most)) if least == most => least.to_owned(),
        (Some(least), Some(most)) => format!("{least} to {most}"),
        (Some(least), None) => format!("{least} or newer"),
        (None, Some(most)) => format!("{most} or older"),
        (None, None) => "any that OpenSSL has".to_owned(),
    }
}

/// As much of it as fits into a log, on one line.
fn bounded(text: &str) -> String {
    const LONGEST: usize = 200;
    let line = on_one_line(text);
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line.into_owned(),
    }
}

/// Reasons for which OpenSSL ends a handshake.
mod reason {
    pub(super) const HTTP_REQUEST: i32 = 156;
    pub(super) const NO_PROTOCOLS_AVAILABLE: i32 = 191;
    pub(super) const UNSUPPORTED_PROTOCOL: i32 = 258;
    pub(super) const WRONG_SSL_VERSION: i32 = 266;
    pub(super) const WRONG_VERSION_NUMBER: i32 = 267;
    pub(super) const ALERT_PROTOCOL_VERSION: i32 = 1070;
}

/// What OpenSSL finds wrong with certificates.
mod problem {
    pub(super) const NO_ISSUER: i32 = 2;
    pub(super) const NO_CRL: i32 = 3;
    pub(super) const NOT_YET_VALID: i32 = 9;
    pub(super) const EXPIRED: i32 = 10;
    pub(super) const CRL_EXPIRED: i32 = 12;
    pub(super) const SELF_SIGNED: i32 = 18;
    pub(super) const UNKNOWN_ROOT: i32 = 19;
    pub(super) const NO_ISSUER_HERE: i32 = 20;
    pub(super) const UNVERIFIED: i32 = 21;
    pub(super) const REVOKED: i32 = 23;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_certificate_says_stays_on_its_line_and_is_not_all_told() {
        let other = |names: &[&str]| {
            let names = names.iter().map(ToString::to_string).collect();
            TlsError::OtherName { wanted: "db".to_owned(), names }.to_string()
        };
        assert_eq!(other(&["a", "b"]), "the server's certificate is for \"a\", \"b\", not for \"db\"");
        assert_eq!(other(&[]), "the server's certificate is for no name at all, not for \"db\"");
        assert_eq!(
            other(&["a\nERROR\x1b[0m"]),
            "the server's certificate is for \"a\\nERROR\\u{1b}[0m\", not for \"db\""
        );
        let told = other(&["é".repeat(10_000).as_str(); 1000]);
        assert!(told.contains("995 more") && told.chars().count() < 1200, "{told}");
    }

    #[test]
    fn versions_are_told_as_they_are_allowed() {
        let version = |least, most| TlsError::Version { least, most }.to_string();
        assert!(version(Some(SslVersion::TLS1_2), None).ends_with(": TLS 1.2 or newer"));
        assert!(version(Some(SslVersion::TLS1), Some(SslVersion::TLS1_1)).ends_with(": TLS 1.0 to TLS 1.1"));
        assert!(version(Some(SslVersion::TLS1_3), Some(SslVersion::TLS1_3)).ends_with(": TLS 1.3"));
    }
}
