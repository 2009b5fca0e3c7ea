//! Measures the memory needed to collect long statements.
//!
//! pg_stat_statements has 4,000 statements of 40 kB: 160 MB, which are read with each snapshot. The highest resident
//! memory (VmHWM) after two snapshots is measured; the time is that of the second one.

use std::thread;

use anyhow::Context;
use lab::Result;

use crate::command::bench::Setting;
use crate::command::bench::candidate::Candidate;
use crate::command::bench::figure::{Figure, Mark, Unit};
use crate::command::bench::fixture::{DATABASE, Fixture, Size};
use crate::command::bench::force::{PAUSE, nobody_is_due};

const SIZE: Size = Size { servers: 1, applications: 0, statements: 0, frequency: 3600 };
const STATEMENTS: usize = 4_000;
const BYTES: usize = 40_000;

pub(super) fn measure(case: &'static str, setting: &Setting<'_>) -> Result<Vec<Figure>> {
    let fixture = Fixture::make(setting.generation, SIZE)?;
    fixture.leave_catalogs()?;
    let mut remote = fixture.remote.connect(DATABASE)?;
    for number in 0..STATEMENTS {
        remote.batch_execute(&statement(number)).context("filling pg_stat_statements with long statements")?;
    }
    let (ours, python) =
        (two_of(&fixture, &setting.candidates.ours, setting)?, two_of(&fixture, &setting.candidates.python, setting)?);
    let figure = |what: &str, unit, number: usize| {
        Figure::new(case, setting.generation, what, unit, ours[number]).against(python[number])
    };
    Ok(vec![
        figure("peak memory, 160 MB of statements", Unit::Megabytes, 0).mark(Mark::AtMost(48.0)),
        figure("snapshot of them", Unit::Seconds, 1),
    ])
}

/// Peak memory in MB, and the time of the second snapshot in seconds.
fn two_of(fixture: &Fixture, candidate: &Candidate, setting: &Setting<'_>) -> Result<[f64; 2]> {
    let mut bench_run = fixture.begin(candidate, &setting.directory, nobody_is_due)?;
    bench_run.take_first()?;
    thread::sleep(PAUSE);
    let id = bench_run.ids[0];
    let time = bench_run.force(id, || ())?;
    Ok([bench_run.running.usage()?.peak_kb as f64 / 1024.0, time.as_secs_f64()])
}

/// What makes it long is a comment, which is kept as it is: constants are not.
fn statement(number: usize) -> String {
    let columns = (0..12).map(|bit| if number >> bit & 1 == 1 { "oid" } else { "relname" });
    let columns = columns.collect::<Vec<_>>().join(", ");
    let words = format!("what number {number} is about, ");
    let text = words.repeat(BYTES / words.len());
    format!("select {columns} /* {text} */ from pg_class limit 1")
}
