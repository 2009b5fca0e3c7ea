//! Measures memory and threads while all servers of a new fleet are collected for the first time.
//!
//! All servers are registered and none has a snapshot, so all are due at once, with PoWA 5 including the catalogs of
//! all their databases. Remote servers and repository share the machine, so that loading cannot keep up with
//! collecting. Memory and threads are those of the daemon, sampled until each server has a snapshot; the resident
//! memory a minute and a half later shows what is given back. Only ours is measured: the Python collector has a thread
//! for each server.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::ensure;
use lab::Result;

use crate::command::bench::Setting;
use crate::command::bench::figure::{Figure, Mark, Unit};
use crate::command::bench::fixture::{BenchRun, Fixture, Size};

/// So rarely that all are done before the first one is due again, however slow the machine is.
const FREQUENCY: i32 = 3_600;
const LIMIT: Duration = Duration::from_secs(2_400);
const BETWEEN_SAMPLES: Duration = Duration::from_millis(20);
const BETWEEN_COUNTS: Duration = Duration::from_millis(500);
/// As long as sessions to databases may be kept (`timeouts.idle`), and the minute after which memory is given back.
const UNTIL_SETTLED: Duration = Duration::from_secs(90);

/// What a fleet of this size may take, in MB.
pub(super) struct Fleet {
    pub servers: usize,
    pub peak: f64,
    pub settled: f64,
}

/// Marks are for the whole program, whatever the number of servers.
const THREADS: f64 = 24.0;

pub(super) const OF_200: Fleet = Fleet { servers: 200, peak: 64.0, settled: 32.0 };
pub(super) const OF_1000: Fleet = Fleet { servers: 1_000, peak: 128.0, settled: 64.0 };

pub(super) fn measure(case: &'static str, setting: &Setting<'_>, fleet: &Fleet) -> Result<Vec<Figure>> {
    let Fleet { servers, peak, settled } = *fleet;
    let size = Size { servers, applications: 2, statements: 500, frequency: FREQUENCY };
    let fixture = Fixture::make(setting.generation, size)?;
    let mut bench_run = fixture.begin(&setting.candidates.ours, &setting.directory, |_| Ok(()))?;
    let threads = most_threads(&mut bench_run, servers)?;
    let time = bench_run.started.elapsed();
    thread::sleep(UNTIL_SETTLED);
    let usage = bench_run.running.usage()?;
    bench_run.running.stop()?;
    let figure = |what: &str, unit, value| {
        Figure::new(case, setting.generation, format!("{what}, {servers} new servers"), unit, value)
    };
    let megabytes = |kilobytes: u64| kilobytes as f64 / 1024.0;
    Ok(vec![
        figure("peak memory", Unit::Megabytes, megabytes(usage.peak_kb)).mark(Mark::AtMost(peak)),
        figure("most threads", Unit::Count, threads as f64).mark(Mark::AtMost(THREADS)),
        figure("resident memory 90 s later", Unit::Megabytes, megabytes(usage.resident_kb)).mark(Mark::AtMost(settled)),
        figure("time until all have a snapshot", Unit::Seconds, time.as_secs_f64()),
    ])
}

/// Waits until each server has a snapshot, and returns the most threads seen until then.
fn most_threads(bench_run: &mut BenchRun, servers: usize) -> Result<u64> {
    let (mut threads, mut counted) = (0, Instant::now());
    loop {
        threads = bench_run.running.usage()?.threads.max(threads);
        if counted.elapsed() > BETWEEN_COUNTS {
            counted = Instant::now();
            let taken = bench_run.servers_with_snapshot()?;
            if taken == servers as i64 {
                return Ok(threads);
            }
            ensure!(
                bench_run.started.elapsed() < LIMIT,
                "{taken} of {servers} servers had a snapshot within {} s; {}",
                LIMIT.as_secs(),
                bench_run.running.last_words()
            );
        }
        thread::sleep(BETWEEN_SAMPLES);
    }
}
