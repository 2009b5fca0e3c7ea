//! What is there in the repository, and what may the collector do in it?

use super::access::cures_of_repository;
use super::clocks::{clock_of_repository, round_trip};
use super::finding::{Finding, Findings, Mark, Place, What};
use crate::postgres::{Error, MissingPrivileges, Purpose, QuotedIdent, RepositoryState, Stage};

/// The repository, looked at.
#[derive(Debug)]
pub struct CheckedRepository {
    pub findings: Findings,
    pub state: RepositoryState,
}

impl CheckedRepository {
    /// What the state means.
    pub fn of(state: RepositoryState) -> Self {
        let mut findings = Findings::default();
        let said = format!("PostgreSQL {}, as the role \"{}\"", state.version, state.role);
        findings.well(What::Connection, said);
        findings.well(What::Powa, state.powa.to_string());
        findings.extend(privileges(&state.role, &state.missing));
        findings.push(clock_of_repository(&state.clock));
        findings.push(round_trip(&state.clock));
        Self { findings, state }
    }
}

/// What it means that there is no repository to be had.
pub fn of_unreachable_repository(error: &Error) -> Findings {
    let mut findings = Findings::default();
    let what = match error.stage() {
        Stage::Parameters => What::Parameters,
        _ if error.sqlstate().is_none() && !error.is_connection() => What::Powa,
        _ => What::Connection,
    };
    let cures = cures_of_repository(error);
    findings.push(Finding { cures, ..Finding::new(what, Mark::Wrong, error.in_full()) });
    findings
}

/// One finding for each set of privileges, with the `GRANT` that has all of it.
fn privileges(role: &str, missing: &[MissingPrivileges]) -> Vec<Finding> {
    let role = QuotedIdent::new(role);
    let mut sets: Vec<(&MissingPrivileges, &str, Vec<&str>)> = Vec::new();
    for one in missing {
        let (kind, name) = object(&one.on);
        let known = sets.iter_mut().find(|(first, first_kind, _)| {
            (first.purpose, &first.privileges, *first_kind) == (one.purpose, &one.privileges, kind)
        });
        match known {
            Some((_, _, names)) => names.push(name),
            None => sets.push((one, kind, vec![name])),
        }
    }
    let findings = sets.into_iter().map(|(first, kind, names)| {
        let privileges = first.privileges.join(", ");
        let (mark, purpose) = match first.purpose {
            Purpose::Loads => (Mark::Wrong, "snapshots cannot be loaded"),
            Purpose::Versions => (Mark::Warning, "versions are not saved"),
            Purpose::Emptying => (Mark::Warning, "tables that have bloated are not emptied"),
        };
        let things = if names.len() == 1 { names[0].to_owned() } else { format!("{} {kind}s", names.len()) };
        let said = format!("the role {role} has not been granted {privileges} on {things}: {purpose}");
        let grant = format!("grant {privileges} on {kind} {} to {role}", names.join(", "));
        Finding::new(What::Privileges, mark, said).cured_by(Place::Repository, grant)
    });
    let mut findings: Vec<_> = findings.collect();
    if findings.is_empty() {
        findings.push(Finding::new(What::Privileges, Mark::Well, format!("of the role {role}")));
    }
    findings
}

/// What kind of thing it is, and its name.
fn object(on: &str) -> (&str, &str) {
    let kinds = ["function", "schema"];
    let named = |kind: &&'static str| Some((*kind, on.strip_prefix(kind)?.strip_prefix(' ')?));
    kinds.iter().find_map(named).unwrap_or(("table", on))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(purpose: Purpose, privileges: &[&str], on: &str) -> MissingPrivileges {
        MissingPrivileges { purpose, privileges: privileges.iter().map(ToString::to_string).collect(), on: on.into() }
    }

    #[test]
    fn privileges_that_are_missing_are_granted_together() {
        let found = privileges(
            "c\"c",
            &[
                missing(Purpose::Loads, &["usage"], "schema powa"),
                missing(Purpose::Loads, &["insert", "delete"], "powa.a"),
                missing(Purpose::Loads, &["insert", "delete"], "powa.b"),
                missing(Purpose::Emptying, &["truncate"], "powa.b"),
                missing(Purpose::Loads, &["execute"], "function powa.f(integer)"),
            ],
        );
        let told: Vec<_> = found.iter().map(|finding| (finding.mark, finding.cures[0].text.as_str())).collect();
        let expected = [
            (Mark::Wrong, "grant usage on schema powa to \"c\"\"c\""),
            (Mark::Wrong, "grant insert, delete on table powa.a, powa.b to \"c\"\"c\""),
            (Mark::Warning, "grant truncate on table powa.b to \"c\"\"c\""),
            (Mark::Wrong, "grant execute on function powa.f(integer) to \"c\"\"c\""),
        ];
        assert_eq!(told, expected);
        assert_eq!(privileges("c", &[])[0].mark, Mark::Well);
    }
}
