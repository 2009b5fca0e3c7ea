//! One run of the suite: which tests run at the same time, how long each took, and which are nightly.

use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use libtest_mimic::{Arguments, Trial};

use super::{Durations, Mark, Slots};

/// Tests that run side by side, on two cores. They wait most of the time: for a snapshot to be due, a time-out to pass, a
/// server to come up.
const SIDE_BY_SIDE: usize = 8;
/// One that measures time takes the place of three, so that with two of them there are two others at most.
const SLOTS_OF_TIMED: usize = 3;

/// Shared by all tests.
pub(crate) struct Run {
    arguments: Arguments,
    slots: Slots,
    slots_of_timed: usize,
    durations: Durations,
    for_the_night: Mutex<Vec<String>>,
}

impl Run {
    /// As the command line wants it.
    pub(crate) fn from_arguments() -> Arc<Self> {
        let mut arguments = Arguments::from_args();
        let side_by_side = *arguments.test_threads.get_or_insert(SIDE_BY_SIDE);
        Arc::new(Self {
            arguments,
            slots: Slots::new(side_by_side),
            slots_of_timed: SLOTS_OF_TIMED.min(side_by_side),
            durations: Durations::default(),
            for_the_night: Mutex::default(),
        })
    }

    /// A test that is part of it.
    pub(crate) fn trial(self: &Arc<Self>, name: String, marks: &[Mark], test: impl FnOnce() + Send + 'static) -> Trial {
        let slots = if marks.contains(&Mark::Timed) { self.slots_of_timed } else { 1 };
        let is_for_the_night = marks.contains(&Mark::Nightly);
        if is_for_the_night {
            self.for_the_night.lock().unwrap_or_else(PoisonError::into_inner).push(name.clone());
        }
        let run = Arc::clone(self);
        let trial = Trial::test(name.clone(), move || {
            run.slots.run(slots, || run.durations.record(name, test));
            Ok(())
        });
        trial.with_ignored_flag(is_for_the_night)
    }

    /// Runs the tests that the command line asks for, and says how it went.
    pub(crate) fn conclude(&self, trials: Vec<Trial>) -> ExitCode {
        let conclusion = libtest_mimic::run(&self.arguments, trials);
        self.durations.report().expect("the directory for build artefacts can be written");
        if conclusion.num_ignored > 0 {
            println!("left for `scripts/test --nightly`, or `--include-ignored`:");
            let names = self.for_the_night.lock().unwrap_or_else(PoisonError::into_inner);
            names.iter().for_each(|name| println!("{name}"));
        }
        conclusion.exit_code()
    }
}
