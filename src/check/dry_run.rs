//! Findings about the datasources and databases that a dry run has read. Pure.

use super::connection::pg_hba_line;
use super::finding::{CheckItem, Cure, CureKind, Finding, Verdict};
use crate::remote::Inspection;
use crate::snapshot::{DryRun, DryRunResult, SourceFailure};
use session::QuotedIdent;

/// What earlier steps have found out.
pub(super) struct Known<'a> {
    pub(super) role: &'a str,
    /// Extensions that are not installed on the server, for which there are findings.
    pub(super) missing_extensions: &'a [String],
    /// Extensions that are not installed in the repository, each with the cure that stops collecting it.
    pub(super) missing_in_repository: &'a [(String, Option<Cure>)],
}

/// Findings about the datasources of the database with PoWA.
pub(super) fn datasources(dry_run: &DryRun, known: &Known<'_>) -> Vec<Finding> {
    let rows: u64 = dry_run.read.iter().map(|result: &DryRunResult| result.rows).sum();
    let failed = dry_run.failures.iter().filter(|failure| failure.database.is_none());
    let mut findings: Vec<_> = failed.map(|failure| datasource(failure, known)).collect();
    if findings.iter().all(|finding| finding.verdict < Verdict::Wrong) {
        let message = format!("{rows} rows from {} datasources", dry_run.read.len());
        findings.insert(0, Finding::new(CheckItem::Datasources, Verdict::Well, message));
    }
    findings
}

fn datasource(failure: &SourceFailure, known: &Known<'_>) -> Finding {
    // A datasource is named "module (function)".
    let is_of = |extension: &&String| {
        failure.datasource.strip_prefix(extension.as_str()).is_some_and(|rest| rest.starts_with(" ("))
    };
    if let Some(extension) = known.missing_extensions.iter().find(is_of) {
        let message = format!("extension \"{extension}\" is not installed");
        return Finding::new(CheckItem::Datasources, Verdict::NotTried, message).about(&failure.datasource);
    }
    if let Some((name, removal)) = known.missing_in_repository.iter().find(|(name, _)| *name == failure.datasource) {
        let message =
            format!("extension \"{name}\" is collected from this server, but not installed in the repository");
        let create = format!("create extension {}", QuotedIdent::new(name));
        let mut finding = Finding::new(CheckItem::Datasources, Verdict::Wrong, message).about(name);
        finding.cures = [Cure::new(CureKind::RepositorySql, create)].into_iter().chain(removal.clone()).collect();
        return finding;
    }
    let finding = Finding::new(CheckItem::Datasources, Verdict::Wrong, &failure.reason).about(&failure.datasource);
    if !failure.cures.is_empty() {
        return failure.cures.iter().fold(finding, |finding, cure| finding.cured_by(CureKind::RemoteSql, cure));
    }
    match failure.sqlstate.as_deref() {
        Some("42501") => {
            let role = QuotedIdent::new(known.role);
            let advice = format!("on the remote server, grant {role} the privilege that the message names");
            finding.cured_by(CureKind::Advice, advice)
        }
        Some("57014") => {
            finding.cured_by(CureKind::Configuration, "timeouts.query: increase it if the query has to take this long")
        }
        _ => finding,
    }
}

/// The connection limit of the role, and the sessions that the collector uses.
pub(super) struct RoleLimit<'a> {
    pub(super) inspection: &'a Inspection,
    /// The most sessions that the collector and a check use at once.
    pub(super) needed: usize,
}

/// Sessions that a collector and a check need to run at the same time: two each.
const MIN_FOR_BOTH: usize = 4;

impl RoleLimit<'_> {
    /// The limit, if it is lower than needed.
    fn too_low(&self) -> Option<usize> {
        self.inspection.connection_limit.filter(|allowed| *allowed < self.needed)
    }

    /// Whether the role has other sessions, such as a collector's, and its limit leaves only one for the check.
    pub(super) fn leaves_one_session(&self) -> bool {
        let Inspection { connection_limit, other_sessions, .. } = self.inspection;
        *other_sessions > 0 && connection_limit.is_some_and(|allowed| allowed < MIN_FOR_BOTH.min(2 * self.needed))
    }
}

/// The cure for a connection limit that is too low.
pub(super) fn raise_limit(role: &str, needed: usize) -> Cure {
    Cure::new(CureKind::RemoteSql, format!("alter role {} connection limit {needed}", QuotedIdent::new(role)))
}

/// Findings about the other databases.
pub(super) fn databases(dry_run: &DryRun, limit: &RoleLimit<'_>) -> Vec<Finding> {
    let Inspection { role, connection_limit, other_sessions, .. } = limit.inspection;
    let mut findings: Vec<_> = dry_run.failures.iter().filter_map(|failure| database(failure, limit)).collect();
    if findings.is_empty() && limit.leaves_one_session() {
        let message = format!(
            "only the one with PoWA was checked: the connection limit of the role {} is {}, of which {} are in use",
            QuotedIdent::new(role),
            connection_limit.unwrap_or_default(),
            other_sessions + 1
        );
        let finding = Finding::new(CheckItem::Databases, Verdict::Warning, message);
        findings.push(Finding { cures: vec![raise_limit(role, limit.needed)], ..finding });
    } else if findings.is_empty() {
        let message = match dry_run.databases {
            1 => "1, the one with PoWA".into(),
            number => format!("{number}, including the one with PoWA"),
        };
        findings.push(match limit.too_low() {
            Some(allowed) => {
                let message = format!(
                    "{message}; the connection limit of the role {} is {allowed}: the collector reconnects less often with a limit of \
                     {}",
                    QuotedIdent::new(role),
                    limit.needed
                );
                let mut finding = Finding::new(CheckItem::Databases, Verdict::Warning, message);
                finding.cures.push(raise_limit(role, limit.needed));
                finding
            }
            None => Finding::new(CheckItem::Databases, Verdict::Well, message),
        });
    }
    findings
}

fn database(failure: &SourceFailure, limit: &RoleLimit<'_>) -> Option<Finding> {
    let name = failure.database.as_deref()?;
    let mut finding = Finding::new(CheckItem::Databases, Verdict::Wrong, &failure.reason).about(name);
    let role = &limit.inspection.role;
    match failure.sqlstate.as_deref() {
        Some("42501") => {
            let grant = format!("grant connect on database {} to {}", QuotedIdent::new(name), QuotedIdent::new(role));
            finding = finding.cured_by(CureKind::RemoteSql, grant);
        }
        Some("53300") => {
            finding.cures.push(match limit.too_low() {
                Some(_) => raise_limit(role, limit.needed),
                None => {
                    Cure::new(CureKind::Advice, "on the remote server, run the statement at the end of the message")
                }
            });
        }
        Some(code) if code.starts_with("28") => finding.cures.push(pg_hba_line(&failure.reason, role, name)),
        _ => {}
    }
    Some(finding)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(datasource: &str, sqlstate: &str, database: Option<&str>) -> SourceFailure {
        SourceFailure {
            datasource: datasource.into(),
            reason: "no".into(),
            sqlstate: Some(sqlstate.into()),
            database: database.map(Into::into),
            cures: vec![],
        }
    }

    fn known() -> Known<'static> {
        Known { role: "powa", missing_extensions: &[], missing_in_repository: &[] }
    }

    fn with_limit(connection_limit: Option<usize>) -> Inspection {
        Inspection { connection_limit, ..Inspection::example("powa") }
    }

    fn found(dry_run: &DryRun, inspection: &Inspection) -> Vec<Finding> {
        databases(dry_run, &RoleLimit { inspection, needed: 25 })
    }

    #[test]
    fn a_role_with_room_for_too_few_connections_is_given_more() {
        let raised = ["alter role \"powa\" connection limit 25;"];
        let dry_run = DryRun { databases: 28, ..DryRun::default() };
        for (allowed, verdict, expected) in
            [(Some(5), Verdict::Warning, &raised[..]), (Some(25), Verdict::Well, &[]), (None, Verdict::Well, &[])]
        {
            let found = found(&dry_run, &with_limit(allowed));
            assert_eq!((found[0].verdict, &cures(&found)[..]), (verdict, expected), "{found:?}");
        }
        // A running collector uses two.
        for (allowed, is_for_one) in [(Some(2), true), (Some(3), true), (Some(4), false), (None, false)] {
            let inspection = Inspection { other_sessions: 2, ..with_limit(allowed) };
            let is_limited = found(&dry_run, &inspection)[0].message.starts_with("only the one with PoWA");
            assert_eq!(is_limited, is_for_one, "{allowed:?}");
        }
        assert!(!RoleLimit { inspection: &with_limit(Some(2)), needed: 25 }.leaves_one_session());
        let dry_run = DryRun { failures: vec![failure("database \"a\"", "53300", Some("a"))], ..DryRun::default() };
        assert_eq!(cures(&found(&dry_run, &with_limit(Some(1)))), raised);
        let found = found(&dry_run, &with_limit(None));
        assert_eq!((found[0].verdict, found[0].cures[0].kind), (Verdict::Wrong, CureKind::Advice));
    }

    fn cures(findings: &[Finding]) -> Vec<&str> {
        findings.iter().flat_map(|finding| &finding.cures).map(|cure| cure.text.as_str()).collect()
    }

    #[test]
    fn a_datasource_that_fails_is_limited_with_what_cures_it() {
        let failures = vec![
            failure("pg_qualstats (powa_qualstats_src)", "42883", None),
            SourceFailure {
                cures: vec!["grant execute on function \"powa\".\"powa_statements_src\"(integer) to \"powa\"".into()],
                ..failure("pg_stat_statements (powa_statements_src)", "42501", None)
            },
            failure("pg_stat_io (powa_stat_io_src)", "57014", None),
            failure("own (src)", "42501", None),
        ];
        let dry_run = DryRun { failures, ..DryRun::default() };
        let known = Known { missing_extensions: &["pg_qualstats".into()], ..known() };
        let found = datasources(&dry_run, &known);
        assert_eq!(
            found.iter().map(|finding| finding.verdict).collect::<Vec<_>>(),
            [Verdict::NotTried, Verdict::Wrong, Verdict::Wrong, Verdict::Wrong]
        );
        let expected = [
            "grant execute on function \"powa\".\"powa_statements_src\"(integer) to \"powa\";",
            "timeouts.query: increase it if the query has to take this long",
            "on the remote server, grant \"powa\" the privilege that the message names",
        ];
        assert_eq!(cures(&found), expected);
    }

    #[test]
    fn rows_and_datasources_are_counted() {
        let read = (0..3).map(|rows| DryRunResult { datasource: rows.to_string(), rows }).collect();
        let dry_run = DryRun { read, databases: 1, ..DryRun::default() };
        assert_eq!(datasources(&dry_run, &known())[0].message, "3 rows from 3 datasources");
        assert_eq!(found(&dry_run, &with_limit(None))[0].verdict, Verdict::Well);
    }

    #[test]
    fn a_database_that_is_closed_to_the_role_is_opened() {
        let dry_run = DryRun { failures: vec![failure("database \"a\"", "42501", Some("a"))], ..DryRun::default() };
        assert_eq!(cures(&found(&dry_run, &with_limit(None))), ["grant connect on database \"a\" to \"powa\";"]);
        assert_eq!(datasources(&dry_run, &known())[0].verdict, Verdict::Well);
    }
}
