//! Measures whether a collector keeps up with a fleet that is due every five seconds, and the CPU time of each
//! snapshot.
//!
//! The window begins when each server has had two snapshots, or after a limit, as not every collector keeps up. All
//! servers are one cluster of few databases, with no other work to do. Nothing is aggregated in so short a time, and
//! the catalogs of PoWA 5 count as read.

use std::time::Duration;

use lab::Result;

use crate::command::bench::Setting;
use crate::command::bench::candidate::Candidate;
use crate::command::bench::figure::{Figure, Mark, Unit};
use crate::command::bench::fixture::{Fixture, Size};
use crate::command::bench::window::Window;

const FREQUENCY: i32 = 5;
const LONGEST_WARM_UP: Duration = Duration::from_secs(20);
const WINDOW: Duration = Duration::from_secs(30);

/// The fleet that the marks are about, on PoWA 5.
const WITH_MARKS: usize = 20;

pub(super) fn measure(case: &'static str, setting: &Setting<'_>, servers: usize) -> Result<Vec<Figure>> {
    let size = Size { servers, applications: 2, statements: 500, frequency: FREQUENCY };
    let fixture = Fixture::make(setting.generation, size)?;
    fixture.leave_catalogs()?;
    let watch = |candidate: &Candidate| -> Result<Window> {
        let mut bench_run = fixture.begin(candidate, &setting.directory, |_| Ok(()))?;
        bench_run.warm_up(2, LONGEST_WARM_UP)?;
        let window = Window::watch(&fixture, &mut bench_run, WINDOW)?;
        bench_run.running.stop()?;
        Ok(window)
    };
    let (ours, python) = (watch(&setting.candidates.ours)?, watch(&setting.candidates.python)?);
    let marked = servers == WITH_MARKS && setting.generation.powa_major() >= 5;
    let figure = |what: &str, unit, of: &dyn Fn(&Window) -> f64, mark: Option<Mark>| {
        let figure = Figure::new(case, setting.generation, what, unit, of(&ours)).against(of(&python));
        Figure { mark: mark.filter(|_| marked), ..figure }
    };
    let due = servers as f64 / f64::from(FREQUENCY);
    Ok(vec![
        figure(
            &format!("snapshots kept, {due:.0}/s due"),
            Unit::PerSecond,
            &Window::snapshots_per_second,
            // A window rarely begins and ends with a snapshot.
            Some(Mark::AtLeast(due - 0.05)),
        ),
        figure(
            "longest since a server's last snapshot",
            Unit::Seconds,
            &|window| window.longest_unseen.as_secs_f64(),
            None,
        ),
        figure(
            "CPU per snapshot, collector",
            Unit::Milliseconds,
            &|window| window.per_snapshot(window.collector),
            Some(Mark::Share(1.0 / 6.0)),
        ),
        figure(
            "CPU per snapshot, repository",
            Unit::Milliseconds,
            &|window| window.per_snapshot(window.repository),
            Some(Mark::Share(0.5)),
        ),
        figure("CPU per snapshot, remote", Unit::Milliseconds, &|window| window.per_snapshot(window.remote), None),
        figure("repository connections", Unit::Count, &|window| window.repository_sessions as f64, None),
        figure("remote connections", Unit::Count, &|window| window.remote_sessions as f64, None),
    ])
}
