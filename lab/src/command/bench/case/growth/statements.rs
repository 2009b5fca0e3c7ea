//! Measures how the cost of a snapshot grows with the number of statements in pg_stat_statements.
//!
//! pg_stat_kcache has a row for each of them, too. Each number has a collector of its own: the first snapshot stores
//! all statements in the repository, the median is that of the following ones. The peak is that of all of them.

use std::thread;

use anyhow::Context;
use lab::Result;

use super::Growth;
use crate::command::bench::Setting;
use crate::command::bench::figure::Unit;
use crate::command::bench::fixture::{BenchRun, Fixture, Size};
use crate::command::bench::force::{PAUSE, nobody_is_due};
use crate::command::bench::median::median;

const NUMBERS: [usize; 6] = [1_000, 10_000, 25_000, 50_000, 75_000, 100_000];
const MOST: usize = NUMBERS[NUMBERS.len() - 1];

/// What a snapshot takes: seconds, seconds of the collector's CPU, and MB at most.
struct Cost {
    time: f64,
    cpu: f64,
    peak: f64,
}

pub(super) fn measure(setting: &Setting<'_>) -> Result<Vec<Growth>> {
    let size = Size { servers: 1, applications: 0, statements: 0, frequency: 3600 };
    let fixture = Fixture::make(setting.generation, size)?;
    make_room(&fixture)?;
    let mut costs = Vec::new();
    let mut there = 0;
    for number in NUMBERS {
        eprintln!("  {number} statements");
        fixture.add_statements(there..number)?;
        there = number;
        costs.push((number, cost(&fixture, setting)?));
    }
    let growth = |what, unit, slope, of: fn(&Cost) -> f64| Growth {
        what,
        unit,
        of: "statements",
        each: 1_000.0,
        slope,
        points: costs.iter().map(|(number, cost)| (*number as f64, of(cost))).collect(),
    };
    Ok(vec![
        growth("peak memory", Unit::Megabytes, Some((Unit::Kilobytes, 1024.0)), |cost| cost.peak),
        growth("CPU of a snapshot", Unit::Milliseconds, Some((Unit::Milliseconds, 1.0)), |cost| cost.cpu * 1_000.0),
        growth("time of a snapshot", Unit::Seconds, Some((Unit::Milliseconds, 1_000.0)), |cost| cost.time),
    ])
}

/// A statement that pg_stat_statements had to forget would not count.
fn make_room(fixture: &Fixture) -> Result<()> {
    let room = MOST * 5 / 4;
    fixture
        .remote
        .connect("postgres")?
        .batch_execute(&format!("alter system set pg_stat_statements.max = {room}"))
        .context("making room for statements")?;
    fixture.remote.stop()?;
    fixture.remote.start_again()
}

fn cost(fixture: &Fixture, setting: &Setting<'_>) -> Result<Cost> {
    let mut bench_run = fixture.begin(&setting.candidates.ours, &setting.directory, nobody_is_due)?;
    bench_run.take_first()?;
    let snapshots = (0..setting.rounds).map(|_| once(&mut bench_run)).collect::<Result<Vec<_>>>()?;
    let middle = |of: fn(&(f64, f64)) -> f64| median(&snapshots.iter().map(of).collect::<Vec<_>>());
    let cost = Cost {
        time: middle(|snapshot| snapshot.0),
        cpu: middle(|snapshot| snapshot.1),
        peak: bench_run.running.usage()?.peak_kb as f64 / 1024.0,
    };
    bench_run.running.stop()?;
    Ok(cost)
}

/// The time of a snapshot, and what it costs the collector, in seconds.
fn once(bench_run: &mut BenchRun) -> Result<(f64, f64)> {
    thread::sleep(PAUSE);
    let before = bench_run.running.usage()?.cpu;
    let time = bench_run.force(bench_run.ids[0], || ())?;
    Ok((time.as_secs_f64(), (bench_run.running.usage()?.cpu - before).as_secs_f64()))
}
