//! Records how long each test took.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How many of the slowest tests are printed.
const PRINTED: usize = 20;

/// The durations of the tests of one run.
#[derive(Default)]
pub(super) struct Durations(Mutex<Vec<(String, Duration)>>);

impl Durations {
    /// Runs a test and records how long it took, also if it fails.
    pub(super) fn record(&self, name: String, test: impl FnOnce()) {
        let _recording = Recording { durations: self, name, started: Instant::now() };
        test();
    }

    /// Prints the slowest tests, and writes all into a file, the slowest first.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn report(&self) -> std::io::Result<()> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if all.is_empty() {
            return Ok(());
        }
        all.sort_by_key(|(_, took)| std::cmp::Reverse(*took));
        let text = all.iter().fold(String::new(), |mut text, (name, took)| {
            writeln!(text, "{:.1}\t{name}", took.as_secs_f64()).expect("writing to a string succeeds");
            text
        });
        let file = file();
        std::fs::write(&file, &text)?;
        println!("the slowest of {} tests, in seconds (all are in {}):", all.len(), file.display());
        text.lines().take(PRINTED).for_each(|line| println!("{line}"));
        Ok(())
    }
}

/// In the target directory, beside the one for temporary files.
fn file() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("test-durations.tsv")
}

/// A test that is running.
struct Recording<'a> {
    durations: &'a Durations,
    name: String,
    started: Instant,
}

impl Drop for Recording<'_> {
    fn drop(&mut self) {
        let took = (std::mem::take(&mut self.name), self.started.elapsed());
        self.durations.0.lock().unwrap_or_else(PoisonError::into_inner).push(took);
    }
}
