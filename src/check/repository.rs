//! What is there in the repository, what may the collector do in it, and is there one?

use super::access::cures_of_repository;
use super::clocks::{clock_of_repository, round_trip};
use super::finding::{Finding, Findings, Mark, Place, What};
use crate::postgres::{Collector, Error, MissingPrivileges, Purpose, QuotedIdent, RepositoryState, Stage};

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
        findings.extend(privileges(&state.role, &state.missing, state.snapshot_role.as_deref()));
        findings.push(clock_of_repository(&state.clock));
        findings.push(round_trip(&state.clock));
        findings.push(collectors(state.collectors.as_deref()));
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

/// Whether somebody collects. That nobody does is no fault: whoever looks may be about to start the first one.
fn collectors(connected: Option<&[Collector]>) -> Finding {
    let (mark, said) = match connected {
        None => (Mark::NotTried, "the role may not read pg_stat_activity".into()),
        Some([]) => {
            let said = "no collector is connected to the repository: \"systemctl start powa-collector\" starts one";
            (Mark::Well, said.into())
        }
        Some([one]) => (Mark::Well, one.to_string()),
        Some(several) => {
            let each: Vec<_> = several.iter().map(ToString::to_string).collect();
            let number = several.len();
            let said =
                format!("{number} collectors are connected, and each collects from every server: {}", each.join("; "));
            let cure = "stop all of them but one";
            return Finding::new(What::Collectors, Mark::Warning, said).cured_by(Place::Elsewhere, cure);
        }
    };
    Finding::new(What::Collectors, mark, said)
}

impl Purpose {
    /// How bad it is that something is missing for it, and why.
    fn missed(self) -> (Mark, &'static str) {
        match self {
            Self::Loads => (Mark::Wrong, "snapshots cannot be loaded"),
            Self::Versions => (Mark::Warning, "versions are not saved"),
            Self::Emptying => (Mark::Warning, "tables that have bloated are not emptied"),
        }
    }
}

/// One finding for what membership in the role that PoWA has for snapshots would give, and one for each set of privileges
/// beyond, with the `GRANT` that has all of it.
fn privileges(role: &str, missing: &[MissingPrivileges], snapshot_role: Option<&str>) -> Vec<Finding> {
    let role = QuotedIdent::new(role);
    let (given, missing): (Vec<_>, Vec<_>) = missing.iter().partition(|one| one.are_of_snapshot_role);
    let mut findings = Vec::new();
    let worst = given.iter().map(|one| one.purpose.missed()).max_by_key(|(mark, _)| *mark);
    if let (Some(given_role), Some((mark, purpose))) = (snapshot_role.map(QuotedIdent::new), worst) {
        let said = format!("the role {role} is no member of {given_role}, and may not do what that one may: {purpose}");
        let grant = format!("grant {given_role} to {role}");
        findings.push(Finding::new(What::Privileges, mark, said).cured_by(Place::Repository, grant));
    }
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
    findings.extend(sets.into_iter().map(|(first, kind, names)| {
        let privileges = first.privileges.join(", ");
        let (mark, purpose) = first.purpose.missed();
        let things = if names.len() == 1 { names[0].to_owned() } else { format!("{} {kind}s", names.len()) };
        let said = format!("the role {role} has not been granted {privileges} on {things}: {purpose}");
        let grant = format!("grant {privileges} on {kind} {} to {role}", names.join(", "));
        Finding::new(What::Privileges, mark, said).cured_by(Place::Repository, grant)
    }));
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
        let privileges = privileges.iter().map(ToString::to_string).collect();
        MissingPrivileges { purpose, privileges, on: on.into(), are_of_snapshot_role: false }
    }

    fn told(findings: &[Finding]) -> Vec<(Mark, &str)> {
        findings.iter().map(|finding| (finding.mark, finding.cures[0].text.as_str())).collect()
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
            None,
        );
        let expected = [
            (Mark::Wrong, "grant usage on schema powa to \"c\"\"c\""),
            (Mark::Wrong, "grant insert, delete on table powa.a, powa.b to \"c\"\"c\""),
            (Mark::Warning, "grant truncate on table powa.b to \"c\"\"c\""),
            (Mark::Wrong, "grant execute on function powa.f(integer) to \"c\"\"c\""),
        ];
        assert_eq!(told(&found), expected);
        assert_eq!(privileges("c", &[], None)[0].mark, Mark::Well);
    }

    #[test]
    fn what_a_role_of_powa_has_takes_one_grant() {
        let of_role = |one| MissingPrivileges { are_of_snapshot_role: true, ..one };
        let all = [
            of_role(missing(Purpose::Emptying, &["truncate"], "powa.a")),
            of_role(missing(Purpose::Loads, &["insert"], "powa.a")),
            missing(Purpose::Versions, &["update (version)"], "powa.b"),
        ];
        let found = privileges("c", &all, Some("Powa_Snapshot"));
        let expected = [
            (Mark::Wrong, "grant \"Powa_Snapshot\" to \"c\""),
            (Mark::Warning, "grant update (version) on table powa.b to \"c\""),
        ];
        assert_eq!(told(&found), expected);
        assert!(found[0].said.ends_with("snapshots cannot be loaded"), "{}", found[0].said);
        // Without what matters most, it is no more than a warning.
        assert_eq!(privileges("c", &all[..1], Some("x"))[0].mark, Mark::Warning);
    }

    #[test]
    fn more_than_one_collector_is_too_many() {
        let one = Collector { name: "first".into(), address: Some("10.0.0.7".into()), connected_for: None };
        let other = Collector { name: "second".into(), ..one.clone() };
        assert_eq!(collectors(None).mark, Mark::NotTried);
        assert_eq!(collectors(Some(&[])).mark, Mark::Well);
        assert_eq!(collectors(Some(std::slice::from_ref(&one))).said, "first from 10.0.0.7");
        let found = collectors(Some(&[one, other]));
        assert_eq!(found.mark, Mark::Warning);
        assert!(found.said.ends_with(": first from 10.0.0.7; second from 10.0.0.7"), "{}", found.said);
    }
}
