//! How many servers were looked at: a line on standard error, if that is a terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The line.
pub(in crate::cli) struct Progress(ProgressBar);

impl Progress {
    /// Nothing is drawn where nobody would see it move.
    pub(in crate::cli) fn over(number: usize) -> Self {
        let style = ProgressStyle::with_template("{bar:15} {pos} of {len} servers, {elapsed}");
        let target = ProgressDrawTarget::stderr();
        let bar = ProgressBar::with_draw_target(u64::try_from(number).ok(), target);
        bar.set_style(style.expect("the template is a good one"));
        bar.tick();
        Self(bar)
    }

    pub(in crate::cli) fn one_more(&self) {
        self.0.inc(1);
    }

    /// What was drawn is wiped away.
    pub(in crate::cli) fn end(&self) {
        self.0.finish_and_clear();
    }
}
