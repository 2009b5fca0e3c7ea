//! Measures the time from the start to the first snapshot, and from SIGTERM to the end.
//!
//! Our collector takes the first snapshot of an overdue server at once, the Python collector at a random moment within
//! the frequency; so the frequency is the shortest possible, and there are more starts than rounds. The Python
//! collector stops only when its main loop comes round; so SIGTERM is sent at moments spread over the length of the
//! loop.

use std::thread;
use std::time::Duration;

use anyhow::Context;
use lab::Result;
use postgres::Client;

use crate::command::bench::Setting;
use crate::command::bench::candidate::Candidate;
use crate::command::bench::figure::{Figure, Mark, Unit};
use crate::command::bench::fixture::{Fixture, Size};
use crate::command::bench::force::nobody_is_due;
use crate::command::bench::median::median;

const SIZE: Size = Size { servers: 1, applications: 2, statements: 500, frequency: 5 };
const STARTS_A_ROUND: usize = 2;
const LIMIT: Duration = Duration::from_secs(60);
/// How long the Python collector's main thread waits for a notification.
const LOOP: Duration = Duration::from_secs(10);

pub(super) fn measure(case: &'static str, setting: &Setting<'_>) -> Result<Vec<Figure>> {
    let fixture = Fixture::make(setting.generation, SIZE)?;
    fixture.leave_catalogs()?;
    let both =
        |candidate| Ok::<_, lab::Error>([start(&fixture, candidate, setting)?, stop(&fixture, candidate, setting)?]);
    let (ours, python) = (both(&setting.candidates.ours)?, both(&setting.candidates.python)?);
    let figure = |what: &str, number: usize| {
        Figure::new(case, setting.generation, what, Unit::Seconds, ours[number]).against(python[number])
    };
    Ok(vec![
        figure("start to first snapshot, one every 5 s", 0),
        figure("SIGTERM to the end, idle", 1).mark(Mark::AtMost(1.0)),
    ])
}

fn start(fixture: &Fixture, candidate: &Candidate, setting: &Setting<'_>) -> Result<f64> {
    let mut times = Vec::new();
    for _ in 0..setting.rounds * STARTS_A_ROUND {
        let mut bench_run = fixture.begin(candidate, &setting.directory, |_| Ok(()))?;
        times.push(bench_run.wait_for_snapshots(1, LIMIT)?.as_secs_f64());
    }
    Ok(median(&times))
}

fn stop(fixture: &Fixture, candidate: &Candidate, setting: &Setting<'_>) -> Result<f64> {
    let mut times = Vec::new();
    for round in 0..setting.rounds {
        let mut bench_run = fixture.begin(candidate, &setting.directory, nobody_is_due_for_long)?;
        bench_run.take_first()?;
        thread::sleep(LOOP.mul_f64((round as f64 + 0.5) / setting.rounds as f64));
        times.push(bench_run.running.stop()?.as_secs_f64());
    }
    Ok(median(&times))
}

fn nobody_is_due_for_long(repository: &mut Client) -> Result<()> {
    nobody_is_due(repository)?;
    let rarely = repository.execute("update powa_servers set frequency = 3600 where id > 0", &[]);
    rarely.map(drop).context("having snapshots be rare")
}
