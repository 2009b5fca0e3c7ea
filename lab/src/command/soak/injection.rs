//! Injects faults at random times, and records which errors they explain.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use fastrand::Rng;
use lab::Result;

use super::collector::Collector;
use super::effect::Held;
use super::faults::{Fault, Kind, Target};
use super::fixture::{DATABASE, Fixture};
use crate::print::print_line;

const TICK: Duration = Duration::from_millis(50);
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);
/// The interval at which the collector's usage is printed.
const BETWEEN_WORDS: Duration = Duration::from_secs(60);
const BETWEEN_TRIES_TO_HEAL: Duration = Duration::from_secs(1);
const UNTIL_ALL_IS_HEALED: Duration = Duration::from_secs(60);

/// Injects faults for a time, one after another and several at once.
pub(super) struct Injection<'a> {
    fixture: &'a Fixture,
    started: Instant,
    random: Rng,
    active: Vec<Active>,
    pub journal: Journal,
    pub errors: Errors,
}

struct Active {
    fault: Fault,
    held: Held,
    heal_at: Instant,
    /// Its index in the journal.
    entry: usize,
}

/// The faults so far, with their start, end and servers.
pub(super) struct Journal {
    aftermath: Duration,
    entries: Vec<Entry>,
}

struct Entry {
    started: Instant,
    healed: Option<Instant>,
    servers: BTreeSet<i32>,
    /// Whether it explains errors that name no server.
    concerns_nobody: bool,
}

/// The errors that were read from `powa_snapshot_metas.errors`, each once.
#[derive(Default)]
pub(super) struct Errors {
    pub seen: Vec<Error>,
    last: BTreeMap<i32, Vec<String>>,
    looked: Option<Instant>,
}

pub(super) struct Error {
    /// The two reads between which it appeared.
    pub between: (Instant, Instant),
    pub server: i32,
    pub text: String,
}

impl Journal {
    /// Whether a fault of this server, or of all, was active or had ended recently.
    pub(super) fn explains(&self, server: Option<i32>, (from, to): (Instant, Instant)) -> bool {
        self.entries.iter().any(|entry| {
            let concerned = server.map_or(entry.concerns_nobody, |id| entry.servers.contains(&id));
            concerned && entry.started <= to && entry.healed.is_none_or(|healed| from <= healed + self.aftermath)
        })
    }
}

impl Errors {
    fn look(&mut self, fixture: &Fixture) -> Result<()> {
        let since = self.looked.unwrap_or_else(Instant::now);
        let now: BTreeMap<i32, Vec<String>> = fixture
            .repository
            .connect(DATABASE)?
            .query("select srvid, errors from powa_snapshot_metas where srvid > 0 and errors is not null", &[])
            .context("reading powa_snapshot_metas")?
            .iter()
            .map(|row| (row.get(0), row.get(1)))
            .collect();
        let looked = Instant::now();
        for (server, errors) in &now {
            let known = self.last.get(server);
            for text in errors.iter().filter(|text| known.is_none_or(|known| !known.contains(text))) {
                self.seen.push(Error { between: (since, looked), server: *server, text: text.clone() });
            }
        }
        (self.last, self.looked) = (now, Some(looked));
        Ok(())
    }

    /// The current state.
    pub(super) fn last(&self) -> impl Iterator<Item = (i32, &String)> {
        self.last.iter().flat_map(|(server, errors)| errors.iter().map(|text| (*server, text)))
    }
}

impl<'a> Injection<'a> {
    pub(super) fn new(fixture: &'a Fixture, started: Instant, seed: u64) -> Self {
        Self {
            fixture,
            started,
            random: Rng::with_seed(seed),
            active: Vec::new(),
            journal: Journal { aftermath: fixture.aftermath(), entries: Vec::new() },
            errors: Errors::default(),
        }
    }

    /// Only observes.
    pub(super) fn watch(&mut self, collector: &mut Collector, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            collector.ensure_running()?;
            self.look_around();
            thread::sleep(BETWEEN_LOOKS.min(end.saturating_duration_since(Instant::now())));
        }
        self.look_around();
        Ok(())
    }

    /// Injects and heals faults for a time, and then heals them all.
    pub(super) fn run(&mut self, collector: &mut Collector, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        let mut next = Instant::now();
        let mut look = Instant::now();
        let mut tell = Instant::now();
        while Instant::now() < end {
            collector.ensure_running()?;
            self.heal_what_is_due(collector, Instant::now());
            if next <= Instant::now() {
                self.begin_another(collector)?;
                next = Instant::now() + Duration::from_millis(self.random.u64(1_000..4_000));
            }
            if look <= Instant::now() {
                self.look_around();
                look = Instant::now() + BETWEEN_LOOKS;
            }
            if tell <= Instant::now() {
                self.say(&collector.look()?.to_string());
                tell = Instant::now() + BETWEEN_WORDS;
            }
            thread::sleep(TICK);
        }
        self.heal_all(collector)
    }

    fn say(&self, what: &str) {
        print_line!("{:>8.1} s  {what}", self.started.elapsed().as_secs_f64());
    }

    fn begin_another(&mut self, collector: &Collector) -> Result<()> {
        let fault = Fault::any(&mut self.random, self.fixture);
        // A generator of its own, so that the following faults do not depend on this one.
        let mut random = self.random.fork();
        if self.active.iter().any(|active| active.fault.target == fault.target) {
            // The target has a fault already. The next one is drawn soon.
            return Ok(());
        }
        let started = Instant::now();
        self.say(&fault.describe(self.fixture));
        self.journal.entries.push(self.entry_of(&fault, started));
        let entry = self.journal.entries.len() - 1;
        match fault.begin(self.fixture, collector, &mut random) {
            Ok(held) => {
                let heal_at = Instant::now() + fault.lasts;
                self.active.push(Active { fault, held, heal_at, entry });
            }
            Err(error) => {
                print_line!("{:>12}not possible now: {error:#}", "");
                self.journal.entries[entry].healed = Some(Instant::now());
            }
        }
        Ok(())
    }

    fn entry_of(&self, fault: &Fault, started: Instant) -> Entry {
        let servers = match fault.target {
            Target::Server(number) => BTreeSet::from([self.fixture.servers[number].id]),
            Target::Cluster(number) => self.fixture.servers_of(number),
            Target::Repository => self.fixture.servers.iter().map(|server| server.id).collect(),
            Target::Commands => BTreeSet::new(),
        };
        let concerns_nobody = matches!(fault.target, Target::Repository | Target::Commands);
        Entry { started, healed: None, servers, concerns_nobody }
    }

    fn heal_what_is_due(&mut self, collector: &Collector, now: Instant) {
        let (due, active) = std::mem::take(&mut self.active).into_iter().partition(|active| active.heal_at <= now);
        self.active = active;
        let due: Vec<Active> = due;
        for mut healing in due {
            match healing.fault.heal(self.fixture, collector, &healing.held) {
                Ok(()) => {
                    drop(healing.held);
                    self.journal.entries[healing.entry].healed = Some(Instant::now());
                }
                Err(error) => {
                    print_line!("{:>12}not healed yet: {}: {error:#}", "", healing.fault.describe(self.fixture));
                    healing.heal_at = Instant::now() + BETWEEN_TRIES_TO_HEAL;
                    self.active.push(healing);
                }
            }
        }
    }

    fn heal_all(&mut self, collector: &Collector) -> Result<()> {
        // Targets that others depend on are healed first.
        self.active.sort_by_key(|active| !matches!(active.fault.kind, Kind::Restart | Kind::Crash));
        let deadline = Instant::now() + UNTIL_ALL_IS_HEALED;
        while !self.active.is_empty() {
            ensure!(Instant::now() < deadline, "a fault could not be healed");
            self.active.iter_mut().for_each(|active| active.heal_at = Instant::now());
            self.heal_what_is_due(collector, Instant::now());
            thread::sleep(TICK);
        }
        Ok(())
    }

    /// The repository may be unreachable because of a fault.
    fn look_around(&mut self) {
        let _ = self.errors.look(self.fixture);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_explains_what_is_said_of_its_servers_until_its_consequences_are_over() {
        let started = Instant::now() + Duration::from_secs(1_000);
        let after = |seconds| started + Duration::from_secs(seconds);
        let healed = Some(after(10));
        let entry = |servers: &[i32], concerns_nobody, healed| Entry {
            started,
            healed,
            servers: servers.iter().copied().collect(),
            concerns_nobody,
        };
        let journal = |entry| Journal { aftermath: Duration::from_secs(25), entries: vec![entry] };
        let at = |moment| (moment, moment);

        let of_one = journal(entry(&[7], false, healed));
        assert!(!of_one.explains(Some(7), at(started - Duration::from_secs(1))));
        assert!(of_one.explains(Some(7), at(started)) && of_one.explains(Some(7), at(after(35))));
        assert!(!of_one.explains(Some(7), at(after(36))));
        assert!(!of_one.explains(Some(8), at(started)) && !of_one.explains(None, at(started)));
        // An error that appeared between two reads may have appeared during the fault.
        assert!(of_one.explains(Some(7), (after(30), after(60))));

        assert!(journal(entry(&[7], false, None)).explains(Some(7), at(after(1_000))));
        assert!(journal(entry(&[7, 8], true, healed)).explains(None, at(after(1))));
    }
}
