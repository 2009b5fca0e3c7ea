//! The versions to which an extension could be updated on a server.

use tokio_postgres::Row;

/// An available version of an extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UpdateTarget {
    pub version: String,
    /// There is an update path to it from the installed version.
    pub has_path: bool,
}

impl UpdateTarget {
    /// The query for the versions of the extension whose name is its parameter.
    pub(crate) const QUERY: &str = include_str!("../../sql/update_targets.sql");

    pub(crate) fn of_row(row: &Row) -> Result<Self, tokio_postgres::Error> {
        Ok(Self { version: row.try_get(0)?, has_path: row.try_get(1)? })
    }
}
