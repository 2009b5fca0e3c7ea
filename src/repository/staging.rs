//! The tables called `*_src_tmp`: a load copies rows into them, and PoWA's functions move these to the history.

use tokio_postgres::Row;

use super::checked_out::CheckedOutSession;
use session::{Error, QuotedIdent, Side};

/// A `*_src_tmp` table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StagingTable {
    /// Qualified and quoted.
    pub name: String,
    /// In bytes, without TOAST and indexes.
    pub size: u64,
    /// The `GRANT` that the role needs to truncate it, if missing.
    pub missing_truncate: Option<String>,
    /// It has the column `srvid`.
    pub has_server: bool,
    /// The role may read it.
    pub may_be_read: bool,
    /// The `GRANT` that the role needs to read or delete rows, if missing.
    pub missing_delete: Option<String>,
}

/// All these tables, the largest first.
pub(super) async fn staging_tables(session: &CheckedOutSession) -> Result<Vec<StagingTable>, Error> {
    let sql = if session.powa()?.has_modules() {
        include_str!("../../sql/repository/staging_tables_powa5.sql")
    } else {
        include_str!("../../sql/repository/staging_tables_powa4.sql")
    };
    let rows = session.query(sql, &[]).await?;
    let tables: Result<Vec<_>, _> = rows.iter().map(StagingTable::of).collect();
    tables.map_err(|error| Error::new(Side::Repository, session.action, error))
}

impl StagingTable {
    fn of(row: &Row) -> Result<Self, tokio_postgres::Error> {
        let [schema, table, role] = [0, 1, 4].map(|column| row.try_get(column).map(QuotedIdent::new));
        let (name, role) = (format!("{}.{}", schema?, table?), role?);
        // Size and privileges are null if the table was dropped meanwhile.
        let size: Option<i64> = row.try_get(2)?;
        let may_be_truncated: Option<bool> = row.try_get(3)?;
        let missing: Vec<String> = row.try_get(6)?;
        let grant = |privileges: &str| format!("grant {privileges} on {name} to {role}");
        Ok(Self {
            size: size.and_then(|size| size.try_into().ok()).unwrap_or_default(),
            missing_truncate: (may_be_truncated == Some(false)).then(|| grant("truncate")),
            has_server: row.try_get(5)?,
            may_be_read: !missing.iter().any(|privilege| privilege == "select"),
            missing_delete: (!missing.is_empty()).then(|| grant(&missing.join(", "))),
            name,
        })
    }
}

#[cfg(test)]
impl StagingTable {
    /// A table of 3 MB on which the role has all privileges.
    pub(crate) fn example() -> Self {
        Self {
            name: "\"a\".\"b_src_tmp\"".into(),
            size: 3 << 20,
            missing_truncate: None,
            has_server: true,
            may_be_read: true,
            missing_delete: None,
        }
    }
}
