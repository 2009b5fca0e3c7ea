//! Counts the entries that a snapshot adds to pg_stat_statements of the remote server.
//!
//! Each takes memory of the monitored server, and evicts a user's entry when pg_stat_statements.max is reached. Here it
//! is never reached, so all are counted. Nothing else uses the server, and the counting session is not counted.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::{Context, ensure};
use lab::Result;
use postgres::Client;

use crate::command::bench::Setting;
use crate::command::bench::candidate::Candidate;
use crate::command::bench::figure::{Figure, Mark, Unit};
use crate::command::bench::fixture::{DATABASE, Fixture, Size};

/// The servers are one cluster, so that much comes together in a short time.
const SIZE: Size = Size { servers: 4, applications: 3, statements: 500, frequency: 5 };
/// Of all servers: each has had some, and what is said only in the beginning has been said.
const WARM: i64 = 12;
const COUNTED: i64 = 12;
const LIMIT: Duration = Duration::from_secs(120);

pub(super) fn measure(case: &'static str, setting: &Setting<'_>) -> Result<Vec<Figure>> {
    let fixture = Fixture::make(setting.generation, SIZE)?;
    fixture.leave_catalogs()?;
    let (ours, python) =
        (added(&fixture, &setting.candidates.ours, setting)?, added(&fixture, &setting.candidates.python, setting)?);
    let what = "entries added to pg_stat_statements per snapshot";
    let figure = Figure::new(case, setting.generation, what, Unit::Count, ours).against(python);
    Ok(vec![figure.mark(Mark::AtMost(0.0))])
}

/// By each snapshot, on average.
fn added(fixture: &Fixture, candidate: &Candidate, setting: &Setting<'_>) -> Result<f64> {
    let mut remote = fixture.remote.connect(DATABASE)?;
    remote.batch_execute("set pg_stat_statements.track = none").context("having a session not be counted")?;
    let mut bench_run = fixture.begin(candidate, &setting.directory, |_| Ok(()))?;
    bench_run.wait_for_snapshots(WARM, LIMIT)?;
    let (began, before) = (bench_run.snapshots()?, Entries::of(&mut remote)?);
    bench_run.wait_for_snapshots(began + COUNTED, LIMIT)?;
    let (ended, after) = (bench_run.snapshots()?, Entries::of(&mut remote)?);
    ensure!(
        before.evictions == after.evictions,
        "entries were evicted from pg_stat_statements while they were counted"
    );
    Ok(after.all.difference(&before.all).count() as f64 / (ended - began) as f64)
}

struct Entries {
    /// Role, database and statement of each.
    all: HashSet<(u32, u32, i64)>,
    evictions: i64,
}

impl Entries {
    fn of(remote: &mut Client) -> Result<Self> {
        let entries = "select userid, dbid, queryid from pg_stat_statements(false) where queryid is not null";
        let entries = remote.query(entries, &[]).context("reading pg_stat_statements")?;
        let evictions = remote.query_one("select dealloc from pg_stat_statements_info", &[]);
        Ok(Self {
            all: entries.iter().map(|entry| (entry.get(0), entry.get(1), entry.get(2))).collect(),
            evictions: evictions.context("looking for evictions")?.get(0),
        })
    }
}
