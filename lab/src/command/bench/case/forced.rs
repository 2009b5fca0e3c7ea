//! Measures how long a forced snapshot takes, for servers at different distances.
//!
//! From the request to the moment when other sessions see it in the repository, one server after the other. Connections
//! of the previous snapshot are still open as far as a candidate keeps them: ours keeps up to 20 to databases for 30 s,
//! the Python collector one to PoWA's database; it opens those to other databases and to the repository for each
//! snapshot.

use std::thread;
use std::time::{Duration, Instant};

use lab::Result;

use crate::command::bench::Setting;
use crate::command::bench::candidate::Candidate;
use crate::command::bench::figure::{Figure, Mark, Unit};
use crate::command::bench::fixture::{Fixture, Size};
use crate::command::bench::force::{PAUSE, nobody_is_due};
use crate::command::bench::median::median;

/// Of a round trip to each server, in milliseconds.
const AWAY: [u64; 4] = [0, 10, 50, 200];
const SIZE: Size = Size { servers: AWAY.len(), applications: 3, statements: 500, frequency: 3600 };

pub(super) fn measure(case: &'static str, setting: &Setting<'_>) -> Result<Vec<Figure>> {
    let mut fixture = Fixture::make(setting.generation, SIZE)?;
    fixture.leave_catalogs()?;
    fixture.put_away(&AWAY.map(Duration::from_millis))?;
    let all = |candidate| rounds(&fixture, candidate, setting);
    let (ours, python) = (all(&setting.candidates.ours)?, all(&setting.candidates.python)?);
    let figures = AWAY.iter().zip(ours).zip(python).map(|((away, ours), python)| {
        let what = format!("forced snapshot, {away} ms away");
        let figure = Figure::new(case, setting.generation, what, Unit::Seconds, ours).against(python);
        match away {
            0 => figure.mark(Mark::Share(0.7)),
            50 if setting.generation.powa_major() >= 5 => figure.mark(Mark::Share(0.1)),
            _ => figure,
        }
    });
    Ok(figures.collect())
}

/// The median for each server, in seconds.
fn rounds(fixture: &Fixture, candidate: &Candidate, setting: &Setting<'_>) -> Result<[f64; AWAY.len()]> {
    let mut bench_run = fixture.begin(candidate, &setting.directory, nobody_is_due)?;
    bench_run.take_first()?;
    let mut times = [const { Vec::new() }; AWAY.len()];
    let mut last = [Instant::now(); AWAY.len()];
    for _ in 0..setting.rounds {
        for (number, id) in bench_run.ids.clone().into_iter().enumerate() {
            thread::sleep(PAUSE.saturating_sub(last[number].elapsed()));
            times[number].push(bench_run.force(id, || ())?.as_secs_f64());
            last[number] = Instant::now();
        }
    }
    Ok(times.map(|times| median(&times)))
}
