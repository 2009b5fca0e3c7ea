//! Cures for incompatible versions of PoWA in the repository and on a server. Pure.

use super::finding::{Cure, CureKind};
use crate::server::UpdateTarget;
use session::{PowaVersion, Side};

/// How to update the older side to the version of the newer one: by `alter extension ... update` if the package is installed
/// and PoWA has an update path. Without a path, as from PoWA 4 to 5, the extension has to be created again, which on the
/// repository would delete the history.
pub(super) fn cures(older: Side, installed: &PowaVersion, newer: &PowaVersion, targets: &[UpdateTarget]) -> Vec<Cure> {
    let fits = |target: &&UpdateTarget| PowaVersion::parse(&target.version).is_some_and(|version| version.fits(newer));
    let target = targets.iter().filter(fits).max_by_key(|target| numbers(&target.version));
    let kind = match older {
        Side::Remote => CureKind::RemoteSql,
        Side::Repository => CureKind::RepositorySql,
    };
    match target {
        Some(UpdateTarget { version, has_path: true }) => {
            vec![Cure::new(kind, format!("alter extension powa update to {}", literal(version)))]
        }
        Some(UpdateTarget { version, has_path: false }) => match older {
            Side::Remote => vec![Cure::new(kind, create_again(version))],
            Side::Repository => vec![keep_history(installed, newer)],
        },
        None => {
            let package = format!("install the package of PoWA {} on the {older}", newer.short());
            let then = match older {
                _ if installed.has_same_major(newer) => "then run there: alter extension powa update;".to_owned(),
                Side::Remote => {
                    let no_path = format!("PoWA has no update from {installed} to it");
                    format!("then run there, as {no_path}: drop extension powa; create extension powa cascade;")
                }
                Side::Repository => return vec![keep_history(installed, newer)],
            };
            vec![Cure::new(CureKind::Advice, format!("{package}, {then}"))]
        }
    }
}

/// Loses nothing on a remote server: PoWA stores data there only if its database is a repository too.
fn create_again(version: &str) -> String {
    format!("drop extension powa; create extension powa version {} cascade", literal(version))
}

fn keep_history(installed: &PowaVersion, newer: &PowaVersion) -> Cure {
    let (from, to) = (installed.short(), newer.short());
    let what = if installed.has_same_major(newer) {
        format!(
            "install the package of PoWA {to} on the repository server, then run there: alter extension powa update;"
        )
    } else {
        format!(
            "PoWA has no update from {from} to {to}, and dropping the extension would delete the history: install PoWA {to} in a \
             new database, set repository.dsn to it and register the servers in it; or install PoWA {from} on the remote \
             server"
        )
    };
    Cure::new(CureKind::Advice, what)
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// For comparison: 5.10 is newer than 5.9.
fn numbers(version: &str) -> Vec<u64> {
    version.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> PowaVersion {
        PowaVersion::parse(text).unwrap()
    }

    fn cure(older: Side, installed: &str, newer: &str, targets: &[(&str, bool)]) -> (CureKind, String) {
        let target =
            |(version, has_path): &(&str, bool)| UpdateTarget { version: (*version).into(), has_path: *has_path };
        let targets: Vec<_> = targets.iter().map(target).collect();
        let mut cures = cures(older, &version(installed), &version(newer), &targets);
        assert_eq!(cures.len(), 1);
        let cure = cures.remove(0);
        (cure.kind, cure.text)
    }

    #[test]
    fn where_there_is_a_path_it_is_an_update() {
        let targets = [("5.0.1", true), ("5.0.2", true), ("5.0.10", true), ("5.3.0", true)];
        for (side, kind) in [(Side::Remote, CureKind::RemoteSql), (Side::Repository, CureKind::RepositorySql)] {
            let found = cure(side, "5.0.0", "5.0.1", &targets);
            assert_eq!(found, (kind, "alter extension powa update to '5.0.10';".into()));
        }
    }

    #[test]
    fn without_a_path_a_server_gets_the_extension_again_and_the_repository_keeps_its_history() {
        let there = [("5.0.2", false)];
        let again = "drop extension powa; create extension powa version '5.0.2' cascade;";
        assert_eq!(cure(Side::Remote, "4.1.4", "5.0.2", &there), (CureKind::RemoteSql, again.into()));
        let (kind, text) = cure(Side::Remote, "4.1.4", "5.0.2", &[("4.1.4", false)]);
        assert!(kind == CureKind::Advice && text.contains("install the package of PoWA 5.0 on the remote server"));
        assert!(text.ends_with("drop extension powa; create extension powa cascade;"), "{text}");
        for targets in [&there[..], &[]] {
            let (kind, text) = cure(Side::Repository, "4.1.4", "5.0.2", targets);
            assert!(kind == CureKind::Advice && text.contains("would delete the history"), "{text}");
        }
    }

    #[test]
    fn without_a_package_that_comes_first() {
        let (kind, text) = cure(Side::Repository, "5.0.2", "5.3.0", &[("5.0.2", false)]);
        let expected =
            "install the package of PoWA 5.3 on the repository server, then run there: alter extension powa update;";
        assert_eq!((kind, text.as_str()), (CureKind::Advice, expected));
    }
}
