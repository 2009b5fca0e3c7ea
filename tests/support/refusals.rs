//! The error of a collector that cannot connect, where the error of psql is known.

use std::net::IpAddr;

use lab::Cluster;

use super::Case;

/// Words of psql's errors, and the collector's for the same reason. Words that psql uses for several reasons are not here:
/// the case has to name its reason.
const WORDS: &[(&str, &str)] = &[
    ("pg_hba.conf rejects connection", "FATAL: pg_hba.conf rejects connection for host"),
    ("server does not support SSL", "the server does not offer TLS"),
    ("root certificate file", "the server's certificate cannot be verified without a root certificate"),
    ("does not match host name", "the server's certificate is for"),
    ("SSL error", "the server supports none of the allowed TLS versions"),
    ("SSL SYSCALL error", "the connection was lost in the TLS handshake"),
    ("authentication method", "but require_auth does not allow that"),
    ("password authentication failed", "FATAL: password authentication failed for user"),
    ("no password supplied", "the server asks for a password, but none is configured"),
    ("certificate authentication failed", "FATAL: certificate authentication failed for user"),
    ("requires a valid client certificate", "FATAL: connection requires a valid client certificate"),
    ("unknown ca", "the server does not know the authority of our certificate (unknown CA)"),
    ("expired", "our certificate has expired"),
    ("revoked", "our certificate has been revoked"),
    ("certificate does not match private key file", "does not match the private key"),
    ("private key file", "does not exist, but its certificate does"),
    ("group or world access", "can be used by others"),
    ("is not a regular file", "is not a regular file"),
];

/// The words that the collector's error must contain for a case that psql refuses.
pub(super) fn words_for(case: &Case) -> &'static str {
    let of_psql = case.expected;
    let known = || WORDS.iter().find(|(psql, _)| *psql == of_psql).map(|(_, ours)| *ours);
    case.because.or_else(known).unwrap_or_else(|| panic!("{of_psql:?} has several reasons: which is it in {case:?}?"))
}

/// Checks that an error names the server, the address that was tried and whether TLS was used, and contains these words.
///
/// # Errors
/// What is missing.
pub(super) fn check_message(message: &str, case: &Case, server: &Cluster, words: &str) -> Result<(), String> {
    let whole = format!("could not connect to {}:{}, database \"powa\" (remote server): ", case.host, server.port());
    let Some(message) = message.strip_prefix(&whole) else { return Err(format!("it does not begin with {whole:?}")) };
    let is_socket = case.host.starts_with('/');
    let addresses = match case.host.parse::<IpAddr>() {
        Ok(_) => vec![],
        Err(_) if is_socket => vec![format!("{}/.s.PGSQL.{}", case.host, server.port())],
        Err(_) => vec!["127.0.0.1".to_owned(), "::1".to_owned()],
    };
    if !addresses.is_empty() && !addresses.iter().any(|address| message.starts_with(address)) {
        return Err(format!("it does not tell which of {addresses:?} was tried"));
    }
    let mode = case.given.iter().find(|(keyword, _)| *keyword == "sslmode").map(|(_, mode)| mode.as_str());
    let [over, without] = ["over TLS", "without TLS"].map(|text| message.contains(text));
    let is_told = match mode {
        _ if words == "the server does not offer TLS" => !over && !without,
        _ if is_socket => without && !over,
        Some("disable") => without && !over,
        Some("require" | "verify-ca" | "verify-full") => over && !without,
        _ => over || without,
    };
    if !is_told {
        return Err(format!("it tells over TLS: {over}, without TLS: {without}"));
    }
    if message.contains(words) { Ok(()) } else { Err(format!("it does not say {words:?}")) }
}
