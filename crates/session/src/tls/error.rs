//! Why a TLS connection failed: one line, of bounded length, without secrets.

use std::io;
use std::path::PathBuf;

use openssl::error::ErrorStack;
use openssl::ssl::{self, SslVersion};
use openssl::x509::{X509NameRef, X509Ref, X509StoreContextRef};

use crate::one_line::on_one_line;

/// Why a TLS connection failed.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("the {what} {} {reason}", file.display())]
    File { what: &'static str, file: PathBuf, reason: String },
    #[error(
        "the server's certificate cannot be verified without a root certificate: {}; set sslrootcert to an existing file \
        or to \"system\"",
        looked_in.as_ref().map_or("sslrootcert is not set, and there is no home directory".to_owned(), |file| format!("{} does not exist", file.display()))
    )]
    NoRootCertificate { looked_in: Option<PathBuf> },
    #[error("TLS cannot be set up: {}", in_short(.0))]
    Setup(#[source] ErrorStack),
    #[error(transparent)]
    Certificate(#[from] BadCertificate),
    #[error("the server's certificate is for {}, not for \"{}\"", listed(names), bounded(wanted))]
    OtherName { wanted: String, names: Vec<String> },
    #[error("the server supports none of the allowed TLS versions: {}", versions(*min_version, *max_version))]
    Version { min_version: Option<SslVersion>, max_version: Option<SslVersion> },
    #[error("the server does not offer TLS")]
    NotOffered,
    #[error("the server's answer is not TLS")]
    NotTls,
    #[error("the server refused the handshake: {0}")]
    Refused(String),
    #[error("the server refused the connection: {0}")]
    RefusedAfterHandshake(String),
    #[error("the server did not negotiate the protocol \"postgresql\" (ALPN), which sslnegotiation=direct requires")]
    NoProtocol,
    #[error("the server negotiated a protocol other than \"postgresql\" (ALPN)")]
    OtherProtocol,
    #[error("the connection was lost in the TLS handshake: {0}")]
    Lost(#[source] io::Error),
    #[error("the TLS handshake failed: {0}")]
    Handshake(String),
    #[error("the TLS connection failed: {0}")]
    Broken(String),
}

/// A certificate in the server's chain that failed verification.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{whose} ({subject}) {what}", whose = if self.depth == 0 { "the server's certificate" } else { "the certificate of an authority above the server's" })]
pub struct BadCertificate {
    depth: u32,
    subject: String,
    what: String,
}

impl TlsError {
    /// The connection was lost or its data damaged; a retry may succeed.
    pub fn is_lost(&self) -> bool {
        matches!(self, Self::Lost(_) | Self::Broken(_))
    }

    /// Converts an OpenSSL error of a handshake.
    pub(crate) fn of_handshake(
        error: ssl::Error,
        min_version: Option<SslVersion>,
        max_version: Option<SslVersion>,
    ) -> Self {
        let stack = match error.into_io_error() {
            Ok(error) => return Self::Lost(error),
            Err(error) => match error.ssl_error() {
                None => return Self::Lost(io::ErrorKind::UnexpectedEof.into()),
                Some(stack) => stack.clone(),
            },
        };
        let has = |looked_for: &[i32]| reasons(&stack).any(|reason| looked_for.contains(&reason));
        if has(&[reason::ALERT_PROTOCOL_VERSION, reason::UNSUPPORTED_PROTOCOL, reason::WRONG_SSL_VERSION]) {
            Self::Version { min_version, max_version }
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
    /// The certificate that a verification failed at.
    pub(crate) fn found(verification: &X509StoreContextRef) -> Self {
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
                format!("is not yet valid: it is valid from {}", certificate.map_or_else(String::new, since))
            }
            problem::REVOKED => format!("has been revoked by {}", issuer()),
            problem::SELF_SIGNED => "is self-signed, and is not among the root certificates".to_owned(),
            problem::NO_ISSUER | problem::NO_ISSUER_HERE | problem::UNVERIFIED | problem::UNKNOWN_ROOT => {
                format!("was issued by an unknown authority: {} is not among the root certificates", issuer())
            }
            problem::NO_CRL => {
                format!(
                    "cannot be verified: there is no certificate revocation list of {} (sslcrl, sslcrldir)",
                    issuer()
                )
            }
            problem::CRL_EXPIRED => {
                format!(
                    "cannot be verified: the certificate revocation list of {} (sslcrl, sslcrldir) has expired",
                    issuer()
                )
            }
            _ => format!("cannot be verified: {}", error.error_string()),
        };
        let subject =
            certificate.map_or_else(|| "none".to_owned(), |certificate| described(certificate.subject_name()));
        Self { depth, subject, what }
    }
}

/// The TLS alert that a server sent, if any. With TLS 1.3, an alert about our certificate arrives after the handshake.
pub(crate) fn alert(stack: &ErrorStack) -> Option<String> {
    let is_alert = |error: &&openssl::error::Error| is_of_tls(error) && (1000..1256).contains(&error.reason_code());
    let error = stack.errors().iter().find(is_alert)?;
    let number = error.reason_code() - 1000;
    let message = match number {
        40 => "server and client have no cipher, certificate or key exchange in common (handshake failure)",
        42 | 43 | 46 => "the server does not accept our certificate",
        44 => "our certificate has been revoked",
        45 => "our certificate has expired",
        48 => "the server does not know the authority of our certificate (unknown CA)",
        49 => "access denied",
        51 => "our signature or the key of our certificate is wrong (decrypt error)",
        71 => "the allowed versions or ciphers are not secure enough for the server (insufficient security)",
        80 => "the server has an internal error",
        112 => "the server does not know the requested host name (SNI)",
        116 => "the server requires a client certificate (sslcert), but got none",
        120 => "the server does not accept the protocol \"postgresql\" (ALPN)",
        _ => error.reason().unwrap_or("unknown alert"),
    };
    Some(format!("{message}, alert {number}"))
}

fn reasons(stack: &ErrorStack) -> impl Iterator<Item = i32> {
    stack.errors().iter().filter(|error| is_of_tls(error)).map(openssl::error::Error::reason_code)
}

/// Reason codes are unique only within a library of OpenSSL.
fn is_of_tls(error: &openssl::error::Error) -> bool {
    const TLS: i32 = 20;
    error.library_code() == TLS
}

/// OpenSSL's reasons, without source lines.
pub(crate) fn in_short(stack: &ErrorStack) -> String {
    let mut reasons: Vec<&str> = Vec::new();
    for reason in stack.errors().iter().filter_map(openssl::error::Error::reason) {
        // Several layers report the same reason.
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    if reasons.is_empty() { "OpenSSL gives no reason".to_owned() } else { bounded(&reasons.join(", ")) }
}

/// The subject or issuer of a certificate.
fn described(name: &X509NameRef) -> String {
    let parts: Vec<_> = name
        .entries()
        .take(10)
        .map(|entry| {
            let key = entry.object().nid().short_name().unwrap_or("?");
            format!("{key}={}", String::from_utf8_lossy(entry.data().as_slice()))
        })
        .collect();
    if parts.is_empty() { "unnamed".to_owned() } else { bounded(&parts.join(", ")) }
}

fn listed(names: &[String]) -> String {
    const MOST: usize = 5;
    let mut listed: Vec<_> = names.iter().take(MOST).map(|name| format!("\"{}\"", bounded(name))).collect();
    if names.len() > MOST {
        listed.push(format!("{} more", names.len() - MOST));
    }
    if listed.is_empty() { "no name".to_owned() } else { listed.join(", ") }
}

fn versions(min_version: Option<SslVersion>, max_version: Option<SslVersion>) -> String {
    let name = |version| match version {
        SslVersion::TLS1 => "TLS 1.0",
        SslVersion::TLS1_1 => "TLS 1.1",
        SslVersion::TLS1_2 => "TLS 1.2",
        _ => "TLS 1.3",
    };
    match (min_version.map(name), max_version.map(name)) {
        (Some(min_version), Some(max_version)) if min_version == max_version => min_version.to_owned(),
        (Some(min_version), Some(max_version)) => format!("{min_version} to {max_version}"),
        (Some(min_version), None) => format!("{min_version} or newer"),
        (None, Some(max_version)) => format!("{max_version} or older"),
        (None, None) => "any version that OpenSSL supports".to_owned(),
    }
}

/// The text on one line, shortened for the log.
fn bounded(text: &str) -> String {
    const LONGEST: usize = 200;
    let line = on_one_line(text);
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line.into_owned(),
    }
}

/// OpenSSL's reason codes for a failed handshake.
mod reason {
    pub(crate) const HTTP_REQUEST: i32 = 156;
    pub(crate) const NO_PROTOCOLS_AVAILABLE: i32 = 191;
    pub(crate) const UNSUPPORTED_PROTOCOL: i32 = 258;
    pub(crate) const WRONG_SSL_VERSION: i32 = 266;
    pub(crate) const WRONG_VERSION_NUMBER: i32 = 267;
    pub(crate) const ALERT_PROTOCOL_VERSION: i32 = 1070;
}

/// OpenSSL's verification errors.
mod problem {
    pub(crate) const NO_ISSUER: i32 = 2;
    pub(crate) const NO_CRL: i32 = 3;
    pub(crate) const NOT_YET_VALID: i32 = 9;
    pub(crate) const EXPIRED: i32 = 10;
    pub(crate) const CRL_EXPIRED: i32 = 12;
    pub(crate) const SELF_SIGNED: i32 = 18;
    pub(crate) const UNKNOWN_ROOT: i32 = 19;
    pub(crate) const NO_ISSUER_HERE: i32 = 20;
    pub(crate) const UNVERIFIED: i32 = 21;
    pub(crate) const REVOKED: i32 = 23;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_certificates_are_one_line_of_bounded_length() {
        let other = |names: &[&str]| {
            let names = names.iter().map(ToString::to_string).collect();
            TlsError::OtherName { wanted: "db".to_owned(), names }.to_string()
        };
        assert_eq!(other(&["a", "b"]), "the server's certificate is for \"a\", \"b\", not for \"db\"");
        assert_eq!(other(&[]), "the server's certificate is for no name, not for \"db\"");
        assert_eq!(
            other(&["a\nERROR\x1b[0m"]),
            "the server's certificate is for \"a\\nERROR\\u{1b}[0m\", not for \"db\""
        );
        let output = other(&["é".repeat(10_000).as_str(); 1000]);
        assert!(output.contains("995 more") && output.chars().count() < 1200, "{output}");
    }

    #[test]
    fn versions_are_told_as_they_are_allowed() {
        let version = |min_version, max_version| TlsError::Version { min_version, max_version }.to_string();
        assert!(version(Some(SslVersion::TLS1_2), None).ends_with(": TLS 1.2 or newer"));
        assert!(version(Some(SslVersion::TLS1), Some(SslVersion::TLS1_1)).ends_with(": TLS 1.0 to TLS 1.1"));
        assert!(version(Some(SslVersion::TLS1_3), Some(SslVersion::TLS1_3)).ends_with(": TLS 1.3"));
    }
}
