//! Restores the terminal's echo when a password prompt is interrupted by Ctrl-C. By default, SIGINT would end the program
//! before the prompt library has restored it.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::SIGINT;
use signal_hook::flag::register_conditional_default;
use signal_hook::low_level::emulate_default_handler;

/// Runs `prompt`. If SIGINT interrupts it, ends the program by that signal once `prompt` has returned.
///
/// # Errors
/// Those of `prompt`, or the signal handler could not be installed.
pub(super) fn with_echo_restored<T>(prompt: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    // The signal has no effect until then, but the library returns an error for it.
    let is_over = Arc::new(AtomicBool::new(false));
    register_conditional_default(SIGINT, Arc::clone(&is_over))?;
    let answer = prompt();
    is_over.store(true, Ordering::SeqCst);
    if answer.as_ref().is_err_and(|error| error.kind() == ErrorKind::Interrupted) {
        emulate_default_handler(SIGINT)?;
    }
    answer
}
