//! How many servers were looked at: a line on standard error, if that is a terminal.

use std::cell::Cell;
use std::time::{Duration, Instant};

use console::Term;

use crate::cli::output;
use crate::cli::words;

/// The line. indicatif would fill 80 columns with it where a terminal tells its columns and not its lines.
pub(in crate::cli) struct Progress {
    /// `None` where nobody would see it move.
    width: Option<u16>,
    number: usize,
    done: Cell<usize>,
    begun: Instant,
}

impl Progress {
    pub(in crate::cli) fn over(number: usize) -> Self {
        let width = output::width_of_standard_error();
        let progress = Self { width, number, done: Cell::new(0), begun: Instant::now() };
        progress.draw();
        progress
    }

    pub(in crate::cli) fn one_more(&self) {
        self.done.set(self.done.get() + 1);
        self.draw();
    }

    /// What was drawn is wiped away.
    pub(in crate::cli) fn end(&self) {
        if self.width.is_some() {
            // A line that cannot be drawn is not missed.
            let _ = Term::stderr().clear_line();
        }
    }

    fn draw(&self) {
        self.end();
        if let Some(width) = self.width {
            let line = line((self.done.get(), self.number), self.begun.elapsed(), width);
            let _ = Term::stderr().write_str(&line);
        }
    }
}

/// The bar has what room there is, within reason. The last column stays free: there are terminals that go to the next line
/// when it is written to.
fn line((done, number): (usize, usize), elapsed: Duration, width: u16) -> String {
    const WIDEST: usize = 30;
    const NARROWEST: usize = 5;
    let told = format!("{done} of {number} servers, {}", words::duration(elapsed));
    let room = usize::from(width).saturating_sub(1);
    let bar = room.saturating_sub(told.len() + 1).min(WIDEST);
    if bar < NARROWEST {
        return told.chars().take(room).collect();
    }
    let full = bar * done / number.max(1);
    format!("{}{} {told}", "█".repeat(full), "░".repeat(bar - full))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_fits_the_terminal() {
        let line = |width| line((3, 300), Duration::from_secs(61), width);
        assert_eq!(line(200), format!("{} 3 of 300 servers, 1m 1s", "░".repeat(30)));
        assert_eq!(line(31), "░░░░░░ 3 of 300 servers, 1m 1s");
        assert_eq!(line(29), "3 of 300 servers, 1m 1s");
        for width in 20..200 {
            assert!(line(width).chars().count() < usize::from(width), "{width}");
        }
    }

    #[test]
    fn the_bar_grows() {
        let bar = |done| line((done, 6), Duration::ZERO, 28);
        assert_eq!(bar(0), "░░░░░░░░ 0 of 6 servers, 0s");
        assert_eq!(bar(3), "████░░░░ 3 of 6 servers, 0s");
        assert_eq!(bar(6), "████████ 6 of 6 servers, 0s");
        assert_eq!(line((0, 0), Duration::ZERO, 10), "0 of 0 se");
    }
}
