//! Classifies the errors of functions that failed inside `powa_take_snapshot()`. Pure.

use super::Sources;
use crate::repository::powa_faults::{FoundFault, PowaFault};

/// The errors of one snapshot, classified.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Sorted {
    /// Known faults of PoWA and its extensions, which a retry does not change.
    pub(super) faults: Vec<FoundFault>,
    /// Other errors, to be reported.
    pub(super) failed: Vec<String>,
    /// The new content of `powa_snapshot_metas.errors`.
    pub(super) stored: Vec<String>,
}

impl Sorted {
    /// Classifies the errors. A function of an extension that the repository lacks was reported when the snapshot was
    /// planned; PoWA's own message for it is an unrelated syntax error.
    pub(super) fn of(errors: &[String], sources: &Sources) -> Self {
        let mut sorted = Self::default();
        for error in errors {
            if let Some(found) = PowaFault::behind(error).and_then(|fault| fault.found(&sources.extensions)) {
                sorted.stored.push(found.message.clone());
                sorted.faults.push(found);
            } else if !is_of_missing_extension(error, sources) {
                sorted.stored.push(error.clone());
                sorted.failed.push(error.clone());
            }
        }
        sorted
    }
}

/// Parses `powa_take_snapshot(N): function NAME failed: REASON`. With PoWA 5 the name is qualified, by an empty schema
/// if the extension is missing.
fn is_of_missing_extension(error: &str, sources: &Sources) -> bool {
    let mut missing = sources.missing_extensions();
    let function = error.split_once("function ").and_then(|(_, rest)| rest.split_once(" failed:"));
    let Some((function, _)) = function else { return false };
    let name = function.rsplit('.').next().unwrap_or(function).trim_matches('"');
    missing.any(|extension| function.starts_with('.') || name.starts_with(extension))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::repository::Module;
    use session::Extensions;

    fn sources(installed: &[&str]) -> Sources {
        let rows = installed.iter().map(|name| ((*name).into(), "5.3.0".into(), "powa".into()));
        let extensions = Extensions::from_rows(rows);
        let module = Module {
            name: "pg_track_settings".into(),
            is_extension: true,
            external: true,
            query_source: "pg_track_settings_rds_src".into(),
            query_cleanup: None,
        };
        let powa = extensions.usable_powa().unwrap();
        Sources {
            extensions,
            powa,
            modules: vec![module],
            database_modules: vec![],
            catalogs: vec![],
            targets: Arc::default(),
        }
    }

    const FAULT: &str = "powa.powa_take_snapshot(1): function powa.powa_qualstats_purge failed: function \
                         powa.powa_prevent_concurrent_snapshot(integer, unknown) does not exist";
    const OTHER: &str = "powa.powa_take_snapshot(1): function powa.powa_statements_snapshot failed: no";

    fn sorted(errors: &[&str], installed: &[&str]) -> Sorted {
        let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
        Sorted::of(&errors, &sources(installed))
    }

    #[test]
    fn a_fault_of_powa_is_told_apart_and_stored_as_what_it_is() {
        let sorted = sorted(&[FAULT, OTHER], &["powa", "pg_track_settings"]);
        assert_eq!(sorted.failed, [OTHER]);
        assert_eq!(sorted.stored, [sorted.faults[0].message.as_str(), OTHER]);
    }

    #[test]
    fn functions_of_an_extension_that_is_not_there_were_told_of_before() {
        let of_powa_5 = "powa.powa_take_snapshot(1): function .pg_track_settings_snapshot_rds failed: syntax error";
        let of_powa_4 = "powa_take_snapshot(1): function \"pg_track_settings_snapshot_rds\" failed: does not exist";
        for error in [of_powa_5, of_powa_4] {
            assert_eq!(sorted(&[error, OTHER], &["powa"]).stored, [OTHER]);
            assert_eq!(sorted(&[error], &["powa", "pg_track_settings"]).failed, [error]);
        }
    }
}
