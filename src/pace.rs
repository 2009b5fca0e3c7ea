//! The intervals of what runs by itself. Tests of a debug build can shorten them.

use std::time::Duration;

/// The environment variable with the number by which a test divides these intervals. Release builds ignore it.
const DIVISOR: &str = "TEST_PACE";

/// A forced snapshot is refused this soon after the last snapshot.
pub(crate) const FORCED_SNAPSHOT_INTERVAL: Duration = Duration::from_secs(10);

/// How often `powa_servers` is read, so that a newly registered server needs no reload.
const SERVER_LIST_INTERVAL: Duration = Duration::from_secs(60);

/// The intervals in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    /// [`FORCED_SNAPSHOT_INTERVAL`].
    pub forced_snapshot_interval: Duration,
    /// How often `powa_servers` is read.
    pub server_list_interval: Duration,
    divisor: u32,
}

impl Pace {
    /// Those of this process.
    pub(crate) fn of_this_process() -> Self {
        let divisor = if cfg!(debug_assertions) { std::env::var(DIVISOR).ok() } else { None };
        Self::divided_by(divisor.and_then(|text| text.parse().ok()).filter(|divisor| *divisor > 0).unwrap_or(1))
    }

    fn divided_by(divisor: u32) -> Self {
        Self {
            forced_snapshot_interval: FORCED_SNAPSHOT_INTERVAL / divisor,
            server_list_interval: SERVER_LIST_INTERVAL / divisor,
            divisor,
        }
    }

    /// The frequency of a server, from the registered one.
    pub(crate) fn frequency(self, registered: Duration) -> Duration {
        registered / self.divisor
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_divisor_holds_for_all() {
        let (real, hurried) = (Pace::divided_by(1), Pace::divided_by(5));
        assert_eq!(real.frequency(Duration::from_secs(5)), Duration::from_secs(5));
        assert_eq!(hurried.frequency(Duration::from_secs(5)), Duration::from_secs(1));
        assert_eq!(hurried.forced_snapshot_interval * 5, real.forced_snapshot_interval);
        assert_eq!(hurried.server_list_interval * 5, real.server_list_interval);
    }
}
