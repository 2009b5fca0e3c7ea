//! Could those be served who watch the collector? It reads the same files, and does not start if they are not as they should
//! be.

use std::time::Duration;

use tokio::time::timeout;

use crate::aside::Aside;
use crate::check::{Finding, Mark, Place, What};
use crate::config::Http;
use crate::http::{Error, Files};

/// Looks at the files. Whoever looks may be another user than the collector is. A disk that hangs is not waited for.
pub(super) async fn check_files(http: &Http, limit: Duration) -> Vec<Finding> {
    if http.listen.is_none() {
        return vec![];
    }
    let for_strangers = Http { identity: None, ..http.clone() };
    let for_tls = Http { tokens_file: None, ..http.clone() };
    let (aside, mut findings) = (Aside::default(), Vec::new());
    for files in [for_strangers, for_tls] {
        match timeout(limit, aside.run("files", move || Files::read(&files).map(drop))).await {
            Ok(Ok(read)) => findings.extend(read.err().map(|error| unusable(&error))),
            Ok(Err(error)) => findings.push(Finding::new(What::Http, Mark::Warning, error.to_string())),
            Err(_) => {
                let said = format!("the files that http names were not read within {} s", limit.as_secs());
                findings.push(
                    Finding::new(What::Http, Mark::Wrong, said)
                        .cured_by(Place::Configuration, "http: files on a disk that answers"),
                );
            }
        }
    }
    if findings.is_empty() {
        findings.push(Finding::new(What::Http, Mark::Well, ""));
    }
    findings
}

fn unusable(error: &Error) -> Finding {
    if error.is_denied() {
        let as_whom = "run the check as the user that the collector runs as";
        return Finding::new(What::Http, Mark::Warning, error.to_string()).cured_by(Place::Elsewhere, as_whom);
    }
    let said = format!("the collector does not start: {error}");
    let key = error.key().unwrap_or("http");
    Finding::new(What::Http, Mark::Wrong, said)
        .cured_by(Place::Configuration, format!("{key}: a file that is as docs/http.md has it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_only_the_collector_may_read_is_no_fault_of_it() {
        let found = |is_denied| {
            let reason = "cannot be read".into();
            unusable(&Error::File { key: "http.key", file: "/k".into(), reason, is_denied })
        };
        assert_eq!((found(true).mark, found(true).cures[0].place), (Mark::Warning, Place::Elsewhere));
        assert_eq!((found(false).mark, found(false).cures[0].place), (Mark::Wrong, Place::Configuration));
    }

    #[tokio::test]
    async fn files_that_nobody_reads_are_not_looked_at() {
        let nobody = Http { tokens_file: Some("/nowhere/at/all".into()), ..Http::default() };
        assert_eq!(check_files(&nobody, Duration::from_secs(1)).await, []);
        let somebody = Http { listen: Some("127.0.0.1:1".parse().unwrap()), ..nobody };
        assert_eq!(check_files(&somebody, Duration::from_secs(1)).await[0].mark, Mark::Wrong);
    }
}
