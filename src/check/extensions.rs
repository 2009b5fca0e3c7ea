//! Findings about the extensions, libraries and privileges on a remote server. Pure.

use super::finding::{CheckItem, Cure, CureKind, Finding, Verdict};
use crate::remote::Inspection;
use crate::repository::Sources;
use crate::server::UpdateTarget;
use session::{Extensions, QuotedIdent, Side};

/// Extensions that are modules of PoWA too, and that need their library in `shared_preload_libraries`.
const PRELOADED: [&str; 4] = ["pg_stat_statements", "pg_stat_kcache", "pg_qualstats", "pg_wait_sampling"];

/// The extensions that are collected from the server.
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

/// The collected extensions that are not installed on the server.
pub(super) fn missing_extensions(sources: &Sources, installed: &Extensions) -> Vec<String> {
    let is_missing = |name: &&str| installed.version(name).is_none();
    wanted(sources).into_iter().filter(is_missing).map(Into::into).collect()
}

/// Findings about the collected extensions. `available` are those that could be created on the server; `removal` is the cure that
/// stops collecting an extension.
pub(super) fn extensions(
    sources: &Sources,
    installed: &Extensions,
    available: &[String],
    removal: impl Fn(&str) -> Option<Cure>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for name in wanted(sources).into_iter().filter(|name| installed.version(name).is_none()) {
        let create = format!("create extension {}", QuotedIdent::new(name));
        let is_available = available.iter().any(|available| available == name);
        let message = format!("extension \"{name}\" is collected from this server, but not installed on it");
        let finding = Finding::new(CheckItem::Extensions, Verdict::Wrong, message).about(name);
        let mut finding = if is_available {
            finding.cured_by(CureKind::RemoteSql, create)
        } else {
            let how =
                format!("install the package of {name} on that server, then run in its database with PoWA: {create};");
            finding.cured_by(CureKind::Advice, how)
        };
        finding.cures.extend(removal(name));
        findings.push(finding);
    }
    if findings.is_empty() && version_mismatches(sources, installed).is_empty() {
        let each: Vec<_> = wanted(sources)
            .into_iter()
            .filter_map(|name| Some(format!("{name} {}", installed.version(name)?)))
            .collect();
        findings.push(Finding::new(CheckItem::Extensions, Verdict::Well, each.join(", ")));
    }
    findings
}

/// An extension that stores rows in its own tables in the repository, and has another version there than on the server.
pub(super) struct VersionMismatch<'a> {
    pub(super) name: &'a str,
    pub(super) older: Side,
    in_repository: &'a str,
    on_server: &'a str,
}

pub(super) fn version_mismatches<'a>(sources: &'a Sources, installed: &'a Extensions) -> Vec<VersionMismatch<'a>> {
    let is_external = |name: &&str| sources.modules.iter().any(|module| module.external && module.name == *name);
    let differing = wanted(sources).into_iter().filter(is_external).filter_map(|name| {
        let (in_repository, on_server) = (sources.extensions.version(name)?, installed.version(name)?);
        let older = if numbers(in_repository) < numbers(on_server) { Side::Repository } else { Side::Remote };
        (short(in_repository) != short(on_server)).then_some(VersionMismatch { name, older, in_repository, on_server })
    });
    differing.collect()
}

impl VersionMismatch<'_> {
    /// With the cure for the older side. `targets` are the versions that could be installed on it.
    pub(super) fn finding(&self, targets: &[UpdateTarget]) -> Finding {
        let Self { name, older, in_repository, on_server } = self;
        let message = format!(
            "version {on_server} on this server, and {in_repository} in the repository: their columns can differ"
        );
        let finding = Finding::new(CheckItem::Extensions, Verdict::Warning, message).about(name);
        let (kind, newer) = match older {
            Side::Repository => (CureKind::RepositorySql, on_server),
            Side::Remote => (CureKind::RemoteSql, in_repository),
        };
        let target = targets.iter().find(|target| target.version == *newer);
        let name = QuotedIdent::new(name);
        match target {
            Some(UpdateTarget { has_path: true, .. }) => {
                let newer = newer.replace('\'', "''");
                finding.cured_by(kind, format!("alter extension {name} update to '{newer}'"))
            }
            Some(_) => finding.cured_by(
                CureKind::Advice,
                format!("{name} has no update to {newer} on the {older}: drop the extension there and create it again"),
            ),
            None => finding.cured_by(
                CureKind::Advice,
                format!(
                    "install the package of {name} {newer} on the {older}, then run there: alter extension {name} update;"
                ),
            ),
        }
    }
}

/// Major and minor version.
fn short(version: &str) -> (Option<&str>, Option<&str>) {
    let mut numbers = version.split('.');
    (numbers.next(), numbers.next())
}

/// For comparison: 2.10 is newer than 2.9.
fn numbers(version: &str) -> Vec<u64> {
    version.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
}

/// The finding about `shared_preload_libraries`.
pub(super) fn libraries(sources: &Sources, inspection: &Inspection) -> Finding {
    let Some(setting) = &inspection.preloaded else {
        let message = "the role may not read shared_preload_libraries";
        let grant = format!("grant pg_read_all_settings to {}", QuotedIdent::new(&inspection.role));
        return Finding::new(CheckItem::Libraries, Verdict::Warning, message).cured_by(CureKind::RemoteSql, grant);
    };
    let loaded: Vec<_> = setting.split(',').map(library).filter(|name| !name.is_empty()).collect();
    let wanted = wanted(sources);
    let missing: Vec<_> =
        PRELOADED.into_iter().filter(|name| wanted.contains(name) && !loaded.contains(name)).collect();
    if missing.is_empty() {
        return Finding::new(CheckItem::Libraries, Verdict::Well, setting);
    }
    let listed: Vec<_> = setting.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    // pg_stat_kcache must be loaded after pg_stat_statements, as it uses its hooks.
    let (first, last): (Vec<_>, Vec<_>) = missing.iter().partition(|name| **name == "pg_stat_statements");
    let all = [first, listed, last].concat().join(",").replace('\'', "''");
    let message = format!("not in shared_preload_libraries: {}", missing.join(", "));
    Finding::new(CheckItem::Libraries, Verdict::Wrong, message)
        .cured_by(CureKind::PostgresqlConf, format!("shared_preload_libraries = '{all}'    # and restart that server"))
}

/// The name of a library that can be quoted, or have a path or a suffix.
fn library(listed: &str) -> &str {
    let name = listed.trim().trim_matches('"');
    let name = name.rsplit_once('/').map_or(name, |(_, name)| name);
    name.strip_suffix(".so").unwrap_or(name)
}

/// Findings about the privileges of the role. `missing` are grants such as `execute on function ...`.
pub(super) fn privileges(inspection: &Inspection, missing: &[String]) -> Vec<Finding> {
    let role = QuotedIdent::new(&inspection.role);
    let mut findings = Vec::new();
    if !inspection.reads_all_stats {
        let message = format!("the role {role} may not see the statements of other roles");
        let grant = format!("grant pg_read_all_stats to {role}");
        findings
            .push(Finding::new(CheckItem::Privileges, Verdict::Wrong, message).cured_by(CureKind::RemoteSql, grant));
    }
    if !inspection.reads_all_settings {
        let message = format!("the role {role} may not read all settings");
        let grant = format!("grant pg_read_all_settings to {role}");
        findings
            .push(Finding::new(CheckItem::Privileges, Verdict::Warning, message).cured_by(CureKind::RemoteSql, grant));
    }
    findings.extend(missing.iter().map(|grant| {
        let message = format!("the role {role} lacks {grant}");
        Finding::new(CheckItem::Privileges, Verdict::Wrong, message)
            .cured_by(CureKind::RemoteSql, format!("grant {grant} to {role}"))
    }));
    if findings.is_empty() {
        findings.push(Finding::new(CheckItem::Privileges, Verdict::Well, format!("of the role {role}")));
    }
    findings
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::repository::Module;

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
            targets: Arc::default(),
        }
    }

    fn inspection(preloaded: Option<&str>) -> Inspection {
        Inspection { preloaded: preloaded.map(Into::into), ..Inspection::example("po wa") }
    }

    fn check(there: &[(&str, &str)], available: &[&str]) -> Vec<Finding> {
        let available: Vec<_> = available.iter().map(ToString::to_string).collect();
        let removal = |name: &str| Some(Cure::new(CureKind::Advice, format!("without {name}")));
        extensions(&sources(), &extensions_of(there), &available, removal)
    }

    #[test]
    fn an_extension_that_is_collected_and_not_installed_can_be_created_or_deactivated() {
        let there = [("pg_stat_statements", "1.11"), ("pg_track_settings", "2.1.0")];
        let found = check(&there, &["pg_qualstats"]);
        assert_eq!(found.len(), 1);
        let cures: Vec<_> = found[0].cures.iter().map(|cure| (cure.kind, cure.text.as_str())).collect();
        let expected =
            [(CureKind::RemoteSql, "create extension \"pg_qualstats\";"), (CureKind::Advice, "without pg_qualstats")];
        assert_eq!(cures, expected);
        let found = check(&there, &[]);
        assert!(found[0].cures[0].text.starts_with("install the package"), "{found:?}");
    }

    #[test]
    fn rows_that_go_into_an_extensions_own_tables_are_of_the_same_version() {
        let there =
            |version| [("pg_stat_statements", "1.11"), ("pg_qualstats", "2.1.1"), ("pg_track_settings", version)];
        assert_eq!(check(&there("2.1.0"), &[])[0].verdict, Verdict::Well);
        let found = |version, targets: &[UpdateTarget]| {
            assert!(check(&there(version), &[]).is_empty());
            let (sources, installed) = (sources(), extensions_of(&there(version)));
            let mismatches = version_mismatches(&sources, &installed);
            assert_eq!(mismatches.len(), 1);
            mismatches[0].finding(targets)
        };
        for (version, kind, newer) in
            [("2.10.0", CureKind::RepositorySql, "2.10.0"), ("2.0.1", CureKind::RemoteSql, "2.1.2")]
        {
            let target = |has_path| [UpdateTarget { version: newer.into(), has_path }];
            let finding = found(version, &target(true));
            let update = format!("alter extension \"pg_track_settings\" update to '{newer}';");
            assert_eq!(
                (finding.verdict, finding.cures[0].kind, &finding.cures[0].text),
                (Verdict::Warning, kind, &update)
            );
            assert!(found(version, &target(false)).cures[0].text.contains("has no update to"));
            assert!(found(version, &[]).cures[0].text.starts_with("install the package of"));
        }
    }

    #[test]
    fn libraries_are_known_however_they_are_written() {
        let marked = |setting| libraries(&sources(), &inspection(setting));
        for setting in ["pg_stat_statements,pg_qualstats", " \"$libdir/pg_qualstats.so\" , pg_stat_statements,other"] {
            assert_eq!(marked(Some(setting)).verdict, Verdict::Well, "{setting}");
        }
        let missing = marked(Some("other, pg_stat_kcache"));
        let all = "shared_preload_libraries = 'pg_stat_statements,other,pg_stat_kcache,pg_qualstats'    # and restart that server";
        assert_eq!((missing.verdict, missing.cures[0].text.as_str()), (Verdict::Wrong, all));
        assert_eq!(
            marked(Some("")).cures[0].text,
            "shared_preload_libraries = 'pg_stat_statements,pg_qualstats'    # and restart that server"
        );
        assert_eq!(marked(None).cures[0].text, "grant pg_read_all_settings to \"po wa\";");
    }

    #[test]
    fn a_privilege_that_is_missing_is_granted_to_the_role() {
        assert_eq!(privileges(&inspection(None), &[])[0].verdict, Verdict::Well);
        let without_settings = Inspection { reads_all_settings: false, ..inspection(None) };
        let found = &privileges(&without_settings, &[])[0];
        let grant = "grant pg_read_all_settings to \"po wa\";";
        assert_eq!((found.verdict, found.cures[0].text.as_str()), (Verdict::Warning, grant));
        let without_stats = Inspection { reads_all_stats: false, ..inspection(None) };
        let found = privileges(&without_stats, &["execute on function \"a\".\"b\"(integer)".into()]);
        let cures: Vec<_> = found.iter().map(|finding| finding.cures[0].text.as_str()).collect();
        let expected =
            ["grant pg_read_all_stats to \"po wa\";", "grant execute on function \"a\".\"b\"(integer) to \"po wa\";"];
        assert_eq!(cures, expected);
    }
}
