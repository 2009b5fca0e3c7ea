//! A progress bar on standard error, if that is a terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

pub(in crate::cli) struct Progress(ProgressBar);

impl Progress {
    /// `total` is the number of servers. Draws nothing if standard error is not a terminal.
    pub(in crate::cli) fn new(total: usize) -> Self {
        let style = ProgressStyle::with_template("{bar:15} {pos} of {len} servers, {elapsed}");
        let target = ProgressDrawTarget::stderr();
        let bar = ProgressBar::with_draw_target(u64::try_from(total).ok(), target);
        bar.set_style(style.expect("the template is valid"));
        bar.tick();
        Self(bar)
    }

    pub(in crate::cli) fn advance(&self) {
        self.0.inc(1);
    }

    /// Clears the line.
    pub(in crate::cli) fn finish(&self) {
        self.0.finish_and_clear();
    }
}
