//! Lists the collectors that are connected to the repository, by the `application_name` of their main tasks.

use std::fmt;
use std::time::{Duration, SystemTime};

use tokio_postgres::Row;

use session::on_one_line;

/// The query for all of them except the own session, the oldest first. Its parameter is the prefix of their names.
pub(crate) const QUERY: &str = include_str!("../../sql/repository/collectors.sql");

/// A session that, by its `application_name`, is the main task of a collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Collector {
    /// The process id of the session's backend.
    pub process: i32,
    /// The `application_name`, which includes the version.
    pub name: String,
    /// The client's address; `None` for a Unix socket, or if the role may not see it.
    pub address: Option<String>,
    /// `None` if the role may not see it.
    pub connected_for: Option<Duration>,
    /// The role of the session.
    pub role: Option<String>,
}

impl Collector {
    pub(crate) fn of_row(row: &Row) -> Result<Self, tokio_postgres::Error> {
        let seconds: Option<f64> = row.try_get(2)?;
        let connected_for = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let (name, address, process, role) = (row.try_get(0)?, row.try_get(1)?, row.try_get(3)?, row.try_get(4)?);
        Ok(Self { process, name, address, connected_for, role })
    }
}

/// On one line: name, address and start of the session.
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
        let hidden =
            Collector { process: 1, name: "PoWA\ncollector".into(), address: None, connected_for: None, role: None };
        assert_eq!(hidden.to_string(), "PoWA\\ncollector");
        let seen =
            Collector { address: Some("10.0.0.7".into()), connected_for: Some(Duration::from_secs(60)), ..hidden };
        let message = seen.to_string();
        assert!(message.starts_with("PoWA\\ncollector from 10.0.0.7 since 20") && message.ends_with('Z'), "{message}");
    }
}
