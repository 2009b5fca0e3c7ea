//! Known faults of PoWA and its extensions: how to recognize each, what it means, and how to fix it. The only
//! place that knows about them.

use session::Extensions;

/// A known fault.
#[derive(Debug)]
pub(crate) struct PowaFault {
    /// The extension that has it.
    extension: &'static str,
    /// Texts that an error caused by the fault contains. PostgreSQL's own messages may be in any language.
    signs: &'static [&'static str],
    /// The query for whether this repository is affected.
    probe: &'static str,
    meaning: &'static str,
    /// A statement that fixes it, with `{schema}` in place of the quoted schema of the extension.
    cure: &'static str,
    /// The update that fixes it.
    update: &'static str,
}

/// A fault that a repository has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FoundFault {
    /// The extension and the consequences.
    pub message: String,
    /// The statement that fixes it until the extension is updated, for a superuser or the owner of the extension.
    pub cure: String,
    pub update: &'static str,
}

/// Versions 5.1.2 to 5.3.0 pass the function a second argument that it does not accept. The call is fixed, not the
/// function: an additional function with two arguments could conflict with an update that adds one.
const PURGE_OF_QUALS: PowaFault = PowaFault {
    extension: "powa",
    signs: &["powa_qualstats_purge", "powa_prevent_concurrent_snapshot(integer, unknown)"],
    probe: include_str!("../../sql/repository/fault_of_qualstats_purge.sql"),
    meaning: "powa_qualstats_purge() calls a function that PoWA does not have, so that the quals of pg_qualstats are never \
    deleted when their retention is over; everything else is stored and deleted correctly",
    cure: "do $fix$ begin execute pg_catalog.replace(pg_catalog.pg_get_functiondef(\
           '{schema}.powa_qualstats_purge(integer)'::pg_catalog.regprocedure), \
           'powa_prevent_concurrent_snapshot(_srvid,''pg_qualstats'')', \
           'powa_prevent_concurrent_snapshot(_srvid)'); end $fix$",
    update: "update PoWA as soon as a fixed version is available",
};

/// Up to 2.1.0, the time of the snapshot is taken from the settings of roles and databases, of which there may be none.
const NO_ROLE_SETTINGS: PowaFault = PowaFault {
    extension: "pg_track_settings",
    signs: &["pg_track_settings_snapshot_rds", "pg_track_db_role_settings_history", "\"ts\""],
    probe: include_str!("../../sql/repository/fault_of_role_settings.sql"),
    meaning: "pg_track_settings_snapshot_rds() fails while no role and no database has settings of its own (alter \
    role ... set), so that the last ones are not stored as removed; everything else is stored correctly",
    cure: "do $fix$ begin execute pg_catalog.replace(pg_catalog.pg_get_functiondef(\
           '{schema}.pg_track_settings_snapshot_rds(integer)'::pg_catalog.regprocedure), \
           'SELECT max(ts) INTO', 'SELECT coalesce(max(ts), now()) INTO'); end $fix$",
    update: "update pg_track_settings to 2.1.2 or newer",
};

impl PowaFault {
    pub(crate) const ALL: &[Self] = &[PURGE_OF_QUALS, NO_ROLE_SETTINGS];

    /// The known fault that caused an error of `powa_take_snapshot()`, if any.
    pub(crate) fn behind(error: &str) -> Option<&'static Self> {
        Self::ALL.iter().find(|fault| fault.signs.iter().all(|sign| error.contains(sign)))
    }

    /// The query for whether a repository is affected.
    pub(crate) fn probe(&self) -> &'static str {
        self.probe
    }

    /// The fault in a database with these extensions; `None` without the faulty extension.
    pub(crate) fn found(&self, extensions: &Extensions) -> Option<FoundFault> {
        let version = extensions.version(self.extension)?;
        // The statement has the schema inside a string literal.
        let schema = extensions.schema(self.extension).ok()?.to_string().replace('\'', "''");
        let name = if self.extension == "powa" { "PoWA" } else { self.extension };
        Some(FoundFault {
            message: format!("{name} {version} has a fault: {}", self.meaning),
            cure: self.cure.replace("{schema}", &schema),
            update: self.update,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_known_by_the_functions_it_names() {
        let known = "powa.powa_take_snapshot(1): function powa.powa_qualstats_purge failed: Funktion \
                     powa.powa_prevent_concurrent_snapshot(integer, unknown) existiert nicht";
        assert!(PowaFault::behind(known).is_some());
        for other in [
            "powa.powa_take_snapshot(1): function powa.powa_qualstats_purge failed: deadlock detected",
            "powa.powa_take_snapshot(1): function powa.powa_statements_purge failed: function x() does not exist",
        ] {
            assert!(PowaFault::behind(other).is_none(), "{other}");
        }
    }

    #[test]
    fn it_is_told_with_the_version_and_the_schema() {
        let extensions = Extensions::from_rows([("powa".into(), "5.3.0".into(), "it's".into())]);
        assert!(NO_ROLE_SETTINGS.found(&extensions).is_none());
        let found = PURGE_OF_QUALS.found(&extensions).unwrap();
        assert!(found.message.starts_with("PoWA 5.3.0 has a fault: powa_qualstats_purge()"), "{}", found.message);
        assert!(found.cure.contains("'\"it''s\".powa_qualstats_purge(integer)'"), "{}", found.cure);
    }
}
