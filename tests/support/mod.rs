//! What the tests are told in: a scene with a repository, a remote server and a collector.

mod bench;
mod browser;
pub mod check;
mod collector;
mod faults;
mod liar;
mod loads;
mod operator;
mod oracle;
mod papers;
mod powa_web;
mod psql;
mod refusals;
mod scene;
mod service_manager;
mod statements;
mod stopwatch;
mod terminal;
mod watcher;

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

pub use bench::Bench;
pub use browser::Browser;
pub use collector::{Collector, output, program};
pub use faults::{Marked, delaying, log_of_server, raising, replacing};
pub use liar::Liar;
pub use loads::Loads;
pub use operator::{Printed, operate};
pub use oracle::{Case, Gate, Round};
pub use papers::{CLIENT, Papers, text};
pub use powa_web::{PowaWeb, python};
pub use psql::Psql;
pub use scene::{Listening, OwnRemote, Scene, with_powa};
pub use service_manager::ServiceManager;
pub use statements::Statements;
pub use stopwatch::Stopwatch;
pub use terminal::Terminal;
pub use watcher::{Watcher, promtool};

use lab::Generation;

/// One test.
pub struct Test {
    pub name: &'static str,
    pub run: fn(&Scene),
    /// The major versions of PoWA it is for.
    pub powa: RangeInclusive<u32>,
}

impl Test {
    pub fn is_for(&self, generation: &Generation) -> bool {
        self.powa.contains(&generation.powa_major())
    }
}

/// The tests of a file, by name. Those after `since N` are of things that older PoWA does not have, those after `only N`
/// of things that newer PoWA does not have either.
macro_rules! tests {
    (
        $($name:ident),* $(,)?
        $(; since $since:literal: $($newer:ident),* $(,)?)?
        $(; only $only:literal: $($own:ident),* $(,)?)?
    ) => {
        pub const TESTS: &[crate::support::Test] = &[
            $(crate::support::Test { name: stringify!($name), run: $name, powa: 4..=u32::MAX },)*
            $($(crate::support::Test { name: stringify!($newer), run: $newer, powa: $since..=u32::MAX },)*)?
            $($(crate::support::Test { name: stringify!($own), run: $own, powa: $only..=$only },)*)?
        ];
    };
}
pub(crate) use tests;

/// Every password of every test has this in it, and nothing that the collector says may.
pub const SECRET: &str = "s3cret";

/// Makes sure of it. In a test that has failed already, there is enough to read.
pub fn assert_no_secret<'a>(where_it_is: &str, texts: impl IntoIterator<Item = &'a str>) {
    if !std::thread::panicking() {
        let told: Vec<_> = texts.into_iter().filter(|text| text.contains(SECRET)).collect();
        assert_eq!(told, [""; 0], "a password in {where_it_is}");
    }
}

/// Nothing that a test waits for takes this long, unless it never happens.
const PATIENCE: Duration = Duration::from_secs(90);

/// Waits for something to be there.
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Waits for something to be so.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    wait_for(what, || is_so().then_some(()));
}
