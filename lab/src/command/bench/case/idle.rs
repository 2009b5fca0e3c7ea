//! Measures connections and memory while no snapshot is due.
//!
//! All servers are registered as if a snapshot had just been taken, with most of an hour to go. The window begins when
//! the number of connections has been stable for a while: both collectors keep one to each server.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use lab::{Error, Result};

use crate::command::bench::Setting;
use crate::command::bench::candidate::Candidate;
use crate::command::bench::figure::{Figure, Mark, Unit};
use crate::command::bench::fixture::{BenchRun, Fixture, Size};
use crate::command::bench::force::nobody_is_due;
use crate::command::bench::window::{Window, sessions};

const FREQUENCY: i32 = 3600;
const LONGEST_SETTLING: Duration = Duration::from_secs(120);
const STILL: Duration = Duration::from_secs(10);
const WINDOW: Duration = Duration::from_secs(30);

/// How many servers, and the marks: what ours may take at most.
struct Waiting {
    servers: usize,
    /// In MB.
    memory: Option<f64>,
    connections: Option<f64>,
}

const SIZES: [Waiting; 3] = [
    Waiting { servers: 1, memory: Some(12.0), connections: None },
    Waiting { servers: 200, memory: Some(24.0), connections: Some(6.0) },
    Waiting { servers: 1_000, memory: None, connections: None },
];

pub(super) fn measure(case: &'static str, setting: &Setting<'_>) -> Result<Vec<Figure>> {
    // Side by side: who waits is in nobody's way.
    let both = thread::scope(|scope| {
        let threads = SIZES.map(|size| scope.spawn(move || windows(setting, size.servers)));
        threads.map(|thread| thread.join().unwrap_or_else(|_| Err(Error::msg("a thread that measured panicked"))))
    });
    let mut figures = Vec::new();
    for (size, both) in SIZES.iter().zip(both) {
        let (ours, python) = both?;
        let figure = |what: &str, unit, of: fn(&Window) -> f64, most: Option<f64>| {
            let what = format!("{what}, {} server{}", size.servers, if size.servers == 1 { "" } else { "s" });
            let figure = Figure::new(case, setting.generation, what, unit, of(&ours)).against(of(&python));
            Figure { mark: most.map(Mark::AtMost), ..figure }
        };
        figures.extend([
            figure("resident memory", Unit::Megabytes, |window| window.usage.resident_kb as f64 / 1024.0, size.memory),
            figure("threads", Unit::Count, |window| window.usage.threads as f64, None),
            figure("repository connections", Unit::Count, |window| window.repository_sessions as f64, size.connections),
            figure("remote connections", Unit::Count, |window| window.remote_sessions as f64, None),
            figure("CPU a minute", Unit::Milliseconds, |window| window.per_minute(window.collector), None),
        ]);
    }
    Ok(figures)
}

/// Ours, and the Python collector's.
fn windows(setting: &Setting<'_>, servers: usize) -> Result<(Window, Window)> {
    let fixture =
        Fixture::make(setting.generation, Size { servers, applications: 0, statements: 0, frequency: FREQUENCY })?;
    let directory = setting.directory.join(servers.to_string());
    let ours = idle(&fixture, &setting.candidates.ours, &directory)?;
    Ok((ours, idle(&fixture, &setting.candidates.python, &directory)?))
}

fn idle(fixture: &Fixture, candidate: &Candidate, directory: &Path) -> Result<Window> {
    let mut bench_run = fixture.begin(candidate, directory, nobody_is_due)?;
    settle(fixture, &mut bench_run)?;
    let window = Window::watch(fixture, &mut bench_run, WINDOW)?;
    bench_run.running.stop()?;
    Ok(window)
}

fn settle(fixture: &Fixture, bench_run: &mut BenchRun) -> Result<()> {
    let mut remote = fixture.remote.connect("postgres")?;
    let (mut seen, mut since) = ((0, 0), Instant::now());
    while bench_run.started.elapsed() < LONGEST_SETTLING {
        let now = (sessions(&mut bench_run.client, Some(&bench_run.database))?, sessions(&mut remote, None)?);
        if now != seen {
            (seen, since) = (now, Instant::now());
        } else if seen.1 > 0 && since.elapsed() > STILL {
            break;
        }
        bench_run.running.ensure_running()?;
        thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}
