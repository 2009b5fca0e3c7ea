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

/// The limit for one snapshot, which may take hundreds of long round trips.
const LIMIT: Duration = Duration::from_secs(300);
/// The interval at which the request is repeated until the candidate listens.
const UNTIL_ASKED_AGAIN: Duration = Duration::from_secs(1);
/// Polling costs the repository time: the longer a snapshot takes, the rarer it is, with a precision of 1 %.
const LOOKS: u32 = 100;
const SHORTEST_POLL: Duration = Duration::from_millis(2);

/// Changes the repository so that no server is due and none is new: only forced snapshots are taken.
pub(super) fn nobody_is_due(repository: &mut Client) -> Result<()> {
    repository
        .execute("update powa_snapshot_metas set snapts = now() - interval '1 minute' where srvid > 0", &[])
        .map(drop)
        .context("saying that all servers have been snapshotted")
}

impl BenchRun {
    /// Takes a first snapshot of each server, in parallel: then connections are open, and what is read once is cached.
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
                // A snapshot that is in progress, or has just ended, is not started again.
                missing.iter().try_for_each(|id| self.ask(*id))?;
                asked = Some(Instant::now());
            }
            self.look_after(began)?;
        }
    }

    /// Takes a snapshot now, and returns the time until other sessions see it in the repository; `meanwhile` is called
    /// repeatedly.
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

    /// The number of snapshots of a server.
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
