//! Measures how the cost grows with the number of servers, at one snapshot of each in five minutes.
//!
//! Each number has a collector of its own. It takes a snapshot of every server at once, as none has one; its memory is
//! measured after that. No server would be due for half of the five minutes, so a second collector is started for which
//! the servers are due one after the other; its CPU time is measured. Servers have few statements, no extension but
//! pg_stat_statements, and no database modules, catalogs or sessions (all are one cluster).

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use lab::Result;
use postgres::Client;

use super::Growth;
use crate::command::bench::Setting;
use crate::command::bench::figure::Unit;
use crate::command::bench::fixture::{BenchRun, Fixture, Size};
use crate::command::bench::window::{Window, sessions};

const NUMBERS: [usize; 7] = [1, 10, 50, 100, 200, 500, 1_000];
const MOST: usize = NUMBERS[NUMBERS.len() - 1];
const SIZE: Size = Size { servers: MOST, applications: 0, statements: 0, frequency: 300 };
const LONGEST_FIRST: Duration = Duration::from_secs(300);
/// What the last of the first snapshots leaves to be done.
const AFTERMATH: Duration = Duration::from_secs(3);
/// What connecting to so many leaves to be done.
const UNTIL_SETTLED: Duration = Duration::from_secs(5);
const WINDOW: Duration = Duration::from_secs(30);

/// Connecting to all servers is no part of the usual course of things.
const UNTIL_CONNECTED: Duration = Duration::from_secs(60);

/// What was seen of the two collectors.
struct Windows {
    after_all: Window,
    in_turn: Window,
}

pub(super) fn measure(setting: &Setting<'_>) -> Result<Vec<Growth>> {
    let fixture = Fixture::make(setting.generation, SIZE)?;
    fixture.leave_catalogs()?;
    let mut windows = Vec::new();
    for number in NUMBERS {
        windows.push((number, watch(&fixture, setting, number)?));
    }
    let growth = |what, unit, slope, of: fn(&Windows) -> f64| Growth {
        what,
        unit,
        of: "servers",
        each: 1.0,
        slope,
        points: windows.iter().map(|(number, windows)| (*number as f64, of(windows))).collect(),
    };
    Ok(vec![
        growth("resident memory", Unit::Megabytes, Some((Unit::Kilobytes, 1024.0)), |windows| {
            windows.after_all.usage.resident_kb as f64 / 1024.0
        }),
        growth("CPU a minute", Unit::Milliseconds, Some((Unit::Milliseconds, 1.0)), |windows| {
            windows.in_turn.per_minute(windows.in_turn.collector)
        }),
        growth("repository connections", Unit::Count, None, |windows| windows.in_turn.repository_sessions as f64),
    ])
}

fn watch(fixture: &Fixture, setting: &Setting<'_>, number: usize) -> Result<Windows> {
    eprintln!("  {number} servers");
    let candidate = &setting.candidates.ours;
    let mut bench_run = fixture.begin(candidate, &setting.directory, |repository| leave(repository, number))?;
    bench_run.warm_up(1, LONGEST_FIRST)?;
    let taken = bench_run.snapshots()?;
    ensure!(taken >= number as i64, "{taken} of {number} servers had a snapshot within {} s", LONGEST_FIRST.as_secs());
    thread::sleep(AFTERMATH);
    let after_all = Window::watch(fixture, &mut bench_run, Duration::ZERO)?;
    bench_run.running.stop()?;
    // Recent, so that none is overdue before all are connected to, and half a frequency ago and more, so that each is
    // taken at its turn.
    bench_run
        .client
        .batch_execute("update powa_snapshot_metas set snapts = now() - interval '200 seconds' where srvid > 0")
        .context("having each server be due at its turn")?;
    bench_run.running = candidate.start(&fixture.repository.dsn(&bench_run.database), &setting.directory)?;
    wait_for_connections(fixture, &mut bench_run, number)?;
    let in_turn = Window::watch(fixture, &mut bench_run, WINDOW)?;
    bench_run.running.stop()?;
    Ok(Windows { after_all, in_turn })
}

fn wait_for_connections(fixture: &Fixture, bench_run: &mut BenchRun, number: usize) -> Result<()> {
    let mut remote = fixture.remote.connect("postgres")?;
    let started = Instant::now();
    while sessions(&mut remote, None)? < number as i64 {
        bench_run.running.ensure_running()?;
        ensure!(started.elapsed() < UNTIL_CONNECTED, "not all of {number} servers were connected to in time");
        thread::sleep(Duration::from_millis(200));
    }
    thread::sleep(UNTIL_SETTLED);
    Ok(())
}

/// So many servers, and little to be read of each.
fn leave(repository: &mut Client, number: usize) -> Result<()> {
    repository
        .batch_execute(&include_str!("leave.sql").replace("{number}", &number.to_string()))
        .context("leaving so many servers registered")
}
