//! Checks the HTTP listener: its files, which must be valid for the collector to start, and its address.

use std::io;
use std::time::Duration;

use tokio::time::timeout;

use crate::check::{CheckItem, CureKind, Finding, Verdict};
use crate::config::{Http, Violation};
use crate::http::{AddressState, Error, Files, probe_address};
use session::BlockingPool;

/// `is_without_collector`: no collector is connected to the repository.
pub(super) async fn check_http(http: &Http, limit: Duration, is_without_collector: bool) -> Vec<Finding> {
    let mut findings = if http.unresolved.is_empty() {
        check_files(http, limit).await
    } else {
        http.unresolved.iter().map(|violation| unresolved(http, violation)).collect()
    };
    findings.extend(check_address(http, limit, is_without_collector).await);
    if http.listen.is_some() && findings.is_empty() {
        findings.push(Finding::new(CheckItem::Http, Verdict::Well, ""));
    }
    findings
}

/// Reads the files, as the user of the check, which can be another one than the collector's. Gives up after `limit`.
async fn check_files(http: &Http, limit: Duration) -> Vec<Finding> {
    if http.listen.is_none() {
        return vec![];
    }
    let for_access = Http { identity: None, ..http.clone() };
    let for_tls = Http { tokens_file: None, ..http.clone() };
    let (pool, mut findings) = (BlockingPool::default(), Vec::new());
    for files in [for_access, for_tls] {
        match timeout(limit, pool.run("files", move || Files::read(&files).map(drop))).await {
            Ok(Ok(read)) => findings.extend(read.err().map(|error| unusable(&error))),
            Ok(Err(error)) => findings.push(Finding::new(CheckItem::Http, Verdict::Warning, error.to_string())),
            Err(_) => {
                let message = format!("reading the files of section http took more than {} s", limit.as_secs());
                findings.push(
                    Finding::new(CheckItem::Http, Verdict::Wrong, message)
                        .cured_by(CureKind::Configuration, "http: use files on another disk"),
                );
            }
        }
    }
    findings
}

/// Whether the collector can listen on the address, or already does.
async fn check_address(http: &Http, limit: Duration, is_without_collector: bool) -> Option<Finding> {
    let (address, state) = (http.listen?, probe_address(http, limit).await?);
    let error = match state {
        AddressState::Free => return None,
        AddressState::UsedByCollector if is_without_collector => {
            let message = format!(
                "a collector of another repository listens on http.listen = {address}; a collector of this repository cannot start"
            );
            return Some(
                Finding::new(CheckItem::Http, Verdict::Warning, message)
                    .cured_by(CureKind::Configuration, "http.listen: use a port that no other program uses"),
            );
        }
        AddressState::UsedByCollector => {
            return Some(Finding::new(CheckItem::Http, Verdict::Well, format!("a collector listens on {address}")));
        }
        AddressState::Unusable(error) => error,
    };
    let message =
        |text: String| Finding::new(CheckItem::Http, Verdict::Wrong, format!("the collector cannot start: {text}"));
    Some(match error.kind() {
        io::ErrorKind::AddrInUse => message(format!("another program listens on http.listen = {address}"))
            .cured_by(CureKind::Configuration, "http.listen: use a port that no other program uses")
            .cured_by(
                CureKind::Advice,
                format!("stop that program, which \"ss -ltnp 'sport = :{}'\" shows", address.port()),
            ),
        io::ErrorKind::AddrNotAvailable => message(format!(
            "http.listen = {address} is not an address of this machine"
        ))
        .cured_by(CureKind::Configuration, "http.listen: use an address of this machine, or 0.0.0.0 for all of them"),
        io::ErrorKind::PermissionDenied => {
            let message = format!("cannot listen on http.listen = {address}: {error}");
            Finding::new(CheckItem::Http, Verdict::Warning, message)
                .cured_by(CureKind::Configuration, "http.listen: use a port from 1024 on, which needs no privileges")
        }
        _ => message(format!("cannot listen on http.listen = {address}: {error}"))
            .cured_by(CureKind::Configuration, "http.listen: use another address or port"),
    })
}

/// The environment of the service can have the variable that is missing here.
fn unresolved(http: &Http, violation: &Violation) -> Finding {
    let (verdict, why) = match http.listen {
        Some(_) => (Verdict::Warning, "the file was not checked"),
        None => (Verdict::NotTried, "http.listen is not set, so it has no effect"),
    };
    Finding::new(CheckItem::Http, verdict, format!("{violation}; {why}"))
}

fn unusable(error: &Error) -> Finding {
    if error.is_denied() {
        let as_user = "run the check as the user that the collector runs as";
        return Finding::new(CheckItem::Http, Verdict::Warning, error.to_string()).cured_by(CureKind::Advice, as_user);
    }
    let message = format!("the collector cannot start: {error}");
    let key = error.key().unwrap_or("http");
    Finding::new(CheckItem::Http, Verdict::Wrong, message)
        .cured_by(CureKind::Configuration, format!("{key}: use a file as docs/http.md describes it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_only_the_collector_may_read_is_a_warning() {
        let found = |is_denied| {
            let reason = "cannot be read".into();
            unusable(&Error::File { key: "http.key", file: "/k".into(), reason, is_denied })
        };
        assert_eq!((found(true).verdict, found(true).cures[0].kind), (Verdict::Warning, CureKind::Advice));
        assert_eq!((found(false).verdict, found(false).cures[0].kind), (Verdict::Wrong, CureKind::Configuration));
    }

    #[tokio::test]
    async fn files_are_not_checked_without_a_listener() {
        let without_listener = Http { tokens_file: Some("/nowhere/at/all".into()), ..Http::default() };
        assert_eq!(check_files(&without_listener, Duration::from_secs(1)).await, []);
        let with_listener = Http { listen: Some("127.0.0.1:1".parse().unwrap()), ..without_listener };
        assert_eq!(check_files(&with_listener, Duration::from_secs(1)).await[0].verdict, Verdict::Wrong);
    }
}
