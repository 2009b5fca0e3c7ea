//! Requests a snapshot, and measures the time until it is stored.
//!
//! The request is a notification, as powa-web sends it. Both collectors refuse a snapshot within ten seconds of the
//! previous one, so requests wait for longer than that.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use lab::Result;
use postgres::Client;

use super::fixture::BenchRun;

/// From the end of a snapshot to the next request for one of the same server.
pub(super) const PAUSE: Duration = Duration::from_millis(10_500);

/// How long the longest may take: hundreds of round trips, some of them long.
const LIMIT: Duration = Duration::from_secs(300);
/// Whoever does not listen yet is asked again.
const UNTIL_ASKED_AGAIN: Duration = Duration::from_secs(1);
/// To look is work for the repository: the longer something takes, the less often, but to one part in a hundred.
const LOOKS: u32 = 100;
const SHORTEST_POLL: Duration = Duration::from_millis(2);

/// Has no server due, and each be one whose first snapshot is long past: what is not asked for does not happen.
pub(super) fn nobody_is_due(repository: &mut Client) -> Result<()> {
    repository
        .execute("update powa_snapshot_metas set snapts = now() - interval '1 minute' where srvid > 0", &[])
        .map(drop)
        .context("saying that all servers have been snapshotted")
}

impl BenchRun {
    /// Has a first snapshot taken of each server, side by side: connections are open, and what is read once is known.
    pub(super) fn take_first(&mut self) -> Result<()> {
        let began = Instant::now();
        let mut asked = None;
        loop {
            let mut missing = Vec::new();
            for id in self.ids.clone() {
                if self.snapshots_of(id)? == 0 {
                    missing.push(id);
                }
            }
            if missing.is_empty() {
                return Ok(());
            }
            if asked.is_none_or(|asked: Instant| asked.elapsed() > UNTIL_ASKED_AGAIN) {
                // One that is under way, or was a moment ago, is not begun a second time.
                missing.iter().try_for_each(|id| self.ask(*id))?;
                asked = Some(Instant::now());
            }
            self.look_after(began)?;
        }
    }

    /// Has a snapshot taken now, and gives the time until others see it in the repository; `meanwhile` is called again
    /// and again.
    pub(super) fn force(&mut self, id: i32, mut meanwhile: impl FnMut()) -> Result<Duration> {
        let before = self.snapshots_of(id)?;
        let began = Instant::now();
        self.ask(id)?;
        loop {
            if self.snapshots_of(id)? > before {
                break;
            }
            meanwhile();
            self.look_after(began)?;
        }
        let took = began.elapsed();
        let errors = "select array_to_string(errors, '; ') from powa_snapshot_metas where srvid = $1";
        let errors: Option<String> = self.client.query_one(errors, &[&id]).context("looking for errors")?.get(0);
        ensure!(errors.is_none(), "{}: the snapshot has errors: {}", self.database, errors.unwrap_or_default());
        Ok(took)
    }

    /// Sends the request and does not wait for anything.
    pub(super) fn ask(&mut self, id: i32) -> Result<()> {
        let request = format!("FORCE_SNAPSHOT - {id}");
        let asked = self.client.execute("select pg_notify('powa_collector', $1)", &[&request]);
        asked.map(drop).context("asking for a snapshot")
    }

    /// How many snapshots of a server there are.
    pub(super) fn snapshots_of(&mut self, id: i32) -> Result<i64> {
        let taken = "select (coalesce_seq - 1)::int8 from powa_snapshot_metas where srvid = $1";
        Ok(self.client.query_one(taken, &[&id]).context("counting snapshots of a server")?.get(0))
    }

    fn look_after(&mut self, began: Instant) -> Result<()> {
        self.running.ensure_running()?;
        ensure!(
            began.elapsed() < LIMIT,
            "{}: no snapshot within {} s; {}",
            self.database,
            LIMIT.as_secs(),
            self.running.last_words()
        );
        thread::sleep((began.elapsed() / LOOKS).max(SHORTEST_POLL));
        Ok(())
    }
}
