//! Checks the repository: its connection, encoding, PoWA, privileges, clock and collectors.

use super::clocks::{clock_of_repository, round_trip};
use super::connection::repository_finding;
use super::finding::{CheckItem, CureKind, Finding, Findings, Verdict};
use super::leftovers::leftover_rows;
use super::privileges::privileges;
use crate::repository::{Collector, FoundFault, Leftovers, RepositoryState};
use session::Error;

/// The repository with its findings.
#[derive(Debug)]
pub(crate) struct CheckedRepository {
    pub findings: Findings,
    pub state: RepositoryState,
}

impl CheckedRepository {
    /// The findings about a repository that was read.
    pub(crate) fn of(state: RepositoryState) -> Self {
        let mut findings = Findings::default();
        let message = format!("PostgreSQL {}, as the role \"{}\"", state.version, state.role);
        findings.well(CheckItem::Connection, message);
        findings.extend(encoding(&state));
        findings.well(CheckItem::Powa, state.powa.to_string());
        findings.extend(state.faults.iter().map(fault));
        findings.extend(privileges(&state));
        findings.push(clock_of_repository(&state.clock));
        findings.push(round_trip(&state.clock));
        findings.push(collectors(state.collectors.as_deref()));
        Self { findings, state }
    }

    /// Adds the findings about left-over rows.
    #[must_use]
    pub(crate) fn with_leftovers(mut self, found: &Result<Leftovers, Error>) -> Self {
        self.findings.extend(leftover_rows(found));
        self
    }
}

/// Whether every text from a server can be stored.
fn encoding(state: &RepositoryState) -> Option<Finding> {
    let encoding = state.encoding.as_str();
    let consequence = match encoding {
        "UTF8" => return None,
        "SQL_ASCII" => "it does not check characters, so powa-web may be unable to show the stored texts".to_owned(),
        _ => format!(
            "a text with a character that {encoding} lacks cannot be stored, and the snapshot loses all rows of that datasource"
        ),
    };
    let message = format!("the repository's database has the encoding {encoding}, not UTF8: {consequence}");
    let create = "create database powa_utf8 template template0 encoding 'UTF8' locale 'C'";
    let then = "make the new database the repository: create extension powa cascade in it, set repository.dsn to it, and \
                register the servers in it; the history stays in the old database, whose encoding cannot be changed";
    Some(
        Finding::new(CheckItem::Database, Verdict::Warning, message)
            .cured_by(CureKind::RepositorySql, create)
            .cured_by(CureKind::Advice, then),
    )
}

/// A known bug of this version of PoWA.
fn fault(found: &FoundFault) -> Finding {
    Finding::new(CheckItem::Powa, Verdict::Warning, &found.message)
        .cured_by(CureKind::RepositorySql, &found.cure)
        .cured_by(CureKind::Advice, found.update)
}

/// The finding about a repository that cannot be connected to.
pub(crate) fn of_unreachable_repository(error: &Error) -> Findings {
    let mut findings = Findings::default();
    findings.push(repository_finding(error));
    findings
}

/// The connected collectors. None is well: the check can run before the first start.
fn collectors(connected: Option<&[Collector]>) -> Finding {
    let (verdict, message) = match connected {
        None => (Verdict::NotTried, "the role may not read pg_stat_activity".into()),
        Some([]) => {
            let message =
                "no collector is connected to the repository; start it with \"systemctl start powa-collector\"";
            (Verdict::Well, message.into())
        }
        Some([one]) => (Verdict::Well, one.to_string()),
        Some(several) => {
            let each: Vec<_> = several.iter().map(ToString::to_string).collect();
            let number = several.len();
            let message =
                format!("{number} collectors are connected, and each collects from every server: {}", each.join("; "));
            let cure = "stop all but one";
            return Finding::new(CheckItem::Collectors, Verdict::Warning, message).cured_by(CureKind::Advice, cure);
        }
    };
    Finding::new(CheckItem::Collectors, verdict, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoding_that_lacks_characters_is_a_warning() {
        let of = |name: &str| encoding(&RepositoryState { encoding: name.into(), ..RepositoryState::example() });
        assert_eq!(of("UTF8"), None);
        let found = of("LATIN1").unwrap();
        assert_eq!((found.item, found.verdict), (CheckItem::Database, Verdict::Warning));
        assert!(found.message.contains("a character that LATIN1 lacks cannot be stored"), "{}", found.message);
        assert!(of("SQL_ASCII").unwrap().message.contains("does not check characters"));
    }

    #[test]
    fn more_than_one_collector_is_too_many() {
        let address = Some("10.0.0.7".into());
        let one = Collector { process: 1, name: "first".into(), address, connected_for: None, role: None };
        let other = Collector { name: "second".into(), ..one.clone() };
        assert_eq!(collectors(None).verdict, Verdict::NotTried);
        assert_eq!(collectors(Some(&[])).verdict, Verdict::Well);
        assert_eq!(collectors(Some(std::slice::from_ref(&one))).message, "first from 10.0.0.7");
        let found = collectors(Some(&[one, other]));
        assert_eq!(found.verdict, Verdict::Warning);
        assert!(found.message.ends_with(": first from 10.0.0.7; second from 10.0.0.7"), "{}", found.message);
    }
}
