//! Measures a period: the number of snapshots, their cost, and the number of connections.
//!
//! All values are measured from outside: counted in the repository, and read from the processes' times.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use lab::{Cluster, Result};
use postgres::Client;

use super::fixture::{BenchRun, Fixture};
use crate::command::usage::{self, Usage};

const BETWEEN_LOOKS: Duration = Duration::from_millis(500);

/// What was measured in a period.
pub(super) struct Window {
    pub time: Duration,
    pub snapshots: i64,
    pub collector: Duration,
    pub repository: Duration,
    pub remote: Duration,
    /// The collector's usage at the end.
    pub usage: Usage,
    /// The most sessions of the collector that were seen at once.
    pub repository_sessions: i64,
    pub remote_sessions: i64,
    /// The longest observed time since the last snapshot of any server.
    pub longest_unseen: Duration,
}

/// CPU time used up to a moment.
struct Reading {
    at: Instant,
    snapshots: i64,
    usage: Usage,
    repository: Duration,
    remote: Duration,
}

impl Window {
    pub(super) fn watch(fixture: &Fixture, bench_run: &mut BenchRun, length: Duration) -> Result<Window> {
        let mut remote = fixture.remote.connect("postgres")?;
        let before = Reading::take(fixture, bench_run)?;
        let (mut repository_sessions, mut remote_sessions, mut longest_unseen) = (0, 0, Duration::ZERO);
        while before.at.elapsed() < length {
            repository_sessions = sessions(&mut bench_run.client, Some(&bench_run.database))?.max(repository_sessions);
            remote_sessions = sessions(&mut remote, None)?.max(remote_sessions);
            longest_unseen = bench_run.longest_unseen()?.max(longest_unseen);
            thread::sleep(BETWEEN_LOOKS.min(length.saturating_sub(before.at.elapsed())));
        }
        let after = Reading::take(fixture, bench_run)?;
        Ok(Window {
            time: after.at - before.at,
            snapshots: after.snapshots - before.snapshots,
            collector: after.usage.cpu.saturating_sub(before.usage.cpu),
            repository: after.repository.saturating_sub(before.repository),
            remote: after.remote.saturating_sub(before.remote),
            usage: after.usage,
            repository_sessions,
            remote_sessions,
            longest_unseen,
        })
    }

    pub(super) fn snapshots_per_second(&self) -> f64 {
        self.snapshots as f64 / self.time.as_secs_f64()
    }

    /// Milliseconds of a time used in it, for each snapshot; of none at all if there was none.
    pub(super) fn per_snapshot(&self, used: Duration) -> f64 {
        used.as_secs_f64() * 1_000.0 / self.snapshots.max(1) as f64
    }

    /// Milliseconds of a time used in it, for each minute.
    pub(super) fn per_minute(&self, used: Duration) -> f64 {
        used.as_secs_f64() * 1_000.0 * 60.0 / self.time.as_secs_f64()
    }
}

impl Reading {
    fn take(fixture: &Fixture, bench_run: &mut BenchRun) -> Result<Reading> {
        Ok(Reading {
            at: Instant::now(),
            snapshots: bench_run.snapshots()?,
            usage: bench_run.running.usage()?,
            repository: cpu_of(&fixture.repository)?,
            remote: cpu_of(&fixture.remote)?,
        })
    }
}

/// The sessions that are not the lab's: `powa_take_snapshot` changes their names for a while.
pub(super) fn sessions(client: &mut Client, database: Option<&str>) -> Result<i64> {
    let statement = "select count(*) from pg_stat_activity where backend_type = 'client backend' \
                     and application_name <> 'lab' and datname = coalesce($1, datname)";
    Ok(client.query_one(statement, &[&database]).context("counting sessions")?.get(0))
}

pub(super) fn cpu_of(cluster: &Cluster) -> Result<Duration> {
    usage::cpu_of_family(cluster.pid().context("the cluster runs")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(seconds: u64, snapshots: i64) -> Window {
        Window {
            time: Duration::from_secs(seconds),
            snapshots,
            collector: Duration::ZERO,
            repository: Duration::ZERO,
            remote: Duration::ZERO,
            usage: Usage::default(),
            repository_sessions: 0,
            remote_sessions: 0,
            longest_unseen: Duration::ZERO,
        }
    }

    #[test]
    fn usage_is_computed_for_each_snapshot_and_each_minute() {
        let used = Duration::from_millis(600);
        let cases = [
            // (seconds, snapshots, a second, ms a snapshot, ms a minute)
            (30, 120, 4.0, 5.0, 1_200.0),
            (60, 1, 1.0 / 60.0, 600.0, 600.0),
            (20, 0, 0.0, 600.0, 1_800.0),
        ];
        for (seconds, snapshots, kept, by_snapshot, by_minute) in cases {
            let window = window(seconds, snapshots);
            let found = [window.snapshots_per_second(), window.per_snapshot(used), window.per_minute(used)];
            assert_eq!(found, [kept, by_snapshot, by_minute], "{snapshots} in {seconds} s");
        }
    }
}
