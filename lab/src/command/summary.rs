//! Prints what has been stored in the repository.

use lab::Result;

use super::fleet::Fleet;
use crate::print::print_line;

/// Tables that PoWA 4 and 5 both have, each with a column `srvid`.
const TABLES: [&str; 7] = [
    "powa_databases",
    "powa_statements",
    "powa_statements_history_current",
    "powa_user_functions_history_current",
    "powa_qualstats_quals",
    "powa_kcache_metrics_current",
    "powa_wait_sampling_history_current",
];

pub(super) fn print(fleet: &Fleet) -> Result<()> {
    let mut client = fleet.repository.connect("powa")?;
    // The laboratory's own repository: PoWA is in the search path.
    for server in client.query(include_str!("../../sql/snapshots.sql"), &[])? {
        let id: i32 = server.get("id");
        let alias: &str = server.get("alias");
        let snapshots: i64 = server.get("snapshots");
        let last: Option<&str> = server.get("last");
        print_line!(
            "{alias}: {snapshots} snapshots, {}",
            last.map_or("none yet".to_owned(), |last| format!("last at {last}"))
        );
        for table in TABLES {
            let rows: i64 = client.query_one(&format!("select count(*) from {table} where srvid = $1"), &[&id])?.get(0);
            print_line!("    {rows:>7} rows in {table}");
        }
        for error in server.get::<_, Option<Vec<String>>>("errors").unwrap_or_default() {
            print_line!("    error: {error}");
        }
    }
    Ok(())
}
