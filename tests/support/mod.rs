//! What the tests are told in: a scene with a repository, a remote server and a collector.

mod bench;
mod collector;
mod powa_web;
mod scene;

use std::time::{Duration, Instant};

pub use bench::Bench;
pub use collector::{Collector, program};
pub use powa_web::PowaWeb;
pub use scene::{Listening, Scene};

use lab::Generation;

/// One test.
pub struct Test {
    pub path: &'static str,
    pub run: fn(&Scene),
    pub since_powa: u32,
}

impl Test {
    /// The last part of the path.
    pub fn name(&self) -> &'static str {
        self.path.rsplit("::").next().unwrap()
    }

    pub fn is_for(&self, generation: &Generation) -> bool {
        generation.powa_major() >= self.since_powa
    }
}

/// The tests of a file, by name; those after `since N` are of things that older PoWA does not have.
macro_rules! tests {
    ($($name:ident),* $(,)? $(; since $major:literal: $($newer:ident),* $(,)?)?) => {
        pub const TESTS: &[crate::support::Test] = &[
            $(crate::support::Test { path: stringify!($name), run: $name, since_powa: 4 },)*
            $($(crate::support::Test { path: stringify!($newer), run: $newer, since_powa: $major },)*)?
        ];
    };
}
pub(crate) use tests;

/// Nothing that a test waits for takes this long, unless it never happens.
const PATIENCE: Duration = Duration::from_secs(40);

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
