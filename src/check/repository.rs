//! What is there in the repository, what may the collector do in it, and is there one?

use super::access::refused_by_repository;
use super::clocks::{clock_of_repository, round_trip};
use super::finding::{Finding, Findings, Mark, Place, What};
use crate::postgres::{Collector, Error, MissingPrivileges, Purpose, QuotedIdent, RepositoryState};

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
        findings.extend(privileges(&state));
        findings.push(clock_of_repository(&state.clock));
        findings.push(round_trip(&state.clock));
        findings.push(collectors(state.collectors.as_deref()));
        Self { findings, state }
    }
}

/// What it means that there is no repository to be had.
pub fn of_unreachable_repository(error: &Error) -> Findings {
    let mut findings = Findings::default();
    findings.push(refused_by_repository(error));
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

/// One finding for what membership in the role that PoWA has for snapshots would give, one for each set of privileges beyond,
/// with the `GRANT` that has all of it, and one for the right to command a collector.
fn privileges(state: &RepositoryState) -> Vec<Finding> {
    let role = QuotedIdent::new(&state.role);
    let (given, beyond): (Vec<_>, Vec<_>) = state.missing.iter().partition(|one| one.are_of_snapshot_role);
    let mut findings = Vec::new();
    findings.extend(of_snapshot_role(&given, &role, state));
    findings.extend(sets(&beyond).iter().map(|set| {
        let (mark, purpose) = set.purpose.missed();
        let things = match &set.names[..] {
            [one] => (*one).to_owned(),
            several => format!("{} {}s", several.len(), set.kind),
        };
        let privileges = set.privileges.join(", ");
        let said = format!("the role {role} has not been granted {privileges} on {things}: {purpose}");
        Finding::new(What::Privileges, mark, said).cured_by(Place::Repository, set.grant(&role))
    }));
    // With PoWA 4 before that version, whoever may write may command, and what that takes has been told.
    let is_asked_for_a_role = state.powa.has_modules() || major(&state.version).is_none_or(|version| version >= 14);
    if !state.may_command && is_asked_for_a_role {
        let said = format!(
            "the role {role} may not command the collector: status, reload, snapshot and refresh-catalogs are refused"
        );
        let grant = format!("grant pg_signal_backend to {role}");
        findings.push(Finding::new(What::Privileges, Mark::Warning, said).cured_by(Place::Repository, grant));
    }
    if findings.is_empty() {
        findings.push(Finding::new(What::Privileges, Mark::Well, format!("of the role {role}")));
    }
    findings
}

/// The first number of PostgreSQL's version.
fn major(version: &str) -> Option<u32> {
    version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// What is missing of that which PoWA grants its role for snapshots, or would grant it.
fn of_snapshot_role(missing: &[&MissingPrivileges], role: &QuotedIdent, state: &RepositoryState) -> Option<Finding> {
    let (mark, purpose) = missing.iter().map(|one| one.purpose.missed()).max_by_key(|(mark, _)| *mark)?;
    let finding = |said: String| Finding::new(What::Privileges, mark, said);
    if let Some(given_role) = &state.snapshot_role {
        let given_role = QuotedIdent::new(given_role);
        let said = format!("the role {role} is no member of {given_role}, and may not do what that one may: {purpose}");
        return Some(finding(said).cured_by(Place::Repository, format!("grant {given_role} to {role}")));
    }
    let said = format!(
        "the role {role} may not do what PoWA's role for snapshots may, and PoWA has its roles not set up: {purpose}"
    );
    let single = sets(missing).iter().map(|set| set.grant(role)).collect::<Vec<_>>().join("; ");
    Some(
        finding(said)
            .cured_by(Place::Repository, set_up(state, role))
            // For who wants no such roles.
            .cured_by(Place::Repository, single),
    )
}

/// What sets up PoWA's own roles, by their own names, and makes the role a member of the one for snapshots. PoWA creates all
/// of them, or none.
fn set_up(state: &RepositoryState, role: &QuotedIdent) -> String {
    const ALL: usize = 6;
    let schema = &state.schema;
    let absent = state.roles_to_set_up.as_deref().unwrap_or_default();
    let (create, reuses) = if absent.len() == ALL {
        (String::new(), "")
    } else {
        (absent.iter().map(|name| format!("create role {}; ", QuotedIdent::new(name))).collect(), "true")
    };
    format!("{create}select {schema}.setup_powa_roles({reuses}); grant powa_snapshot to {role}")
}

/// The same privileges, for the same purpose, on things of one kind.
struct Set<'a> {
    purpose: Purpose,
    privileges: &'a [String],
    kind: &'a str,
    names: Vec<&'a str>,
}

impl Set<'_> {
    fn grant(&self, role: &QuotedIdent) -> String {
        format!("grant {} on {} {} to {role}", self.privileges.join(", "), self.kind, self.names.join(", "))
    }
}

fn sets<'a>(missing: &[&'a MissingPrivileges]) -> Vec<Set<'a>> {
    let mut sets: Vec<Set<'a>> = Vec::new();
    for one in missing {
        let (kind, name) = object(&one.on);
        let is_of =
            |set: &&mut Set<'a>| (set.purpose, set.privileges, set.kind) == (one.purpose, &one.privileges[..], kind);
        match sets.iter_mut().find(is_of) {
            Some(set) => set.names.push(name),
            None => {
                let (purpose, privileges) = (one.purpose, &one.privileges[..]);
                sets.push(Set { purpose, privileges, kind, names: vec![name] });
            }
        }
    }
    sets
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
    use crate::postgres::Extensions;

    fn missing(purpose: Purpose, privileges: &[&str], on: &str) -> MissingPrivileges {
        let privileges = privileges.iter().map(ToString::to_string).collect();
        MissingPrivileges { purpose, privileges, on: on.into(), are_of_snapshot_role: false }
    }

    fn state(role: &str, missing: Vec<MissingPrivileges>) -> RepositoryState {
        RepositoryState { role: role.into(), missing, ..RepositoryState::example() }
    }

    fn told(findings: &[Finding]) -> Vec<(Mark, &str)> {
        findings.iter().map(|finding| (finding.mark, finding.cures[0].text.as_str())).collect()
    }

    #[test]
    fn privileges_that_are_missing_are_granted_together() {
        let all = vec![
            missing(Purpose::Loads, &["usage"], "schema powa"),
            missing(Purpose::Loads, &["insert", "delete"], "powa.a"),
            missing(Purpose::Loads, &["insert", "delete"], "powa.b"),
            missing(Purpose::Emptying, &["truncate"], "powa.b"),
            missing(Purpose::Loads, &["execute"], "function powa.f(integer)"),
        ];
        let found = privileges(&state("c\"c", all));
        let expected = [
            (Mark::Wrong, "grant usage on schema powa to \"c\"\"c\";"),
            (Mark::Wrong, "grant insert, delete on table powa.a, powa.b to \"c\"\"c\";"),
            (Mark::Warning, "grant truncate on table powa.b to \"c\"\"c\";"),
            (Mark::Wrong, "grant execute on function powa.f(integer) to \"c\"\"c\";"),
        ];
        assert_eq!(told(&found), expected);
        assert_eq!(privileges(&state("c", vec![]))[0].mark, Mark::Well);
    }

    /// Privileges of which PoWA's role for snapshots has all but one.
    fn half_of_it() -> Vec<MissingPrivileges> {
        let of_role = |one| MissingPrivileges { are_of_snapshot_role: true, ..one };
        vec![
            of_role(missing(Purpose::Emptying, &["truncate"], "powa.a")),
            of_role(missing(Purpose::Loads, &["insert"], "powa.a")),
            missing(Purpose::Versions, &["update (version)"], "powa.b"),
        ]
    }

    #[test]
    fn what_a_role_of_powa_has_takes_one_grant() {
        let with_role =
            |missing| RepositoryState { snapshot_role: Some("Powa_Snapshot".into()), ..state("c", missing) };
        let found = privileges(&with_role(half_of_it()));
        let expected = [
            (Mark::Wrong, "grant \"Powa_Snapshot\" to \"c\";"),
            (Mark::Warning, "grant update (version) on table powa.b to \"c\";"),
        ];
        assert_eq!(told(&found), expected);
        assert!(found[0].said.ends_with("snapshots cannot be loaded"), "{}", found[0].said);
        // Without what matters most, it is no more than a warning.
        assert_eq!(privileges(&with_role(half_of_it()[..1].to_vec()))[0].mark, Mark::Warning);
    }

    #[test]
    fn roles_of_powa_that_are_not_set_up_are_or_the_role_gets_each_privilege() {
        let without = |absent: &[&str]| RepositoryState {
            roles_to_set_up: Some(absent.iter().map(ToString::to_string).collect()),
            ..state("c", half_of_it())
        };
        let cures = |absent: &[&str]| {
            let found = privileges(&without(absent));
            assert_eq!((found.len(), found[0].mark, found[0].cures.len()), (2, Mark::Wrong, 2));
            [0, 1].map(|cure: usize| found[0].cures[cure].text.clone())
        };
        let single = "grant truncate on table powa.a to \"c\"; grant insert on table powa.a to \"c\";";
        let all_there = "select \"powa\".setup_powa_roles(true); grant powa_snapshot to \"c\";";
        assert_eq!(cures(&[]), [all_there, single]);
        assert_eq!(cures(&["a", "b"])[0], format!("create role \"a\"; create role \"b\"; {all_there}"));
        let none_there = "select \"powa\".setup_powa_roles(); grant powa_snapshot to \"c\";";
        assert_eq!(cures(&["a", "b", "c", "d", "e", "f"])[0], none_there);
    }

    #[test]
    fn who_may_not_command_is_told_if_it_takes_a_role() {
        let of = |version: &str, powa: &str| {
            let powa = Extensions::from_rows([("powa".into(), powa.into(), "powa".into())]).usable_powa().unwrap();
            privileges(&RepositoryState { version: version.into(), powa, may_command: false, ..state("c", vec![]) })
        };
        for (version, powa) in [("17.2 (Debian 17.2-1)", "4.1.4"), ("13.20", "5.0.2")] {
            let grant = "grant pg_signal_backend to \"c\";";
            assert_eq!(told(&of(version, powa)), [(Mark::Warning, grant)], "{version}");
        }
        assert_eq!(of("13.20", "4.1.4")[0].mark, Mark::Well);
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
