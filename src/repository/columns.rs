//! Maps the columns of collected rows to those of the repository's tables, which `alter extension ... update` may
//! change while a snapshot waits to be loaded.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex};

use tokio_postgres::Row;
use tokio_postgres::types::{Kind, Type};

use crate::remote::rows::incoming::QUERY_TEXT;
use session::{Extensions, QuotedIdent};

/// The tables that rows are loaded into, with their columns. The key is the name as PoWA writes it, and as the
/// collector does.
#[derive(Debug, Default)]
pub(crate) struct Targets(HashMap<String, Arc<Table>>);

/// The columns of a table, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Table {
    oid: u32,
    columns: Vec<Column>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Column {
    /// `attnum`: does not change when the column is renamed.
    number: i16,
    name: String,
    data_type: u32,
    /// `NOT NULL` without a default.
    is_required: bool,
}

/// How rows are copied into a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CopyTarget {
    /// `(a, b, c)`, quoted; empty if the columns are unknown.
    columns: String,
    /// Values of new columns, appended to each row before its line end.
    pub(super) suffix: String,
}

/// The collected rows do not fit the table.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Mismatch {
    #[error("column \"{0}\" no longer exists: the snapshot was collected before the table was changed")]
    Gone(String),
    #[error("the type of column \"{0}\" has changed: the snapshot was collected before the table was changed")]
    OtherType(String),
    #[error("column \"{0}\" is new and required: the snapshot was collected before the table was changed")]
    Required(String),
}

impl Targets {
    pub(super) fn of(rows: &[Row]) -> Result<Self, tokio_postgres::Error> {
        let mut tables: Vec<([String; 2], Table)> = Vec::new();
        for row in rows {
            let oid = row.try_get(3)?;
            if tables.last().is_none_or(|(_, table)| table.oid != oid) {
                let [schema, name] = [0, 1].map(|column| row.try_get(column).map(QuotedIdent::new));
                let names = [format!("{}.{}", schema?, name?), row.try_get(2)?];
                tables.push((names, Table { oid, columns: Vec::new() }));
            }
            let column = Column {
                number: row.try_get(4)?,
                name: row.try_get(5)?,
                data_type: row.try_get(6)?,
                is_required: row.try_get(7)?,
            };
            tables.last_mut().expect("it has just been added").1.columns.push(column);
        }
        let by_name = tables.into_iter().flat_map(|(names, table)| {
            let table = Arc::new(table);
            names.map(|name| (name, Arc::clone(&table)))
        });
        Ok(Self(by_name.collect()))
    }

    /// The index of a column in the rows of a source function, from 0: COPY goes by position, so it is the column's
    /// position in the table, without the leading `srvid`.
    pub(crate) fn index_after_server(&self, table: &str, column: &str) -> Option<usize> {
        let (first, others) = self.0.get(table)?.columns.split_first()?;
        if first.name == "srvid" { others.iter().position(|other| other.name == column) } else { None }
    }

    /// The columns of the rows of a source function, in order, if one of them holds statement texts; otherwise empty.
    pub(crate) fn with_query_text(&self, table: &str) -> Vec<String> {
        match self.index_after_server(table, QUERY_TEXT) {
            Some(_) => self.0[table].columns.iter().skip(1).map(|column| column.name.clone()).collect(),
            None => Vec::new(),
        }
    }

    #[cfg(test)]
    pub(crate) fn example(tables: &[(&str, &[&str])]) -> Self {
        let column = |(number, name): (i16, &&str)| Column {
            number,
            name: (*name).into(),
            data_type: Type::OID.oid(),
            is_required: true,
        };
        let table = |names: &[&str]| Table { oid: 1, columns: (1..).zip(names).map(column).collect() };
        Self(tables.iter().map(|(name, columns)| ((*name).into(), Arc::new(table(columns)))).collect())
    }

    /// How to copy rows into `table`, collected when it had the columns in `before`.
    ///
    /// # Errors
    /// The rows do not fit the table.
    pub(super) fn copy_target(&self, before: &Self, table: &str) -> Result<CopyTarget, Mismatch> {
        match (before.0.get(table), self.0.get(table)) {
            (Some(before), Some(now)) => CopyTarget::between(before, now),
            // Nothing to compare: COPY reports whether the rows fit.
            _ => Ok(CopyTarget::default()),
        }
    }
}

impl CopyTarget {
    fn between(before: &Table, now: &Table) -> Result<Self, Mismatch> {
        let is_same_table = before.oid == now.oid;
        let mut columns = Vec::new();
        for column in &before.columns {
            let is_it = |other: &&Column| {
                if is_same_table { other.number == column.number } else { other.name == column.name }
            };
            let found = now.columns.iter().find(is_it).ok_or_else(|| Mismatch::Gone(column.name.clone()))?;
            if found.data_type != column.data_type {
                return Err(Mismatch::OtherType(found.name.clone()));
            }
            columns.push(found);
        }
        let mut suffix = String::new();
        let is_new = |column: &&Column| column.is_required && !columns.contains(column);
        for column in now.columns.iter().filter(is_new).collect::<Vec<_>>() {
            let zero = zero_of(column.data_type).ok_or_else(|| Mismatch::Required(column.name.clone()))?;
            let _ = write!(suffix, "\t{zero}");
            columns.push(column);
        }
        let names: Vec<_> = columns.iter().map(|column| QuotedIdent::new(&column.name).to_string()).collect();
        Ok(Self { columns: format!(" ({})", names.join(", ")), suffix })
    }

    pub(super) fn statement(&self, table: &str) -> String {
        format!("copy {table}{} from stdin", self.columns)
    }
}

/// A neutral value for a required column, in the text format of COPY.
fn zero_of(data_type: u32) -> Option<&'static str> {
    let data_type = Type::from_oid(data_type)?;
    if matches!(data_type.kind(), Kind::Array(_)) {
        return Some("{}");
    }
    Some(match data_type {
        Type::BOOL => "f",
        Type::INT2 | Type::INT4 | Type::INT8 | Type::FLOAT4 | Type::FLOAT8 | Type::NUMERIC => "0",
        Type::OID | Type::XID | Type::INTERVAL => "0",
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::CHAR => "",
        Type::TIMESTAMPTZ | Type::TIMESTAMP | Type::DATE => "-infinity",
        Type::PG_LSN => "0/0",
        Type::INET | Type::CIDR => "0.0.0.0/0",
        Type::JSON | Type::JSONB => "null",
        _ => return None,
    })
}

/// The columns read last, valid until an extension changes. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct TargetCache(Arc<Mutex<Cached>>);

#[derive(Debug, Default)]
struct Cached {
    extensions: Extensions,
    /// `None` until first read.
    targets: Option<Arc<Targets>>,
}

impl TargetCache {
    /// The columns for these extensions, if cached.
    pub(super) fn get(&self, extensions: &Extensions) -> Option<Arc<Targets>> {
        let cache = self.0.lock().expect("no panic while holding the lock");
        cache.targets.clone().filter(|_| cache.extensions == *extensions)
    }

    /// Replaces the cached columns.
    pub(super) fn put(&self, extensions: &Extensions, targets: &Arc<Targets>) {
        let cached = Cached { extensions: extensions.clone(), targets: Some(Arc::clone(targets)) };
        *self.0.lock().expect("no panic while holding the lock") = cached;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(number: i16, name: &str, data_type: &Type, is_required: bool) -> Column {
        Column { number, name: name.into(), data_type: data_type.oid(), is_required }
    }

    fn before() -> Table {
        Table { oid: 7, columns: vec![column(1, "srvid", &Type::INT4, true), column(2, "calls", &Type::INT8, true)] }
    }

    #[test]
    fn columns_that_are_as_they_were_are_named() {
        let target = CopyTarget::between(&before(), &before()).unwrap();
        assert_eq!(target.statement("t"), "copy t (\"srvid\", \"calls\") from stdin");
        assert_eq!(target.suffix, "");
    }

    #[test]
    fn new_columns_get_their_default_or_a_zero_of_their_type() {
        let mut now = before();
        now.columns.insert(1, column(3, "optional", &Type::TEXT, false));
        now.columns.push(column(4, "new \"one\"", &Type::INT8, true));
        now.columns.push(column(5, "since", &Type::TIMESTAMPTZ, true));
        now.columns.push(column(6, "names", &Type::TEXT_ARRAY, true));
        let target = CopyTarget::between(&before(), &now).unwrap();
        let columns = "(\"srvid\", \"calls\", \"new \"\"one\"\"\", \"since\", \"names\")";
        assert_eq!(target.statement("t"), format!("copy t {columns} from stdin"));
        assert_eq!(target.suffix, "\t0\t-infinity\t{}");
        now.columns.push(column(7, "odd", &Type::POINT, true));
        assert_eq!(CopyTarget::between(&before(), &now), Err(Mismatch::Required("odd".into())));
    }

    #[test]
    fn a_column_is_followed_by_its_number_in_the_same_table_and_by_its_name_in_another() {
        let mut now = before();
        now.columns[1].name = "executions".into();
        let target = CopyTarget::between(&before(), &now).unwrap();
        assert_eq!(target.statement("t"), "copy t (\"srvid\", \"executions\") from stdin");
        now.oid = 8;
        assert_eq!(CopyTarget::between(&before(), &now), Err(Mismatch::Gone("calls".into())));
        now.columns[1] = column(9, "calls", &Type::INT8, true);
        assert_eq!(CopyTarget::between(&before(), &now).unwrap().suffix, "");
    }

    #[test]
    fn a_column_that_has_gone_or_changed_its_type_is_named() {
        let mut now = before();
        now.columns[1].data_type = Type::TEXT.oid();
        assert_eq!(CopyTarget::between(&before(), &now), Err(Mismatch::OtherType("calls".into())));
        now.columns.pop();
        assert_eq!(CopyTarget::between(&before(), &now), Err(Mismatch::Gone("calls".into())));
    }

    #[test]
    fn what_is_not_known_is_copied_as_it_is() {
        let target = Targets::default().copy_target(&Targets::default(), "t").unwrap();
        assert_eq!(target.statement("t"), "copy t from stdin");
    }
}
