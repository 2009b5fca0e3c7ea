//! Measures durations, on a machine that may pause for a moment.

use std::sync::{Arc, Mutex, Weak};
use std::thread;
use std::time::{Duration, Instant};

const BEAT: Duration = Duration::from_millis(10);
/// Between two beats. However busy a machine is, one that goes on does not keep a thread waiting for so long.
const STANDSTILL: Duration = Duration::from_millis(200);

/// Counts the time in which this process, like all others, could go on. That in which a virtual machine or its disk
/// stood still is nobody's fault.
pub(crate) struct Stopwatch {
    started: Instant,
    beats: Arc<Mutex<Beats>>,
}

struct Beats {
    last: Instant,
    stood_still: Duration,
}

impl Beats {
    fn beat(&mut self) {
        let since = self.last.elapsed();
        self.last += since;
        if since > STANDSTILL {
            self.stood_still += since;
        }
    }
}

impl Stopwatch {
    pub(crate) fn start() -> Self {
        let started = Instant::now();
        let beats = Arc::new(Mutex::new(Beats { last: started, stood_still: Duration::ZERO }));
        let watched = Arc::downgrade(&beats);
        thread::spawn(move || {
            while let Some(beats) = Weak::upgrade(&watched) {
                beats.lock().unwrap().beat();
                drop(beats);
                thread::sleep(BEAT);
            }
        });
        Self { started, beats }
    }

    /// Since the start, without the time in which the machine stood still.
    pub(crate) fn elapsed(&self) -> Duration {
        let stood_still = self.stood_still();
        self.started.elapsed() - stood_still
    }

    /// How long the machine has stood still since the start.
    pub(crate) fn stood_still(&self) -> Duration {
        let mut beats = self.beats.lock().unwrap();
        beats.beat();
        beats.stood_still
    }
}
