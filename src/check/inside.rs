//! What is there in a server that lets us in, and what is missing? Pure.

use super::finding::{Cure, Finding, Mark, Place, What};
use crate::postgres::{Extensions, Inspection, QuotedIdent, Sources};

/// Extensions whose names PoWA has for modules of its own, and which only count if their library is loaded.
const PRELOADED: [&str; 4] = ["pg_stat_statements", "pg_stat_kcache", "pg_qualstats", "pg_wait_sampling"];

/// The extensions that the repository wants rows of.
pub(super) fn wanted(sources: &Sources) -> Vec<&str> {
    let is_extension = |name: &str, external: bool| external || PRELOADED.contains(&name);
    let mut wanted: Vec<&str> = sources
        .modules
        .iter()
        .map(|module| (module.name.as_str(), module.external))
        .filter(|(name, external)| is_extension(name, *external))
        .map(|(name, _)| name)
        .collect();
    wanted.sort_unstable();
    wanted.dedup();
    wanted
}

/// Those of them that are not there.
pub(super) fn missing_extensions(sources: &Sources, there: &Extensions) -> Vec<String> {
    let is_missing = |name: &&str| there.version(name).is_none();
    wanted(sources).into_iter().filter(is_missing).map(Into::into).collect()
}

/// Where the extensions are to be found that are wanted. `without` is how one is not collected from.
pub(super) fn extensions(
    sources: &Sources,
    there: &Extensions,
    available: &[String],
    without: impl Fn(&str) -> Option<Cure>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for name in wanted(sources) {
        let finding = |mark, said: String| Finding::new(What::Extensions, mark, said).about(name);
        let external = sources.modules.iter().any(|module| module.external && module.name == name);
        match there.version(name) {
            None => {
                let create = format!("create extension {}", QuotedIdent::new(name));
                let is_available = available.iter().any(|available| available == name);
                let said = format!("extension \"{name}\" is collected from this server, and not installed there");
                let found = finding(Mark::Wrong, said);
                let mut found = if is_available {
                    found.cured_by(Place::Remote, create)
                } else {
                    let how = format!("install the package of {name} on that server, then there: {create};");
                    found.cured_by(Place::Elsewhere, how)
                };
                found.cures.extend(without(name));
                findings.push(found);
            }
            Some(version) => {
                // Its rows go into its own tables, in the repository.
                let here = sources.extensions.version(name);
                if let Some(here) = here.filter(|here| external && short(here) != short(version)) {
                    let said =
                        format!("\"{name}\" is {version} there, and {here} in the repository: columns may differ");
                    let (older, newer) = if numbers(here) < numbers(version) {
                        (Place::Repository, version)
                    } else {
                        (Place::Remote, here)
                    };
                    let (name, newer) = (QuotedIdent::new(name), newer.replace('\'', "''"));
                    let update = format!("alter extension {name} update to '{newer}'");
                    findings.push(finding(Mark::Warning, said).cured_by(older, update));
                }
            }
        }
    }
    if findings.is_empty() {
        let each: Vec<_> =
            wanted(sources).into_iter().filter_map(|name| Some(format!("{name} {}", there.version(name)?))).collect();
        findings.push(Finding::new(What::Extensions, Mark::Well, each.join(", ")));
    }
    findings
}

/// The first two numbers.
fn short(version: &str) -> (Option<&str>, Option<&str>) {
    let mut numbers = version.split('.');
    (numbers.next(), numbers.next())
}

/// All of them, to be compared: of 2.10 and 2.9, the first is newer.
fn numbers(version: &str) -> Vec<u64> {
    version.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
}

/// Whether the libraries are loaded that are wanted.
pub(super) fn libraries(sources: &Sources, inspection: &Inspection) -> Finding {
    let Some(setting) = &inspection.preloaded else {
        let said = "the role may not see shared_preload_libraries";
        let grant = format!("grant pg_read_all_settings to {}", QuotedIdent::new(&inspection.role));
        return Finding::new(What::Libraries, Mark::Warning, said).cured_by(Place::Remote, grant);
    };
    let loaded: Vec<_> = setting.split(',').map(library).filter(|name| !name.is_empty()).collect();
    let wanted = wanted(sources);
    let missing: Vec<_> =
        PRELOADED.into_iter().filter(|name| wanted.contains(name) && !loaded.contains(name)).collect();
    if missing.is_empty() {
        return Finding::new(What::Libraries, Mark::Well, setting);
    }
    let listed: Vec<_> = setting.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    // pg_stat_kcache wants to come behind pg_stat_statements, whose hooks it builds on.
    let (first, last): (Vec<_>, Vec<_>) = missing.iter().partition(|name| **name == "pg_stat_statements");
    let all = [first, listed, last].concat().join(",").replace('\'', "''");
    let said = format!("not in shared_preload_libraries: {}", missing.join(", "));
    Finding::new(What::Libraries, Mark::Wrong, said)
        .cured_by(Place::ServerSettings, format!("shared_preload_libraries = '{all}'    # and restart that server"))
}

/// Of a library that may be given with its folder, or in quotes.
fn library(listed: &str) -> &str {
    let name = listed.trim().trim_matches('"');
    let name = name.rsplit_once('/').map_or(name, |(_, name)| name);
    name.strip_suffix(".so").unwrap_or(name)
}

/// What the role may not see, or do.
pub(super) fn privileges(inspection: &Inspection, missing: &[String]) -> Vec<Finding> {
    let role = QuotedIdent::new(&inspection.role);
    let mut findings = Vec::new();
    if !inspection.reads_all_stats {
        let said = format!("the role {role} does not see what other roles do");
        let grant = format!("grant pg_read_all_stats to {role}");
        findings.push(Finding::new(What::Privileges, Mark::Wrong, said).cured_by(Place::Remote, grant));
    }
    if !inspection.reads_all_settings {
        let said = format!("the role {role} does not see all settings");
        let grant = format!("grant pg_read_all_settings to {role}");
        findings.push(Finding::new(What::Privileges, Mark::Warning, said).cured_by(Place::Remote, grant));
    }
    findings.extend(missing.iter().map(|grant| {
        let said = format!("the role {role} has not been granted {grant}");
        Finding::new(What::Privileges, Mark::Wrong, said).cured_by(Place::Remote, format!("grant {grant} to {role}"))
    }));
    if findings.is_empty() {
        findings.push(Finding::new(What::Privileges, Mark::Well, format!("of the role {role}")));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::Module;

    fn extensions_of(rows: &[(&str, &str)]) -> Extensions {
        let rows = rows.iter().map(|(name, version)| ((*name).into(), (*version).into(), "public".into()));
        Extensions::from_rows(rows)
    }

    fn sources() -> Sources {
        let here = extensions_of(&[("powa", "5.0.2"), ("pg_track_settings", "2.1.2")]);
        let module = |name: &str, external| Module {
            name: name.into(),
            is_extension: true,
            external,
            query_source: "src".into(),
            query_cleanup: None,
        };
        Sources {
            powa: here.usable_powa().unwrap(),
            extensions: here,
            modules: vec![
                module("pg_stat_statements", false),
                module("pg_stat_statements", false),
                module("pg_stat_bgwriter", false),
                module("pg_qualstats", false),
                module("pg_track_settings", true),
            ],
            database_modules: vec![],
            catalogs: vec![],
        }
    }

    fn inspection(preloaded: Option<&str>) -> Inspection {
        Inspection {
            version: "17.2".into(),
            role: "po wa".into(),
            reads_all_stats: true,
            reads_all_settings: true,
            preloaded: preloaded.map(Into::into),
        }
    }

    fn look(there: &[(&str, &str)], available: &[&str]) -> Vec<Finding> {
        let available: Vec<_> = available.iter().map(ToString::to_string).collect();
        let without = |name: &str| Some(Cure::new(Place::Elsewhere, format!("without {name}")));
        extensions(&sources(), &extensions_of(there), &available, without)
    }

    #[test]
    fn an_extension_that_is_collected_and_not_there_can_be_created_or_left_alone() {
        let there = [("pg_stat_statements", "1.11"), ("pg_track_settings", "2.1.0")];
        let found = look(&there, &["pg_qualstats"]);
        assert_eq!(found.len(), 1);
        let cures: Vec<_> = found[0].cures.iter().map(|cure| (cure.place, cure.text.as_str())).collect();
        let expected =
            [(Place::Remote, "create extension \"pg_qualstats\";"), (Place::Elsewhere, "without pg_qualstats")];
        assert_eq!(cures, expected);
        let found = look(&there, &[]);
        assert!(found[0].cures[0].text.starts_with("install the package"), "{found:?}");
    }

    #[test]
    fn rows_that_go_into_an_extensions_own_tables_are_of_the_same_version() {
        let there =
            |version| [("pg_stat_statements", "1.11"), ("pg_qualstats", "2.1.1"), ("pg_track_settings", version)];
        assert_eq!(look(&there("2.1.0"), &[])[0].mark, Mark::Well);
        for (version, place, update) in [
            ("2.10.0", Place::Repository, "alter extension \"pg_track_settings\" update to '2.10.0';"),
            ("2.0.1", Place::Remote, "alter extension \"pg_track_settings\" update to '2.1.2';"),
        ] {
            let found = &look(&there(version), &[])[0];
            let cure = &found.cures[0];
            assert_eq!((found.mark, cure.place, cure.text.as_str()), (Mark::Warning, place, update));
        }
    }

    #[test]
    fn libraries_are_known_however_they_are_written() {
        let marked = |setting| libraries(&sources(), &inspection(setting));
        for setting in ["pg_stat_statements,pg_qualstats", " \"$libdir/pg_qualstats.so\" , pg_stat_statements,other"] {
            assert_eq!(marked(Some(setting)).mark, Mark::Well, "{setting}");
        }
        let missing = marked(Some("other, pg_stat_kcache"));
        let all = "shared_preload_libraries = 'pg_stat_statements,other,pg_stat_kcache,pg_qualstats'    # and restart that server";
        assert_eq!((missing.mark, missing.cures[0].text.as_str()), (Mark::Wrong, all));
        assert_eq!(
            marked(Some("")).cures[0].text,
            "shared_preload_libraries = 'pg_stat_statements,pg_qualstats'    # and restart that server"
        );
        assert_eq!(marked(None).cures[0].text, "grant pg_read_all_settings to \"po wa\";");
    }

    #[test]
    fn a_privilege_that_is_missing_is_granted_to_the_role() {
        assert_eq!(privileges(&inspection(None), &[])[0].mark, Mark::Well);
        let half_blind = Inspection { reads_all_settings: false, ..inspection(None) };
        let found = &privileges(&half_blind, &[])[0];
        let grant = "grant pg_read_all_settings to \"po wa\";";
        assert_eq!((found.mark, found.cures[0].text.as_str()), (Mark::Warning, grant));
        let blind = Inspection { reads_all_stats: false, ..inspection(None) };
        let found = privileges(&blind, &["execute on function \"a\".\"b\"(integer)".into()]);
        let cures: Vec<_> = found.iter().map(|finding| finding.cures[0].text.as_str()).collect();
        let expected =
            ["grant pg_read_all_stats to \"po wa\";", "grant execute on function \"a\".\"b\"(integer) to \"po wa\";"];
        assert_eq!(cures, expected);
    }
}
