//! Helpers for the tests: a scene has a repository, a remote server and a collector.

mod api;
mod bench;
mod browser;
mod certificates;
pub(crate) mod check;
mod collector;
mod durations;
mod fake_server;
mod faults;
mod loads;
mod operator;
mod oracle;
mod powa_web;
mod psql;
mod refusals;
mod run;
mod scene;
mod service_manager;
mod slots;
mod statements;
mod stopwatch;
mod terminal;
mod watcher;

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

pub(crate) use api::{ApiClient, Reply};
pub(crate) use bench::Bench;
pub(crate) use browser::Browser;
pub(crate) use certificates::{CLIENT, Certificates, text};
pub(crate) use collector::{Collector, PACE, output, program};
use durations::Durations;
pub(crate) use fake_server::FakeServer;
pub(crate) use faults::{COMMITTED, Marked, delaying, log_of_server, raising, replacing};
pub(crate) use loads::Loads;
pub(crate) use operator::{Printed, operate};
pub(crate) use oracle::{Case, Gate, Round};
pub(crate) use powa_web::{PowaWeb, python};
pub(crate) use psql::Psql;
pub(crate) use run::Run;
pub(crate) use scene::{Listening, OwnRemote, Scene, with_powa};
pub(crate) use service_manager::ServiceManager;
use slots::Slots;
pub(crate) use statements::Statements;
pub(crate) use stopwatch::Stopwatch;
pub(crate) use terminal::Terminal;
pub(crate) use watcher::{Watcher, promtool};

use lab::Generation;

/// One test.
pub(crate) struct Test {
    pub name: &'static str,
    pub run: fn(&Scene),
    /// The major versions of PoWA it is for.
    pub powa: RangeInclusive<u32>,
    pub marks: &'static [Mark],
}

/// What makes a test one that is not run like most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// It measures how long something takes: only a few others run at the same time.
    Timed,
    /// It takes long: it is among the first to start, so that nobody waits for it in the end.
    Long,
    /// It takes long, and another test shows in less time most of what it shows: see `scripts/test --nightly`.
    Nightly,
    /// Its collectors do not wait for the time at which something is due: see [`Scene::hurry`].
    Hurried,
    /// It is not about PoWA: the newest generation shows it.
    OfAnyPowa,
}

impl Test {
    pub(crate) fn is_for(&self, generation: &Generation) -> bool {
        self.powa.contains(&generation.powa_major())
    }

    pub(crate) fn is(&self, mark: Mark) -> bool {
        self.marks.contains(&mark)
    }

    pub(crate) fn run_on(&self, bench: &Bench) {
        let scene = Scene::on(bench);
        if self.is(Mark::Hurried) {
            scene.hurry();
        }
        (self.run)(&scene);
    }
}

/// The tests of a file, by name. Those after `since N` are of things that older PoWA does not have, those after `only N`
/// of things that newer PoWA does not have either. A mark stands in front of a name: `#[timed]`, `#[long]`, `#[nightly]`,
/// `#[hurried]`, `#[of_any_powa]`.
macro_rules! tests {
    (
        $($(#[$mark:ident])* $name:ident),* $(,)?
        $(; since $since:literal: $($(#[$mark_newer:ident])* $newer:ident),* $(,)?)?
        $(; only $only:literal: $($(#[$mark_own:ident])* $own:ident),* $(,)?)?
    ) => {
        pub(crate) const TESTS: &[crate::support::Test] = &[
            $(crate::support::test!($name, 4..=u32::MAX, $($mark)*),)*
            $($(crate::support::test!($newer, $since..=u32::MAX, $($mark_newer)*),)*)?
            $($(crate::support::test!($own, $only..=$only, $($mark_own)*),)*)?
        ];
    };
}
pub(crate) use tests;

macro_rules! test {
    ($name:ident, $powa:expr, $($mark:ident)*) => {
        crate::support::Test {
            name: stringify!($name),
            run: $name,
            powa: $powa,
            marks: &[$(crate::support::mark!($mark)),*],
        }
    };
}
pub(crate) use test;

macro_rules! mark {
    (timed) => {
        crate::support::Mark::Timed
    };
    (long) => {
        crate::support::Mark::Long
    };
    (nightly) => {
        crate::support::Mark::Nightly
    };
    (hurried) => {
        crate::support::Mark::Hurried
    };
    (of_any_powa) => {
        crate::support::Mark::OfAnyPowa
    };
}
pub(crate) use mark;

/// Every password of every test has this in it, and nothing that the collector says may.
pub(crate) const SECRET: &str = "s3cret";

/// Makes sure of it. In a test that has failed already, there is enough to read.
pub(crate) fn assert_no_secret<'a>(where_it_is: &str, texts: impl IntoIterator<Item = &'a str>) {
    if !std::thread::panicking() {
        let output: Vec<_> = texts.into_iter().filter(|text| text.contains(SECRET)).collect();
        assert_eq!(output, [""; 0], "a password in {where_it_is}");
    }
}

/// Nothing that a test waits for takes this long, unless it never happens.
const PATIENCE: Duration = Duration::from_secs(90);

/// How long until something is looked for again: what is there soon is seen soon, and what takes long costs little.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(80);

/// Waits for something to be there.
pub(crate) fn wait_for<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    wait_with_pauses_up_to(LONGEST_PAUSE, what, look)
}

fn wait_with_pauses_up_to<T>(longest: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(pause);
        pause = (pause * 5 / 4).min(longest);
    }
}

/// Waits for something to be so.
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    wait_for(what, || is_so().then_some(()));
}
