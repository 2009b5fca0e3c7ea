//! Findings about left-over rows in the `*_src_tmp` tables. Pure.

use std::collections::BTreeMap;

use super::finding::{CheckItem, CureKind, Finding, Verdict};
use crate::repository::{LeftoverRows, Leftovers, UnreadTable, WhyUnread};
use session::Error;

/// One finding for each table that has left-over rows or could not be read.
pub(super) fn leftover_rows(found: &Result<Leftovers, Error>) -> Vec<Finding> {
    let leftovers = match found {
        Ok(leftovers) => leftovers,
        Err(error) => return vec![Finding::new(CheckItem::LeftoverRows, Verdict::NotTried, error.to_string())],
    };
    let mut by_table: BTreeMap<&str, Vec<&LeftoverRows>> = BTreeMap::new();
    for rows in &leftovers.rows {
        by_table.entry(&rows.table).or_default().push(rows);
    }
    let mut findings: Vec<_> = by_table.into_iter().map(|(table, rows)| in_table(table, &rows)).collect();
    findings.extend(leftovers.unread.iter().map(unread));
    if findings.is_empty() {
        findings.push(Finding::new(CheckItem::LeftoverRows, Verdict::Well, "none"));
    }
    findings
}

fn in_table(table: &str, rows: &[&LeftoverRows]) -> Finding {
    let owners: Vec<_> = rows.iter().map(|rows| format!("{} of {}", rows.number, rows.owner())).collect();
    let ids: Vec<_> = rows.iter().map(|rows| rows.server.to_string()).collect();
    let message = format!(
        "left-over rows: {}; a snapshot function failed and left them, and they can corrupt later snapshots; a running collector \
         deletes them",
        owners.join(", ")
    );
    let delete = format!("delete from {table} where srvid in ({})", ids.join(", "));
    Finding::new(CheckItem::LeftoverRows, Verdict::Warning, message)
        .about(table)
        .cured_by(CureKind::RepositorySql, delete)
}

fn unread(unread: &UnreadTable) -> Finding {
    let finding =
        |message: &str| Finding::new(CheckItem::LeftoverRows, Verdict::NotTried, message).about(&unread.table);
    match &unread.why {
        WhyUnread::Forbidden(grant) => finding("the role may not read it").cured_by(CureKind::RepositorySql, grant),
        WhyUnread::Busy(error) | WhyUnread::Failed(error) => finding(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(table: &str, server: i32, server_name: Option<&str>, number: i64) -> LeftoverRows {
        let server_name = server_name.map(str::to_owned);
        LeftoverRows { table: table.into(), server, server_name, number, missing_grant: None }
    }

    #[test]
    fn each_table_has_one_finding_with_one_statement() {
        let rows = vec![rows("b", 7, None, 2), rows("a", 3, Some("db1:5432"), 1), rows("b", 3, Some("db1:5432"), 5)];
        let found = leftover_rows(&Ok(Leftovers { rows, unread: vec![] }));
        let by_table: Vec<_> =
            found.iter().map(|one| (one.verdict, one.about.as_deref(), one.cures[0].text.as_str())).collect();
        let expected = [
            (Verdict::Warning, Some("a"), "delete from a where srvid in (3);"),
            (Verdict::Warning, Some("b"), "delete from b where srvid in (7, 3);"),
        ];
        assert_eq!(by_table, expected);
        assert!(found[1].message.contains("2 of server 7 (not registered), 5 of server 3 (db1:5432);"), "{found:?}");
    }

    #[test]
    fn what_was_not_read_is_not_well() {
        let unread = |why| UnreadTable { table: "a".into(), why };
        let unread = vec![unread(WhyUnread::Forbidden("grant it".into())), unread(WhyUnread::Failed("no".into()))];
        let found = leftover_rows(&Ok(Leftovers { rows: vec![], unread }));
        assert_eq!(found.iter().map(|one| one.verdict).collect::<Vec<_>>(), [Verdict::NotTried; 2]);
        assert_eq!((found[0].cures[0].text.as_str(), found[1].message.as_str()), ("grant it;", "no"));
        assert_eq!(leftover_rows(&Ok(Leftovers::default()))[0].verdict, Verdict::Well);
    }
}
