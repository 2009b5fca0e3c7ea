//! What does it mean that a datasource could be read, or could not? Pure.

use super::access::access;
use super::finding::{Finding, Mark, Place, What};
use crate::postgres::QuotedIdent;
use crate::snapshot::{SourceFailure, Trial, Tried};

/// What is known beside the trial.
pub(super) struct Known<'a> {
    pub(super) role: &'a str,
    /// Extensions that are not there, which has been said.
    pub(super) missing_extensions: &'a [String],
    /// What the role has not been granted, which has been said.
    pub(super) missing_grants: &'a [String],
}

/// Of the datasources.
pub(super) fn datasources(trial: &Trial, known: &Known<'_>) -> Vec<Finding> {
    let rows: u64 = trial.read.iter().map(|tried: &Tried| tried.rows).sum();
    let failed = trial.failures.iter().filter(|failure| failure.database.is_none());
    let mut findings: Vec<_> = failed.map(|failure| datasource(failure, known)).collect();
    if findings.iter().all(|finding| finding.mark < Mark::Wrong) {
        let said = format!("{} could be read: {rows} rows", trial.read.len());
        findings.insert(0, Finding::new(What::Datasources, Mark::Well, said));
    }
    findings
}

fn datasource(failure: &SourceFailure, known: &Known<'_>) -> Finding {
    // It is called by its module, and then what it calls.
    let is_of = |extension: &&String| {
        failure.datasource.strip_prefix(extension.as_str()).is_some_and(|rest| rest.starts_with(" ("))
    };
    if let Some(extension) = known.missing_extensions.iter().find(is_of) {
        let said = format!("extension \"{extension}\" is not installed");
        return Finding::new(What::Datasources, Mark::NotTried, said).about(&failure.datasource);
    }
    let finding = Finding::new(What::Datasources, Mark::Wrong, &failure.reason).about(&failure.datasource);
    match failure.sqlstate.as_deref() {
        Some("42501") => {
            let role = QuotedIdent::new(known.role);
            let function = failure.datasource.split_once(" (").and_then(|(_, name)| name.strip_suffix(')'));
            let calls =
                |grant: &&String| function.is_some_and(|name| grant.contains(&format!(".{}(", QuotedIdent::new(name))));
            let speaks_of = |grant: &&String| object(grant).is_some_and(|name| has_word(&failure.reason, name));
            let grants = || known.missing_grants.iter();
            match grants().find(calls).or_else(|| grants().find(speaks_of)) {
                Some(grant) => finding.cured_by(Place::Remote, format!("grant {grant} to {role}")),
                None => {
                    let advice = format!("grant {role} what PostgreSQL says to be denied, on the remote server");
                    finding.cured_by(Place::Elsewhere, advice)
                }
            }
        }
        Some("57014") => finding.cured_by(Place::Configuration, "timeouts.query: more, if it has to take this long"),
        _ => finding,
    }
}

/// The name, without its schema, of what a `GRANT` is on.
fn object(grant: &str) -> Option<&str> {
    let name = grant.split('(').next()?;
    name.strip_suffix('"')?.rsplit('"').next()
}

fn has_word(text: &str, word: &str) -> bool {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').any(|other| other == word)
}

/// Of the databases.
pub(super) fn databases(trial: &Trial, role: &str) -> Vec<Finding> {
    let mut findings: Vec<_> = trial.failures.iter().filter_map(|failure| database(failure, role)).collect();
    if findings.is_empty() {
        let said = match trial.databases {
            1 => "the one with PoWA".into(),
            number => format!("{number}, the one with PoWA included"),
        };
        findings.push(Finding::new(What::Databases, Mark::Well, said));
    }
    findings
}

fn database(failure: &SourceFailure, known_role: &str) -> Option<Finding> {
    let name = failure.database.as_deref()?;
    let finding = Finding::new(What::Databases, Mark::Wrong, &failure.reason).about(name);
    let (database, role) = (QuotedIdent::new(name), QuotedIdent::new(known_role));
    Some(match failure.sqlstate.as_deref() {
        Some("42501") => finding.cured_by(Place::Remote, format!("grant connect on database {database} to {role}")),
        Some(code) if code.starts_with("28") => {
            Finding { cures: vec![access(&failure.reason, known_role, name)], ..finding }
        }
        _ => finding,
    })
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
        }
    }

    fn known() -> Known<'static> {
        Known { role: "powa", missing_extensions: &[], missing_grants: &[] }
    }

    fn cures(findings: &[Finding]) -> Vec<&str> {
        findings.iter().flat_map(|finding| &finding.cures).map(|cure| cure.text.as_str()).collect()
    }

    #[test]
    fn a_datasource_that_fails_is_told_with_what_cures_it() {
        let failures = vec![
            failure("pg_qualstats (powa_qualstats_src)", "42883", None),
            failure("pg_stat_statements (powa_statements_src)", "42501", None),
            failure("pg_stat_io (powa_stat_io_src)", "57014", None),
            SourceFailure {
                reason: "permission denied for view powa_databases: no".into(),
                ..failure("powa_databases (powa_databases_src)", "42501", None)
            },
            failure("own (src)", "42501", None),
        ];
        let trial = Trial { failures, ..Trial::default() };
        let known = Known {
            missing_extensions: &["pg_qualstats".into()],
            missing_grants: &[
                "execute on function \"powa\".\"powa_statements_src\"(integer)".into(),
                "select on \"powa\".\"powa_databases\"".into(),
            ],
            ..known()
        };
        let found = datasources(&trial, &known);
        assert_eq!(
            found.iter().map(|finding| finding.mark).collect::<Vec<_>>(),
            [Mark::NotTried, Mark::Wrong, Mark::Wrong, Mark::Wrong, Mark::Wrong]
        );
        let expected = [
            "grant execute on function \"powa\".\"powa_statements_src\"(integer) to \"powa\";",
            "timeouts.query: more, if it has to take this long",
            "grant select on \"powa\".\"powa_databases\" to \"powa\";",
            "grant \"powa\" what PostgreSQL says to be denied, on the remote server",
        ];
        assert_eq!(cures(&found), expected);
    }

    #[test]
    fn what_could_be_read_is_counted() {
        let read = (0..3).map(|rows| Tried { datasource: rows.to_string(), rows }).collect();
        let trial = Trial { read, databases: 1, ..Trial::default() };
        assert_eq!(datasources(&trial, &known())[0].said, "3 could be read: 3 rows");
        assert_eq!(databases(&trial, "powa")[0].mark, Mark::Well);
    }

    #[test]
    fn a_database_that_is_closed_to_the_role_is_opened() {
        let trial = Trial { failures: vec![failure("database \"a\"", "42501", Some("a"))], ..Trial::default() };
        assert_eq!(cures(&databases(&trial, "powa")), ["grant connect on database \"a\" to \"powa\";"]);
        assert_eq!(datasources(&trial, &known())[0].mark, Mark::Well);
    }
}
