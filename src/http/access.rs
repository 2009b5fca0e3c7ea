//! Who may send requests, and whether the connection is encrypted.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::http::HeaderMap;
use axum::http::header::HOST;
use axum::http::uri::Authority;
use openssl::ssl::SslAcceptor;

use super::auth::Tokens;
use crate::config::{ApiAccess, Http};

/// The access rules of one configuration. A reload that changes them makes a new policy and revokes this one.
#[derive(Default)]
pub(super) struct AccessPolicy {
    /// `None`: no token is needed.
    pub(super) tokens: Option<Tokens>,
    /// `None`: plain HTTP.
    pub(super) tls: Option<SslAcceptor>,
    /// Without tokens on a loopback address, requests must use an IP address or `localhost` as host name.
    is_local_only: bool,
    /// Tokens cross a network in plain text.
    exposes_tokens: bool,
    /// Whether the API is served.
    pub(super) api: ApiAccess,
    /// `/poll` needs no login.
    pub(super) is_poll_open: bool,
    /// Of the contents of all files.
    pub(super) fingerprint: [u8; 32],
    is_revoked: AtomicBool,
}

impl AccessPolicy {
    /// The rules of a configuration, without the contents of its files.
    pub(super) fn new(http: &Http) -> Self {
        let (is_local_only, exposes_tokens) = (http.is_local_only(), http.exposes_tokens());
        Self { is_local_only, exposes_tokens, api: http.api, is_poll_open: http.is_poll_open, ..Self::default() }
    }

    /// Whether the other policy has the same rules and files, so that open connections can stay.
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        let flags = |policy: &Self| (policy.exposes_tokens, policy.is_local_only, policy.api, policy.is_poll_open);
        self.fingerprint == other.fingerprint && flags(self) == flags(other)
    }

    /// Refuses all further requests under this policy, also in the moment until their connections are closed.
    pub(super) fn revoke(&self) {
        self.is_revoked.store(true, Ordering::Release);
    }

    pub(super) fn is_revoked(&self) -> bool {
        self.is_revoked.load(Ordering::Acquire)
    }

    /// Whether the `Host` of a request is acceptable.
    pub(super) fn allows_host(&self, headers: &HeaderMap) -> bool {
        !self.is_local_only || is_address_or_localhost(headers)
    }

    pub(super) fn log_warnings(&self) {
        if self.exposes_tokens {
            tracing::warn!(
                "tokens cross the network in plain text; set \"http.certificate\" and \"http.key\", or listen on a loopback \
                 address behind a proxy that encrypts"
            );
        }
    }
}

/// Whether `Host` is an IP address, `localhost`, or missing (HTTP/1.0). Any other name may belong to a web page in a local
/// browser whose owner resolves it to this machine, to read what is not meant for them (DNS rebinding).
fn is_address_or_localhost(headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).map(|host| host.to_str().unwrap_or("?"));
    let Some(Ok(host)) = host.map(str::parse::<Authority>) else { return host.is_none() };
    let name = host.host().trim_matches(['[', ']']);
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_might_be_anybodys_is_not_taken_for_this_machine() {
        let is_accepted = |host: &str| {
            let headers = HeaderMap::from_iter([(HOST, host.parse().unwrap())]);
            is_address_or_localhost(&headers)
        };
        for good in ["127.0.0.1", "127.0.0.1:9187", "[::1]:9187", "localhost:1", "LOCALHOST", "192.0.2.1"] {
            assert!(is_accepted(good), "{good}");
        }
        for bad in ["evil.example:9187", "localhost.evil.example", "127.0.0.1.evil.example", "", "a b", "\u{e9}"] {
            assert!(!is_accepted(bad), "{bad}");
        }
        assert!(is_address_or_localhost(&HeaderMap::new()), "HTTP/1.0 has no Host");
    }
}
