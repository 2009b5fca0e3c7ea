//! Which collectors are connected to the repository? Their main tasks have sessions there, with a name that says so.

use std::fmt;
use std::time::{Duration, SystemTime};

use tokio_postgres::Row;

use crate::one_line::on_one_line;

/// Asks for all of them but the one who asks, the oldest first. Takes what their names begin with.
pub(super) const QUESTION: &str = include_str!("../../sql/repository/collectors.sql");

/// A session that calls itself the main task of a collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collector {
    /// Has the version in it.
    pub name: String,
    /// Where it has come from; `None` for a Unix socket, or where the role may not see that.
    pub address: Option<String>,
    /// `None` where the role may not see that.
    pub connected_for: Option<Duration>,
}

impl Collector {
    pub(super) fn of_row(row: &Row) -> Result<Self, tokio_postgres::Error> {
        let seconds: Option<f64> = row.try_get(2)?;
        let connected_for = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        Ok(Self { name: row.try_get(0)?, address: row.try_get(1)?, connected_for })
    }
}

/// On one line: who it is, from where, and since when.
impl fmt::Display for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&on_one_line(&self.name))?;
        if let Some(address) = &self.address {
            write!(f, " from {address}")?;
        }
        let since = self.connected_for.and_then(|connected_for| SystemTime::now().checked_sub(connected_for));
        match since {
            Some(since) => write!(f, " since {}", humantime::format_rfc3339_seconds(since)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_not_be_seen_is_left_out() {
        let hidden = Collector { name: "PoWA\ncollector".into(), address: None, connected_for: None };
        assert_eq!(hidden.to_string(), "PoWA\\ncollector");
        let seen =
            Collector { address: Some("10.0.0.7".into()), connected_for: Some(Duration::from_secs(60)), ..hidden };
        let said = seen.to_string();
        assert!(said.starts_with("PoWA\\ncollector from 10.0.0.7 since 20") && said.ends_with('Z'), "{said}");
    }
}
