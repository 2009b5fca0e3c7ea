//! Runs a collector for a long time under random faults, and checks that it recovers from all of them.
//!
//! `fixture` is the fleet, `faults` and `effect` are the possible faults, `injection` decides when they occur, `log`
//! and `collector` observe the collector, `judgement` checks the result.

mod collector;
mod effect;
mod faults;
mod fixture;
mod injection;
mod judgement;
mod log;

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use lab::{Generation, Result};
use rustix::process::Signal;

use self::collector::Collector;
use self::fixture::{DATABASE, Fixture};
use self::injection::Injection;
use self::judgement::Judgement;
use crate::print::print_line;

const UNTIL_WARM: Duration = Duration::from_secs(300);

/// A soak test.
pub(crate) struct Soak<'a> {
    pub generation: &'a Generation,
    pub collector: &'a Path,
    pub time: Duration,
    pub seed: u64,
    pub servers: usize,
    pub frequency: u32,
}

impl Soak<'_> {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let program = self.collector.canonicalize();
        let program = program.with_context(|| format!("looking for the collector {}", self.collector.display()))?;
        ensure!(self.servers > 0, "at least one server is needed");
        print_line!("seed {}", self.seed);
        print_line!(
            "{} servers of PoWA {} on PostgreSQL {} every {} s, faults for {:.1} min",
            self.servers,
            self.generation.powa_version(),
            self.generation.postgres_major(),
            self.frequency,
            self.time.as_secs_f64() / 60.0,
        );
        let fixture = Fixture::make(self.generation, self.servers, self.frequency)?;
        let directory = tempfile::Builder::new().prefix("lab-soak-").tempdir().context("making a directory")?;
        let log = directory.path().join("collector.log");
        print_line!("the collector's log: {}\n", log.display());
        match self.judge(&fixture, &program, directory.path()) {
            Ok(judgement) if judgement.is_well() => {
                judgement.print();
                print_line!("\nAll is well.");
                Ok(ExitCode::SUCCESS)
            }
            judged => {
                // Kept to find out the cause.
                let _ = directory.keep();
                judged.with_context(|| format!("seed {}, the collector's log: {}", self.seed, log.display()))?.print();
                print_line!("\nNot all is well: seed {}, the collector's log: {}", self.seed, log.display());
                Ok(ExitCode::FAILURE)
            }
        }
    }

    fn judge(&self, fixture: &Fixture, program: &Path, directory: &Path) -> Result<Judgement> {
        let started = Instant::now();
        let say = |what: &str| print_line!("{:>8.1} s  {what}", started.elapsed().as_secs_f64());
        let mut collector = Collector::start(program, fixture, directory)?;
        wait_until_warm(fixture, &mut collector)?;
        let mut injection = Injection::new(fixture, started, self.seed);
        let before = collector.measure()?;
        let warm = Instant::now();
        say("warm");

        injection.run(&mut collector, self.time)?;
        say("all is healed");
        for _ in 0..3 {
            // A reload that was requested while the repository was unreachable was not received.
            collector.signal(Signal::HUP)?;
            injection.watch(&mut collector, fixture.aftermath() / 3)?;
        }
        let calm = Instant::now();
        say("all should be well");
        let after = collector.measure()?;
        injection.watch(&mut collector, fixture.frequencies(1))?;

        let mut judgement = Judgement::default();
        judgement.compare(before, after);
        judgement.count_sessions(fixture)?;
        judgement.look_at_servers(fixture)?;
        let (status, took, log_summary) = collector.stop()?;
        say("stopped");
        judgement.look_at_the_end(status, took);
        judgement.explain(&log_summary, &injection, [started, warm, calm]);
        judgement.count_snapshots(fixture, &log_summary)?;
        Ok(judgement)
    }
}

fn wait_until_warm(fixture: &Fixture, collector: &mut Collector) -> Result<()> {
    let cold = "select count(*) from powa_snapshot_metas where srvid > 0 and coalesce_seq <= 3";
    let deadline = Instant::now() + UNTIL_WARM;
    let mut client = fixture.repository.connect(DATABASE)?;
    loop {
        collector.ensure_running()?;
        let cold: i64 = client.query_one(cold, &[]).context("counting snapshots")?.get(0);
        if cold == 0 {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "{cold} servers have not been snapshotted three times in time");
        std::thread::sleep(Duration::from_millis(200));
    }
}
