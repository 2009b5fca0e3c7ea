//! Creates a hot standby of a running server, and promotes it.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use postgres::types::PgLsn;

use crate::cluster::{Cluster, HOST, SUPERUSER};
use crate::launcher;

const LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(10);

impl Cluster {
    /// Makes a hot standby of this server, as a cluster of its own that may outlive it. This server must have been
    /// started with what a primary needs, which the laboratory's settings leave out:
    /// `start_with(.., &[("wal_level", "replica"), ("max_wal_senders", "4")])`.
    ///
    /// # Errors
    /// This server is no primary, or the standby does not come up.
    pub fn standby(&self, name: &str) -> Result<Cluster> {
        Cluster::make(self.generation(), name, |launcher, data| {
            let mut copy = launcher.command("pg_basebackup");
            copy.args(["--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--no-sync"])
                .args(["--host", HOST, "--port", &self.port().to_string(), "--username", SUPERUSER, "--pgdata"])
                .arg(launcher.inside(data));
            launcher::run(copy, "pg_basebackup")
                .context("a primary has to be started with wal_level = replica and max_wal_senders = 4")
        })
        .with_context(|| format!("starting the standby {name:?}"))
    }

    /// Waits until this server, a standby, has replayed all that `primary` has written so far.
    ///
    /// # Errors
    /// It has not within 30 seconds, or is not a standby.
    pub fn wait_until_replayed(&self, primary: &Cluster) -> Result<()> {
        let mut client = primary.connect("postgres")?;
        // Commits are not flushed, and only what is flushed is sent: one commit that is takes the others along.
        client
            .batch_execute("set synchronous_commit = local; select pg_catalog.pg_logical_emit_message(true, 'lab', '')")
            .context("flushing what the primary has written")?;
        let written: PgLsn = client
            .query_one("select pg_catalog.pg_current_wal_flush_lsn()", &[])
            .context("asking the primary how far it is")?
            .get(0);
        let mut client = self.connect("postgres")?;
        let deadline = Instant::now() + LIMIT;
        loop {
            let replayed: Option<PgLsn> = client
                .query_one("select pg_catalog.pg_last_wal_replay_lsn()", &[])
                .context("asking the standby how far it is")?
                .get(0);
            let replayed = replayed.context("the server is not a standby, and never was")?;
            if replayed >= written {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "the standby stays at {replayed}, the primary is at {written}");
            thread::sleep(POLL);
        }
    }

    /// Makes this server, a standby, a primary, and waits until it takes writes.
    ///
    /// # Errors
    /// It is not a standby, or does not take writes within 30 seconds.
    pub fn promote(&self) -> Result<()> {
        let limit = i32::try_from(LIMIT.as_secs()).expect("half a minute is not many seconds");
        let promoted: bool = self
            .connect("postgres")?
            .query_one("select pg_catalog.pg_promote(true, $1)", &[&limit])
            .context("promoting a standby")?
            .get(0);
        ensure!(promoted, "the standby was not promoted within {limit} s");
        Ok(())
    }
}
