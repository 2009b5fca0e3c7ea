//! Measures the cost of a snapshot of a server with many databases (PoWA 5, which reads something in each of them).
//!
//! As in `forced` with warm sessions and no delay. CPU time is counted from the request to half a second after the
//! snapshot is stored, which includes what ends with it. Autovacuum is off: it would run at unpredictable moments, in
//! each database.

use std::thread;
use std::time::Duration;

use anyhow::Context;
use lab::{Cluster, Result};

use crate::command::bench::Setting;
use crate::command::bench::candidate::Candidate;
use crate::command::bench::figure::{Figure, Unit};
use crate::command::bench::fixture::{BenchRun, Fixture, Size};
use crate::command::bench::force::{PAUSE, nobody_is_due};
use crate::command::bench::median::median;
use crate::command::usage;

const SIZE: Size = Size { servers: 1, applications: 40, statements: 500, frequency: 3600 };
const AFTERMATH: Duration = Duration::from_millis(500);

/// What one snapshot takes: its time, CPU times in this order, in seconds, and connections.
struct Cost {
    time: f64,
    spent: [f64; 3],
    connections: usize,
}

pub(super) fn measure(case: &'static str, setting: &Setting<'_>) -> Result<Vec<Figure>> {
    let mut fixture = Fixture::make(setting.generation, SIZE)?;
    fixture.leave_catalogs()?;
    // A line that is no longer than none: connections are counted on it, which the server does not notice.
    fixture.put_away(&[Duration::ZERO])?;
    turn_autovacuum_off(&fixture.remote)?;
    turn_autovacuum_off(&fixture.repository)?;
    let (ours, python) =
        (rounds(&fixture, &setting.candidates.ours, setting)?, rounds(&fixture, &setting.candidates.python, setting)?);
    let figure = |what: &str, unit, of: &dyn Fn(&Cost) -> f64| {
        Figure::new(case, setting.generation, what, unit, middle(&ours, of)).against(middle(&python, of))
    };
    let most = |costs: &[Cost]| costs.iter().map(|cost| cost.connections).max().unwrap_or_default() as f64;
    let connections = Figure::new(case, setting.generation, "most remote connections", Unit::Count, most(&ours));
    Ok(vec![
        figure("snapshot of 40 databases", Unit::Seconds, &|cost| cost.time),
        figure("CPU of it, collector", Unit::Milliseconds, &|cost| cost.spent[0] * 1e3),
        figure("CPU of it, repository", Unit::Milliseconds, &|cost| cost.spent[1] * 1e3),
        figure("CPU of it, remote", Unit::Milliseconds, &|cost| cost.spent[2] * 1e3),
        connections.against(most(&python)),
    ])
}

fn turn_autovacuum_off(cluster: &Cluster) -> Result<()> {
    let mut client = cluster.connect("postgres")?;
    // One statement at a time: the first is not for transactions.
    for statement in ["alter system set autovacuum = off", "select pg_reload_conf()"] {
        client.batch_execute(statement).context("turning autovacuum off")?;
    }
    Ok(())
}

fn middle(costs: &[Cost], of: &dyn Fn(&Cost) -> f64) -> f64 {
    median(&costs.iter().map(of).collect::<Vec<_>>())
}

fn rounds(fixture: &Fixture, candidate: &Candidate, setting: &Setting<'_>) -> Result<Vec<Cost>> {
    let mut bench_run = fixture.begin(candidate, &setting.directory, nobody_is_due)?;
    bench_run.take_first()?;
    let once = |_| {
        thread::sleep(PAUSE);
        cost(fixture, &mut bench_run)
    };
    (0..setting.rounds).map(once).collect()
}

fn cost(fixture: &Fixture, bench_run: &mut BenchRun) -> Result<Cost> {
    let mut connections = 0;
    let before = spent(fixture, bench_run)?;
    let id = bench_run.ids[0];
    let time = bench_run.force(id, || connections = connections.max(fixture.lines[0].connections()))?.as_secs_f64();
    thread::sleep(AFTERMATH);
    let after = spent(fixture, bench_run)?;
    Ok(Cost { time, spent: [0, 1, 2].map(|who| after[who] - before[who]), connections })
}

/// CPU seconds until now: the collector's, the repository's, the remote server's.
fn spent(fixture: &Fixture, bench_run: &mut BenchRun) -> Result<[f64; 3]> {
    let of = |cluster: &Cluster| usage::cpu_of_family(cluster.pid().context("the cluster runs")?);
    let times = [bench_run.running.usage()?.cpu, of(&fixture.repository)?, of(&fixture.remote)?];
    Ok(times.map(|time| time.as_secs_f64()))
}
