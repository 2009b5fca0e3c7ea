//! The findings about the privileges of the check's role in the repository, and the statements that grant what it lacks. Pure.

use super::finding::{CheckItem, Cure, CureKind, Finding, Verdict};
use crate::repository::{MissingPrivileges, Purpose, RepositoryState};
use session::QuotedIdent;

impl Purpose {
    /// The verdict on missing privileges, and their consequence.
    fn if_missing(self) -> (Verdict, &'static str) {
        match self {
            Self::Loads => (Verdict::Wrong, "snapshots cannot be loaded"),
            Self::Versions => (Verdict::Warning, "versions are not saved"),
            Self::Emptying => (Verdict::Warning, "bloated tables are not emptied"),
        }
    }
}

const CHECK_AS_COLLECTOR: &str =
    "run the check as the collector's role: POWA_COLLECTOR__REPOSITORY__DSN='...' powa-collector check";

/// The privileges that the role needs to collect, and to send commands to the collector.
pub(super) fn privileges(state: &RepositoryState) -> Vec<Finding> {
    let role = QuotedIdent::new(&state.role);
    let collecting = collecting_role(state);
    let mut findings = match &collecting {
        // This role does not need to collect.
        Some(collecting) if !state.missing.is_empty() => vec![other_role(&role, collecting)],
        _ => collecting_privileges(state, &role),
    };
    // With PoWA 4 before PostgreSQL 14, a role that may write may send commands too.
    let needs_role = state.powa.has_modules() || major(&state.version).is_none_or(|version| version >= 14);
    if !state.may_command && needs_role {
        let message = format!(
            "the role {role} may not send commands to the collector: status, reload, snapshot and refresh-catalogs are refused"
        );
        let grant = format!("grant pg_signal_backend to {role}");
        findings.push(
            Finding::new(CheckItem::Privileges, Verdict::Warning, message).cured_by(CureKind::RepositorySql, grant),
        );
    }
    if findings.is_empty() {
        let message = match &collecting {
            Some(collecting) => format!("of the role {role}; the collector is connected as {collecting}"),
            None => format!("of the role {role}"),
        };
        findings.push(Finding::new(CheckItem::Privileges, Verdict::Well, message));
    }
    findings
}

/// Findings about a role that lacks privileges to collect: one for what membership in PoWA's role for snapshots would grant, and
/// one for each further set of privileges.
fn collecting_privileges(state: &RepositoryState, role: &QuotedIdent) -> Vec<Finding> {
    let (of_role, others): (Vec<_>, Vec<_>) = state.missing.iter().partition(|one| one.are_of_snapshot_role);
    let mut findings = Vec::new();
    findings.extend(of_snapshot_role(&of_role, role, state));
    findings.extend(sets(&others).iter().map(|set| {
        let (verdict, purpose) = set.purpose.if_missing();
        let objects = match &set.names[..] {
            [one] => (*one).to_owned(),
            several => format!("{} {}s", several.len(), set.kind),
        };
        let privileges = set.privileges.join(", ");
        let message = format!("the role {role} lacks {privileges} on {objects}: {purpose}");
        Finding::new(CheckItem::Privileges, verdict, message).cured_by(CureKind::RepositorySql, set.grant(role))
    }));
    // A collector that is not running yet can have another role.
    let is_without_collector = state.collectors.as_ref().is_none_or(Vec::is_empty);
    if let Some(first) = findings.first_mut().filter(|_| is_without_collector) {
        let cure = format!("if the collector connects as another role than {role}, {CHECK_AS_COLLECTOR}");
        first.cures.push(Cure::new(CureKind::Advice, cure));
    }
    findings
}

/// The role of the check lacks privileges that only the collector needs, and the collector has another role.
fn other_role(role: &QuotedIdent, collecting: &QuotedIdent) -> Finding {
    let message = format!(
        "the role {role} lacks privileges to collect; the collector is connected as {collecting}, whose privileges were not \
         checked"
    );
    Finding::new(CheckItem::Privileges, Verdict::Warning, message).cured_by(CureKind::Advice, CHECK_AS_COLLECTOR)
}

/// The role of the connected collector, if it is not that of the check.
fn collecting_role(state: &RepositoryState) -> Option<QuotedIdent> {
    let roles = || state.collectors.iter().flatten().filter_map(|collector| collector.role.as_deref());
    let is_own = roles().any(|role| role == state.role);
    roles().next().filter(|_| !is_own).map(QuotedIdent::new)
}

/// PostgreSQL's major version.
fn major(version: &str) -> Option<u32> {
    version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// The finding about privileges that PoWA's role for snapshots has or, if it is not set up, would have.
fn of_snapshot_role(missing: &[&MissingPrivileges], role: &QuotedIdent, state: &RepositoryState) -> Option<Finding> {
    let (verdict, purpose) = missing.iter().map(|one| one.purpose.if_missing()).max_by_key(|(verdict, _)| *verdict)?;
    let finding = |message: String| Finding::new(CheckItem::Privileges, verdict, message);
    if let Some(snapshot_role) = &state.snapshot_role {
        let snapshot_role = QuotedIdent::new(snapshot_role);
        let message =
            format!("the role {role} is not a member of {snapshot_role} and lacks some of its privileges: {purpose}");
        return Some(finding(message).cured_by(CureKind::RepositorySql, format!("grant {snapshot_role} to {role}")));
    }
    let message = format!(
        "the role {role} lacks privileges of PoWA's role for snapshots, and PoWA's roles are not set up: {purpose}"
    );
    let single = sets(missing).iter().map(|set| set.grant(role)).collect::<Vec<_>>().join("; ");
    Some(
        finding(message)
            .cured_by(CureKind::RepositorySql, set_up(state, role))
            // Without PoWA's roles.
            .cured_by(CureKind::RepositorySql, single),
    )
}

/// SQL that sets up PoWA's roles under their default names, and makes the role a member of the one for snapshots. PoWA's function
/// creates all of its roles, or none.
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

/// The same privileges, for the same purpose, on objects of one kind.
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

/// Splits an object into its kind and its name.
fn object(on: &str) -> (&str, &str) {
    let kinds = ["function", "schema"];
    let named = |kind: &&'static str| Some((*kind, on.strip_prefix(kind)?.strip_prefix(' ')?));
    kinds.iter().find_map(named).unwrap_or(("table", on))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::Collector;
    use session::Extensions;

    fn missing(purpose: Purpose, privileges: &[&str], on: &str) -> MissingPrivileges {
        let privileges = privileges.iter().map(ToString::to_string).collect();
        MissingPrivileges { purpose, privileges, on: on.into(), are_of_snapshot_role: false }
    }

    fn state(role: &str, missing: Vec<MissingPrivileges>) -> RepositoryState {
        RepositoryState { role: role.into(), missing, ..RepositoryState::example() }
    }

    fn collector(name: &str, role: Option<&str>) -> Collector {
        let address = Some("10.0.0.7".into());
        Collector { process: 1, name: name.into(), address, connected_for: None, role: role.map(Into::into) }
    }

    #[test]
    fn the_privileges_of_an_operator_are_not_those_of_the_collector() {
        let lacking = || vec![missing(Purpose::Loads, &["insert"], "powa.a")];
        let check = |missing, roles: &[Option<&str>]| {
            let collectors = Some(roles.iter().map(|role| collector("one", *role)).collect());
            privileges(&RepositoryState { collectors, ..state("operator", missing) })
        };
        let found = check(lacking(), &[Some("col\"lector")]);
        assert_eq!((found.len(), found[0].verdict, found[0].cures[0].kind), (1, Verdict::Warning, CureKind::Advice));
        let message = "the role \"operator\" lacks privileges to collect; the collector is connected as \"col\"\"lector\", whose \
                       privileges were not checked";
        assert_eq!(found[0].message, message);
        // Whether it may send commands is checked all the same.
        let found = privileges(&RepositoryState {
            collectors: Some(vec![collector("one", Some("other"))]),
            may_command: false,
            ..state("operator", lacking())
        });
        assert_eq!(first_cures(&found)[1].1, "grant pg_signal_backend to \"operator\";");
        let well = &check(vec![], &[Some("other")])[0];
        assert_eq!(well.message, "of the role \"operator\"; the collector is connected as \"other\"");
        // If one of several collectors has this role, or none is connected, its privileges are checked.
        for roles in [&[Some("other"), Some("operator")][..], &[None], &[]] {
            let found = check(lacking(), roles);
            assert_eq!(
                first_cures(&found),
                [(Verdict::Wrong, "grant insert on table powa.a to \"operator\";")],
                "{roles:?}"
            );
            assert_eq!(found[0].cures.len(), if roles.is_empty() { 2 } else { 1 }, "{roles:?}");
        }
    }

    fn first_cures(findings: &[Finding]) -> Vec<(Verdict, &str)> {
        findings.iter().map(|finding| (finding.verdict, finding.cures[0].text.as_str())).collect()
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
            (Verdict::Wrong, "grant usage on schema powa to \"c\"\"c\";"),
            (Verdict::Wrong, "grant insert, delete on table powa.a, powa.b to \"c\"\"c\";"),
            (Verdict::Warning, "grant truncate on table powa.b to \"c\"\"c\";"),
            (Verdict::Wrong, "grant execute on function powa.f(integer) to \"c\"\"c\";"),
        ];
        assert_eq!(first_cures(&found), expected);
        assert_eq!(privileges(&state("c", vec![]))[0].verdict, Verdict::Well);
    }

    /// Privileges that PoWA's role for snapshots has, except one.
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
            (Verdict::Wrong, "grant \"Powa_Snapshot\" to \"c\";"),
            (Verdict::Warning, "grant update (version) on table powa.b to \"c\";"),
        ];
        assert_eq!(first_cures(&found), expected);
        assert!(found[0].message.ends_with("snapshots cannot be loaded"), "{}", found[0].message);
        // Only a warning, if it can still load.
        assert_eq!(privileges(&with_role(half_of_it()[..1].to_vec()))[0].verdict, Verdict::Warning);
    }

    #[test]
    fn roles_of_powa_that_are_not_set_up_are_or_the_role_gets_each_privilege() {
        let without = |absent: &[&str]| RepositoryState {
            roles_to_set_up: Some(absent.iter().map(ToString::to_string).collect()),
            ..state("c", half_of_it())
        };
        let cures = |absent: &[&str]| {
            let found = privileges(&without(absent));
            assert_eq!((found.len(), found[0].verdict, found[0].cures.len()), (2, Verdict::Wrong, 3));
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
    fn a_role_that_may_not_send_commands_is_a_warning() {
        let of = |version: &str, powa: &str| {
            let powa = Extensions::from_rows([("powa".into(), powa.into(), "powa".into())]).usable_powa().unwrap();
            privileges(&RepositoryState { version: version.into(), powa, may_command: false, ..state("c", vec![]) })
        };
        for (version, powa) in [("17.2 (Debian 17.2-1)", "4.1.4"), ("13.20", "5.0.2")] {
            let grant = "grant pg_signal_backend to \"c\";";
            assert_eq!(first_cures(&of(version, powa)), [(Verdict::Warning, grant)], "{version}");
        }
        assert_eq!(of("13.20", "4.1.4")[0].verdict, Verdict::Well);
    }
}
